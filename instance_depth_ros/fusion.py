"""Sensor depth and the network's in one picture: measured pixels are kept, the others brought to the sensor's scale.

The network has the shape of what the sensor does not see. How far off its scale is, is a smooth field: the robust mean
of log (measured / network) around each pixel, in as wide a surrounding as it takes to find measured ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import cv2
import numpy as np

from .geometry import valid

STEP_PX, CELL = 2, 2  # pixels that are looked at, and how many of them along a side of a cell of the field
COARSER = 4  # what is remembered has cells so many times as wide
SURROUNDING = 0.05  # counts so much beside a cell full of measured pixels
SPREAD = 0.1  # log ratios that are farther from those around them count less: flying pixels, mirrors
KEPT_S, OLD = 0.5, 1e-3  # what was measured earlier counts for so long, and so much for ever
LEAST_POINTS, DRAWS, ROUNDS = 100, 64, 3  # for scale and shift of disparity: points, hypotheses, fits to who agrees
AGREE = 0.1  # relative depth error of a point that does


@dataclass(frozen=True)
class Ratios:
    """Log ratios (h, w) of coarse cells, how well each is known (h, w) 0..1, and the stamp of the frame."""

    log_ratio: np.ndarray
    known: np.ndarray
    stamp_ns: int


@dataclass(frozen=True)
class Known:
    """What is known of a stream's sensor from former frames; None where it has not measured enough yet."""

    ratios: Ratios | None = None
    alignment: Alignment | None = None


def fuse(
    full: np.ndarray, measured_m: np.ndarray | None, stamp_ns: int, how: str, relative: bool, known: Known
) -> tuple[np.ndarray, np.ndarray | None, Known]:
    """Depth (H, W), where it was measured (None where no sensor ever was), and what the next frame is to know.

    full: the network's metres, or disparity where it is relative, which is left as it is until a sensor has said how
    many metres it is. measured_m: registered, None in a frame without. how: the setting fuse.
    """
    if how == "off":
        return full, None, Known()
    ratios, alignment = known.ratios, known.alignment
    if relative:
        if measured_m is not None:
            alignment = align(full, measured_m, stamp_ns, alignment)
        if alignment is None:
            return full, None, known
        full = alignment.metres(full)
    if measured_m is None and ratios is None:
        return full, None, Known(None, alignment)
    if measured_m is None:
        measured_m = np.full_like(full, np.nan)
    if how == "fill":
        full, measured, ratios = fill(full, measured_m, stamp_ns, ratios)
        return full, measured, Known(ratios, alignment)
    measured = valid(measured_m)
    return np.where(measured, measured_m, full), measured, Known(None, alignment)


def fill(
    depth_m: np.ndarray, measured_m: np.ndarray, stamp_ns: int, before: Ratios | None
) -> tuple[np.ndarray, np.ndarray, Ratios | None]:
    """Depth (H, W) float32, where it was measured, and what the next frame is to know: None where nothing ever was.

    depth_m: the network's; measured_m: registered to it; both (H, W) float32 metres, not finite or not positive where
    invalid.
    """
    measured, some = valid(measured_m), np.s_[::STEP_PX, ::STEP_PX]
    own_m, their_m = depth_m[some], measured_m[some]
    both = measured[some] & valid(own_m)
    field, after = None if before is None else before.log_ratio, before
    if both.any():
        ratio = np.ones_like(own_m)
        np.divide(their_m, own_m, out=ratio, where=both)
        log_ratio, weight = cv2.log(ratio), both.astype(np.float32)
        off = log_ratio - np.median(log_ratio[both][::STEP_PX])
        rough, _ = _smooth(log_ratio, _trust(off, weight, 2 * SPREAD), stamp_ns, None)
        off = log_ratio - _at(rough, log_ratio.shape[::-1])
        field, after = _smooth(log_ratio, _trust(off, weight, SPREAD), stamp_ns, before)
    if field is not None:
        depth_m = depth_m * cv2.exp(_at(field, depth_m.shape[::-1]))
    return np.where(measured, measured_m, depth_m), measured, after


@dataclass(frozen=True)
class Alignment:
    """Of relative weights: 1 / metres = scale * disparity + shift; and the stamp of the frame."""

    scale: float
    shift: float
    stamp_ns: int

    def metres(self, disparity: np.ndarray) -> np.ndarray:
        """float32; not positive or not finite where the disparity is of nowhere in front of the camera."""
        with np.errstate(divide="ignore"):
            return (1 / (np.float32(self.scale) * disparity + np.float32(self.shift))).astype(np.float32)


