"""Spatio-temporal DPT head: four taps to one map, with attention over time at four places.

Attributes carry the names of the official checkpoints, so that they load without a table of renamed keys.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .presets import ModelConfig
from .sizes import resize
from .temporal import Clip, Streaming, TemporalModule, Together

LOG_DEPTH_AT_START = 2.0


class Features(NamedTuple):
    """What the head has seen, for what builds on it. taps: (B, C_i, h_i, w_i) at strides 4 to 32, time looked at;
    paths: (B, features, h_i, w_i) at strides 16 to 2."""

    taps: list[Tensor]
    paths: list[Tensor]


class ResidualUnit(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Fusion(nn.Module):
    """Adds the finer level to the running path and brings it to the next size."""

    def __init__(self, features: int):
        super().__init__()
        self.resConfUnit1 = ResidualUnit(features)
        self.resConfUnit2 = ResidualUnit(features)
        self.out_conv = nn.Conv2d(features, features, 1)

    def forward(self, path: Tensor, lateral: Tensor | None, size: tuple[int, int]) -> Tensor:
        if lateral is not None:
            path = path + self.resConfUnit1(lateral)
        return self.out_conv(resize(self.resConfUnit2(path), size))


class Scratch(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        features = config.features
        for level, channels in enumerate(config.out_channels, 1):
            setattr(self, f"layer{level}_rn", nn.Conv2d(channels, features, 3, padding=1, bias=False))
            setattr(self, f"refinenet{level}", Fusion(features))
        self.output_conv1 = nn.Conv2d(features, features // 2, 3, padding=1)
        # Ours gives log depth and the logit of the confidence; the official one depth or disparity.
        self.output_conv2 = nn.Sequential(
            nn.Conv2d(features // 2, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 2 if config.ours else 1, 1)
        )
        if config.ours:  # training starts from a plausible depth
            nn.init.constant_(self.output_conv2[2].bias, LOG_DEPTH_AT_START)


class DepthHead(nn.Module):
    """Taps (B*T, C_i, h_i, w_i) -> (B*T, 1 or 2, H, W) and what it has seen.

    H x W is 14 x the patch grid for official weights, else the size of the finest path: half of the network's input
    with the residual encoder.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.vit, self.ours = config.encoder == "vit", config.ours
        channels = config.out_channels
        if self.vit:
            self.projects = nn.ModuleList(nn.Conv2d(config.dims[0], c, 1) for c in channels)
            self.resize_layers = nn.ModuleList(
                [
                    nn.ConvTranspose2d(channels[0], channels[0], 4, 4),
                    nn.ConvTranspose2d(channels[1], channels[1], 2, 2),
                    nn.Identity(),
                    nn.Conv2d(channels[3], channels[3], 3, 2, 1),
                ]
            )
        self.scratch = Scratch(config)
        widths = (channels[2], channels[3], config.features, config.features)
        self.motion_modules = nn.ModuleList(TemporalModule(width) for width in widths)

    def forward(self, taps: list[Tensor], batch: int, context: Streaming | Together | Clip) -> tuple[Tensor, Features]:
        grid = taps[0].shape[-2:]
        if self.vit:
            taps = [r(p(x)) for x, p, r in zip(taps, self.projects, self.resize_layers, strict=True)]
        scratch, motion = self.scratch, self.motion_modules
        taps[2] = motion[0](taps[2], batch, context)
        taps[3] = motion[1](taps[3], batch, context)
        level1, level2, level3, level4 = (getattr(scratch, f"layer{i + 1}_rn")(x) for i, x in enumerate(taps))

        path4 = motion[2](scratch.refinenet4(level4, None, level3.shape[-2:]), batch, context)
        path3 = motion[3](scratch.refinenet3(path4, level3, level2.shape[-2:]), batch, context)
        path2 = scratch.refinenet2(path3, level2, level1.shape[-2:])
        path1 = scratch.refinenet1(path2, level1, (2 * level1.shape[-2], 2 * level1.shape[-1]))

        out = scratch.output_conv1(path1)
        if not self.ours:
            out = resize(out, (14 * grid[0], 14 * grid[1]))
        # The last layers in fp32 even under autocast: depth needs more than eight bits.
        with torch.autocast(out.device.type, enabled=False):
            return scratch.output_conv2(out.float()), Features(taps, [path4, path3, path2, path1])
