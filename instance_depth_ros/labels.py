"""Label images: (h, w) uint16 or uint8 that says whose each pixel is, 0 background, k + 1 the k-th instance."""

from __future__ import annotations

import cv2
import numpy as np


def boxes(labels: np.ndarray, count: int) -> list[tuple[slice, slice] | None]:
    """Rows and columns of each of `count` instances in labels (h, w); None of those without a pixel.

    As scipy.ndimage.find_objects, but only the ends of runs within rows are looked at: a tenth of the time at 720p.
    """
    height, width = labels.shape
    y, x = np.divmod(np.flatnonzero(labels[:, 1:] != labels[:, :-1]), max(width - 1, 1))
    rows, edge = np.arange(height), np.zeros(height, np.intp)
    y, x = np.concatenate([y, y, rows, rows]), np.concatenate([x, x + 1, edge, edge + width - 1])
    whose = labels[y, x]
    first, last = np.full((2, count + 1), max(height, width)), np.full((2, count + 1), -1)
    for axis, at in enumerate((y, x)):
        np.minimum.at(first[axis], whose, at)
        np.maximum.at(last[axis], whose, at)
    corners = zip(first[:, 1:].T.tolist(), (last[:, 1:].T + 1).tolist(), strict=True)
    return [(slice(top, bottom), slice(left, right)) if bottom else None for (top, left), (bottom, right) in corners]


def looked_up(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(H, W) values[labels] of values (K + 1,) uint16; of up to 255 instances OpenCV does it, three times as fast."""
    if len(values) > 256:
        return values[labels]
    table = np.zeros(256, values.dtype)
    table[: len(values)] = values
    return cv2.LUT(labels.astype(np.uint8, copy=False), table)
