"""Is this still the same scene? A cheap look at two thumbnails."""

from __future__ import annotations

import cv2
import numpy as np

SIZE, SAMPLED = (32, 24), (192, 144)  # width, height
SHIFT_X, SHIFT_Y = 5, 3  # a pan of up to so many pixels between two frames is no cut
LARGE_SIGMA = 3.2  # what is larger (sky above ground, light at one side) looks alike in many scenes
CONTRAST_FLOOR = 0.02  # less than this share of brightness is noise of the sensor
LOG = np.log(np.arange(256) + 16.0).astype(np.float32)


def thumbnail(color: np.ndarray) -> np.ndarray:
    """(24, 32, 3) float32 of a picture: log of brightness, free of noise and of all that is large."""
    # Some pixels of a large picture are enough, and ten times as fast as all.
    sparse = cv2.resize(color, SAMPLED, interpolation=cv2.INTER_NEAREST) if color.shape[1] > SAMPLED[0] else color
    small = cv2.LUT(cv2.resize(sparse, SIZE, interpolation=cv2.INTER_AREA), LOG)
    small = cv2.GaussianBlur(small, (3, 3), 0)
    return small - cv2.GaussianBlur(small, (0, 0), LARGE_SIGMA, borderType=cv2.BORDER_REFLECT)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """1 - correlation of two thumbnails where they fit best, 0..1: about 0 within a scene, whatever the exposure."""
    middle = b[SHIFT_Y:-SHIFT_Y, SHIFT_X:-SHIFT_X]
    # Both share a constant of the floor's size, so that two blank pictures agree though their noise does not.
    floor = CONTRAST_FLOOR**2 * middle.size
    product = cv2.matchTemplate(a, middle, cv2.TM_CCORR) + floor
    power = cv2.matchTemplate(a * a, np.ones_like(middle), cv2.TM_CCORR) + floor
    fit = float((product / np.sqrt(power * (np.vdot(middle, middle) + floor))).max())
    return min(max(1 - fit, 0.0), 1.0)
