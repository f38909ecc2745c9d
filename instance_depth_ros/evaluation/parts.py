"""Parts of a picture that are judged by themselves: where one instance hides another, what was uncovered just now."""

from __future__ import annotations

import cv2
import numpy as np

from ..geometry import valid
from .metrics import project

BAND_PX = 5
STEP = 1.05  # of truth depth at a border: less is a touch, no hiding
HIDDEN = 0.95  # what was seen in a point's place was this much nearer: the point was hidden
_OFFSET = np.arange(-BAND_PX, BAND_PX + 1)
_DISC = (_OFFSET**2 + _OFFSET[:, None] ** 2 <= BAND_PX**2).astype(np.uint8)


def hiding_pairs(rows: list[dict]) -> list[tuple[int, int]] | None:
    """(id in front, id behind) of the instances of a line of frames.jsonl; None where it is not known."""
    if any(row.get("hides") is None for row in rows):
        return None
    return [(row["id"], behind) for row in rows for behind in row["hides"]]


def occlusion_bands(ids: np.ndarray, truth_m: np.ndarray, pairs: list[tuple[int, int]] | None) -> np.ndarray:
    """(H, W) bool: within BAND_PX of a border where one instance hides another.

    ids: (H, W) uint16; pairs: as of hiding_pairs(). Where they are not known, neighbouring pixels of two instances are
    such a border if their truth depth (H, W) differs by STEP.
    """
    border = np.zeros(ids.shape, np.uint8)
    # the same loop down the columns and along the rows: transposed views write into the same border
    for who, depth_m, marked in ((ids, truth_m, border), (ids.T, truth_m.T, border.T)):
        row, column = np.nonzero((who[1:] != who[:-1]) & (who[1:] > 0) & (who[:-1] > 0))
        if pairs is None:
            a, b = depth_m[row, column], depth_m[row + 1, column]
            hides = np.maximum(a, b) > STEP * np.minimum(a, b)
        else:
            hides = np.isin(_code(who[row, column], who[row + 1, column]), [_code(*pair) for pair in pairs])
        row, column = row[hides], column[hides]
        marked[row, column] = marked[row + 1, column] = 1
    return cv2.dilate(border, _DISC) > 0


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
