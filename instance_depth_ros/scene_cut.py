"""Is this still the same scene? A cheap look at two thumbnails."""

from __future__ import annotations

import cv2
import numpy as np

SIZE = (32, 24)  # width, height
BLUR = (5, 5)


def thumbnail(color: np.ndarray) -> np.ndarray:
    """(24, 32, 3) float32 of a picture, each colour free of its mean, the whole of unit length."""
    # Every fourth pixel is enough: the picture is averaged down to a thousandth anyway.
    sparse = color[::4, ::4] if min(color.shape[:2]) >= 4 * SIZE[1] else color
    small = cv2.resize(sparse, SIZE, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, BLUR, 0).astype(np.float32)
    small -= small.mean((0, 1))
    return small / max(float(np.linalg.norm(small)), 1e-6)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """1 - correlation of two thumbnails, clipped to [0, 1]: about 0 within a scene, whatever the exposure."""
    if not a.any() and not b.any():
        return 0.0  # two blank pictures
    return float(np.clip(1 - (a * b).sum(), 0, 1))
