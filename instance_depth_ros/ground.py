"""Agreement of instances with the ground they stand on.

The inverse depth of a plane is linear in the ray (x / z, y / z, 1): 1 / z = plane @ ray, and |plane| is one over the
camera's height above it. Nothing here knows where down is but that the camera is not held upside down or sideways.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import find_objects

from .config import CLASSES

STANDING = tuple(CLASSES.index(name) for name in ("person", "animal", "vehicle"))  # balls fly, rackets are held
STEP, DRAWS, ROUNDS = 2, 48, 2  # every STEP-th cell, hypotheses, fits to those that agree
AGREE = 0.06  # relative depth error of a point on the ground
LEAST_POINTS, LEAST_SHARE = 60, 0.3  # of the background in the lower half of the picture
UPRIGHT, SIDEWAYS = 0.35, 0.5  # of a unit vector towards the ground: pitched down by 70 degrees, rolled by 30 at most
HEIGHTS_M = (0.1, 20.0)
FEET = 0.08  # of a mask's height, at least a cell: where it may touch the ground
ON_GROUND = 0.5  # of the cells below the feet
STANCE_M = 0.25  # feet stand so far before or behind the middle of what they carry
SURE = 2.0  # standard deviations
LEAST_FACTOR = 0.25


class Ground(NamedTuple):
    """plane: (3,), 1 / z = plane @ (x / z, y / z, 1). spread: relative depth error of the points on it."""

    plane: np.ndarray
    spread: float


def fit(depth_m: np.ndarray, labels: np.ndarray, ray: np.ndarray) -> Ground | None:
    """The ground below the background (labels 0) in the lower half of (h, w) depth; None where most is something else.

    ray: (h, w, 2) of each cell. Always the same for the same input.
    """
    half = len(labels) // 2
    lower = np.s_[half::STEP, ::STEP]
    z, ray = depth_m[lower].reshape(-1), ray[lower].reshape(-1, 2)
    free = (labels[lower].reshape(-1) == 0) & np.isfinite(z) & (z > 0) & np.isfinite(ray[:, 0])
    if free.sum() < LEAST_POINTS:
        return None
    z, points = z[free], np.column_stack([ray[free], np.ones(free.sum())])
    drawn = points[(draws := np.random.default_rng(0).integers(len(z), size=(DRAWS, 3)))]
    drawn = drawn[solvable := np.abs(np.linalg.det(drawn)) > 1e-6]
    planes = np.linalg.solve(drawn, 1 / z[draws[solvable]][..., None])[..., 0]
    planes = planes[_below(planes)]
    if not len(planes):
        return None
    agree = np.abs(points @ planes.T * z[:, None] - 1) < AGREE
    plane = planes[agree.sum(0).argmax()]
    for _ in range(ROUNDS):
        error = points @ plane * z - 1
        agree = np.abs(error) < AGREE
        if agree.sum() < max(LEAST_POINTS, LEAST_SHARE * len(z)):
            return None
        # times z: the error is relative to depth
        plane = np.linalg.lstsq(points[agree] * z[agree, None], np.ones(agree.sum()), rcond=None)[0]
    return Ground(plane, float(error[agree].std())) if _below(plane[None])[0] else None


def _below(planes: np.ndarray) -> np.ndarray:
    """(n,) bool: below a camera that is held about upright, neither a wall nor a ceiling."""
    length = np.maximum(np.linalg.norm(planes, axis=1), 1e-9)
    upright = (planes[:, 1] > UPRIGHT * length) & (np.abs(planes[:, 0]) < SIDEWAYS * length)
    return upright & (1 / length > HEIGHTS_M[0]) & (1 / length < HEIGHTS_M[1])


def agreement(
    ground: Ground | None, depth_m: np.ndarray, labels: np.ndarray, class_id: np.ndarray, layer_m: np.ndarray,
    sigma_m: np.ndarray, ray: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """(K,) factors of confidence, 1 where nothing is wrong or nothing can be said, and (K,) sigma_m that admits it.

    Judged is what stands: below the lowest cells of its mask lies background that is on the ground plane. What ends at
    the picture's edge, or before another instance, a bench, or the air, is not. depth_m, labels, ray: (h, w) cells.
    """
    factor, sigma_m = np.ones(len(layer_m), np.float32), sigma_m.copy()
    if ground is None:
        return factor, sigma_m
    for k, box in enumerate(find_objects(labels, len(layer_m))):
        if box is None or class_id[k] not in STANDING or box[0].stop >= len(labels) - 1:
            continue
        feet = _feet(labels, k + 1, box, depth_m, ray, ground)
        if feet is None:
            continue
        stand_m = 1 / (ground.plane @ (*feet, 1))
        expected_m = _upright(feet, stand_m, _middle_row(labels[box] == k + 1, box, ray), ground.plane)
        row = float(np.nanmedian(np.abs(np.diff(ray[box[0].stop - 1 : box[0].stop + 1, box[1], 1], axis=0))))
        of_ground_m = np.hypot(ground.spread * stand_m, stand_m**2 * ground.plane[1] * row)
        limit_m = SURE * np.sqrt(sigma_m[k] ** 2 + of_ground_m**2 + STANCE_M**2)
        off_m = abs(layer_m[k] - expected_m)
        if off_m > limit_m:
            factor[k], sigma_m[k] = max(limit_m / off_m, LEAST_FACTOR), max(sigma_m[k], off_m)
    return factor, sigma_m


def _feet(labels, label, box, depth_m, ray, ground) -> np.ndarray | None:
    """Ray (2,) of where a mask touches visible ground; None where it does not."""
    rows, columns = box
    height = max(1, round(FEET * (rows.stop - rows.start)))
    lowest = labels[rows.stop - height : rows.stop + 1, columns]
    y, x = np.nonzero((lowest[:-1] == label) & (lowest[1:] != label))
    below = y + rows.stop - height + 1, x + columns.start
    z, at = depth_m[below], ray[below]
    on_ground = np.abs((at @ ground.plane[:2] + ground.plane[2]) * z - 1) < SURE * AGREE
    standing = (labels[below] == 0) & on_ground
    if standing.mean() < ON_GROUND:
        return None
    return np.median(ray[below[0][standing] - 1, below[1][standing]], axis=0)


def _middle_row(mask, box, ray) -> float:
    """y / z of the middle of a mask: the mean over its cells."""
    return float(np.nanmean(ray[box][..., 1][mask]))


def _upright(feet, stand_m, middle, plane) -> float:
    """Depth at which something that stands upright on the ground at feet crosses the ray row y / z = middle."""
    y, z = feet[1] * stand_m, stand_m
    up = -plane / np.linalg.norm(plane)
    high_m = (middle * z - y) / (up[1] - middle * up[2])
    return z + high_m * up[2]
