"""Parts of a picture that are judged by themselves: where one instance hides another, what was uncovered just now."""

from __future__ import annotations

import cv2
import numpy as np

from ..geometry import valid
from .metrics import project

BAND_PX = 5
STEP = np.log(1.05)  # of log truth depth at a border: less is a touch, no hiding
HIDES_PX = 4  # as in frames.jsonl
HIDDEN = 0.95  # what was seen in a point's place was this much nearer: the point was hidden
_OFFSET = np.arange(-BAND_PX, BAND_PX + 1)
_DISC = (_OFFSET**2 + _OFFSET[:, None] ** 2 <= BAND_PX**2).astype(np.uint8)


def hiding_pairs(rows: list[dict]) -> list[tuple[int, int]] | None:
    """(id in front, id behind) of the instances of a line of frames.jsonl; None where it is not known."""
    if any(row.get("hides") is None for row in rows):
        return None
    return [(row["id"], behind) for row in rows for behind in row["hides"]]


def bordering_pairs(ids: np.ndarray, truth_m: np.ndarray) -> list[tuple[int, int]]:
    """hiding_pairs() as far as they show in (H, W) ids and depth: one is nearer by STEP at HIDES_PX of their border."""
    here, there = _touching(ids)
    step = _steps(truth_m, here, there)
    front, behind = np.where(step > 0, ids.ravel()[[here, there]], ids.ravel()[[there, here]])
    found, counts = np.unique(np.stack([front, behind])[:, np.abs(step) > STEP], axis=1, return_counts=True)
    return [(int(a), int(b)) for a, b in found[:, counts >= HIDES_PX].T]


def occlusion_bands(ids: np.ndarray, truth_m: np.ndarray, pairs: list[tuple[int, int]] | None) -> np.ndarray:
    """(H, W) bool: within BAND_PX of a border where one instance hides another.

    ids: (H, W) uint16; pairs: as of hiding_pairs(). Where they are not known, neighbouring pixels of two instances are
    such a border if their truth depth (H, W) differs by STEP.
    """
    here, there = _touching(ids)
    if pairs is None:
        hides = np.abs(_steps(truth_m, here, there)) > STEP
    else:
        hides = np.isin(_code(ids.ravel()[here], ids.ravel()[there]), [_code(*pair) for pair in pairs])
    border = np.zeros(ids.shape, np.uint8)
    border.ravel()[np.concatenate([here[hides], there[hides]])] = 1
    return cv2.dilate(border, _DISC) > 0


def _touching(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat places of the neighbouring pixels, along rows and columns, of two instances: (n,) and (n,)."""
    width, found = ids.shape[1], []
    for step, first, second in ((1, ids[:, :-1], ids[:, 1:]), (width, ids[:-1], ids[1:])):
        row, column = np.nonzero((first != second) & (first > 0) & (second > 0))
        found.append(row * width + column + np.array([[0], [step]]))
    return tuple(np.concatenate(found, 1))


def _steps(truth_m: np.ndarray, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(n,): log of how many times farther there is than here."""
    log_depth = np.log(truth_m.ravel()[[here, there]])
    return log_depth[1] - log_depth[0]


def _code(a, b):
    """One number for two ids in any order."""
    a, b = np.asarray(a, np.int64), np.asarray(b, np.int64)
    return np.minimum(a, b) << 32 | np.maximum(a, b)


def uncovered(
    truth_m: np.ndarray, static: np.ndarray, before_m: np.ndarray, K: np.ndarray, before_from_now: np.ndarray
) -> np.ndarray:
    """(H, W) bool: static points of this frame that were in an earlier picture's place, but hidden there.

    truth_m, before_m: (H, W) metres, now and then; static: (H, W) bool; before_from_now: (4, 4) between the cameras.
    """
    there_m, column, row, seen = project(truth_m, K, before_from_now)
    # a rim of a pixel is left out: every neighbour, too, was nearer; the sky is not
    farthest_m = cv2.dilate(np.where(valid(before_m), before_m, np.float32(np.inf)), np.ones((3, 3), np.uint8))
    return static & seen & (farthest_m[row, column] < HIDDEN * there_m)