def align(disparity: np.ndarray, measured_m: np.ndarray, stamp_ns: int, before: Alignment | None) -> Alignment | None:
    """How disparity (H, W) of relative weights becomes metres, from registered depth (H, W); outliers are left out.

    It moves smoothly. Where too little is measured, or no increasing line fits most of it, that before stays.
    """
    sample = np.s_[:: 2 * STEP_PX, :: 2 * STEP_PX]
    disparity, measured_m = disparity[sample], measured_m[sample]
    both = valid(measured_m) & np.isfinite(disparity)
    if np.count_nonzero(both) < LEAST_POINTS:
        return before
    z = measured_m[both].astype(np.float64)
    points = np.column_stack([disparity[both], np.ones(len(z))])
    pairs = np.random.default_rng(0).integers(len(z), size=(DRAWS, 2))
    pairs = pairs[np.abs(points[pairs[:, 0], 0] - points[pairs[:, 1], 0]) > 1e-6]
    lines = np.linalg.solve(points[pairs], 1 / z[pairs][..., None])[..., 0]
    lines = lines[lines[:, 0] > 0]
    if not len(lines):
        return before
    # z / z: a line is off by its relative depth error
    line = lines[(np.abs(points @ lines.T * z[:, None] - 1) < AGREE).sum(0).argmax()]
    for _ in range(ROUNDS):
        agree = np.abs(points @ line * z - 1) < AGREE
        if np.count_nonzero(agree) < max(LEAST_POINTS, len(z) // 4):
            return before
        line = np.linalg.lstsq(points[agree] * z[agree, None], np.ones(np.count_nonzero(agree)), rcond=None)[0]
    if line[0] <= 0:
        return before
    if before is not None:
        kept = exp(-max(stamp_ns - before.stamp_ns, 0) / 1e9 / KEPT_S)
        line = kept * np.array([before.scale, before.shift]) + (1 - kept) * line
    return Alignment(float(line[0]), float(line[1]), stamp_ns)


def _trust(off: np.ndarray, weight: np.ndarray, spread: float) -> np.ndarray:
    """Weights that fall with the distance from what is expected (Cauchy)."""
    return weight / (1 + np.square(off * np.float32(1 / spread)))


def _smooth(
    log_ratio: np.ndarray, weight: np.ndarray, stamp_ns: int, before: Ratios | None
) -> tuple[np.ndarray, Ratios]:
    """The field, and its coarse cells for the next frame."""
    height, width = log_ratio.shape
    coarse = max(1, width // (CELL * COARSER)), max(1, height // (CELL * COARSER))
    cells = coarse[0] * COARSER, coarse[1] * COARSER
    total, known = _area(log_ratio * weight, cells), _area(weight, cells)
    wide_total, wide_known = _area(total, coarse), _area(known, coarse)
    if before is not None and before.known.shape == wide_known.shape:
        kept = before.known * np.float32(exp(-max(stamp_ns - before.stamp_ns, 0) / 1e9 / KEPT_S))
        wide_total, wide_known = wide_total + kept * before.log_ratio, wide_known + kept
    wide = _spread(wide_total, wide_known)
    after = Ratios(wide, np.clip(wide_known, OLD, 1), stamp_ns)
    for size in ((coarse[0] * 2, coarse[1] * 2), cells):
        wide, own_total, own = _at(wide, size), _area(total, size), _area(known, size)
        wide = (own_total + SURROUNDING * wide) / (own + SURROUNDING)
    return wide, after


def _spread(total: np.ndarray, known: np.ndarray) -> np.ndarray:
    """total / known where it is known, what is around where it is not: from coarser and coarser cells (push-pull)."""
    height, width = total.shape
    if height <= 1 or width <= 1:
        return np.full_like(total, total.sum() / max(known.sum(), 1e-9))
    half = (width + 1) // 2, (height + 1) // 2
    around = _at(_spread(_area(total, half), _area(known, half)), (width, height))
    return (total + SURROUNDING * around) / (known + SURROUNDING)


def _area(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA)


def _at(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(array, size, interpolation=cv2.INTER_LINEAR)
