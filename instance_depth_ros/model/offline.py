"""The offline rule of Video Depth Anything for whole videos: overlapping windows, aligned and blended."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

WINDOW, OVERLAP, BLEND = 32, 10, 8
STEP = WINDOW - OVERLAP
# What a window shows again of the one before: its key frames 0 and 12, then its last eight frames.
REPEATED = (0, 12, *range(WINDOW - BLEND, WINDOW))


def offline(frames: int, predict: Callable[[list[int]], np.ndarray], metric: bool = False) -> np.ndarray:
    """Depth (or disparity) of a whole video, (frames, H, W).

    predict: 32 frame indices -> (32, H, W) of the windowed network. Relative outputs are brought to the scale of
    the first window by least squares on the two repeated key frames; metric ones are only blended.
    """
    if frames < 1:
        raise ValueError(f"a video needs at least one frame, got {frames}")
    previous, aligned_key, out = None, None, None
    for start in range(0, frames, STEP):
        indices = list(range(start, start + WINDOW))
        if previous is not None:
            indices[:OVERLAP] = [previous[i] for i in REPEATED]
        depth = predict([min(i, frames - 1) for i in indices])
        if previous is None:
            out, reference, aligned_key = list(depth), depth[0], depth[12]
        else:
            if not metric:
                scale, shift = least_squares(depth[:2], np.stack([reference, aligned_key]))
                depth = np.maximum(scale * depth + shift, 0)
            for i in range(BLEND):
                weight = np.float32(i / (BLEND - 1))
                out[i - BLEND] = (1 - weight) * out[i - BLEND] + weight * depth[2 + i]
            out.extend(depth[OVERLAP:])
            aligned_key = depth[12]
        previous = indices
    return np.stack(out[:frames])


def least_squares(x: np.ndarray, y: np.ndarray, stiff: float = 0.0) -> tuple[float, float]:
    """scale, shift minimising the mean of (scale x + shift - y)^2 + stiff (scale - 1)^2."""
    x, y = x.astype(np.float64).ravel(), y.astype(np.float64).ravel()
    scale = (np.cov(x, y, bias=True)[0, 1] + stiff) / max(x.var() + stiff, 1e-12)
    return scale, y.mean() - scale * x.mean()
