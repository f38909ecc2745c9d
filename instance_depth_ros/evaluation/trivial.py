"""Predictors that look at no picture; what a network must beat by far.

python -m instance_depth_ros.evaluation.trivial SEQUENCES OUT.npz makes the training mean that ships in weights/.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ..datasets.partition import open_part
from ..datasets.sequence import Sequence
from ..geometry import valid

TRAIN_MEAN = Path(__file__).parents[1] / "weights" / "train_mean.npz"
STORED_SIZE = (48, 64)
EVERY = 4  # neighbouring frames of a clip are alike


@lru_cache(maxsize=4)
def train_mean(height: int, width: int) -> np.ndarray:
    """(height, width) float32 metres: the mean over the shipped weights' training clips; read-only."""
    if not TRAIN_MEAN.is_file():
        raise FileNotFoundError(f"no {TRAIN_MEAN}: python -m {__name__} SEQUENCES {TRAIN_MEAN} makes it")
    with np.load(TRAIN_MEAN) as stored:
        log_depth = stored["log_depth"].astype(np.float32)
    depth_m = np.exp(cv2.resize(log_depth, (width, height), interpolation=cv2.INTER_LINEAR))
    depth_m.setflags(write=False)
    return depth_m


def save_train_mean(sequences: list[Sequence], path: Path) -> None:
    """Write log_depth, STORED_SIZE float16, of every EVERY-th frame of the sequences, all of one size."""
    depth_m = mean_depth(s.read(i, ["truth_m"])["truth_m"] for s in sequences for i in range(0, len(s), EVERY))
    log_depth = cv2.resize(np.log(depth_m), STORED_SIZE[::-1], interpolation=cv2.INTER_AREA)
    np.savez(path, log_depth=log_depth.astype(np.float16))


def mean_depth(depths_m: Iterable[np.ndarray]) -> np.ndarray:
    """(H, W) geometric mean per pixel of training truth, given as arrays (..., H, W) of one size in metres.

    Geometric, because relative errors and sigma are ratios. A pixel never valid gets the mean of all the others.
    """
    log_sum, count = 0.0, 0
    for depth_m in depths_m:
        images = depth_m.reshape(-1, *depth_m.shape[-2:])
        known = valid(images)
        log_sum = log_sum + np.log(np.where(known, images, 1).astype(np.float64)).sum(0)
        count = count + known.sum(0)
    if not np.any(count):
        raise ValueError("no valid depth to take a mean of; check the training data")
    everywhere = np.sum(log_sum) / np.sum(count)
    return np.exp(np.where(count > 0, log_sum / np.maximum(count, 1), everywhere)).astype(np.float32)


def best_constant_rel(truth_m: np.ndarray, mask: np.ndarray) -> float:
    """The constant with the least mean |c - g| / g: the median of the truth g weighted by 1 / g, exactly."""
    truth = _sorted_truth(truth_m, mask)
    weight = np.cumsum(1 / truth)
    return float(truth[np.searchsorted(weight, weight[-1] / 2)])


def best_constant_sigma1(truth_m: np.ndarray, mask: np.ndarray) -> float:
    """The constant within a factor of 1.25 of the most pixels: the middle, in logs, of the fullest window so wide."""
    truth = _sorted_truth(truth_m, mask)
    end = np.searchsorted(truth, truth * 1.25**2)  # strict: sigma1 is < 1.25
    start = int(np.argmax(end - np.arange(truth.size)))
    return float(np.sqrt(truth[start] * truth[end[start] - 1]))


def _sorted_truth(truth_m: np.ndarray, mask: np.ndarray) -> np.ndarray:
    truth = np.sort(truth_m[mask & valid(truth_m)].astype(np.float64))
    if not truth.size:
        raise ValueError("no valid truth inside the mask; skip such frames")
    return truth


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    save_train_mean(open_part(sys.argv[1], "train"), Path(sys.argv[2]))
