"""Is the confidence honest: of the pixels called 80 % sure, are 80 % right? Are the surest the best?"""

from __future__ import annotations

import numpy as np

from ..frame import CONFIDENT_ERROR

BINS = 10
LEVELS = 256
REMOVED = np.arange(20) / 20  # shares of the pixels, the least sure first
_SURE = np.arange(LEVELS) / 255
_BIN = np.minimum((_SURE * BINS).astype(int), BINS - 1)


class Calibration:
    """Expected calibration error over all pixels of all frames, in BINS equal bins of confidence."""

    def __init__(self):
        self._pixels, self._right = np.zeros((2, LEVELS))

    def add(self, confidence: np.ndarray, prediction_m: np.ndarray, truth_m: np.ndarray, mask: np.ndarray) -> None:
        """One frame: confidence (H, W) uint8, 0..255 = 0..1; depths (H, W) metres; mask of pixels that are judged.

        Pixels without a prediction have said nothing and are passed over.
        """
        sure, error = _judged(confidence, prediction_m, truth_m, mask)
        self._pixels += np.bincount(sure, minlength=LEVELS)
        self._right += np.bincount(sure[error < CONFIDENT_ERROR], minlength=LEVELS)

    def ece(self) -> float | None:
        """Mean distance between how sure and how often right, weighted by the pixels of a bin; None without pixels."""
        pixels = self._pixels.sum()
        sure, right = (np.bincount(_BIN, levels, BINS) for levels in (self._pixels * _SURE, self._right))
        return float(np.abs(sure - right).sum() / pixels) if pixels else None


def ause(confidence: np.ndarray, prediction_m: np.ndarray, truth_m: np.ndarray, mask: np.ndarray) -> float:
    """Area under the sparsification error of one frame, in units of REL; NaN without pixels. Arguments as of add().

    REL of what is left when the least sure pixels are removed, minus the same with the worst removed first, mean over
    REMOVED: 0 if the confidence puts pixels in the order of their errors. Equally sure pixels go in equal shares.
    """
    sure, error = _judged(confidence, prediction_m, truth_m, mask)
    if not error.size:
        return float("nan")
    kept = error.size * (1 - REMOVED)
    by_level = [np.bincount(LEVELS - 1 - sure, weights, LEVELS) for weights in (None, error)]
    counts, sums = (np.concatenate([[0], np.cumsum(level)]) for level in by_level)
    best = np.concatenate([[0], np.cumsum(np.sort(error), dtype=np.float64)])
    return float(np.mean((np.interp(kept, counts, sums) - np.interp(kept, np.arange(best.size), best)) / kept))


def _judged(confidence, prediction_m, truth_m, mask) -> tuple[np.ndarray, np.ndarray]:
    judged = mask & np.isfinite(prediction_m)
    truth_m = truth_m[judged]
    return confidence[judged], np.abs(prediction_m[judged] - truth_m) / truth_m
