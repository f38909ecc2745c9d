"""A sequence written as a ROS 2 bag with this package's topics, which plays as a camera and reads as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from ..image_encodings import quaternion
from ..recording.bag import COMPRESSED, IMAGE, typestore
from ..recording.bag_writer import BagWriter, Topic
from ..recording.cdr import write_compressed, write_image
from ..recording.transforms import TF
from .bag_streams import COLOR, DEPTH, ESTIMATE, INFO, LINES, MASKS, TABLE, TRUTH
from .instance_rows import table_from_rows
from .layers import DERIVED, LAYERS, suffix_of
from .part import Part
from .sequence import MILLIMETRE, intrinsics_from_json

FRAME_ID, WORLD = "camera_color_optical_frame", "world"
_POINT_FIELDS = {"f4": 7, "u4": 6, "u2": 4}  # sensor_msgs/PointField
_NO_DISTORTION = {"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4}


class SequenceBagWriter(Part):
    """Writes frames, as coded() gives them, into a bag; complete or absent, begun anew where it was stopped.

    JPEG stays JPEG on .../compressed, else colour is rgb8. Depth in millimetres is 16UC1, in other units 32FC1. All is
    logged when the colour was received, published at its stamp. LINES keeps what frames.jsonl says.
    """

    def __init__(self, folder: Path, about: Mapping, camera: Mapping):
        super().__init__(folder, ".lock")
        self.done, self._store = 0, typestore()
        self._camera, self._lens = camera, intrinsics_from_json(camera)
        self._frame_id = camera.get("frame_id") or FRAME_ID
        estimated = str(camera["depth_source"]).startswith("estimate")
        self._depth = ESTIMATE if estimated else DEPTH
        whose = about.get("masks") or ("truth" if about.get("source") == "simulated" else "")
        self._masks = MASKS.get(whose, MASKS["given"])
        self._jpeg = None
        for left in self.part.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
        told = {"sequence.json": json.dumps(about), "camera.json": json.dumps(camera)}
        if about.get("activity"):
            told["activity"] = about["activity"]
        self._bag = BagWriter(self.part / folder.name, told, compression="zstd")

    def add(self, frame: Mapping) -> None:
        """The next frame. Layers that no topic holds, ground, flow and amodal masks, are left out."""
        self._now = frame.get("received_ns", frame["stamp_ns"]), frame["stamp_ns"]
        self._color(frame["color"])
        if not self._lens.assumed:
            self._put(INFO, self._info())
        if "depth_m" in frame:
            pixels = self._depth_pixels(frame["depth_m"])
            encoding = "16UC1" if pixels.dtype == np.uint16 else "32FC1"
            stamp_ns = frame.get("depth_stamp_ns", frame["stamp_ns"])
            self._put_bytes(self._depth, IMAGE, write_image(stamp_ns, self._frame_id, encoding, pixels))
        if "truth_m" in frame:
            self._put_image(TRUTH, "32FC1", self._decoded("truth_m", frame["truth_m"]))
        if "ids" in frame:
            self._put_image(self._masks, "16UC1", self._decoded("ids", frame["ids"]))
            self._put(self._masks + TABLE, self._table(table_from_rows(frame["instances"])))
        if frame.get("world_from_camera") is not None:
            self._put("/tf", self._transform(np.asarray(frame["world_from_camera"])))
        line = {key: value for key, value in frame.items() if key not in LAYERS and key not in DERIVED}
        self._put(LINES, self._store.types["std_msgs/msg/String"](json.dumps(line, default=np.ndarray.tolist)))
        self.done += 1

    def finish(self) -> None:
        """Move the bag to its place."""
        self._bag.close()
        (self.part / self.folder.name).rename(self.folder)
        shutil.rmtree(self.part)

    def _color(self, color: bytes | np.ndarray) -> None:
        if self._jpeg is None:  # one topic holds all of them
            self._jpeg = isinstance(color, bytes) and suffix_of(color) == ".jpg"
        if not self._jpeg:
            self._put_image(COLOR, "rgb8", self._decoded("color", color))
            return
        what = {".jpg": "jpeg", ".png": "png"}[suffix_of(color)]
        code = write_compressed(self._now[1], self._frame_id, f"rgb8; {what} compressed bgr8", color)
        self._put_bytes(COLOR + "/compressed", COMPRESSED, code)

    def _depth_pixels(self, depth: bytes | np.ndarray) -> np.ndarray:
        if isinstance(depth, bytes) and self._camera["depth_unit_m"] == MILLIMETRE:
            return cv2.imdecode(np.frombuffer(depth, np.uint8), cv2.IMREAD_UNCHANGED)
        return self._decoded("depth_m", depth)

    def _decoded(self, layer: str, code: bytes | np.ndarray) -> np.ndarray:
        return LAYERS[layer].decode(code, self._camera["depth_unit_m"]) if isinstance(code, bytes) else code

    def _info(self):
        types, lens = self._store.types, self._lens
        roi = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        distortion = np.array(lens.distortion or (0.0,) * _NO_DISTORTION[lens.model])
        projection = np.hstack([lens.K, np.zeros((3, 1))]).ravel()
        shape = lens.height, lens.width, lens.model, distortion, lens.K.ravel(), np.eye(3).ravel(), projection
        return types["sensor_msgs/msg/CameraInfo"](self._header(), *shape, 0, 0, roi)

    def _table(self, table: np.ndarray):
        types, field = self._store.types, self._store.types["sensor_msgs/msg/PointField"]
        fields = [field(name, at, _POINT_FIELDS[kind.str[1:]], 1) for name, (kind, at) in table.dtype.fields.items()]
        row_bytes, data = table.itemsize * len(table), table.view(np.uint8)
        size = 1, len(table), fields, False, table.itemsize, row_bytes, data, False
        return types["sensor_msgs/msg/PointCloud2"](self._header(), *size)

    def _transform(self, world_from_camera: np.ndarray):
        types = self._store.types
        place = types["geometry_msgs/msg/Vector3"](*map(float, world_from_camera[:3, 3]))
        turn = types["geometry_msgs/msg/Quaternion"](*quaternion(world_from_camera[:3, :3]))
        moved = types["geometry_msgs/msg/Transform"](place, turn)
        stamped = types["geometry_msgs/msg/TransformStamped"](self._header(WORLD), self._frame_id, moved)
        return types[TF]([stamped])

    def _header(self, frame_id: str = ""):
        time = self._store.types["builtin_interfaces/msg/Time"](*divmod(self._now[1], 1_000_000_000))
        return self._store.types["std_msgs/msg/Header"](time, frame_id or self._frame_id)

    def _put_image(self, topic: str, encoding: str, pixels: np.ndarray) -> None:
        self._put_bytes(topic, IMAGE, write_image(self._now[1], self._frame_id, encoding, pixels))

    def _put(self, topic: str, message) -> None:
        kind = message.__msgtype__
        self._put_bytes(topic, kind, bytes(self._store.serialize_cdr(message, kind)))

    def _put_bytes(self, topic: str, kind: str, data: bytes) -> None:
        if topic not in self._bag.topics:
            definition, _ = self._store.generate_msgdef(kind, ros_version=2)
            self._bag.add(Topic(topic, kind, definition, self._store.hash_rihs01(kind)))
        self._bag.write(topic, data, *self._now)
