"""Bags for tests, written without ROS: numbered pictures, depth that says its number, camera_info."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import HEIGHT, WIDTH, numbered

pytest.importorskip("rosbags", reason="rosbags writes and reads bags")
from rosbags.rosbag2 import StoragePlugin, Writer  # noqa: E402
from rosbags.typesys import Stores, get_typestore  # noqa: E402

STORE = get_typestore(Stores.ROS2_HUMBLE)
TYPES = {name: STORE.types[f"sensor_msgs/msg/{name}"] for name in ("Image", "CompressedImage", "CameraInfo")}
STORAGE = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
COLOR, INFO = "/camera/color/image_raw", "/camera/color/camera_info"
DEPTH = "/camera/aligned_depth_to_color/image_raw"
FRAME = "camera_color_optical_frame"
YEARS_AGO_NS, STEP_NS = 1_500_000_000_000_000_000, 33_000_000


def header(stamp_ns: int, frame: str = FRAME):
    time = STORE.types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9))
    return STORE.types["std_msgs/msg/Header"](time, frame)


def image(pixels: np.ndarray, stamp_ns: int, encoding: str = "rgb8", frame: str = FRAME):
    data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
    height, width = pixels.shape[:2]
    return TYPES["Image"](header(stamp_ns, frame), height, width, encoding, 0, data.size // height, data)


def compressed(suffix: str, pixels: np.ndarray, stamp_ns: int, form: str, head: bytes = b"", frame: str = FRAME):
    data = head + cv2.imencode(suffix, pixels)[1].tobytes()
    return TYPES["CompressedImage"](header(stamp_ns, frame), form, np.frombuffer(data, np.uint8))


def info(stamp_ns: int, fx: float = 100.0, size=(HEIGHT, WIDTH), frame: str = FRAME):
    roi = STORE.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    k = np.array([fx, 0, 64, 0, fx, 48, 0, 0, 1.0])
    zeros = np.zeros(5), k, np.eye(3).ravel(), np.zeros(12)
    return TYPES["CameraInfo"](header(stamp_ns, frame), *size, "plumb_bob", *zeros, 0, 0, roi)


def depth_mm(number: int) -> np.ndarray:
    """(H, W) uint16: another in every pixel and picture, with a hole."""
    codes = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) + 1000 + number
    codes[:8, :8] = 0
    return codes


def stamp(number: int) -> int:
    return YEARS_AGO_NS + number * STEP_NS


def moment(number: int, depth: bool = True) -> list:
    """(topic, message, received_ns) of a picture, its depth and camera_info."""
    at = stamp(number)
    rows = [(INFO, info(at), at), (COLOR, image(numbered(number % 20), at), at + 1)]
    return rows + [(DEPTH, image(depth_mm(number), at, "16UC1"), at + 9_000_000)] * depth


def write(path: Path, rows, storage: str = "mcap", damaged=()) -> Path:
    """A bag of (topic, message, received_ns); of the damaged, by their place among rows, most bytes are lost."""
    with Writer(path, version=9, storage_plugin=STORAGE[storage]) as writer:
        connections = {}
        for place, (topic, message, received_ns) in enumerate(rows):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            data = bytes(STORE.serialize_cdr(message, kind))
            writer.write(connections[topic], received_ns, data[:40] if place in damaged else data)
    return path


def cloud(table: np.ndarray, stamp_ns: int, frame: str = FRAME):
    """A PointCloud2 of an array of table.ROW; nobody here reads its fields."""
    data = table.view(np.uint8)
    size = 1, len(table), [], False, table.itemsize, data.size, data, False
    return STORE.types["sensor_msgs/msg/PointCloud2"](header(stamp_ns, frame), *size)


def transforms(stamp_ns: int, *links: tuple[str, str, np.ndarray]):
    """A TFMessage of (parent, child, (4, 4) parent_from_child without a turn)."""
    types, rows = STORE.types, []
    for parent, child, pose in links:
        place = types["geometry_msgs/msg/Vector3"](*map(float, pose[:3, 3]))
        moved = types["geometry_msgs/msg/Transform"](place, types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0))
        rows.append(types["geometry_msgs/msg/TransformStamped"](header(stamp_ns, parent), child, moved))
    return types["tf2_msgs/msg/TFMessage"](rows)


def shifted(x: float) -> np.ndarray:
    """(4, 4) to the right by x metres."""
    pose = np.eye(4)
    pose[0, 3] = x
    return pose
