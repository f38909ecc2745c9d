"""A picture for people: what the camera saw, with its instances, beside how far it is."""

from __future__ import annotations

import numpy as np

from .drawing import colored_depth, with_borders, with_instances
from .frame import Estimate
from .geometry import valid

WIDTH = 640


class Overlay:
    """Draws the frames of one stream; the end of the colours only grows, lest they flicker."""

    def __init__(self):
        self._farthest_m = 0.0

    def draw(self, color: np.ndarray, estimate: Estimate, far_m: float = 0.0) -> np.ndarray:
        """(H, W, 3) RGB and a metric Estimate of it -> (H/n, 2 W/n, 3) RGB, side by side; every n-th pixel.

        far_m: end of the colours; 0: 98 % of the pixels of some frame so far were nearer.
        """
        far_m = far_m or self._farthest_so_far(estimate.depth_m)
        n = -(-color.shape[1] // WIDTH)
        seen, depth = color[::n, ::n], colored_depth(estimate.depth_m[::n, ::n], far_m / 40, far_m)
        if estimate.instances:
            ids = estimate.ids[::n, ::n]
            seen, depth = with_instances(seen, ids, estimate.instances, n), with_borders(depth, ids)
        return np.hstack([seen, depth])

    def _farthest_so_far(self, depth_m: np.ndarray) -> float:
        sample = depth_m[::8, ::8]
        known = sample[valid(sample)]
        if known.size:
            self._farthest_m = max(self._farthest_m, float(np.percentile(known, 98)))
        return self._farthest_m or 1.0
