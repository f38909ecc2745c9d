"""The one home of depth metrics: errors, ranges, how they are averaged, alignment of relative depth, stability."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from ..geometry import valid

RANGES = {"all": (0.1, 80.0), "near": (0.1, 10.0)}  # metres of truth; near is the range of GID
LOWER_IS_BETTER = ("rel", "sq_rel", "rms", "rms_log", "log10", "i_rms", "silog")
HIGHER_IS_BETTER = ("sigma1", "sigma2", "sigma3", "coverage")
MIN_DISPARITY = 1e-3
BLOCK = 1 << 14  # pixels


def depth_metrics(prediction_m: np.ndarray, truth_m: np.ndarray, mask: np.ndarray | None = None) -> dict[str, float]:
    """Metrics over the pixels of one frame (any shape) with valid truth inside the mask; all NaN where there are none.

    rel, sq_rel, rms (m), rms_log, log10, i_rms (1/m), silog (100 x the deviation of log depth); sigmaN: share within
    1.25^N. A pixel without a prediction has no error, but misses every sigma and lowers coverage, the share predicted.
    """
    everywhere = np.ones(truth_m.shape, bool) if mask is None else mask
    return metrics_of_parts(prediction_m, truth_m, {"": everywhere})[""]


def metrics_of_parts(prediction_m: np.ndarray, truth_m: np.ndarray, parts: dict[str, np.ndarray]) -> dict[str, dict]:
    """depth_metrics() of each of a few parts of a frame, boolean masks that may overlap; each pixel is judged once."""
    prediction_m, truth_m, *masks = (array.ravel() for array in (prediction_m, truth_m, *parts.values()))
    levels, sums = 0, 0
    for start in range(0, max(truth_m.size, 1), BLOCK):  # so much stays in the processor's cache
        here = slice(start, start + BLOCK)
        of_block = _sums(prediction_m[here], truth_m[here], [mask[here] for mask in masks])
        levels, sums = levels + of_block[0], sums + of_block[1]
    has = np.arange(1 << len(parts)) >> np.arange(len(parts))[:, None] & 1
    return {name: _means(*row) for name, *row in zip(parts, has @ levels, has @ sums, strict=True)}


def _sums(prediction_m: np.ndarray, truth_m: np.ndarray, masks: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What _means() takes, (kinds, 5) and (kinds, 7): a kind of pixels is a set of parts, a bit each."""
    known, kinds = valid(truth_m), 1 << len(masks)
    kind = np.zeros(known.size, np.intp)
    for bit, mask in enumerate(masks):
        kind += (mask & known).view(np.uint8).astype(np.intp) << bit
    both = known & valid(prediction_m)
    truth, prediction = (np.where(both, depth, 1).astype(np.float64) for depth in (truth_m, prediction_m))
    difference, log_ratio = prediction - truth, np.log(prediction / truth)
    size, distance, squared = np.abs(difference), np.abs(log_ratio), difference**2
    level = sum((distance < power * np.log(1.25)).view(np.uint8) for power in (1, 2, 3)) + both.view(np.uint8)
    levels = np.bincount(5 * kind + level * both, minlength=5 * kinds).reshape(kinds, 5)
    inverse = squared / (prediction * truth) ** 2
    terms = (size / truth, squared / truth, squared, log_ratio**2, distance, inverse, log_ratio)
    return levels, np.stack([np.bincount(kind, term, kinds) for term in terms], 1)  # no prediction: no error, 0


def _means(levels: np.ndarray, sums: np.ndarray) -> dict[str, float]:
    """levels: pixels without a prediction, beyond 1.25^3, within it, within 1.25^2, within 1.25; sums: of the terms."""
    pixels, predicted = levels.sum(), levels[1:].sum()
    if not predicted:
        nothing = 0.0 if pixels else np.nan
        return dict.fromkeys(LOWER_IS_BETTER, np.nan) | dict.fromkeys(HIGHER_IS_BETTER, nothing)
    rel, sq_rel, squared, squared_log, distance, squared_inverse, log_ratio = sums / predicted
    metrics = {
        "rel": rel,
        "sq_rel": sq_rel,
        "rms": np.sqrt(squared),
        "rms_log": np.sqrt(squared_log),
        "log10": distance / np.log(10),
        "i_rms": np.sqrt(squared_inverse),
        "silog": 100 * np.sqrt(max(squared_log - log_ratio**2, 0.0)),
        "coverage": predicted / pixels,
    }
    metrics |= {f"sigma{power}": levels[5 - power :].sum() / pixels for power in (1, 2, 3)}
    return {name: float(value) for name, value in metrics.items()}


def in_range(truth_m: np.ndarray, name: str = "all") -> np.ndarray:
    """Boolean mask of truth within one of RANGES; invalid truth is in none."""
    near_m, far_m = RANGES[name]
    return (truth_m >= near_m) & (truth_m <= far_m)


class MetricMean:
    """Averages as the tables do: pixels of a frame, then frames of a clip, then clips; each range by itself.

    parts: names of more parts of pictures, judged by themselves within the range `all`.
    """

    def __init__(self, parts: tuple[str, ...] = ()):
        self._frames = {name: defaultdict(list) for name in (*RANGES, *parts)}

    def add(
        self,
        clip: str,
        prediction_m: np.ndarray,
        truth_m: np.ndarray,
        mask: np.ndarray | None = None,
        parts: dict[str, np.ndarray] | None = None,
    ) -> dict[str, dict[str, float]]:
        """One frame (H, W) of the named clip, and what it got; a range or part that it does not have passes it over."""
        judged = {name: in_range(truth_m, name) for name in RANGES}
        judged |= {name: part & judged["all"] for name, part in (parts or {}).items()}
        if mask is not None:
            judged = {name: part & mask for name, part in judged.items()}
        scores = metrics_of_parts(prediction_m, truth_m, {name: part for name, part in judged.items() if part.any()})
        for name, metrics in scores.items():
            self._frames[name][clip].append(metrics)
        return scores

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
    landed, column, row, seen = project(depth_m, K, b_from_a)
    seen &= valid(depth_m)
    carried = np.full(depth_m.size, np.nan, np.float32)
    carried[row[seen] * width + column[seen]] = landed[seen]
    return carried.reshape(height, width)


def project(depth_m: np.ndarray, K: np.ndarray, b_from_a: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where the points of camera a's (H, W) depth are in camera b: their depth (H, W), the nearest pixel's column and
    row (H, W) int, and whether camera b sees that place (H, W) bool; a point without depth is not seen."""
    height, width = depth_m.shape
    turn = (K @ b_from_a[:3, :3] @ np.linalg.inv(K.astype(np.float64)))[:, :, None, None]
    v, u = np.arange(height)[:, None], np.arange(width)
    x, y, z = (a * u + (b * v + c) for a, b, c in turn)
    for axis, shift in zip((x, y, z), K @ b_from_a[:3, 3], strict=True):
        axis *= depth_m
        axis += shift
    with np.errstate(divide="ignore", invalid="ignore"):
        x /= z
        y /= z
        seen = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5) & (z > 0)
    column, row = (np.rint(np.where(seen, axis, 0)).astype(np.int32) for axis in (x, y))
    return z, column, row, seen
