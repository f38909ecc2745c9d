"""A frame's way: cut? -> prepare -> network, memory -> sightings -> steady -> scale -> track -> full size -> sensor."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from types import SimpleNamespace

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from . import borders, config, fusion, ground, on_device, scale, sightings, tracking
from .carrying import carried
from .describe import describe
from .engine import Engine
from .fade import Fade
from .frame import SOURCE_NETWORK, SOURCE_NETWORK_SCALED, SOURCE_SENSOR, Estimate, Frame, timed
from .geometry import Intrinsics, cloud, rays, sampled, within
from .ground import Ground, Stance
from .labels import looked_up
from .model import checkpoint
from .model.adaptive import AdaptiveMemory
from .model.memory import Memory
from .model.network import Prediction
from .model.preprocess import lens_planes, network_size, output_size, prepare
from .model.ranges import MIN_DEPTH_M
from .model.scene_cut import difference, thumbnail
from .motion import brightness, camera_motion, pose_motion
from .process import keep_memory
from .scale import Scale
from .sightings import Seen
from .steady import Still, steady
from .tracking import Identity, Tracks, track

log = logging.getLogger(__name__)
MEMORIES = {"vda": Memory, "adaptive": AdaptiveMemory, "none": Memory}
UNKNOWN_CONFIDENCE = 128  # official weights do not say how sure they are


@dataclass
class State:
    """All that belongs to one stream. step() consumes it; clone() forks it; a new one is a reset.

    Of the last frame: thumbnail; grey (h, w) uint8; its depth, still; world_from_camera. Of the last one in which the
    network looked for instances: seen and identities; carried: frames since then. fade: of the last key frames. scale:
    of the network's metres; sensor: how they, or disparity, differ from what a depth sensor measures.
    """

    memory: Memory = field(default_factory=Memory)
    tracks: Tracks = field(default_factory=Tracks)
    stamp_ns: int = 0
    size: tuple[int, int] = (0, 0)
    thumbnail: np.ndarray | None = None
    grey: np.ndarray | None = None
    still: Still | None = None
    world_from_camera: np.ndarray | None = None
    seen: Seen | None = None
    identities: list[Identity | None] = field(default_factory=list)
    carried: int = 0
    fade: Fade | None = None
    scale: Scale = field(default_factory=Scale)
    sensor: fusion.Known = fusion.Known()

    def clone(self) -> State:
        return replace(self, memory=self.memory.clone(), tracks=self.tracks.clone())

    @property
    def at_sensor_scale(self) -> bool:
        """Whether the last frame's depth was brought to that of a depth sensor."""
        heeded = any(anchor.name == "sensor" and anchor.holds for anchor in self.scale.anchors)
        return heeded or bool(self.sensor.ratios or self.sensor.alignment)

    def renewed(self) -> State:
        """A new state in which no identity is given that this one has given."""
        return State(tracks=self.tracks.reset(self.stamp_ns))


