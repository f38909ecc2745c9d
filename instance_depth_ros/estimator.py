"""The way of a frame: cut? -> prepare -> network with memory -> metres -> full size -> sensor -> Estimate."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from . import config
from .engine import Engine
from .frame import SOURCE_NETWORK, SOURCE_NONE, SOURCE_SENSOR, Estimate, Frame
from .geometry import Intrinsics, valid
from .model import checkpoint
from .model.memory import Memory
from .model.preprocess import lens_planes, network_size, prepare
from .model.scene_cut import difference, thumbnail

log = logging.getLogger(__name__)
UNKNOWN_CONFIDENCE = 128  # official weights do not say how sure they are


@dataclass
class State:
    """All that belongs to one stream. step() consumes it; clone() forks it; a new one is a reset."""

    memory: Memory = field(default_factory=Memory)
    stamp_ns: int = 0
    size: tuple[int, int] = (0, 0)
    thumbnail: np.ndarray | None = None

    def clone(self) -> State:
        return replace(self, memory=self.memory.clone())


class Estimator:
    """Frames in, estimates out: the same for the node, the benchmark, the evaluation and ten lines of Python.

    settings: config.make('depth', ...), read at each frame, so that a live setting acts at the next one.
    relative: the weights give disparity, no metres. info: what runs, for diagnostics.
    """

    def __init__(self, settings: SimpleNamespace | None = None):
        self.settings = settings or config.make("depth")
        network, kind = checkpoint.load(self.settings.weights)
        if self.settings.weights_kind != "auto" and not network.config.ours:
            kind = self.settings.weights_kind
        self.relative = kind == "relative"
        self.engine = Engine(network, self.settings.device, self.settings.precision, self.settings.threads)
        self._lens: tuple[tuple, torch.Tensor] | None = None
        self._assumed = False

    @property
    def info(self) -> dict[str, str]:
        """What runs: engine, precision, device, weights, memory rule; and what was refused."""
        info = {
            "engine": self.engine.name,
            "precision": self.engine.precision,
            "device": str(self.engine.device),
            "weights": self.settings.weights,
            "network": self.engine.config.name,
            "kind": "relative" if self.relative else "metric",
            "memory": self.settings.memory,
        }
        return info | {f"refused {name}": why for name, why in self.engine.refused.items()}

    def warm_up(self, height: int = 480, width: int = 640) -> None:
        """Two frames through everything, so that the first real one is not the slow one."""
        color, lens, state = np.zeros((height, width, 3), np.uint8), Intrinsics.from_fov(width, height, 60.0), None
        for stamp_ns in (0, 1):
            _, state = self.step(Frame(color, stamp_ns, intrinsics=lens), state)

    def step(self, frame: Frame, state: State | None = None) -> tuple[Estimate, State]:
        """One frame of a stream. state: what the last step returned; None begins a stream."""
        timings: dict[str, float] = {}
        intrinsics = frame.intrinsics or self._assume(frame)
        with timed(timings, "preprocess"):
            state, reset = self._follow(frame, state)
            size = network_size(*frame.size, self.engine.config, self.settings.network_short_side)
            lens_of_input = intrinsics.resized(size[1], size[0])
            image = prepare(frame.color, size, self.engine.config)
            lens = self._lens_planes(lens_of_input)
        with timed(timings, "network"):
            raw, logit = self.engine(image, lens, None if self.settings.memory == "none" else state.memory)
        detail_px = frame.size[0] / raw.shape[-2]
        with timed(timings, "upsample"):
            raw, confidence = self._full_size(raw, logit, frame.size, lens_of_input)
        with timed(timings, "finish"):
            estimate = self._estimate(frame, intrinsics, raw, confidence, reset)
        return replace(estimate, detail_px=detail_px, timings_ms=timings), state

    def _follow(self, frame: Frame, state: State | None) -> tuple[State, str]:
        """The state to go on with, and why its memory was dropped, '' if it was not."""
        view = thumbnail(frame.color)
        reason = "start" if state is None else self._break(frame, view, state)
        state = state or State()
        if state.size != frame.size:
            state.memory = Memory()
        elif reason:
            state.memory.reset()
        state.stamp_ns, state.size, state.thumbnail = frame.stamp_ns, frame.size, view
        return state, reason

    def _break(self, frame: Frame, view: np.ndarray, state: State) -> str:
        """Why this frame does not continue the stream, '' if it does."""
        gap_s = (frame.stamp_ns - state.stamp_ns) / 1e9
        if frame.size != state.size:
            return "size changed"
        if gap_s < 0:
            return "stamps went back"
        if gap_s > self.settings.reset_gap_s:
            return "gap"
        if difference(view, state.thumbnail) > self.settings.cut_threshold:
            return "scene cut"
        return ""

    def _assume(self, frame: Frame) -> Intrinsics:
        height, width = frame.size
        if not self._assumed:
            self._assumed = True
            log.warning(
                "no CameraInfo: a horizontal field of view of %g degrees is assumed, and metres are as good as that; "
                "give camera_info or assumed_fov_deg",
                self.settings.assumed_fov_deg,
            )
        return Intrinsics.from_fov(width, height, self.settings.assumed_fov_deg, assumed=True)

    def _lens_planes(self, intrinsics: Intrinsics) -> torch.Tensor | None:
        """The network's view of the lens, made once a camera; a ViT takes none."""
        if self.engine.config.encoder == "vit":
            return None
        if self._lens is None or self._lens[0] != intrinsics:
            planes = torch.from_numpy(lens_planes(intrinsics, self.engine.config.canonical_focal_px))[None]
            self._lens = (intrinsics, planes.to(self.engine.device, self.engine.dtype))
        return self._lens[1]

    def _full_size(self, raw: torch.Tensor, logit: torch.Tensor | None, size: tuple[int, int], lens: Intrinsics):
        """Depth (or disparity) and confidence at the picture's size; ours scaled from its lens to this one."""
        if not self.engine.config.ours:
            full = F.interpolate(raw[None].float(), size, mode="bilinear", align_corners=True)[0, 0]
            return F.relu(full).cpu().numpy(), np.full(size, UNKNOWN_CONFIDENCE, np.uint8)
        metres = raw[0] * (lens.focal_px / self.engine.config.canonical_focal_px)
        sure = torch.sigmoid(logit[0]).mul(255).clamp(max=254).byte()  # only a sensor is quite sure
        return tuple(
            cv2.resize(x.cpu().numpy(), size[::-1], interpolation=cv2.INTER_LINEAR) for x in (metres.float(), sure)
        )

    def _estimate(
        self, frame: Frame, intrinsics: Intrinsics, raw: np.ndarray, confidence: np.ndarray, reset: str
    ) -> Estimate:
        """Limits, sensor depth where it is asked for, and who said what."""
        source = np.full(frame.size, SOURCE_NETWORK, np.uint8)
        if self.relative:
            return Estimate(
                frame.stamp_ns, frame.frame_id, intrinsics, None, confidence, source, disparity=raw, reset=reset
            )
        settings = self.settings
        if frame.depth_m is not None and settings.fuse == "replace":
            measured = valid(frame.depth_m)
            np.copyto(raw, frame.depth_m, where=measured)
            confidence[measured], source[measured] = 255, SOURCE_SENSOR
        bad = ~((raw > 0) & (raw <= settings.max_depth_m))
        if settings.min_confidence > 0:
            bad |= confidence < settings.min_confidence * 255
        for array, nothing in ((raw, np.nan), (confidence, 0), (source, SOURCE_NONE)):
            np.copyto(array, nothing, where=bad)
        return Estimate(frame.stamp_ns, frame.frame_id, intrinsics, raw, confidence, source, reset=reset)


@contextmanager
def timed(timings: dict[str, float], stage: str):
    start = time.perf_counter()
    yield
    timings[stage] = (time.perf_counter() - start) * 1e3
