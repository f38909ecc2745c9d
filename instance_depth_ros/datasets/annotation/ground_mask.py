"""What people stand on: pixels on the plane of the ground, where dots lie on it."""

from __future__ import annotations

import cv2
import numpy as np

from ...geometry import Intrinsics, rays, sampled
from ...ground import Ground, fit, on_ground

PLANE_HEIGHT = 120  # rows of the picture in which the plane is looked for
# relative distance of ground pixels from the plane: what they scatter by, within limits
SCATTERED, LEAST_OFF, MOST_OFF = 3.0, 0.03, 0.12
DOT_RADIUS, DOTS_FOR_PLANE = 0.03, 3  # of the picture's width; fewer dots fix no plane
LEAST_AREA = 0.003  # of the picture, of a patch of ground without a dot
DOTS = 6
SAME_IOU = 0.5


def ground_mask(
    depth_m: np.ndarray, things: np.ndarray, intrinsics: Intrinsics, dots=()
) -> tuple[np.ndarray, Ground | None]:
    """(H, W) bool and the plane; nothing and None where no plane is found.

    depth_m: (H, W) metres, NaN invalid. things: (H, W) bool, pixels of instances. dots: x, y of pixels that people
    marked as ground: then it is what hangs together with one of them, and three or more lie in its plane.
    """
    plane = _plane_of(depth_m, things, intrinsics, dots)
    if plane is None:
        return np.zeros(things.shape, bool), None
    limit = np.clip(SCATTERED * plane.spread, LEAST_OFF, MOST_OFF)
    flat = on_ground(plane, depth_m, rays(intrinsics), limit) & ~things
    # speckle of a sensor, both ways
    flat = cv2.morphologyEx(flat.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) * ~things
    flat = cv2.morphologyEx(flat, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, patches, about, _ = cv2.connectedComponentsWithStats(flat)
    if len(dots):
        marked = np.unique(patches[tuple(np.array(dots, int).T[::-1])])
    else:
        marked = np.flatnonzero(about[:, cv2.CC_STAT_AREA] >= LEAST_AREA * flat.size)
    chosen = np.isin(np.arange(count), marked)
    chosen[0] = False
    return chosen[patches], plane


def _plane_of(depth_m, things, intrinsics, dots) -> Ground | None:
    """By what lies around the dots, else by all that is no instance in the lower half."""
    if len(dots) >= DOTS_FOR_PLANE:
        near = np.zeros(things.shape, np.uint8)
        for dot in dots:
            cv2.circle(near, tuple(np.array(dot, int).tolist()), round(DOT_RADIUS * near.shape[1]), 1, -1)
        plane = fit(depth_m, (near == 0) | things, rays(intrinsics))
        if plane is not None:
            return plane
    height, width = things.shape
    size = (min(PLANE_HEIGHT, height), round(width * min(PLANE_HEIGHT / height, 1)))
    ray = rays(intrinsics.resized(*size[::-1]))
    return fit(sampled(depth_m, size), sampled(things, size), ray)


def dots_in(mask: np.ndarray, most: int = DOTS) -> list[tuple[int, int]]:
    """x, y of up to so many pixels of a mask (H, W) that are far from its border and from one another."""
    left, dots = np.pad(mask, 1).astype(np.uint8), []
    while len(dots) < most and left.any():
        _, distance, _, (x, y) = cv2.minMaxLoc(cv2.distanceTransform(left, cv2.DIST_L2, 3))
        dots.append((x - 1, y - 1))
        cv2.circle(left, (x, y), round(distance), 0, -1)
    return dots


def refined(flat: np.ndarray, dots, view) -> np.ndarray:
    """(H, W) bool: what SAM (sam.View) says of the ground, where it agrees with the plane's mask or there is none."""
    asked = list(dots) or dots_in(flat)
    if not asked:
        return flat
    said = view.around(asked)
    agree = (said & flat).sum() > SAME_IOU * (said | flat).sum()
    return said if agree or not flat.any() else flat