class Estimator:
    """Frames in, estimates out: the same for the node, the benchmark, the evaluation and ten lines of Python.

    settings: config.make('depth', ...), read at each frame: a live setting acts at the next one. engine: one that
    estimators of several threads share (sharing.py); None: its own. relative: no metres. info: what runs. instances:
    whose; `none` where the weights have none. said, seen: the network's words on the last frame, its instances before
    identities. on_device: pictures stay with the network; cloud: as geometry.cloud, there, too.
    """

    def __init__(self, settings: SimpleNamespace | None = None, engine: Engine | None = None):
        self.settings = settings or config.make("depth")
        keep_memory()
        self.engine = engine or Engine.of(self.settings)
        self.relative, self._sha256 = self.engine.relative, checkpoint.sha256(self.settings.weights)
        self.on_device = self.engine.config.ours and self.engine.device.type == "cuda"
        self.cloud = partial(on_device.cloud, device=self.engine.device) if self.on_device else cloud
        self.instances, self._segmenter = self._source(), None
        if self.instances == "hf":
            from .segmenters import Segmenter  # transformers is optional

            self._segmenter = Segmenter(self.settings)
        self._beside = ThreadPoolExecutor(1, "beside-network")
        self.said: Prediction | None = None
        self.seen: Seen | None = None
        self._lens: tuple[tuple, torch.Tensor] | None = None
        self._assumed = False

    def _source(self) -> str:
        """Where instances come from, and a line where nowhere."""
        asked = self.settings.instances
        if asked != "none" and self.relative:
            why = "without metres"
        elif asked == "network" and not self.engine.config.queries:
            why = "they know of none; take other weights, or instances hf or topic"
        else:
            return asked
        log.info("no instances with weights '%s': %s", self.settings.weights, why)
        return "none"

    @property
    def info(self) -> dict[str, str]:
        """What runs: engine, precision, device, weights, memory rule; and what was refused."""
        return {
            "weights": self.settings.weights,
            "weights_sha256": self._sha256,
            "network": self.engine.config.name,
            "kind": "relative" if self.relative else "metric",
            "memory": self.settings.memory,
            "instances": self.instances,
            **self.engine.info,
        }

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
            image = self._prepare(frame.color, size)
            lens = self._lens_planes(intrinsics.resized(size[1], size[0]))
            output = output_size(size, self.engine.config)
            motion = self._beside.submit(self._foresee, frame, self._grey(image, output), intrinsics, state)
        with timed(timings, "segment"):
            given, masks = self._given(frame, output, motion, state)
        with timed(timings, "network"):
            self.said = says = self._ask(image, lens, masks, state)
        with timed(timings, "instances"):
            depth_m, confidence = self._read(says)
            seen = self._see(says, depth_m, given, state)
        with timed(timings, "steady"):
            depth_m = self._steady(frame, depth_m, seen, motion.result(), state)
        with timed(timings, "scale"):
            depth_m, seen, *floor = self._scaled(frame, depth_m, seen, intrinsics, state)
        with timed(timings, "track"):
            if seen is not None:
                seen, confidence = ground.doubted(seen, confidence, intrinsics, *floor)
            identities = self._identify(frame, seen, state)
        with timed(timings, "upsample"):
            full, confidence, labels = self._full_size(depth_m, confidence, seen, frame.size)
        with timed(timings, "fuse"):
            how = self.settings.fuse, self.relative
            full, measured, state.sensor = fusion.fuse(full, frame.depth_m, frame.stamp_ns, *how, state.sensor)
            if measured is not None and seen is not None:
                seen = sightings.with_layers(seen, np.fmax(sampled(full, depth_m.shape), MIN_DEPTH_M))
        self.seen = seen
        with timed(timings, "finish"):
            estimate = self._estimate(frame, intrinsics, full, confidence, measured, state)
            if seen is not None:
                pixels = np.array([0, *(identity.pixel if identity else 0 for identity in identities)], np.uint16)
                told = describe(seen, labels, identities, estimate.depth_m, intrinsics)
                estimate = replace(estimate, ids=looked_up(pixels, labels), instances=told)
        detail_px = frame.size[0] / depth_m.shape[0]
        return replace(estimate, detail_px=detail_px, scale=state.scale.factor, reset=reset, timings_ms=timings), state

    def _follow(self, frame: Frame, state: State | None) -> tuple[State, str]:
        """The state to go on with, and why its memory was dropped, '' if it was not."""
        view = thumbnail(frame.color)
        reason = "start" if state is None else self._break(frame, view, state)
        state = state or State()
        if state.size != frame.size:
            state.memory = MEMORIES[self.settings.memory]()
        elif reason:
            state.memory.reset()
        if reason:
            state.grey = state.still = state.world_from_camera = state.seen = state.fade = None
            state.scale, state.sensor = Scale(), fusion.Known()
            # what was seen before a gap may be there still: tracks age by time
            if reason not in ("start", "gap"):
                state.tracks = state.tracks.reset(state.stamp_ns)
        state.stamp_ns, state.size, state.thumbnail = frame.stamp_ns, frame.size, view
        return state, reason

    def _break(self, frame: Frame, view: np.ndarray, state: State) -> str:
        """Why this frame does not continue the stream, '' if it does."""
        if state.thumbnail is None:
            return "start"
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
        """The network's view of the lens, made once a camera; official weights take none."""
        if not self.engine.config.ours:
            return None
        if self._lens is None or self._lens[0] != intrinsics:
            planes = torch.from_numpy(lens_planes(intrinsics, self.engine.config.canonical_focal_px))[None]
            self._lens = (intrinsics, planes.to(self.engine.device))
        return self._lens[1]

    def _given(
        self, frame: Frame, output: tuple[int, int], motion: Future, state: State
    ) -> tuple[Seen | None, torch.Tensor | None]:
        """Instances that the network need not look for, and the masks of them that it is to refine."""
        if self.instances == "topic":
            given = sightings.from_ids(frame.ids, frame.size, output)
        elif self.instances == "hf":
            given = sightings.from_segments(self._segmenter(frame.color), frame.size, output)
        elif state.seen is not None and state.carried + 1 < self.settings.instance_every:
            state.carried += 1
            motion.result()
            given = carried(state.seen, state.identities, state.tracks)
        else:
            return None, None
        queries = self.engine.config.queries
        return given, sightings.mask_logits(given.labels, queries).to(self.engine.device) if queries else None

    def _ask(
        self, image: torch.Tensor, lens: torch.Tensor | None, masks: torch.Tensor | None, state: State
    ) -> Prediction:
        """What the network says with what it remembers; twice, where key frames change, and without a jump."""
        if self.settings.memory == "none":
            return self.engine(image, lens, None, masks, self.instances != "none")
        before = None
        if state.memory.expect(state.stamp_ns):
            before = self._faded(self.engine(image, lens, state.memory, None, False), state)
        says = self.engine(image, lens, state.memory, masks, self.instances != "none")
        if before is not None:
            state.fade = Fade.between(says.holistic, before.holistic, state.stamp_ns, self.relative)
        return self._faded(says, state)

    @staticmethod
    def _faded(says: Prediction, state: State) -> Prediction:
        return says if state.fade is None else state.fade.apply(says, state.stamp_ns)

    def _read(self, says: Prediction) -> tuple[np.ndarray, np.ndarray]:
        """(h, w) depth, refined or not, and confidence as uint8."""
        depth = (says.depth if self.settings.rectify else says.holistic)[0].float().cpu().numpy()
        if says.logit is None:
            return depth, np.full(depth.shape, UNKNOWN_CONFIDENCE, np.uint8)
        # only a sensor is quite sure
        return depth, torch.sigmoid(says.logit[0].float()).mul(255).clamp(max=254).byte().cpu().numpy()

    def _see(self, says: Prediction, depth_m: np.ndarray, given: Seen | None, state: State) -> Seen | None:
        """What instances there are, with their depth layers; None: nobody asks."""
        if self.instances == "none":
            return None
        if given is not None:
            return sightings.completed(given, depth_m, says.instances)
        seen = sightings.from_network(says.instances, self.settings.instance_threshold)
        state.seen, state.carried = seen if self.settings.rectify else sightings.with_layers(seen, depth_m), 0
        return state.seen

    def _grey(self, image: torch.Tensor, size: tuple[int, int]) -> np.ndarray | None:
        """(h, w) uint8 by which the camera's motion is found; None where nobody asks for that."""
        steadies = self.settings.steady_s > 0 and self.settings.memory != "none" and not self.relative
        return brightness(image, size) if steadies or self.instances not in ("none", "topic") else None

    def _foresee(self, frame: Frame, grey: np.ndarray | None, lens: Intrinsics, state: State) -> np.ndarray | None:
        """How the camera moved since the last frame, by its pose or by the background, and where tracks are to be now.

        None: there is nothing to go on from. Only pictures are asked, so that it can be done beside the network.
        """
        if grey is None:
            return None
        motion = None
        if frame.world_from_camera is not None and state.world_from_camera is not None:
            h, w = grey.shape
            motion = pose_motion(state.world_from_camera, frame.world_from_camera, lens.resized(w, h))
        elif state.grey is not None and state.grey.shape == grey.shape:
            motion = camera_motion(state.grey, grey, state.still and state.still.moving)
        state.grey, state.world_from_camera = grey, frame.world_from_camera
        state.tracks = tracking.foresee(state.tracks, frame.stamp_ns, motion)
        return motion

    def _steady(
        self, frame: Frame, depth_m: np.ndarray, seen: Seen | None, motion: np.ndarray | None, state: State
    ) -> np.ndarray:
        """(h, w) depth in which still surfaces keep theirs."""
        if self.relative:
            return depth_m
        # where instances were is asked for even where nothing is averaged: corners on them tell nothing of the camera
        average_s = 0.0 if self.settings.memory == "none" else self.settings.steady_s
        moving = np.zeros(depth_m.shape, bool) if seen is None else seen.labels > 0
        depth_m, state.still = steady(depth_m, moving, frame.stamp_ns, motion, state.still, average_s)
        return depth_m

    def _scaled(
        self, frame: Frame, depth_m: np.ndarray, seen: Seen | None, intrinsics: Intrinsics, state: State
    ) -> tuple[np.ndarray, Seen | None, Ground | None, Stance | None]:
        """Depth and layers in metres as long as anchors say, the ground in them, and how instances stand on it."""
        if self.relative:
            return depth_m, seen, None, None
        ray, asked = rays(intrinsics.resized(*depth_m.shape[::-1])), self.settings.scale_anchors.split(",")
        if any(anchor.name not in asked for anchor in state.scale.anchors):
            state.scale = Scale()  # what was found out by an anchor that is not wanted any more
        labels = np.zeros(depth_m.shape, np.uint16) if seen is None else seen.labels
        stands = frame.floor is not None or self.settings.camera_height_m > 0
        floor = ground.fit(depth_m, labels, ray) if labels.any() or ("height" in asked and stands) else None
        stance = None if seen is None or floor is None else ground.stance(floor, depth_m, seen.labels, ray, seen.boxes)
        said = scale.listen(asked, frame, self.settings.camera_height_m, depth_m, seen, floor, stance, ray)
        state.scale = state.scale.after(said, frame.stamp_ns)
        if (factor := state.scale.factor) == 1:
            return depth_m, seen, floor, stance
        return depth_m * np.float32(factor), seen and seen.times(factor), floor and floor.times(factor), stance

    def _identify(self, frame: Frame, seen: Seen | None, state: State) -> list[Identity | None]:
        """Who is who: of a topic as it says, of what was carried as before, else by tracking."""
        if seen is None:
            return []
        if self.instances == "topic":
            pairs = zip(seen.ids.tolist(), seen.class_id.tolist(), strict=True)
            return [Identity(number, number, 0.0, class_id) for number, class_id in pairs]
        if seen.ids is not None:
            return tracking.named(state.tracks, seen.ids)
        state.identities, state.tracks = track(seen.sightings(), state.tracks, frame.stamp_ns, None, self.settings)
        return state.identities

    def _prepare(self, color: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
        """The network's input of this size."""
        if self.on_device:
            return on_device.prepare(color, size, self.engine.device)
        return prepare(color, size, self.engine.config)

    def _full_size(
        self, depth_m: np.ndarray, confidence: np.ndarray, seen: Seen | None, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Depth (or disparity), confidence and labels of the picture; labels are None where nobody asks."""
        confidence = cv2.resize(confidence, size[::-1], interpolation=cv2.INTER_LINEAR)
        if self.on_device:
            full, labels = on_device.full_size(depth_m, seen, size, self.engine.device)
            return full, confidence, labels
        labels = None if seen is None else seen.at_full_size(size)
        if not self.engine.config.ours:
            full = F.interpolate(torch.from_numpy(depth_m)[None, None], size, mode="bilinear", align_corners=True)
            return full[0, 0].numpy(), confidence, labels
        if seen is None:
            return cv2.resize(depth_m, size[::-1], interpolation=cv2.INTER_LINEAR), confidence, None
        return borders.upsample(depth_m, seen.labels, labels, seen.depth_m), confidence, labels

    def _estimate(
        self, frame: Frame, intrinsics: Intrinsics, raw: np.ndarray, confidence: np.ndarray,
        measured: np.ndarray | None, state: State,
    ) -> Estimate:  # fmt: skip
        """Limits, and who said what."""
        settings, about = self.settings, (frame.stamp_ns, frame.frame_id, intrinsics)
        source = np.full(frame.size, SOURCE_NETWORK_SCALED if state.at_sensor_scale else SOURCE_NETWORK, np.uint8)
        if self.relative and state.sensor.alignment is None:
            return Estimate(*about, None, confidence, source, disparity=raw)
        if measured is not None:
            confidence[measured], source[measured] = 255, SOURCE_SENSOR
        good = within(raw, settings.max_depth_m)
        if settings.min_confidence > 0:
            good &= cv2.inRange(confidence, ceil(settings.min_confidence * 255), 255)
        if cv2.countNonZero(good) < good.size:
            confidence &= good
            source &= good  # SOURCE_NONE is 0
            np.copyto(raw, np.nan, where=good == 0)
        return Estimate(*about, raw, confidence, source)
