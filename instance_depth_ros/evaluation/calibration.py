"""Is the confidence honest: of the pixels called 80 % sure, are 80 % right?"""

from __future__ import annotations

import numpy as np

BINS = 10
RIGHT_WITHIN = 0.10  # the confidence predicts P(relative error < 10 %)


class Calibration:
    """Expected calibration error over all pixels of all frames, in BINS equal bins of confidence."""

    def __init__(self):
        self._pixels, self._sure, self._right = np.zeros((3, BINS))

    def add(self, confidence: np.ndarray, prediction_m: np.ndarray, truth_m: np.ndarray, mask: np.ndarray) -> None:
        """One frame: confidence (H, W) uint8, 0..255 = 0..1; depths (H, W) metres; mask of pixels that are judged.

        Pixels without a prediction have said nothing and are passed over.
        """
        judged = mask & np.isfinite(prediction_m)
        sure = confidence[judged] / 255
        right = np.abs(prediction_m[judged] - truth_m[judged]) < RIGHT_WITHIN * truth_m[judged]
        place = np.minimum((sure * BINS).astype(int), BINS - 1)
        for total, values in ((self._pixels, None), (self._sure, sure), (self._right, right)):
            total += np.bincount(place, values, BINS)

    def ece(self) -> float | None:
        """Mean distance between how sure and how often right, weighted by the pixels of a bin; None without pixels."""
        pixels = self._pixels.sum()
        return float(np.abs(self._sure - self._right).sum() / pixels) if pixels else None
