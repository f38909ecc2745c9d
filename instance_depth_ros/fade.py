"""Depth goes on without a jump where key frames change: brought to the scale of before, which fades."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .model.network import Prediction
from .model.offline import least_squares
from .model.ranges import MIN_DEPTH_M

FADE_S = 1.0
OVER = 5.0  # so many FADE_S later less than a hundredth is left
FLAT = 0.05**2  # variance of log depth: of flatter pictures, scale says little


@dataclass(frozen=True)
class Fade:
    """scale x + shift of log depth x, relative weights: of disparity, as the offline rule has it; whole at stamp_ns."""

    scale: float
    shift: float
    stamp_ns: int
    relative: bool

    @classmethod
    def between(cls, after: Tensor, before: Tensor, stamp_ns: int, relative: bool) -> Fade:
        """What brings depth (or disparity) of a frame after the change nearest to that before it, any shape."""
        x, y = (each.float().cpu().numpy() for each in (after, before))
        if not relative:
            x, y = (np.log(np.maximum(each, MIN_DEPTH_M)) for each in (x, y))
        return cls(*least_squares(x, y, 0.0 if relative else FLAT), stamp_ns, relative)

    def apply(self, says: Prediction, stamp_ns: int) -> Prediction:
        """The prediction of a frame at stamp_ns with what is left of the change: depth, and layers of instances."""
        passed = (stamp_ns - self.stamp_ns) / 1e9 / FADE_S
        if passed > OVER:
            return says
        left = float(np.exp(-passed))
        scale, shift = 1 + left * (self.scale - 1), left * self.shift

        def scaled(x: Tensor) -> Tensor:
            return (scale * x + shift).clamp_min(0) if self.relative else x**scale * np.exp(shift)

        instances = says.instances and says.instances._replace(layer_m=scaled(says.instances.layer_m))
        return says._replace(depth=scaled(says.depth), holistic=scaled(says.holistic), instances=instances)
