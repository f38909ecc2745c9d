"""From a picture to the network's input, and the size that this input has."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor

from ..geometry import Intrinsics, rays
from .presets import ModelConfig

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet
TWICE = 1.4  # times as large, and more: the mean of two linear samples a side is nearly that over the area
STEEPEST = 4.0  # tangent of 76 degrees: no lens in training is as wide


def normalise(color: Tensor) -> Tensor:
    """(..., H, W, 3) uint8 or 0..255 float -> (..., 3, H, W) float32, ImageNet mean and deviation."""
    mean, deviation = (torch.tensor(values, device=color.device) for values in (MEAN, DEVIATION))
    return ((color.float() / 255 - mean) / deviation).movedim(-1, -3)


@cache
def _normalised() -> np.ndarray:
    """(256, 1, 3) float32: what normalise() makes of each value of each channel."""
    values = torch.arange(256, dtype=torch.uint8)[:, None, None].expand(-1, 1, 3)
    return normalise(values).movedim(-3, -1).contiguous().numpy()


def lens_planes(intrinsics: Intrinsics, canonical_focal_px: float) -> np.ndarray:
    """(3, H, W) float32: x/z and y/z of each pixel's ray and log(focal / canonical focal); finite for every lens."""
    planes = np.empty((3, intrinsics.height, intrinsics.width), np.float32)
    # A corner without a ray, or at a right angle to the axis, would spoil every pixel and stay in the memory.
    planes[:2] = np.clip(np.nan_to_num(rays(intrinsics)), -STEEPEST, STEEPEST).transpose(2, 0, 1)
    planes[2] = np.log(intrinsics.focal_px / canonical_focal_px)
    return planes


def network_size(height: int, width: int, config: ModelConfig, short_side: int = 0) -> tuple[int, int]:
    """(height, width) of the network's input for a picture of that size; both are multiples of config.multiple."""
    short, multiple = short_side or config.short_side, config.multiple
    if config.ours:
        scale = short / min(height, width)
        return tuple(max(multiple, round(side * scale / multiple) * multiple) for side in (height, width))
    return official_size(height, width, short, multiple)


def output_size(size: tuple[int, int], config: ModelConfig) -> tuple[int, int]:
    """(height, width) of the depth that comes out for an input of that size."""
    if not config.ours:
        return size
    cells = 4 if config.encoder == "conv" else 14  # pixels of the finest tap, or of a patch, which becomes 8 x 8
    return tuple(side // cells * (2 if config.encoder == "conv" else 8) for side in size)


def official_size(height: int, width: int, short: int, multiple: int = 14) -> tuple[int, int]:
    """Video Depth Anything's rule: the short side reaches `short`; beyond 16:9 it shrinks so that the long one fits."""
    ratio = max(height, width) / min(height, width)
    if ratio > 1.78:
        short = max(multiple, round(int(short * 1.777 / ratio) / multiple) * multiple)
    scale = short / min(height, width)

    def fit(side: int) -> int:
        rounded = round(side * scale / multiple) * multiple
        return rounded if rounded >= short else int(np.ceil(side * scale / multiple)) * multiple

    return fit(height), fit(width)


def _averaged(color: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (height, width, 3), the mean over the pixels that fall together."""

    def shrink() -> float:
        return min(color.shape[0] / height, color.shape[1] / width)

    # OpenCV averages exact halves, and samples, many times as fast as it averages other areas.
    while shrink() >= 2:
        color = cv2.resize(color, (color.shape[1] // 2, color.shape[0] // 2), interpolation=cv2.INTER_AREA)
    if shrink() >= TWICE:
        color = cv2.resize(color, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    return cv2.resize(color, (width, height), interpolation=cv2.INTER_AREA)


def prepare(color: np.ndarray, size: tuple[int, int], config: ModelConfig) -> Tensor:
    """(H, W, 3) uint8 RGB -> (1, 3, h, w) float32 for the network.

    Ours averages over the pixels that fall together; the official network was trained behind a cubic filter in float.
    """
    if config.ours:
        resized = _averaged(color, *size)
        # The same values as of normalise(), looked up: a fifth of the time, and no temporaries.
        return torch.from_numpy(cv2.LUT(resized, _normalised())).movedim(-1, -3)[None]
    resized = cv2.resize(color.astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    return normalise(torch.from_numpy(resized))[None]
