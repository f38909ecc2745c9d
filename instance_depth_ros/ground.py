"""Agreement of instances with the ground they stand on.

The inverse depth of a plane is linear in the ray (x / z, y / z, 1): 1 / z = plane @ ray, and |plane| is one over the
camera's height above it. Nothing here knows where down is but that the camera is not held upside down or sideways.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .config import CLASSES
from .geometry import Intrinsics, rays, valid
from .sightings import Seen

STANDING = [CLASSES.index(name) for name in ("person", "animal", "vehicle")]  # balls fly, rackets are held
STEP, DRAWS, ROUNDS = 3, 48, 2  # every STEP-th cell, hypotheses, fits to the points that agree
AGREE = 0.06  # relative depth error of a point on the ground
LEAST_POINTS, LEAST_SHARE = 50, 0.3  # of the background in the lower half of the picture
UPRIGHT, SIDEWAYS = 0.35, 0.5  # of a unit vector towards the ground: pitched down by 70 degrees, rolled by 30 at most
HEIGHTS_M = (0.1, 20.0)
FEET = 0.08  # of a mask's height, where it may touch the ground
ON_GROUND = 0.5  # of the cells below the feet
STANCE_M = 0.25  # feet stand so far before or behind the middle of what they carry
SURE = 2.0  # standard deviations
LEAST_FACTOR = 0.25


class Ground(NamedTuple):
    """plane: (3,), 1 / z = plane @ (x / z, y / z, 1). spread: relative depth error of the points on it. height_spread:
    of the camera's height, by which the near and the far half of them, or left and right, differ."""

    plane: np.ndarray
    spread: float
    height_spread: float

    @property
    def height_m(self) -> float:
        """Of the camera above it."""
        return float(1 / np.linalg.norm(self.plane))

    def times(self, factor: float) -> Ground:
        """The same ground where all metres are multiplied."""
        return self._replace(plane=self.plane / factor)


class Stance(NamedTuple):
    """How K instances stand. feet: (K, 3) mean ray (x / z, y / z, 1) of the lowest cells of each. stands: (K,) bool, on
    visible ground. top, bottom: (K,) first row and row after the last. The same whatever a metre is."""

    feet: np.ndarray
    stands: np.ndarray
    top: np.ndarray
    bottom: np.ndarray


def doubted(
    seen: Seen, confidence: np.ndarray, intrinsics: Intrinsics, ground: Ground | None, stance: Stance | None
) -> tuple[Seen, np.ndarray]:
    """Less score, less confidence (h, w) uint8 and more sigma_m of those whose layer disagrees with the ground."""
    if ground is None or not len(seen):
        return seen, confidence
    ray = rays(intrinsics.resized(*confidence.shape[::-1]))
    factor, sigma_m = agreement(ground, stance, seen.labels, ray, seen.class_id, seen.depth_m, seen.sigma_m)
    if (factor < 1).any():
        confidence = (confidence * np.append(np.float32(1), factor)[seen.labels]).astype(np.uint8)
    return seen.with_values(score=seen.score * factor, sigma_m=sigma_m), confidence


