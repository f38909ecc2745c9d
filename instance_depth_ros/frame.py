"""The two things that travel: a Frame goes into the estimator, an Estimate comes out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from .geometry import Intrinsics

SOURCE_NONE, SOURCE_SENSOR, SOURCE_NETWORK, SOURCE_NETWORK_SCALED = 0, 1, 2, 3


@dataclass(frozen=True)
class Frame:
    """One moment of a camera.

    color: (H, W, 3) uint8 RGB. depth_m: (H, W) float32 metres registered to colour, NaN invalid, or None.
    stamp_ns: when it was taken; received_ns: when this process got it (time.monotonic_ns clock).
    intrinsics None means unknown: the estimator then assumes a field of view and says so.
    """

    color: np.ndarray
    stamp_ns: int
    frame_id: str = "camera_color_optical_frame"
    intrinsics: Intrinsics | None = None
    depth_m: np.ndarray | None = None
    received_ns: int = field(default_factory=time.monotonic_ns)

    def __post_init__(self):
        shape = self.color.shape
        if len(shape) != 3 or shape[2] != 3 or 0 in shape or self.color.dtype != np.uint8:
            raise ValueError(f"color must be (H, W, 3) uint8 RGB and not empty, got {shape} {self.color.dtype}")
        size = shape[:2]
        if self.depth_m is not None and self.depth_m.shape != size:
            raise ValueError(
                f"depth_m must be registered to color {size}, got {self.depth_m.shape}; turn on the driver's alignment"
            )
        if self.intrinsics is not None:
            self.intrinsics.check(size)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.color.shape[:2]


@dataclass(frozen=True)
class Estimate:
    """What the estimator saw in one Frame; its arrays are never overwritten while someone holds it.

    depth_m: (H, W) float32 metres along the optical axis, NaN invalid; None for relative weights.
    disparity: (H, W) float32, affine-invariant inverse depth, for relative weights only.
    confidence: (H, W) uint8, 0..255 = 0..1, predicted P(relative error < 10 %).
    source: (H, W) uint8, SOURCE_*. intrinsics: those used; intrinsics.assumed where they were guessed.
    detail_px: how many pixels of depth_m were interpolated from one of the network's output.
    reset: why the memory was dropped before this frame ('' when it was not). timings_ms: by stage.
    """

    stamp_ns: int
    frame_id: str
    intrinsics: Intrinsics
    depth_m: np.ndarray | None
    confidence: np.ndarray
    source: np.ndarray
    disparity: np.ndarray | None = None
    detail_px: float = 1.0
    reset: str = ""
    timings_ms: dict[str, float] = field(default_factory=dict)
