"""Registration: a depth image as the colour camera beside it would have measured it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import ceil, sqrt

import numpy as np

from .geometry import Intrinsics, project, rays, valid

# A surface that is seen from the side comes out so much wider along the baseline, before cracks open in it.
STRETCH = 0.25
# What a depth pixel covers, and which are in the picture, is taken from walls at these distances.
WALLS_M = (0.1, 0.3, 1.0, 1e6)
# The distortion of the colour lens is looked up half a pixel apart, or wider where that takes a larger table.
CELLS_A_PIXEL, MOST_CELLS = 2.0, 4_000_000
# So many rows at a time stay in the cache of a core.
ROWS = 60
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
        turn, shift_m = color_from_depth[:3, :3], color_from_depth[:3, 3]
        if not np.isfinite(color_from_depth).all() or np.abs(turn @ turn.T - np.eye(3)).max() > 1e-3:
            raise ValueError(f"color_from_depth must be a finite pose with a rotation, got {color_from_depth.tolist()}")
        for lens in (depth_lens, color_lens):
            lens.check((lens.height, lens.width))
        self._shape, self._size = (depth_lens.height, depth_lens.width), (color_lens.height, color_lens.width)
        self._same = depth_lens == color_lens and np.array_equal(color_from_depth, np.eye(4))
        if self._same:
            return
        ray = rays(depth_lens).astype(np.float64)
        toward = np.concatenate([ray, np.ones((*self._shape, 1))], -1) @ turn.T
        toward[toward[..., 2] <= 0] = np.nan
        covered, self._seen = _coverage(toward, shift_m, color_lens)
        self._picture = _Picture(color_lens, covered)
        # a point at depth z is at (slope * z + offset), divided by what lies ahead, which is slope * z + offset again
        slope = (toward[self._seen] @ color_lens.K.T).astype(np.float32)
        self._slope = np.ascontiguousarray(np.moveaxis(slope, -1, 0))
        self._offset = (color_lens.K @ shift_m).astype(np.float32)
        # what is nearer may be behind the colour camera
        self._behind_m = max(0.0, float(np.fmax.reduce(-self._offset[2] / slope[..., 2], axis=None, initial=0)))

    def __call__(self, depth_m: np.ndarray) -> np.ndarray:
        """(h, w) float32 metres, registered; a new array."""
        if depth_m.shape != self._shape:
            raise ValueError(f"depth_m must be {self._shape}, as its lens is, got {depth_m.shape}")
        if self._same:
            return np.where(valid(depth_m), depth_m, np.float32(np.nan))
        depth_m = depth_m[self._seen]
        if not np.fmin.reduce(depth_m, axis=None, initial=np.inf) > self._behind_m:
            ahead_m = self._slope[2] * depth_m + self._offset[2]
            depth_m = np.where((depth_m > 0) & (ahead_m > 0), depth_m, np.float32(np.nan))
        half = ceil(len(depth_m) / 2 / ROWS) * ROWS
        other = _helper.submit(self._splat, depth_m, range(half, len(depth_m), ROWS))
        nearest = self._splat(depth_m, range(0, half, ROWS))
        nearest = np.minimum(nearest, other.result())
        nearest[nearest == np.inf] = np.nan
        return nearest

    def _splat(self, depth_m: np.ndarray, starts: range) -> np.ndarray:
        """(H, W) of what these blocks of rows of the depth image show, inf where they show nothing."""
        canvas = self._picture.canvas()
        for start in starts:
            rows = slice(start, start + ROWS)
            with np.errstate(invalid="ignore"):
                u, v, ahead = self._slope[:, rows] * depth_m[rows]
                for values, offset in zip((u, v, ahead), self._offset, strict=True):
                    values += offset
                u /= ahead
                v /= ahead
                self._picture.set(canvas, u, v, ahead)
        return self._picture.of(canvas)


@lru_cache(maxsize=8)
def _registration(depth_lens: Intrinsics, color_lens: Intrinsics, pose: tuple[float, ...]) -> Registration:
    return Registration(depth_lens, color_lens, np.reshape(pose, (4, 4)))


class _Picture:
    """The picture of a lens, with a border that takes what is outside.

    covered: (across, down) pixels that a depth pixel is wide.
    """

    def __init__(self, lens: Intrinsics, covered: tuple[float, float]):
        self._size, self._reach = np.array([lens.width, lens.height]), np.maximum(np.subtract(covered, 1), 0) / 2
        self._more = np.ceil(2 * self._reach - 1e-3).astype(int)
        margin = ceil(2 * self._reach.max()) + 2
        self._border, self._table = margin, None
        if lens.model == "equidistant" or any(lens.distortion):
            self._tabulate(lens, margin)

    def _tabulate(self, lens: Intrinsics, margin: int) -> None:
        """By how much the lens moves what would be at u, v without its distortion; NaN for what it does not see."""
        focal, centre, ray = np.array([lens.fx, lens.fy]), np.array([lens.cx, lens.cy]), rays(lens).reshape(-1, 2)
        self._low, high = (
            f(ray, axis=0) * focal + centre + side for f, side in ((np.nanmin, -margin), (np.nanmax, margin))
        )
        self._scale = min(CELLS_A_PIXEL, sqrt(MOST_CELLS / float((high - self._low).prod())))
        self._counts = np.ceil((high - self._low) * self._scale).astype(np.int32) + 1
        cells = np.stack(np.meshgrid(*map(np.arange, self._counts)), -1) / self._scale + self._low
        moved = (_pixels((cells - centre) / focal, lens) - cells).astype(np.float32)
        # what is farther out is found in the last cells
        moved[[0, -1]] = moved[:, [0, -1]] = np.nan
        self._table = moved.view(np.complex64).ravel()

    def canvas(self) -> np.ndarray:
        """Flat, for set() and of(), all inf."""
        return np.full((self._size + 2 * self._border).prod(), np.inf, np.float32)

    def of(self, canvas: np.ndarray) -> np.ndarray:
        """(H, W), without the border."""
        border, (width, height) = self._border, self._size
        return canvas.reshape(-1, width + 2 * border)[border : border + height, border : border + width]

    def set(self, canvas: np.ndarray, u: np.ndarray, v: np.ndarray, depth_m: np.ndarray) -> None:
        """Bring depth at u, v (without distortion, NaN nowhere) into the pixels that it covers, where it is nearer."""
        if self._table is not None:
            self._distort(u, v)
        (columns, right), (lines, down) = (self._covered(values, axis) for axis, values in enumerate((u, v)))
        line = int(self._size[0]) + 2 * self._border
        lines *= line
        lines += columns
        first, depth_m = lines.astype(np.intp).ravel(), depth_m.ravel()
        for y in range(self._more[1] + 1):
            if y:
                below = np.flatnonzero(down >= y)
                first, depth_m, right, down = (values.take(below) for values in (first, depth_m, right, down))
                first += line
            np.minimum.at(canvas, first, depth_m)
            for x in range(1, self._more[0] + 1):
                beside = np.flatnonzero(right >= x)
                np.minimum.at(canvas, first.take(beside) + x, depth_m.take(beside))

    def _distort(self, u: np.ndarray, v: np.ndarray) -> None:
        columns, lines = (
            _whole(values * np.float32(self._scale) + np.float32(0.5 - low * self._scale), count)
            for values, low, count in zip((u, v), self._low, self._counts, strict=True)
        )
        lines *= self._counts[0]
        lines += columns
        # the default mode would check what is known, and take twice as long
        moved = self._table.take(lines.astype(np.intp), mode="clip")
        u += moved.real
        v += moved.imag

    def _covered(self, values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
        """The first pixel that is covered, and where there are more how many after it; int32."""
        count = self._size[axis] + 2 * self._border
        first, last = (np.float32(self._border + 0.5 + side * self._reach[axis]) for side in (-1, 1))
        pixels = _whole(values + first, count)
        return pixels, _whole(values + last, count) - pixels if self._more[axis] else pixels


def _whole(values: np.ndarray, count: int) -> np.ndarray:
    """Indices of so many, int32; NaN and what is outside become the last, or the first."""
    whole = values.astype(np.int32)
    # what is below zero is large without its sign
    unsigned = whole.view(np.uint32)
    np.minimum(unsigned, np.uint32(count - 1), out=unsigned)
    return whole


def _pixels(directions: np.ndarray, lens: Intrinsics) -> np.ndarray:
    """(..., 2) pixels of x/z and y/z; NaN where the lens model turns back into the picture from beyond what it sees."""
    pixels = project(directions, lens)
    most = np.array([lens.width - 1, lens.height - 1])
    at = np.clip(np.rint(np.nan_to_num(pixels)), 0, most).astype(int)
    off = np.abs(rays(lens)[at[..., 1], at[..., 0]] - directions).max(-1)
    inside = (np.abs(pixels - most / 2) < most / 2 + 0.5).all(-1)
    pixels[inside & ~(off < 2 * (1 + (directions**2).sum(-1)) / lens.focal_px)] = np.nan
    return pixels


def _coverage(toward: np.ndarray, shift_m: np.ndarray, lens: Intrinsics) -> tuple[tuple[float, float], tuple]:
    """How many pixels (across, down) a depth pixel covers, at most, and the part of the depth image that is seen.

    toward: (h, w, 3), where each depth pixel looks.
    """
    steps, seen = [], np.zeros(toward.shape[:2], bool)
    for wall_m in WALLS_M:
        points = toward * wall_m + shift_m
        with np.errstate(invalid="ignore", divide="ignore"):
            directions = np.where(points[..., 2:] > 0, points[..., :2] / points[..., 2:], np.nan)
            pixels = _pixels(directions, lens)
            inside = ((pixels > -1) & (pixels < (lens.width, lens.height))).all(-1)
        pixels[~inside] = np.nan
        steps.append(sum(np.nan_to_num(_largest(np.abs(np.diff(pixels, axis=axis)))) for axis in (0, 1)))
        seen |= inside
    along = np.abs(shift_m[:2]) / max(float(np.linalg.norm(shift_m)), 1e-9)
    rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
    part = tuple(slice(max(0, a[0] - 1), a[-1] + 2) if len(a) else slice(0) for a in (rows, columns))
    return tuple((1 + STRETCH * along) * np.max(steps, axis=0)), part


def _largest(values: np.ndarray) -> np.ndarray:
    """Over all but the last axis, NaN apart."""
    return np.fmax.reduce(values.reshape(-1, values.shape[-1]), axis=0, initial=0)