def fit(depth_m: np.ndarray, labels: np.ndarray, ray: np.ndarray) -> Ground | None:
    """The ground below the background (labels 0) in the lower half of (h, w) depth; None where most is something else.

    ray: (h, w, 2) of each cell. Always the same for the same input.
    """
    lower = np.s_[len(labels) // 2 :: STEP, ::STEP]
    z, ray = depth_m[lower].reshape(-1), ray[lower].reshape(-1, 2)
    free = (labels[lower].reshape(-1) == 0) & valid(z) & np.isfinite(ray[:, 0])
    if np.count_nonzero(free) < LEAST_POINTS:
        return None
    # z / z: a plane is off by its relative depth error
    points = np.column_stack([ray[free], np.ones(np.count_nonzero(free))]) * z[free, None]
    drawn = points[np.random.default_rng(0).integers(len(points), size=(DRAWS, 3))]
    drawn = drawn[np.abs(np.linalg.det(drawn)) > 1e-6]
    planes = np.linalg.solve(drawn, np.ones((len(drawn), 3, 1)))[..., 0]
    planes = planes[_below(planes)]
    if not len(planes):
        return None
    plane = planes[np.count_nonzero(np.abs(planes @ points.T - 1) < AGREE, axis=1).argmax()]
    for _ in range(ROUNDS):
        agree = points[np.abs(points @ plane - 1) < AGREE]
        if len(agree) < max(LEAST_POINTS, LEAST_SHARE * len(points)):
            return None
        plane = _through(agree)
    if not _below(plane[None])[0]:
        return None
    return Ground(plane, float((agree @ plane).std()), _height_spread(agree, plane))


def _through(points: np.ndarray) -> np.ndarray:
    """(3,) plane nearest to points (n, 3), relative to their depth; a tenth of the time of a general least squares."""
    return _solved(points.T @ points, points.sum(0))


def _solved(products: np.ndarray, total: np.ndarray) -> np.ndarray:
    """(..., 3) planes of (..., 3, 3) sums of products of points and (..., 3) of points, which may lie on a line."""
    little = 1e-12 * np.trace(products, axis1=-2, axis2=-1)[..., None, None]
    return np.linalg.solve(products + little * np.eye(3), total[..., None])[..., 0]


def _height_spread(points: np.ndarray, plane: np.ndarray) -> float:
    """How far the heights of halves of the ground are from the whole's, relative: a ground that is bent has several."""
    middle, products, total = len(points) // 2, points.T @ points, points.sum(0)
    halves = []
    for values in (points[:, 2], points[:, 0] / points[:, 2]):
        near = points[values < np.partition(values, middle)[middle]]
        one = near.T @ near, near.sum(0)
        halves += [one, (products - one[0], total - one[1])]
    planes = _solved(*map(np.stack, zip(*halves, strict=True)))
    lengths = np.maximum(np.linalg.norm(planes, axis=1), 1e-9)
    return float(np.sqrt(np.square(np.log(lengths / np.linalg.norm(plane))).mean()))


def _below(planes: np.ndarray) -> np.ndarray:
    """(n,) bool: below a camera that is held about upright, neither a wall nor a ceiling."""
    length = np.maximum(np.linalg.norm(planes, axis=1), 1e-9)
    upright = (planes[:, 1] > UPRIGHT * length) & (np.abs(planes[:, 0]) < SIDEWAYS * length)
    return upright & (1 / length > HEIGHTS_M[0]) & (1 / length < HEIGHTS_M[1])


def agreement(
    ground: Ground, stance: Stance, labels: np.ndarray, ray: np.ndarray, class_id: np.ndarray, layer_m: np.ndarray,
    sigma_m: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """(K,) factors of confidence, 1 where nothing is wrong or nothing can be said, and (K,) sigma_m that admits it.

    Judged is what stands: most of what lies below the lowest cells of its mask is background on the ground plane. What
    ends at the picture's edge, before another instance or on a bench is not. labels, ray: of (h, w) cells.
    """
    feet, stands = stance.feet, stance.stands & np.isin(class_id, STANDING) & np.isfinite(layer_m)
    slope = feet @ ground.plane
    stands &= slope > 0
    stand_m = 1 / np.where(stands, slope, 1)
    expected_m = stand_m * _upright(ground.plane, feet, _middles(labels, ray, len(layer_m)))
    cell = np.abs(np.diff(ray[:, ray.shape[1] // 2, 1])).mean()
    of_feet_m = stand_m**2 * ground.plane[1] * cell  # they end somewhere in a cell
    limit_m = SURE * np.sqrt(sigma_m**2 + (ground.spread * stand_m) ** 2 + of_feet_m**2 + STANCE_M**2)
    off_m = np.abs(layer_m - expected_m)
    wrong = stands & (off_m > limit_m)
    factor = np.where(wrong, np.maximum(limit_m / np.maximum(off_m, 1e-6), LEAST_FACTOR), 1)
    return factor.astype(np.float32), np.where(wrong, np.maximum(sigma_m, off_m), sigma_m).astype(np.float32)


def on_ground(ground: Ground, depth_m: np.ndarray, ray: np.ndarray, most: float = SURE * AGREE) -> np.ndarray:
    """(...) bool: cells whose depth is that of the plane, but for less than this share of it."""
    off = np.abs((ray @ ground.plane[:2].astype(np.float32) + np.float32(ground.plane[2])) * depth_m - 1)
    return off < most


def heights_m(ground: Ground, stance: Stance, labels: np.ndarray, ray: np.ndarray) -> np.ndarray:
    """(K,) how high above the ground each thing ends that stands on it, upright; NaN for others.

    Others: what does not stand on visible ground, and what ends at the picture's edge or below another thing.
    """
    (feet, stands, top, _), count = stance, len(stance.feet)
    slope = feet @ ground.plane
    stands = stands & (slope > 0) & (top > 0)
    heads = np.flatnonzero((labels[1:] > 0) & (labels[:-1] != labels[1:]))
    y, x = np.divmod(heads, labels.shape[1])
    whose = labels[y + 1, x]
    at_top = y + 1 == top[whose - 1]
    whose, free = whose[at_top], labels[y[at_top], x[at_top]] == 0
    stands &= np.bincount(whose, ~free, count + 1)[1:] == 0
    half = np.abs(np.diff(ray[:, ray.shape[1] // 2, 1])).mean() / 2  # it ends at the cell's edge
    edge = np.bincount(whose, ray[y[at_top] + 1, x[at_top], 1], count + 1)[1:]
    edge = edge / np.maximum(np.bincount(whose, minlength=count + 1)[1:], 1) - half
    up = -ground.plane / np.linalg.norm(ground.plane)
    stand_m = 1 / np.where(stands, slope, 1)
    high_m = stand_m * (edge - feet[:, 1]) / (up[1] - edge * up[2])
    return np.where(stands, high_m, np.nan)


def stance(
    ground: Ground, depth_m: np.ndarray, labels: np.ndarray, ray: np.ndarray, boxes: Sequence[tuple | None]
) -> Stance:
    """Of the instances in labels (h, w), whose boxes are of labels.boxes(); depth_m (h, w), ray (h, w, 2)."""
    count = len(boxes)
    # that of the background is of no use
    rows = np.array([(0, 0), *((box[0].start, box[0].stop) if box else (0, 0) for box in boxes)])
    top, bottom = rows.T
    ends = np.flatnonzero((labels[:-1] > 0) & (labels[1:] != labels[:-1]))
    y, x = np.divmod(ends, labels.shape[1])
    whose = labels[y, x]
    low = y + 1 >= bottom[whose] - FEET * (bottom - top)[whose]
    y, x, whose = y[low], x[low], whose[low]
    standing = (labels[y + 1, x] == 0) & on_ground(ground, depth_m[y + 1, x], ray[y + 1, x])
    cells, on = (np.bincount(whose, weights, count + 1)[1:] for weights in (None, standing))
    total = np.maximum(on, 1)
    feet = [np.bincount(whose, ray[y, x, axis] * standing, count + 1)[1:] / total for axis in (0, 1)]
    stands = (bottom[1:] < len(labels)) & (on > 0) & (on >= ON_GROUND * cells)
    return Stance(np.column_stack([*feet, np.ones(count)]), stands, top[1:], bottom[1:])


def _middles(labels: np.ndarray, ray: np.ndarray, count: int) -> np.ndarray:
    """(K,) mean y / z of the cells of each label."""
    y, x = np.nonzero(labels)
    whose = labels[y, x]
    cells = np.bincount(whose, minlength=count + 1)[1:]
    return np.bincount(whose, np.nan_to_num(ray[y, x, 1]), count + 1)[1:] / np.maximum(cells, 1)


def _upright(plane: np.ndarray, feet: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """(K,) how much farther than its feet (K, 3) a thing upright on the plane is where it crosses y / z = middle."""
    up = -plane / np.linalg.norm(plane)
    high = (middle - feet[:, 1]) / (up[1] - middle * up[2])
    return 1 + high * up[2]
