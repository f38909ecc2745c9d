"""A simulated clip with the face of a written sequence: each frame is drawn when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib.metadata import version
from itertools import groupby

import numpy as np

from .. import __version__, config
from ..geometry import Intrinsics
from ..provenance import commit
from .layers import DERIVED, LAYERS
from .sequence import MILLIMETRE, USUAL, camera_json, derived
from .splits import Clip

# Sixteen bits of it reach beyond the 80 m where depth ends.
FAR_UNIT_M = 0.00125


class Film:
    """Reads as Sequence does. The scene is built at the first look, and freed by close().

    scene: an open simulation.scene.Scene that looks as the clip says; its owner closes it.
    """

    layers = (*LAYERS, *DERIVED)

    def __init__(self, clip: Clip, scene=None):
        self.clip, self._shared, self._moments, self._flows = clip, scene, {}, {}

    def __len__(self) -> int:
        return self.clip.frames

    def __getitem__(self, index: int) -> dict:
        return self.read(index % len(self) if -len(self) <= index < 0 else index)

    @property
    def intrinsics(self) -> Intrinsics:
        return self._scene.intrinsics

    @cached_property
    def about(self) -> dict:
        """What sequence.json holds."""
        from ..simulation.actors.people import JOINTS

        clip, scene = self.clip, self._scene
        return {
            "name": clip.name,
            "activity": clip.activity,
            "source": "simulated",
            "split": clip.split,
            "fps": clip.fps,
            "frames": clip.frames,
            "camera_model": scene.lens,
            "tool_version": tool_version(),
            "seed": clip.seed,
            "view": clip.view,
            "mount": scene.mount,
            "oversample": clip.oversample,
            "sensor": clip.sensor,
            "shutter_s": clip.shutter_s,
            "renderer": f"MuJoCo {version('mujoco')}, {scene.picture.renderer}",
            "joints": list(JOINTS),
        }

    @cached_property
    def camera(self) -> dict:
        """What camera.json holds."""
        source = f"sensor {self._scene.lens}" if self._sensor else "truth"
        unit_m = MILLIMETRE if self._sensor else FAR_UNIT_M
        return camera_json(self.intrinsics, unit_m, source)

    def read(self, index: int, layers: Iterable[str] = USUAL) -> dict:
        """As Sequence.read(); visible, box_amodal and hides of the instances are known where amodal is asked for."""
        from ..simulation import truth

        if not 0 <= index < len(self):
            raise IndexError(f"{self.clip.name} has {len(self)} frames, asked for number {index}")
        layers = tuple(layers)
        for name in layers:
            if name not in self.layers:
                raise ValueError(f"{self.clip.name} has no layer '{name}'; it has {', '.join(self.layers)}")
        scene, moment = self._scene, self._moment(index)
        cutouts = truth.amodal_masks(scene, moment) if "amodal" in layers else None
        frame = {
            "index": index,
            "stamp_ns": round(self._time_s(index) * 1e9),
            "world_from_camera": moment.world_from_camera,
            "checksum": self.checksum(index),
            "instances": [_row(one) for one in truth.instances(scene, moment, cutouts)],
        }
        make = {
            "color": lambda: self._color(index, moment),
            "depth_m": lambda: self._depth_m(index, moment),
            "truth_m": lambda: moment.depth_m,
            "ids": lambda: moment.ids,
            "ground": lambda: truth.ground_mask(scene, moment),
            "amodal": lambda: {who: cutout.full(*moment.ids.shape) for who, cutout in cutouts.items()},
            "flow_next": lambda: self._flow(index, 0),
            "flow_previous": lambda: self._flow(index - 1, 1),
        }
        frame |= {name: make[name]() for name in layers if name in make}
        return frame | {name: derived(name, moment.ids, frame["instances"]) for name in DERIVED if name in layers}

    def checksum(self, index: int) -> str:
        """Of the scene and the camera at a frame, which is not drawn."""
        return self._scene.checksum(self._time_s(index))

    def close(self) -> None:
        """Free the scene, unless it is shared; safe to call twice."""
        if self._shared is None and "_scene" in self.__dict__:
            self._scene.close()
            del self._scene

    @cached_property
    def _scene(self):
        return self._shared or open_scene(self.clip)

    @cached_property
    def _sensor(self):
        from ..simulation.sensor import SENSORS

        return SENSORS.get(self._scene.lens) if self.clip.sensor == "auto" else None

    @cached_property
    def _imager(self):
        from ..simulation.sensor_color import Imager

        return Imager.draw(self._rng()) if self.clip.sensor == "auto" else None

    def _rng(self, *of: int) -> np.random.Generator:
        """Noise follows from the clip and the frame: any frame can be drawn again by itself."""
        return np.random.default_rng((*self._scene.stream, 11, self.clip.view, *of))

    def _time_s(self, index: int) -> float:
        return index / self.clip.fps

    def _moment(self, index: int):
        """With the neighbours of the last one remembered, for flow."""
        if index not in self._moments:
            self._moments = {i: m for i, m in self._moments.items() if abs(i - index) <= 2}
            self._moments[index] = self._scene.render(self._time_s(index), truth=True)
        return self._moments[index]

    def _color(self, index: int, moment) -> np.ndarray:
        return self._imager.take(moment.color, self._rng(index, 0)) if self._imager else moment.color

    def _depth_m(self, index: int, moment) -> np.ndarray:
        if not self._sensor:
            return moment.depth_m
        return self._sensor.measure(moment.depth_m, moment.color, moment.intrinsics, self._rng(index, 1))

    def _flow(self, index: int, way: int) -> np.ndarray:
        """Between frame number index and the next: 0 forwards, 1 backwards."""
        from ..simulation import truth

        if not 0 <= index < len(self) - 1:
            return np.full((self.clip.height, self.clip.width, 2), np.nan, np.float32)
        if index not in self._flows:
            self._flows = {i: both for i, both in self._flows.items() if abs(i - index) < 2}
            self._flows[index] = truth.flows(self._scene, self._moment(index), self._moment(index + 1))
        flow, valid = self._flows[index][way]
        return np.where(valid[..., None], flow, np.float32(np.nan))


def tool_version() -> str:
    """What draws here and now, for sequence.json."""
    return f"instance_depth_ros {__version__}, {commit() or 'no commit'}"


def open_scene(clip: Clip):
    """The simulation.scene.Scene of a clip; RuntimeError says what to install where there is no simulation."""
    from ..simulation.scene import Scene

    where = clip.activity, clip.seed, clip.split, clip.width, clip.height
    return Scene(*where, clip.oversample, clip.view, _window_s(clip), clip.shutter_s)


def _window_s(clip: Clip) -> float:
    """How long the camera stands where nobody walks into it; a scene repeats itself after LOOP_S."""
    from ..simulation.actors.script import LOOP_S

    return min(clip.frames / clip.fps, LOOP_S)


def films(clips: Iterable[Clip]) -> Iterator[Film]:
    """A film of each clip; neighbours of the same scene share it. Be done with one before taking the next."""
    for _, group in groupby(clips, lambda c: (c.scene, c.width, c.height, c.oversample, c.shutter_s)):
        views = list(group)
        scene = open_scene(views[0])
        try:
            for clip in views:
                if clip is not views[0]:
                    scene.window_s = _window_s(clip)
                    scene.look(clip.view)
                yield Film(clip, scene)
        finally:
            scene.close()


def _row(one) -> dict:
    """A simulation.truth.Instance as a line of frames.jsonl has it: plain numbers, None for what is not known."""
    known = not np.isnan(one.visible)
    return {
        "id": one.id,
        "class": config.CLASSES[one.class_id],
        "box": one.box_px and list(one.box_px),
        "area": one.area_px,
        "visible": round(one.visible, 4) if known else None,
        "depth_m": None if np.isnan(one.depth_m) else round(one.depth_m, 4),
        "hides": list(one.hides) if known else None,
        "box_amodal": one.box_amodal_px and list(one.box_amodal_px),
        "still": one.still,
        "center_m": np.round(one.center_m, 4).tolist(),
        "size_m": np.round(one.size_m, 4).tolist(),
        "yaw_rad": round(one.yaw_rad, 4),
        "joints_m": None if one.joints_m is None else np.round(one.joints_m, 4).tolist(),
    }
