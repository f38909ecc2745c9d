"""Registration: a depth image as the colour camera beside it would have measured it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import ceil, sqrt
from threading import Lock

import numpy as np

from .geometry import Intrinsics, project, rays, valid

# A surface that is seen from the side comes out so much wider along the baseline, before cracks open in it.
STRETCH = 0.25
# What a depth pixel covers, and which are in the picture, is taken from walls at these distances.
WALLS_M = (0.1, 0.3, 1.0, 1e6)
# Of those every so many pixels.
COARSE = 4
# The distortion of the colour lens is looked up a pixel apart, and nearer where it changes by more than this in one
# pixel, as far as the table does not become too large.
MOST_BENT, CELLS_A_PIXEL, MOST_CELLS = 0.2, 2.0, 4_000_000
# So many pixels at a time: more fall out of the cache, and with fewer the two threads wait for each other more often,
# for the interpreter between NumPy's calls.
BLOCK = 76_800
# Depths are compared as the bits of float32, which are in the same order; NaN lies behind them all.
BITS, NOTHING = np.uint32, np.float32(np.nan).view(np.uint32)
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
        picture = _Picture(color_lens, covered)
        # a point at depth z is at (slope * z + offset), divided by what lies ahead, which is slope * z + offset again
        slope = (toward[self._seen].reshape(-1, 3) @ picture.matrix.T).astype(np.float32)
        self._slope = np.ascontiguousarray(slope.T)
        self._offset = (picture.matrix @ shift_m).astype(np.float32)
        # what is nearer may be behind the colour camera
        self._behind_m = max(0.0, float(np.fmax.reduce(-self._offset[2] / self._slope[2], initial=0)))
        self._brushes, self._lock = (_Brush(picture), _Brush(picture)), Lock()

    def __call__(self, depth_m: np.ndarray) -> np.ndarray:
        """(h, w) float32 metres, registered; a new array."""
        if depth_m.shape != self._shape:
            raise ValueError(f"depth_m must be {self._shape}, as its lens is, got {depth_m.shape}")
        if self._same:
            return np.where(valid(depth_m), depth_m, np.float32(np.nan))
        depth_m = depth_m[self._seen].reshape(-1)
        if not np.fmin.reduce(depth_m, initial=np.inf) > self._behind_m:
            ahead_m = self._slope[2] * depth_m + self._offset[2]
            depth_m = np.where((depth_m > 0) & (ahead_m > 0), depth_m, np.float32(np.nan))
        nearest, half = np.empty(self._size, np.float32), len(depth_m) // 2
        with self._lock:
            other = _helper.submit(self._paint, 1, depth_m, slice(half, None))
            np.minimum(self._paint(0, depth_m, slice(half)), other.result(), out=nearest.view(BITS))
        return nearest

    def _paint(self, brush: int, depth_m: np.ndarray, part: slice) -> np.ndarray:
        return self._brushes[brush].paint(depth_m[part], self._slope[:, part], self._offset)


@lru_cache(maxsize=8)
def _registration(depth_lens: Intrinsics, color_lens: Intrinsics, pose: tuple[float, ...]) -> Registration:
    return Registration(depth_lens, color_lens, np.reshape(pose, (4, 4)))


class _Picture:
    """The picture of a lens, with a border that takes what is outside.

    covered: (across, down) pixels that a depth pixel is wide. matrix: (3, 3), from points to the cells of table. table:
    what to add to cells / scale for the first pixel, with the border, that is covered, complex, of (width, height) =
    counts cells; None where cells are such pixels. reach, more: (across, down), what is covered beyond that pixel.
    """

    def __init__(self, lens: Intrinsics, covered: tuple[float, float]):
        self.reach = np.maximum(np.subtract(covered, 1), 0).astype(np.float32)
        self.more = np.ceil(self.reach - 1e-3).astype(int)
        self._inside, self._border = np.array([lens.width, lens.height]), ceil(self.reach.max()) + 2
        self.size = self._inside + 2 * self._border
        self.scale, self.table, low = 1.0, None, self.reach / 2 - self._border
        if lens.model == "equidistant" or any(lens.distortion):
            low = self._tabulate(lens)
        # half a cell more, and the cell that is nearest is what stands before the point
        shift = 0.5 - np.asarray(low, np.float64) * self.scale
        self.matrix = np.array([[self.scale, 0, shift[0]], [0, self.scale, shift[1]], [0, 0, 1]]) @ lens.K

    def _tabulate(self, lens: Intrinsics) -> np.ndarray:
        """Fill the table, NaN for what the lens does not see; where its first cell is, without distortion."""
        focal, centre = np.array([lens.fx, lens.fy]), np.array([lens.cx, lens.cy])
        picture = rays(lens) * focal + centre
        low, high = (f(picture, axis=(0, 1)) + side * self._border for f, side in ((np.nanmin, -1), (np.nanmax, 1)))
        bent = max(_largest(np.abs(np.diff(picture, axis=axis) - np.eye(2)[1 - axis])).max() for axis in (0, 1))
        self.scale = min(CELLS_A_PIXEL if bent > MOST_BENT else 1.0, sqrt(MOST_CELLS / float((high - low).prod())))
        self.counts = np.ceil((high - low) * self.scale).astype(np.int32) + 1
        cells = np.stack(np.meshgrid(*map(np.arange, self.counts)), -1)
        undistorted = cells / self.scale + low
        first = _pixels((undistorted - centre) / focal, lens) + self._border + 0.5 - self.reach / 2
        first -= (cells + 0.5) / self.scale
        # what is farther out is found in the last cells
        first[[0, -1]] = first[:, [0, -1]] = np.nan
        self.table = first.astype(np.float32).view(np.complex64).ravel()
        return low

    def of(self, canvas: np.ndarray) -> np.ndarray:
        """(H, W) of a flat one, without the border."""
        border, (width, height) = self._border, self._inside
        return canvas.reshape(self.size[::-1])[border : border + height, border : border + width]


class _Brush:
    """What one thread paints with: a canvas, and numbers of a block of pixels.

    All is made once, as memory that is given back and taken anew costs more than what is done in it.
    """

    def __init__(self, picture: _Picture):
        self._picture = picture
        self._canvas = np.empty(picture.size.prod(), BITS)
        self._points, self._whole = np.empty((3, BLOCK), np.float32), np.empty((2, 2, BLOCK), np.int32)
        self._at, self._moved = np.empty(BLOCK, np.intp), np.empty(BLOCK, np.complex64)

    def paint(self, depth_m: np.ndarray, slope: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """(H, W) of the bits of what these pixels (N,) of depth show; a view of what the next call overwrites."""
        self._canvas.fill(NOTHING)
        for start in range(0, len(depth_m), BLOCK):
            block = slice(start, start + BLOCK)
            with np.errstate(invalid="ignore"):
                self._paint_block(depth_m[block], slope[:, block], offset)
        return self._picture.of(self._canvas)

    def _paint_block(self, depth_m: np.ndarray, slope: np.ndarray, offset: np.ndarray) -> None:
        points, picture = self._points[:, : len(depth_m)], self._picture
        np.multiply(slope, depth_m, out=points)
        points += offset[:, None]
        at, ahead = points[:2], points[2]
        at /= ahead
        if picture.table is not None:
            self._distort(at)
        first, more = self._whole[..., : len(depth_m)]
        _whole(at, picture.size, first)
        if picture.more.any():
            at += picture.reach[:, None]
            _whole(at, picture.size, more)
            more -= first
        self._set(self._flat(first, picture.size), ahead.view(BITS), *more)

    def _distort(self, at: np.ndarray) -> None:
        picture, cells = self._picture, self._whole[0, :, : at.shape[1]]
        _whole(at, picture.counts, cells)
        # the default mode would check what is known, and take twice as long
        moved = picture.table.take(self._flat(cells, picture.counts), out=self._moved[: at.shape[1]], mode="clip")
        if picture.scale != 1:
            at *= np.float32(1 / picture.scale)
        at[0] += moved.real
        at[1] += moved.imag

    def _flat(self, whole: np.ndarray, size: np.ndarray) -> np.ndarray:
        """(N,) indices of columns and lines (2, N), which are overwritten."""
        columns, lines = whole
        lines *= np.int32(size[0])
        lines += columns
        flat = self._at[: len(lines)]
        np.copyto(flat, lines)
        return flat

    def _set(self, first: np.ndarray, depth: np.ndarray, right: np.ndarray, down: np.ndarray) -> None:
        """Bring depth into the pixels that it covers, from the first on, where it is nearer."""
        canvas, line = self._canvas, int(self._picture.size[0])
        for y in range(self._picture.more[1] + 1):
            if y:
                below = np.flatnonzero(down >= y)
                first, depth, right, down = (values.take(below) for values in (first, depth, right, down))
                first += line
            np.minimum.at(canvas, first, depth)
            for x in range(1, self._picture.more[0] + 1):
                beside = np.flatnonzero(right >= x)
                np.minimum.at(canvas, first.take(beside) + x, depth.take(beside))


def _whole(at: np.ndarray, size: np.ndarray, out: np.ndarray) -> None:
    """Columns and lines (2, N) int32 in a picture of this (width, height); what is outside, and NaN: at its edge."""
    np.copyto(out, at, casting="unsafe")
    # what is below zero is large without its sign
    unsigned = out.view(np.uint32)
    np.minimum(unsigned, (size - 1).astype(np.uint32)[:, None], out=unsigned)


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
    steps, seen = [], False
    for wall_m in WALLS_M:
        points = toward[::COARSE, ::COARSE] * wall_m + shift_m
        with np.errstate(invalid="ignore", divide="ignore"):
            directions = np.where(points[..., 2:] > 0, points[..., :2] / points[..., 2:], np.nan)
            pixels = _pixels(directions, lens)
            inside = ((pixels > -1) & (pixels < (lens.width, lens.height))).all(-1)
        pixels[~inside] = np.nan
        steps.append(sum(np.nan_to_num(_largest(np.abs(np.diff(pixels, axis=axis)))) for axis in (0, 1)) / COARSE)
        seen |= inside
    along = np.abs(shift_m[:2]) / max(float(np.linalg.norm(shift_m)), 1e-9)
    rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
    part = tuple(
        slice(max(0, (a[0] - 1) * COARSE), (a[-1] + 1) * COARSE + 1) if len(a) else slice(0) for a in (rows, columns)
    )
    return tuple((1 + STRETCH * along) * np.max(steps, axis=0)), part


def _largest(values: np.ndarray) -> np.ndarray:
    """Over all but the last axis, NaN apart."""
    return np.fmax.reduce(values.reshape(-1, values.shape[-1]), axis=0, initial=0)
