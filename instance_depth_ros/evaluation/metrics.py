"""The one home of depth metrics: errors, ranges, how they are averaged, alignment of relative depth, stability."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from ..geometry import valid

RANGES = {"all": (0.1, 80.0), "near": (0.1, 10.0)}  # metres of truth; near is the range of GID
LOWER_IS_BETTER = ("rel", "sq_rel", "rms", "rms_log", "log10", "i_rms", "silog")
HIGHER_IS_BETTER = ("sigma1", "sigma2", "sigma3", "coverage")
MIN_DISPARITY = 1e-3


def depth_metrics(prediction_m: np.ndarray, truth_m: np.ndarray, mask: np.ndarray | None = None) -> dict[str, float]:
    """Metrics over the pixels of one frame (any shape) with valid truth inside the mask; all NaN where there are none.

    rel, sq_rel, rms (m), rms_log, log10, i_rms (1/m), silog (100 x the deviation of log depth); sigmaN: share within
    1.25^N. A pixel without a prediction has no error, but misses every sigma and lowers coverage, the share predicted.
    """
    judged = valid(truth_m) if mask is None else valid(truth_m) & mask
    prediction, truth = prediction_m[judged], truth_m[judged]
    predicted = valid(prediction)
    pixels = truth.size
    if not predicted.any():
        nothing = 0.0 if pixels else np.nan
        return dict.fromkeys(LOWER_IS_BETTER, np.nan) | dict.fromkeys(HIGHER_IS_BETTER, nothing)
    prediction, truth = prediction[predicted].astype(np.float64), truth[predicted].astype(np.float64)
    difference, log_ratio = prediction - truth, np.log(prediction / truth)
    squared, distance = difference**2, np.abs(log_ratio)
    metrics = {
        "rel": np.mean(np.abs(difference) / truth),
        "sq_rel": np.mean(squared / truth),
        "rms": np.sqrt(np.mean(squared)),
        "rms_log": np.sqrt(np.mean(log_ratio**2)),
        "log10": np.mean(distance) / np.log(10),
        "i_rms": np.sqrt(np.mean((difference / (prediction * truth)) ** 2)),
        "silog": 100 * np.std(log_ratio),
        "coverage": truth.size / pixels,
    }
    for power in (1, 2, 3):
        metrics[f"sigma{power}"] = np.count_nonzero(distance < power * np.log(1.25)) / pixels
    return {name: float(value) for name, value in metrics.items()}


def in_range(truth_m: np.ndarray, name: str = "all") -> np.ndarray:
    """Boolean mask of truth within one of RANGES; invalid truth is in none."""
    near_m, far_m = RANGES[name]
    return (truth_m >= near_m) & (truth_m <= far_m)


class MetricMean:
    """Averages as the tables do: pixels of a frame, then frames of a clip, then clips; each range by itself."""

    def __init__(self):
        self._frames = {name: defaultdict(list) for name in RANGES}

    def add(self, clip: str, prediction_m: np.ndarray, truth_m: np.ndarray, mask: np.ndarray | None = None) -> None:
        """One frame (H, W) of the named clip; a range that the frame's truth does not reach passes it over."""
        for name in RANGES:
            inside = in_range(truth_m, name)
            if mask is not None:
                inside &= mask
            if inside.any():
                self._frames[name][clip].append(depth_metrics(prediction_m, truth_m, inside))

    def result(self) -> dict[str, dict[str, float | int | None]]:
        """{range: {metric: mean, "frames": n, "clips": n}}; None for what no frame has."""
        return {name: self._mean(clips) for name, clips in self._frames.items()}

    def by_clip(self) -> dict[str, dict[str, dict[str, float | int | None]]]:
        """{range: {clip: {metric: mean over its frames, ...}}}, to find the clip that is bad."""
        return {
            name: {clip: self._mean({clip: frames}) for clip, frames in clips.items()}
            for name, clips in self._frames.items()
        }

    @staticmethod
    def _mean(clips: dict[str, list[dict[str, float]]]) -> dict[str, float | int | None]:
        means = {}
        for metric in LOWER_IS_BETTER + HIGHER_IS_BETTER:
            values = [known_mean([frame[metric] for frame in frames]) for frames in clips.values()]
            mean = known_mean(values)
            means[metric] = None if np.isnan(mean) else mean
        return means | {"frames": sum(map(len, clips.values())), "clips": len(clips)}


def known_mean(values: list[float]) -> float:
    """Mean of what is not NaN; NaN when nothing is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def align_disparity(
    disparity: np.ndarray, truth_m: np.ndarray, mask: np.ndarray | None = None, max_depth_m: float = 80.0
) -> np.ndarray:
    """Relative disparity (T, H, W) of one video -> depth in metres, by one least-squares scale and shift to 1 / truth.

    The protocol of Video Depth Anything: clipped to >= 1e-3 before and after, depth clipped to [1e-3, max_depth_m].
    """
    judged = (truth_m > 1e-3) & (truth_m < max_depth_m) & np.isfinite(disparity)
    if mask is not None:
        judged &= mask
    if not judged.any():
        raise ValueError(f"no truth within 0.001..{max_depth_m} m to align to; check its unit and the mask")
    disparity = np.maximum(disparity, MIN_DISPARITY).astype(np.float64)
    x, y = disparity[judged], 1 / truth_m[judged].astype(np.float64)
    (scale, shift), *_ = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y, rcond=None)
    return np.clip(1 / np.maximum(scale * disparity + shift, MIN_DISPARITY), 1e-3, max_depth_m).astype(np.float32)


def tae(depth_m: np.ndarray, K: np.ndarray, world_from_camera: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Temporal alignment error, percent (Video Depth Anything eq. 5): frames carried into their neighbours by the pose.

    depth_m, mask: (T, H, W); K: (3, 3); world_from_camera: (T, 4, 4). The mask is that of the frame carried into.
    Mean over both directions of every neighbouring pair that overlap; NaN when none does. Holds for a static world.
    """
    errors = []
    for first in range(len(depth_m) - 1):
        for a, b in ((first, first + 1), (first + 1, first)):
            b_from_a = np.linalg.inv(world_from_camera[b]) @ world_from_camera[a]
            carried = carry_depth(depth_m[a], K, b_from_a)
            both = valid(carried) & valid(depth_m[b])
            if mask is not None:
                both &= mask[b]
            if both.any():
                errors.append(np.mean(np.abs(depth_m[b] - carried)[both] / depth_m[b][both]))
    return 100 * known_mean(errors)


def carry_depth(depth_m: np.ndarray, K: np.ndarray, b_from_a: np.ndarray) -> np.ndarray:
    """(H, W) depth of camera a as camera b sees it, nearest pixel, the last written wins; NaN where nothing lands."""
    height, width = depth_m.shape
    v, u = np.nonzero(valid(depth_m))
    rays = np.linalg.inv(K.astype(np.float64)) @ np.stack([u, v, np.ones_like(u)])
    points = b_from_a[:3, :3] @ (rays * depth_m[v, u]) + b_from_a[:3, 3:]
    points = points[:, points[2] > 0]
    column, row, _ = np.rint(K @ (points / points[2]))
    seen = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    carried = np.full(depth_m.shape, np.nan)
    carried[row[seen].astype(int), column[seen].astype(int)] = points[2, seen]
    return carried
