"""What is kept of a run to show it: small pictures of each frame, a dozen whole moments, the figures of the nodes."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from .frame import Instance
from .geometry import Intrinsics, valid

SMALL_WIDTH = 480
# Small depths are kept as one byte, logarithmic.
NEAREST_M, FARTHEST_M = 0.1, 100.0
SAMPLES = 12


@dataclass(frozen=True)
class Sample:
    """One whole moment: color (H, W, 3) RGB, depth_m (H, W), confidence (H, W) uint8, ids (H, W) uint16 and instances.

    truth_m and true_ids: of a simulated one.
    """

    stamp_ns: int
    color: np.ndarray
    depth_m: np.ndarray
    confidence: np.ndarray
    ids: np.ndarray | None = None
    instances: tuple[Instance, ...] = ()
    truth_m: np.ndarray | None = None
    true_ids: np.ndarray | None = None

    @property
    def depths_m(self) -> list[np.ndarray]:
        """The truth, where it is known, and the estimate."""
        return [self.depth_m] if self.truth_m is None else [self.truth_m, self.depth_m]


class Small:
    """A Sample without its confidence in a few kilobytes, at SMALL_WIDTH; whole() gives it back, but for what is lost.

    Colour is a JPEG, depths are a byte a pixel, ids are as they were.
    """

    def __init__(self, sample: Sample):
        self.stamp_ns, self._instances = sample.stamp_ns, sample.instances
        self._color, self._depths = jpeg(sample.color), list(map(depth_code, sample.depths_m))
        self._ids = [None if ids is None else id_code(ids) for ids in (sample.ids, sample.true_ids)]

    def whole(self) -> Sample:
        color = cv2.cvtColor(cv2.imdecode(np.frombuffer(self._color, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        *truth_m, depth_m = map(depth_from_code, self._depths)
        ids, true_ids = (None if code is None else _pixels(code) for code in self._ids)
        return Sample(
            self.stamp_ns, color, depth_m, None, ids, self._instances, truth_m[0] if truth_m else None, true_ids
        )


@dataclass
class Record:
    """What was seen. small: of each frame; samples: a dozen whole ones; figures: by node.

    spans_ns: the first and last stamp of each identity.
    """

    small: list[Small] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    intrinsics: Intrinsics | None = None
    arrivals: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    rel: list[float] = field(default_factory=list)
    sigma1: list[float] = field(default_factory=list)
    instance_counts: list[int] = field(default_factory=list)
    spans_ns: dict[int, tuple[int, int]] = field(default_factory=dict)
    middle_m: float = float("nan")
    figures: dict[str, dict[str, str]] = field(default_factory=dict)
    _interval_ns: int = 0

    def add(self, sample: Sample) -> None:
        """Keep it small, and whole when it is due: samples stay even over time, however long that is."""
        self.small.append(Small(sample))
        height, width = sample.depth_m.shape
        self.middle_m = float(sample.depth_m[height // 2, width // 2])
        self.instance_counts.append(len(sample.instances))
        for instance in sample.instances:
            first_ns, _ = self.spans_ns.get(instance.id, (sample.stamp_ns, 0))
            self.spans_ns[instance.id] = first_ns, sample.stamp_ns
        if self.samples and sample.stamp_ns - self.samples[-1].stamp_ns < self._interval_ns:
            return
        self.samples.append(sample)
        if len(self.samples) > SAMPLES:
            del self.samples[1::2]
            self._interval_ns = (self.samples[-1].stamp_ns - self.samples[0].stamp_ns) // (len(self.samples) - 1)


def jpeg(color: np.ndarray) -> bytes:
    """A small JPEG of (H, W, 3) RGB."""
    small = cv2.resize(color, _small(color), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def depth_code(depth_m: np.ndarray) -> bytes:
    """A small PNG of log depth: 1..255 from NEAREST_M to FARTHEST_M, 0 invalid."""
    small = cv2.resize(depth_m, _small(depth_m), interpolation=cv2.INTER_NEAREST)
    known = valid(small)
    share = np.log(np.where(known, small, 1) / NEAREST_M) / np.log(FARTHEST_M / NEAREST_M)
    code = np.where(known, np.clip(1 + 254 * share, 1, 255), 0).astype(np.uint8)
    return cv2.imencode(".png", code, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def id_code(ids: np.ndarray) -> bytes:
    """A small PNG of an (H, W) uint16 id image."""
    small = cv2.resize(ids, _small(ids), interpolation=cv2.INTER_NEAREST)
    return cv2.imencode(".png", small, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def depth_from_code(png: bytes) -> np.ndarray:
    """(h, w) metres, NaN invalid, of what depth_code() made; within 1.4 %."""
    metres = (NEAREST_M * (FARTHEST_M / NEAREST_M) ** ((np.arange(256) - 0.5) / 254)).astype(np.float32)
    metres[0] = np.nan
    return metres[_pixels(png)]


def _pixels(png: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


def _small(picture) -> tuple[int, int]:
    height, width = picture.shape[:2]
    return SMALL_WIDTH, 2 * round(height * SMALL_WIDTH / width / 2)
