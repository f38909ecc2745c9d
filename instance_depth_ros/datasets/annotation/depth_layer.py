"""The depth of what a mask covers, and how much of it cannot be of one thing."""

from __future__ import annotations

import numpy as np

from ...geometry import valid

# how far before and behind the middle of a thing its surface may be, and what a sensor adds, as a share of depth
_REACH_M = {"person": 0.7, "animal": 1.2, "ball": 0.3, "racket": 0.5, "vehicle": 3.0, "other": 1.0}
SENSOR_ERROR = 0.03


def depth_layer(depth_m: np.ndarray, kind: str) -> tuple[float | None, float]:
    """Mean depth of a thing of this class, without pixels that are not of it; and the share of those.

    depth_m: of the mask's pixels, metres, NaN invalid. Not of it is what lies too far from the median. (None, 0)
    without a valid pixel.
    """
    known = depth_m[valid(depth_m)]
    if not known.size:
        return None, 0.0
    middle_m = np.median(known)
    near = np.abs(known - middle_m) <= _REACH_M[kind] + SENSOR_ERROR * middle_m
    return float(known[near].mean()), float(1 - near.mean())
