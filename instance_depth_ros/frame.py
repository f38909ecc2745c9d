"""What travels: a Frame goes into the estimator, an Estimate with its Instances comes out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from .geometry import Intrinsics

SOURCE_NONE, SOURCE_SENSOR, SOURCE_NETWORK, SOURCE_NETWORK_SCALED = 0, 1, 2, 3
CONFIDENT_ERROR = 0.1  # confidence is P(relative error below this)


@dataclass(frozen=True)
class Frame:
    """One moment of a camera.

    color: (H, W, 3) uint8 RGB. depth_m: (H, W) float32 metres registered to colour, NaN invalid, or None.
    ids: (H, W) uint16 id image from elsewhere, 0 background (instances: topic), or None.
    world_from_camera: (4, 4) pose of the optical frame where tf knows it, else None.
    floor: (3,) the ground as a plane in the optical frame, 1 / z = floor @ (x / z, y / z, 1), where tf knows it.
    stamp_ns: when it was taken; received_ns: when this process got it (time.monotonic_ns clock).
    intrinsics None means unknown: the estimator then assumes a field of view and says so.
    """

    color: np.ndarray
    stamp_ns: int
    frame_id: str = "camera_color_optical_frame"
    intrinsics: Intrinsics | None = None
    depth_m: np.ndarray | None = None
    received_ns: int = field(default_factory=time.monotonic_ns)
    ids: np.ndarray | None = None
    world_from_camera: np.ndarray | None = None
    floor: np.ndarray | None = None

    def __post_init__(self):
        shape = self.color.shape
        if len(shape) != 3 or shape[2] != 3 or 0 in shape or self.color.dtype != np.uint8:
            raise ValueError(f"color must be (H, W, 3) uint8 RGB and not empty, got {shape} {self.color.dtype}")
        size = shape[:2]
        if self.depth_m is not None and self.depth_m.shape != size:
            raise ValueError(
                f"depth_m must be registered to color {size}, got {self.depth_m.shape}; turn on the driver's alignment"
            )
        if self.ids is not None and (self.ids.shape != size or self.ids.dtype != np.uint16):
            raise ValueError(
                f"ids must be registered to color {size} and uint16, got {self.ids.shape} {self.ids.dtype}; "
                "resize the id image with nearest neighbours"
            )
        pose = self.world_from_camera
        if pose is not None and (np.shape(pose) != (4, 4) or not np.isfinite(pose).all()):
            raise ValueError(f"world_from_camera must be a finite (4, 4) pose or None, got shape {np.shape(pose)}")
        if self.floor is not None and (np.shape(self.floor) != (3,) or not np.isfinite(self.floor).all()):
            raise ValueError(f"floor must be a finite plane (3,) or None, got {self.floor!r}")
        if self.intrinsics is not None:
            self.intrinsics.check(size)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.color.shape[:2]


@dataclass(frozen=True)
class Instance:
    """One thing in one frame.

    id: 32 bit, lasting, of confirmed tracks only. pixel: its value in Estimate.ids, 1..65535. class_id: its place in
    config.CLASSES. depth_m, sigma_m: depth layer (mean depth of what is visible) and its standard deviation.
    visible: share of it that is not hidden, 0..1. hidden_by: id of the instance in front of it, 0 none.
    age_s: since it was first seen, 0 with ids from elsewhere. box_px: x, y, width, height in the picture.
    center_m: median x, y, z of its visible points in the optical frame; size_m: their extent from 5 to 95 %; both from
    box_px and depth_m where none of those points has a depth.
    """

    id: int
    pixel: int
    class_id: int
    score: float
    depth_m: float
    sigma_m: float
    visible: float
    hidden_by: int
    age_s: float
    box_px: tuple[int, int, int, int]
    center_m: tuple[float, float, float]
    size_m: tuple[float, float, float]


@dataclass(frozen=True)
class Estimate:
    """What the estimator saw in one Frame; its arrays are never overwritten while someone holds it.

    depth_m: (H, W) float32 metres along the optical axis, NaN invalid; None for relative weights.
    disparity: (H, W) float32, affine-invariant inverse depth, for relative weights only.
    confidence: (H, W) uint8, 0..255 = 0..1, predicted P(relative error < 10 %).
    source: (H, W) uint8, SOURCE_*. ids: (H, W) uint16, each pixel's Instance.pixel, 0 background; None without
    instances (instances: none, relative weights). intrinsics: those used; intrinsics.assumed where they were guessed.
    detail_px: how many pixels of depth_m were interpolated from one of the network's output.
    scale: what the network's metres were multiplied by. reset: why the memory was dropped before this frame ('' when it
    was not). timings_ms: by stage.
    """

    stamp_ns: int
    frame_id: str
    intrinsics: Intrinsics
    depth_m: np.ndarray | None
    confidence: np.ndarray
    source: np.ndarray
    disparity: np.ndarray | None = None
    ids: np.ndarray | None = None
    instances: tuple[Instance, ...] = ()
    detail_px: float = 1.0
    scale: float = 1.0
    reset: str = ""
    timings_ms: dict[str, float] = field(default_factory=dict)


@contextmanager
def timed(timings_ms: dict[str, float], stage: str) -> Iterator[None]:
    """Notes how long what is done within took."""
    start = time.perf_counter()
    yield
    timings_ms[stage] = (time.perf_counter() - start) * 1e3
