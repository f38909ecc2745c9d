"""What is told of each instance: where it is, how large, how much of it is seen, and who is in front."""

from __future__ import annotations

import cv2
import numpy as np

from .frame import Instance
from .geometry import Intrinsics, rays, valid
from .labels import boxes
from .sightings import UNKNOWN_SPREAD, Seen
from .tracking import Identity

POINTS_ACROSS = 160  # a picture: of so many centres and sizes are taken


def describe(
    seen: Seen, labels: np.ndarray, identities: list[Identity | None], depth_m: np.ndarray, intrinsics: Intrinsics
) -> tuple[Instance, ...]:
    """Those with an identity and a pixel. labels (H, W), depth_m (H, W) metres, NaN invalid: of the picture."""
    visible, front = hiding(seen)
    boxes_px = [box and _box_px(box) for box in boxes(labels, len(seen))]
    center_m, size_m = extents(depth_m, labels, len(seen), intrinsics)
    layer_m = np.where(np.isnan(seen.depth_m), center_m[:, 2], seen.depth_m)  # of what is smaller than a cell
    sigma_m = np.where(np.isnan(seen.sigma_m), UNKNOWN_SPREAD * layer_m, seen.sigma_m)
    for k in np.flatnonzero(np.isnan(center_m[:, 2])):
        if boxes_px[k]:
            center_m[k], size_m[k] = _of_box(boxes_px[k], layer_m[k], intrinsics)
    return tuple(
        Instance(
            id=identity.id,
            pixel=identity.pixel,
            class_id=identity.class_id,
            score=float(seen.score[k]),
            depth_m=float(layer_m[k]),
            sigma_m=float(sigma_m[k]),
            visible=float(visible[k]),
            hidden_by=identities[front[k]].id if front[k] >= 0 and identities[front[k]] else 0,
            age_s=identity.age_s,
            box_px=boxes_px[k],
            center_m=tuple(center_m[k].tolist()),
            size_m=tuple(size_m[k].tolist()),
        )
        for k, identity in enumerate(identities)
        if identity and boxes_px[k]
    )


def _box_px(box: tuple[slice, slice]) -> tuple[int, int, int, int]:
    rows, columns = box
    return columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start


def _of_box(box_px: tuple[int, int, int, int], depth_m: float, lens: Intrinsics) -> tuple[tuple, tuple]:
    """Center and size in metres of what fills its box at a depth."""
    x, y, width, height = box_px
    ray = rays(lens)[y + height // 2, x + width // 2]
    return (*(ray * depth_m), depth_m), (width / lens.fx * depth_m, height / lens.fy * depth_m, 0.0)


def hiding(seen: Seen) -> tuple[np.ndarray, np.ndarray]:
    """(K,) the share of each that can be seen, and (K,) who is in front of it, -1 nobody.

    Nobody sees what is hidden: taken is the share of the box around the visible part that nearer instances which touch
    it do not cover. In front is the network's guest where that is nearer, else who covers most.
    """
    visible, front = np.ones(len(seen), np.float32), np.full(len(seen), -1)
    square = np.ones((3, 3), np.uint8)
    for k, box in enumerate(seen.boxes):
        if box is None:
            continue
        box = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)
        labels = seen.labels[box]
        beside = cv2.dilate((labels == k + 1).view(np.uint8), square).view(bool)
        touching = np.bincount(labels[beside], minlength=len(seen) + 1)[1:] > 0
        covered = np.bincount(labels.reshape(-1), minlength=len(seen) + 1)[1:]
        covered = np.where(touching & (seen.depth_m < seen.depth_m[k]), covered, 0)
        visible[k] = 1 - covered.sum() / labels.size
        guest = seen.guest[k]
        if guest >= 0 and seen.depth_m[guest] < seen.depth_m[k]:
            front[k] = guest
        elif covered.any():
            front[k] = covered.argmax()
    return visible, front


def extents(depth_m: np.ndarray, full: np.ndarray, count: int, intrinsics: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """(K, 3) median and (K, 3) extent from 5 to 95 % of each label's points in the optical frame, metres;
    NaN without any."""
    stride = max(1, round(full.shape[1] / POINTS_ACROSS))
    z, ray, whose = depth_m[::stride, ::stride], rays(intrinsics, stride), full[::stride, ::stride]
    known = np.flatnonzero((whose > 0) & valid(z) & np.isfinite(ray[..., 0]))
    whose, z, ray = whose.reshape(-1)[known], z.reshape(-1)[known], ray.reshape(-1, 2)[known]
    points = np.column_stack([ray * z[:, None], z])
    number = np.bincount(whose, minlength=count + 1)[1:]
    start = np.cumsum(number) - number
    low, middle, high = (
        np.where(number > 0, start + np.rint(share * (number - 1)).astype(int), 0) for share in (0.05, 0.5, 0.95)
    )
    center, size = np.full((2, count, 3), np.nan)
    for axis in range(3):
        values = np.append(points[np.lexsort((points[:, axis], whose)), axis], np.nan)
        center[:, axis] = np.where(number > 0, values[middle], np.nan)
        size[:, axis] = np.where(number > 0, values[high] - values[low], np.nan)
    return center, size
