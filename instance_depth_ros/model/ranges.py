"""Holistic depth initialisation (InstanceDepth section 4.1): ranges of depth, and corrections from coarse to fine.

The cascade works on metres: the focal length has been applied before it, so a range is the same for every lens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .presets import ModelConfig
from .sizes import resize

MIN_DEPTH_M = 0.01
HEADS = 4
# E = 2 R - offset, in widths of a range. Eq. 3 is printed as 2 (R - 1), which is never positive; eq. 9 has 2 R - 1.
OFFSETS = {"relative": 1.0, "literal": 2.0}
SURE_LOGIT = 5.0  # 2 (sigmoid - 1) = -0.013 widths: so near to identity the literal form can begin and still learn


@dataclass(frozen=True)
class Ranges:
    """`count` ranges over limits_m = (near, far): of equal width in metres ('uniform') or in log depth ('log')."""

    kind: str
    count: int
    limits_m: tuple[float, float]

    def __post_init__(self):
        if self.kind not in ("uniform", "log") or self.count < 2 or not 0 < self.limits_m[0] < self.limits_m[1]:
            raise ValueError(
                f"ranges must be 'uniform' or 'log', 2 or more, over 0 < near < far metres, got {self.count} "
                f"'{self.kind}' over {self.limits_m}"
            )

    @property
    def width(self) -> float:
        """MAX_d / rd: metres, or log metres."""
        near, far = (self._place(limit) for limit in self.limits_m)
        return (far - near) / self.count

    def bin_of(self, depth_m: Tensor) -> Tensor:
        """The range of each depth (any shape), long; beyond the limits the first or the last."""
        near_m, far_m = self.limits_m
        depth_m = depth_m.float().clamp(near_m, far_m)
        place = depth_m.log() if self.kind == "log" else depth_m
        return ((place - self._place(near_m)) / self.width).long().clamp(0, self.count - 1)

    def corrected(self, depth_m: Tensor, error: Tensor, step: float) -> Tensor:
        """Eq. 4, D + E, with E = error x step x width; in log depth where the ranges are logarithmic.

        error: -1..1, of the literal eq. 3 -2..0.
        """
        if self.kind == "log":
            return depth_m * (error * (step * self.width)).exp()
        return (depth_m + error * (step * self.width)).clamp_min(MIN_DEPTH_M)

    def _place(self, limit_m: float) -> float:
        return math.log(limit_m) if self.kind == "log" else limit_m


class RangeBlock(nn.Module):
    """A block of the range decoder (fig. 5): patch-wise convolution, linear layer, attention over all patches."""

    def __init__(self, features: int, patch: int):
        super().__init__()
        self.patch = patch
        self.patches = nn.Conv2d(features, features, patch, patch, groups=features)
        self.linear = nn.Linear(features, features)
        self.norm = nn.LayerNorm(features)
        self.qkv = nn.Linear(features, 3 * features)
        self.proj = nn.Linear(features, features)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, path: Tensor, coarser: Tensor | None) -> Tensor:
        """path (B, C, h, w) and the features of the level before -> (B, C, h, w)."""
        x = path if coarser is None else path + resize(coarser, path.shape[-2:])
        grid = x.shape[-2] // self.patch, x.shape[-1] // self.patch
        # backwards, a CPU is four times as fast with a product and a sum
        patches = self._patches(x, grid) if torch.is_grad_enabled() else self.patches(x).flatten(2).transpose(1, 2)
        tokens = self.linear(patches)
        b, n, c = tokens.shape
        q, k, v = self.qkv(self.norm(tokens)).reshape(b, n, 3, HEADS, c // HEADS).permute(2, 0, 3, 1, 4)
        seen = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c))
        return x + resize(seen.unflatten(1, grid).permute(0, 3, 1, 2), x.shape[-2:])

    def _patches(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, patches, C) what self.patches gives, as a product and a sum."""
        (h, w), p = grid, self.patch
        cells = x[..., : h * p, : w * p].permute(0, 2, 3, 1).unflatten(2, (w, p)).unflatten(1, (h, p))
        weight = self.patches.weight[:, 0].permute(1, 2, 0)[:, None].to(x.dtype)
        return ((cells * weight).sum((2, 4)) + self.patches.bias.to(x.dtype)).flatten(1, 2)


class Level(nn.Module):
    """One level of the cascade: features, segmentation S, confidence C, and with them the error R."""

    def __init__(self, features: int, ranges: int, patch: int, correction: str):
        super().__init__()
        self.offset = OFFSETS[correction]
        self.block = RangeBlock(features, patch)
        self.segment = nn.Conv2d(features, ranges, 1)
        self.confide = nn.Sequential(
            nn.Conv2d(features + 2, features, 3, padding=1), nn.ReLU(), nn.Conv2d(features, ranges, 1)
        )
        nn.init.zeros_(self.confide[2].weight)  # C = 1/2, so E = 0: every level begins as identity; literal: C near 1
        nn.init.constant_(self.confide[2].bias, 0.0 if correction == "relative" else SURE_LOGIT)

    def forward(self, path: Tensor, coarser: Tensor | None, depth_m: Tensor, lens: Tensor):
        """-> features (B, C, h, w), logits of S (B, K, h, w), error (B, 1, h, w) in widths; eq. 1 to 3."""
        features = self.block(path, coarser)
        logits = self.segment(features)
        size = features.shape[-2:]
        known = torch.cat([resize(depth_m.log() / 2 - 1, size), lens.expand(-1, -1, *size)], 1).to(features.dtype)
        known = known.contiguous(memory_format=torch.channels_last)  # else all that is joined with it is not
        confidence = self.confide(torch.cat([features, known], 1)).float().sigmoid()
        error = (confidence * logits.float().softmax(1)).sum(1, keepdim=True)
        return features, logits, 2 * error - self.offset


class RangeDecoder(nn.Module):
    """The cascade over the DPT head's paths, coarse to fine; what it corrects is depth at the head's output size."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        if config.correction not in OFFSETS:
            raise ValueError(f"correction must be one of {', '.join(OFFSETS)}, got '{config.correction}'")
        self.ranges = Ranges(config.ranges, config.range_count, config.range_limits_m)
        self.halving = config.range_halving
        # A patch covers the same part of the picture at every level: a grid half as fine as the coarsest path.
        self.levels = nn.ModuleList(
            Level(config.features, config.range_count, 2 << level, config.correction) for level in range(4)
        )

    def forward(self, paths: list[Tensor], depth_m: Tensor, log_focal: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """paths: 4 x (B, C, h_i, w_i), coarse to fine; depth_m (B, h, w); log_focal (B,) log(focal / canonical).

        Returns the refined depth (B, h, w) in metres and the logits of S_i (B, K, h_i, w_i).
        """
        depth_m, lens = depth_m[:, None].clamp_min(MIN_DEPTH_M), log_focal[:, None, None, None]
        features, segmentations = None, []
        for index, (level, path) in enumerate(zip(self.levels, paths, strict=True)):
            features, logits, error = level(path, features, depth_m, lens)
            segmentations.append(logits)
            step = 0.5**index if self.halving else 1.0
            depth_m = self.ranges.corrected(depth_m, resize(error, depth_m.shape[-2:]), step)
        return depth_m[:, 0], tuple(segmentations)
