"""Are steps of depth where they are in truth? Boundary F1."""

from __future__ import annotations

import cv2
import numpy as np

from ..geometry import valid

RATIOS = (1.05, 1.10, 1.15, 1.20, 1.25)
NEAR_PX = 2
_AROUND = np.ones((2 * NEAR_PX + 1, 2 * NEAR_PX + 1), np.uint8)


def boundary_f1(prediction_m: np.ndarray, truth_m: np.ndarray) -> float:
    """F1 of the depth edges of a frame (H, W), scale-free; the mean over RATIOS; NaN where truth has no edge.

    An edge: a pixel and the one right of it or below differ by the ratio. It is right, or found, if the other image has
    one of that ratio within NEAR_PX. Edges of the prediction beside unknown truth are passed over.
    """
    truth, prediction = _log_steps(truth_m), _log_steps(prediction_m)
    prediction[np.isnan(truth)] = 0
    scores = [_f1(prediction > np.log(ratio), truth > np.log(ratio)) for ratio in RATIOS]
    scores = [score for score in scores if not np.isnan(score)]
    return float(np.mean(scores)) if scores else float("nan")


def _log_steps(depth_m: np.ndarray) -> np.ndarray:
    """(H - 1, W - 1): the larger of the steps to the right and down; NaN beside invalid depth."""
    log_depth = np.log(np.where(valid(depth_m), depth_m, np.float32(np.nan)))
    corner = log_depth[:-1, :-1]
    return np.maximum(np.abs(log_depth[:-1, 1:] - corner), np.abs(log_depth[1:, :-1] - corner))


def _f1(found: np.ndarray, true: np.ndarray) -> float:
    edges = np.count_nonzero(true)
    if not edges:
        return np.nan
    right = np.count_nonzero(found & _near(true)) / max(np.count_nonzero(found), 1)
    recalled = np.count_nonzero(true & _near(found)) / edges
    return 2 * right * recalled / (right + recalled) if right + recalled else 0.0


def _near(edges: np.ndarray) -> np.ndarray:
    return cv2.dilate(edges.view(np.uint8), _AROUND).view(bool)
