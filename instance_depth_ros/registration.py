"""Registration: a depth image as the colour camera beside it would have measured it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import ceil, sqrt

import cv2
import numpy as np

from .geometry import Intrinsics, project, rays, valid

# A surface that is seen from the side comes out so much wider along the baseline, before cracks open in it.
STRETCH = 0.25
# The footprint of a depth pixel is that on walls from here to the horizon.
WALLS_M = (0.3, 1e6)
ROWS = 10
TABLE_CELLS = 4_000_000
_helper = ThreadPoolExecutor(1, "registration")


def register(
    depth_m: np.ndarray, depth_lens: Intrinsics, color_lens: Intrinsics, color_from_depth: np.ndarray
) -> np.ndarray:
    """(h, w) float32 metres of the depth camera -> (H, W) float32 metres along the colour camera's axis, NaN invalid.

    color_from_depth: (4, 4) pose of the depth camera in the colour camera, metres. Each depth pixel covers its
    footprint in the picture, the nearest surface wins. What the lenses decide is computed once. ValueError for lenses
    that are not of these images, and for what is no pose.
    """
    pose = np.asarray(color_from_depth, np.float64)
    if pose.shape != (4, 4):
        raise ValueError(f"color_from_depth must be a (4, 4) pose, got shape {pose.shape}")
    return _registration(depth_lens, color_lens, tuple(pose.ravel()))(depth_m)


class Registration:
    """register() for one pair of lenses."""

    def __init__(self, depth_lens: Intrinsics, color_lens: Intrinsics, color_from_depth: np.ndarray):
        pose = np.asarray(color_from_depth, np.float64)
        turn, shift_m = pose[:3, :3], pose[:3, 3]
        if not np.isfinite(pose).all() or np.abs(turn @ turn.T - np.eye(3)).max() > 1e-3:
            raise ValueError(f"color_from_depth must be a finite pose with a rotation, got {pose.tolist()}")
        for lens in (depth_lens, color_lens):
            lens.check((lens.height, lens.width))
        self._size, self._shape = (color_lens.height, color_lens.width), (depth_lens.height, depth_lens.width)
        self._same = depth_lens == color_lens and np.array_equal(pose, np.eye(4))
        if not self._same:
            self._prepare(depth_lens, color_lens, turn, shift_m)

    def _prepare(self, depth_lens, color_lens, turn, shift_m) -> None:
        # a point at z is seen at (slope * z + offset), divided by its third, but for the colour lens's distortion
        ray = np.concatenate([rays(depth_lens), np.ones((*self._shape, 1), np.float32)], -1)
        slope = (ray @ (color_lens.K @ turn).T).astype(np.float32)
        self._slope = np.ascontiguousarray(np.moveaxis(slope, -1, 0))
        self._offset = (color_lens.K @ shift_m).astype(np.float32)
        self._table = None
        if color_lens.model == "equidistant" or any(color_lens.distortion):
            self._table = _Table(color_lens)
        along = 1 + STRETCH * np.abs(shift_m[:2]) / max(float(np.linalg.norm(shift_m)), 1e-9)
        self._taps = [_taps(width) for width in along * np.max([self._steps(z) for z in WALLS_M], axis=0)]

    def __call__(self, depth_m: np.ndarray) -> np.ndarray:
        """(h, w) float32 metres, registered; a new array."""
        if depth_m.shape != self._shape:
            raise ValueError(f"depth_m must be {self._shape}, as its lens is, got {depth_m.shape}")
        if self._same:
            return np.where(valid(depth_m), depth_m, np.float32(np.nan))
        half = self._shape[0] // 2
        other = _helper.submit(self._splat, depth_m, range(half, self._shape[0], ROWS))
        nearest = self._splat(depth_m[:half], range(0, half, ROWS))
        np.minimum(nearest, other.result(), out=nearest)
        return np.where(nearest < np.inf, nearest, np.float32(np.nan))

    def _splat(self, depth_m: np.ndarray, starts: range) -> np.ndarray:
        """(H, W) of what these blocks of rows of the depth image show, inf where they show nothing."""
        (height, width), margin = self._size, ceil(max(map(max, self._taps))) + 1
        nearest = np.full((height + 4 * margin, width + 4 * margin), np.inf, np.float32)
        flat = nearest.ravel()
        for start in starts:
            rows = slice(start, start + ROWS)
            u, v, z = self._pixels(depth_m[rows], rows)
            columns, lines = _cells(u, self._taps[0], width, margin), _cells(v, self._taps[1], height, margin)
            for line in lines:
                line *= nearest.shape[1]
                for column in columns:
                    np.minimum.at(flat, (line + column).astype(np.intp).ravel(), z.ravel())
        return nearest[2 * margin : -2 * margin, 2 * margin : -2 * margin]

    def _steps(self, z_m: float) -> tuple[float, float]:
        """How far apart, at most, neighbours on a wall at z_m come out across and down, in pixels."""
        u, v, _ = self._pixels(np.full(self._shape, z_m, np.float32), slice(None))
        seen = (u > -1) & (u < self._size[1]) & (v > -1) & (v < self._size[0])
        steps = []
        for values in (u, v):
            values = np.where(seen, values, np.float32(np.nan))
            across, down = (np.abs(np.diff(values, axis=axis)) for axis in (1, 0))
            steps.append(sum(float(np.fmax.reduce(step, axis=None, initial=0)) for step in (across, down)))
        return tuple(steps)

    def _pixels(self, depth_m: np.ndarray, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """u, v in the colour image and depth along its axis, inf where there is none."""
        nowhere = np.float32(np.inf)
        with np.errstate(invalid="ignore"):
            u, v, ahead = self._slope[:, rows][:, : len(depth_m)] * np.where(depth_m > 0, depth_m, nowhere)
            ahead += self._offset[2]
            ahead = np.where(ahead > 0, ahead, nowhere)
            for values, offset in ((u, self._offset[0]), (v, self._offset[1])):
                values += offset
                values /= ahead
        return *(self._table(u, v) if self._table else (u, v)), ahead


_registration = lru_cache(maxsize=8)(
    lambda depth_lens, color_lens, pose: Registration(depth_lens, color_lens, np.reshape(pose, (4, 4)))
)


def _taps(width: float) -> np.ndarray:
    """Where, in pixels from its centre, a depth pixel so wide is set so that pixels side by side leave no gap."""
    reach = max(width - 1, 0) / 2
    return np.linspace(-reach, reach, max(1, ceil(width - 1e-3)))


def _cells(values: np.ndarray, taps: np.ndarray, count: int, margin: int) -> list[np.ndarray]:
    """The int32 index of each value at each tap in an image with 2 margins on each side, which take what is outside."""
    # fmax takes the number where the other is none
    inside = np.fmin(np.fmax(values, np.float32(-margin)), np.float32(count - 1 + margin))
    return [(inside + np.float32(tap + 2 * margin + 0.5)).astype(np.int32) for tap in taps]


class _Table:
    """The pixels of a distorted lens by those of the same lens without distortion; NaN beyond what it sees."""

    def __init__(self, lens: Intrinsics):
        seen = rays(lens).reshape(-1, 2)
        focal, centre = np.array([lens.fx, lens.fy]), np.array([lens.cx, lens.cy])
        low, high = (f(seen, axis=0) * focal + centre for f in (np.nanmin, np.nanmax))
        size = high - low + 8
        self._scale = min(1.0, sqrt(TABLE_CELLS / float(size.prod())))
        self._origin = low - 4
        cells = np.stack(np.meshgrid(*(np.arange(ceil(n * self._scale)) for n in size)), -1)
        direction = (cells / self._scale + self._origin - centre) / focal
        pixels = project(direction, lens)
        # a strong lens model turns back on itself outside of what it was fitted to
        column, line = np.clip(np.rint(np.nan_to_num(pixels)), 0, (lens.width - 1, lens.height - 1)).astype(int).T
        inside = ((pixels > -0.5) & (pixels < (lens.width - 0.5, lens.height - 0.5))).all(-1)
        off = np.abs(rays(lens)[line.T, column.T] - direction).max(-1)
        tolerance = 2 * (1 + (direction**2).sum(-1)) / lens.focal_px
        pixels[inside & ~(off < tolerance)] = np.nan
        self._pixels = pixels.astype(np.float32)

    def __call__(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = (((a - np.float32(o)) * np.float32(self._scale)) for a, o in zip((u, v), self._origin, strict=True))
        outside = (float("nan"),) * 2
        found = cv2.remap(self._pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=outside)
        return cv2.split(found)
