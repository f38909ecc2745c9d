"""A ROS 2 bag with the face of a sequence folder: random access to its frames, nothing is written (docs/dataset.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from .. import config
from ..geometry import Intrinsics, depth_from_millimetres, millimetres_from_depth
from ..image_encodings import rigid
from ..recording.bag import BagError
from ..recording.indexed import IndexedBag
from ..recording.transforms import TF, Transforms
from ..registration import register
from ..table import ROW
from . import bag_streams
from .bag_streams import LINES, MASKS, POSE, TABLE
from .film import tool_version
from .instance_rows import rows_from_table
from .layers import DERIVED, METRE
from .sequence import MILLIMETRE, USUAL, camera_json, derived


class BagSequence:
    """Reads as Sequence does. A frame is a moment of which all layers were recorded; left_out counts the others.

    without: layers to do without. depth: whose depth_m is: the sensor's, or the network's 'estimate', never one for the
    other. masks: whose, of bag_streams.MASKS, '' the first that there are. missing: layer -> why it is not there.
    BagError where there is no frame.
    """

    def __init__(
        self,
        path: str | Path,
        without: Iterable[str] = (),
        depth: str = "sensor",
        masks: str = "",
        color_topic: str = "",
        depth_topic: str = "",
    ):
        self.folder = Path(path)
        self._bag = IndexedBag(self.folder)
        self._tf = Transforms(self._bag.messages(TF))
        topics = color_topic, depth_topic
        self._streams = bag_streams.choose(self._bag, self._tf, without, depth, masks, *topics)
        self._pictures, self.missing = self._streams.by_layer, self._streams.missing
        self.layers = (*self._pictures, *(DERIVED if "ids" in self._pictures else ()))
        self._places, self.left_out = bag_streams.moments(self._streams)
        if not len(self):
            why = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
            raise BagError(f"{path} holds no moment of {', '.join(self._pictures)} ({why or 'no colour'}); do without?")
        self._rows = self._bag.entries[self._pictures["color"].topic][self._places["color"]]
        self._fixed = self._tf.fixed_above(self._pictures["color"].frame_id)

    @cached_property
    def intrinsics(self) -> Intrinsics:
        """Of the first calibrated CameraInfo; without one a field of view is assumed, which camera.json says."""
        size = self._pictures["color"].color(self._places["color"][0]).shape[:2]
        lens = self._streams.lens(self._pictures["color"].topic)
        if lens is None:
            return Intrinsics.from_fov(*size[::-1], config.BY_NAME["assumed_fov_deg"].default, assumed=True)
        lens.check(size)
        return lens

    @cached_property
    def camera(self) -> dict:
        """What camera.json holds."""
        depth, color_from_depth, unit_m, source = (
            self._pictures.get("depth_m"),
            self._streams.color_from_depth,
            MILLIMETRE,
            "none",
        )
        original = self._original("camera.json")
        if depth:
            unit_m = METRE if depth.floats and color_from_depth is None else MILLIMETRE
            source = f"{self._streams.depth} {depth.topic}"
            if self._streams.depth == "sensor":
                source = original.get("depth_source", source)
        more = {"frame_id": self._pictures["color"].frame_id}
        if color_from_depth is not None:
            more["color_from_depth"] = color_from_depth.tolist()
        elif "color_from_depth" in original:
            more["color_from_depth"] = original["color_from_depth"]
        if self.intrinsics.assumed:
            more["assumed"] = True
        return original | camera_json(self.intrinsics, unit_m, source, **more)

    @cached_property
    def about(self) -> dict:
        """What sequence.json holds; of a bag that was imported, what it was."""
        told, steps = self._bag.metadata.get("provenance", {}), np.diff(self._rows["stamp_ns"])
        step_ns = float(np.median(steps)) if len(steps) else 0.0
        return {
            "name": self.folder.stem if self.folder.is_file() else self.folder.name,
            "activity": told.get("activity") or None,
            "source": "recorded",
            "split": None,
            "fps": round(1e9 / step_ns, 3) if step_ns > 0 else None,
            "camera_model": told.get("camera_model") or told.get("camera") or None,
            "tool_version": tool_version(),
            **self._original("sequence.json"),
            "frames": len(self),
            "masks": self._streams.masks or None,
            "topics": {name: pictures.topic for name, pictures in self._pictures.items()},
            "left_out": self.left_out,
        }

    def __len__(self) -> int:
        return len(self._places["color"])

    def __getitem__(self, index: int) -> dict:
        number = index % len(self) if -len(self) <= index < 0 else index
        return self.read(number, [name for name in USUAL if name in self.layers])

    def frame(self, index: int) -> dict:
        """As Sequence.frame(); received_ns: when the colour came; depth_stamp_ns: where depth has another stamp."""
        return self._frame(index, self._ids(index))

    def read(self, index: int, layers: Iterable[str] = USUAL) -> dict:
        """As Sequence.read(). ValueError names a message that is damaged."""
        layers = self._checked(layers)
        ids = self._ids(index)
        frame = self._frame(index, ids)
        for name in layers:
            frame[name] = derived(name, ids, frame["instances"]) if name in DERIVED else self._array(name, index, ids)
        return frame

    def coded(self, index: int, layers: Iterable[str]) -> dict:
        """As Sequence.coded(); what has no file that holds the same bits, raw colour and metres, are arrays."""
        frame = self.frame(index)
        for name in (name for name in self._checked(layers) if name not in DERIVED):
            pictures, place = self._pictures[name], self._places[name][index]
            if name == "color":
                frame[name] = pictures.color_code(place)
            elif name == "ids":
                frame[name] = pictures.ids_code(place)
            elif name == "depth_m" and self._streams.color_from_depth is None:
                frame[name] = pictures.depth_code(place)
            else:
                frame[name] = self._array(name, index, None)
        return frame

    def close(self) -> None:
        """Safe to call twice."""
        self._bag.close()

    def _checked(self, layers: Iterable[str]) -> list[str]:
        layers = list(layers)
        for name in layers:
            if name not in self.layers:
                why = f": {self.missing[name]}" if name in self.missing else ""
                raise ValueError(f"{self.folder} has no layer '{name}'{why}; it has {', '.join(self.layers)}")
        return layers

    def _ids(self, index: int) -> np.ndarray | None:
        pictures = self._pictures.get("ids")
        return pictures and pictures.ids(self._places["ids"][self._in_range(index)])

    def _array(self, name: str, index: int, ids: np.ndarray | None) -> np.ndarray:
        pictures, place = self._pictures[name], self._places[name][self._in_range(index)]
        if name == "color":
            return pictures.color(place)
        if name == "ids":
            return ids
        depth_m = pictures.depth_m(place)
        if name == "depth_m" and self._streams.color_from_depth is not None:
            lens, pose = self._streams.lens(pictures.topic), self._streams.color_from_depth
            depth_m = register(depth_m, lens, self.intrinsics, pose)
            # what a sequence folder keeps of it, and the sensor told no more
            depth_m = depth_from_millimetres(millimetres_from_depth(depth_m))
        return depth_m

    def _frame(self, index: int, ids: np.ndarray | None) -> dict:
        row = self._rows[self._in_range(index)]
        frame = {"index": index, "stamp_ns": int(row["stamp_ns"]), "received_ns": int(row["log_ns"])}
        if "depth_m" in self._pictures:
            entries = self._bag.entries[self._pictures["depth_m"].topic]
            depth_ns = int(entries["stamp_ns"][self._places["depth_m"][index]])
            if depth_ns != frame["stamp_ns"]:
                frame["depth_stamp_ns"] = depth_ns
        if (number := self._lines[index]) >= 0:
            line = json.loads(self._message(LINES, number).data) | frame
            if line.get("world_from_camera") is not None:
                line["world_from_camera"] = np.array(line["world_from_camera"], np.float64)
            return line
        return frame | {"world_from_camera": self._pose(index), "instances": self._instances(index, ids)}

    def _pose(self, index: int) -> np.ndarray | None:
        if (number := self._poses[index]) >= 0:
            pose = self._message(POSE, number).pose
            return rigid(pose.position, pose.orientation)
        if not self._fixed:
            return None
        return self._tf.at(self._fixed, self._pictures["color"].frame_id, int(self._rows["stamp_ns"][index]))

    def _instances(self, index: int, ids: np.ndarray | None) -> list[dict]:
        if ids is None:
            return []
        table, number = np.zeros(0, ROW), self._tables[index]
        if number >= 0:
            table = np.frombuffer(self._message(MASKS[self._streams.masks] + TABLE, number).data, ROW)
        return rows_from_table(ids, table)

    @cached_property
    def _lines(self) -> np.ndarray:
        return bag_streams.same(self._rows["log_ns"], self._streams.entries(LINES)["log_ns"])

    @cached_property
    def _poses(self) -> np.ndarray:
        return bag_streams.same(self._rows["stamp_ns"], self._streams.entries(POSE)["stamp_ns"])

    @cached_property
    def _tables(self) -> np.ndarray:
        topic = MASKS[self._streams.masks] + TABLE
        return bag_streams.same(self._rows["stamp_ns"], self._streams.entries(topic)["stamp_ns"])

    def _message(self, topic: str, number: int):
        return self._bag.message(self._streams.above + topic, number)

    def _in_range(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.folder} has {len(self)} frames, asked for number {index}")
        return index

    def _original(self, name: str) -> dict:
        """What a sequence folder, from which the bag was made, said of itself."""
        return json.loads(self._bag.metadata.get("provenance", {}).get(name, "{}"))
