"""The stored clip on which a faster way to run the network must say the same as eager torch in fp32."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ..geometry import Intrinsics
from ..model.instances import Instances
from ..model.memory import Memory
from ..model.preprocess import lens_planes, normalise
from ..model.presets import ModelConfig

PROBE = Path(__file__).parent.parent / "weights" / "probe.npz"
AGREE_SIGMA1, AGREE_REL, AGREE_MASKS = 0.999, 0.005, 0.99
PROBE_FRAMES = 6


class Heard(NamedTuple):
    """What was said of the clip: holistic depth (T, h, w), where it has instances (T, h, w) bool or (0,), and how
    many seconds each frame took."""

    depth: np.ndarray
    masks: np.ndarray
    seconds: list[float]

    @property
    def frame_s(self) -> float:
        """The median of all frames but the first, which warms up."""
        return float(np.median(self.seconds[1:] or self.seconds))


def hear(
    call: Callable, config: ModelConfig, size: tuple[int, int] | None = None, instances: bool = True, most_s=math.inf
) -> Heard:
    """The clip streamed through an Engine, or what is called like one, up to a frame that takes longer than most_s."""
    images, lens = probe_inputs(config, size)
    memory, depths, masks, seconds = Memory(), [], [], []
    for image in images:
        start = time.perf_counter()
        says = call(image[None], lens, memory, None, instances)
        depths.append(says.holistic.float().cpu().numpy())
        masks.append(foreground(says.instances).cpu().numpy())
        seconds.append(time.perf_counter() - start)
        if seconds[-1] > most_s:
            break
    return Heard(np.concatenate(depths), np.concatenate(masks), seconds)


def disagreement(heard: Heard, reference: Heard) -> str:
    """'' when both say the same, else how far off it is; a clip that was ended early is compared as far as it goes."""
    frames = len(heard.seconds)
    masks = reference.masks[:frames] if reference.masks.ndim > 1 else reference.masks
    return agreement(heard.depth, reference.depth[:frames]) or mask_agreement(heard.masks, masks)


def agreement(output: np.ndarray, reference: np.ndarray) -> str:
    """'' when depth says the same as reference, else how far off it is."""
    if not np.isfinite(output).all():
        return "not finite"
    known = reference > 1e-3
    if not known.any():
        return "" if (output <= 1e-3).all() else "says something where fp32 says nothing"
    ratio = np.maximum(output[known], 1e-6) / reference[known]
    sigma1 = float((np.maximum(ratio, 1 / ratio) < 1.25).mean())
    rel = float(np.abs(ratio - 1).mean())
    return "" if sigma1 >= AGREE_SIGMA1 and rel <= AGREE_REL else f"sigma1 {sigma1:.4f}, REL {rel:.4f} against fp32"


def foreground(instances: Instances | None) -> Tensor:
    """(B, h, w) bool where a query that is likely something has its mask; empty without instances."""
    if instances is None:
        return torch.zeros(0, dtype=torch.bool)
    likely = instances.classes.float().softmax(-1)[..., 0] < 0.5
    return ((instances.masks > 0) & likely[..., None, None]).any(1)


def mask_agreement(output: np.ndarray, reference: np.ndarray) -> str:
    """'' when both see instances in the same places, else how far off they are."""
    share = float((output == reference).mean()) if reference.size else 1.0
    return "" if share >= AGREE_MASKS else f"masks agree on {share:.4f} of the pixels with fp32"


def probe_inputs(config: ModelConfig, size: tuple[int, int] | None = None) -> tuple[Tensor, Tensor | None]:
    """The clip (T, 3, H, W) and its lens planes (1, 3, H, W) or None, at a size that the network takes.

    size: (height, width); None: the clip's own, cut to whole cells.
    """
    with np.load(PROBE) as stored:
        color = stored["color"]
    if size is None:
        height, width = (side // config.multiple * config.multiple for side in color.shape[1:3])
        color = color[:, :height, :width]
    else:
        height, width = size
        color = np.stack([cv2.resize(picture, (width, height)) for picture in color])
    images = normalise(torch.from_numpy(color))
    if not config.ours:
        return images, None
    intrinsics = Intrinsics.from_fov(width, height, 60.0)
    return images, torch.from_numpy(lens_planes(intrinsics, config.canonical_focal_px))[None]
