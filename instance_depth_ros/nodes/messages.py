"""Numpy on one side, ROS messages on the other. Reading needs no ROS and is in image_encodings, found here as well.

Writing fills the message's own buffer, so a publisher that keeps its message allocates nothing per frame.
"""

from __future__ import annotations

import sys
from array import array
from functools import lru_cache

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PoseStamped, Quaternion
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header

from ..geometry import Intrinsics, millimetres_from_depth
from ..image_encodings import (  # noqa: F401 - who writes messages reads them, too
    COMPRESSED_DEPTH_HEADER,
    array_from_image,
    color_from_compressed,
    color_from_image,
    depth_from_image,
    ids_from_image,
    intrinsics_from_info,
    quaternion,
)

ENCODINGS = {(np.dtype(np.uint8), 3): "rgb8", (np.dtype(np.float32), 1): "32FC1", (np.dtype(np.uint16), 1): "16UC1"}
# What a CameraInfo says for a lens without distortion.
NO_DISTORTION = {"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4}
POINT_FIELD = {
    np.dtype(np.float32): PointField.FLOAT32,
    np.dtype(np.uint32): PointField.UINT32,
    np.dtype(np.uint16): PointField.UINT16,
}


def header(ns: int, frame_id: str) -> Header:
    """A Header of this time and frame."""
    sec, nanosec = divmod(ns, 1_000_000_000)
    return Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=frame_id)


def info_from_intrinsics(intrinsics: Intrinsics, stamped: Header) -> CameraInfo:
    """CameraInfo of an unrectified image: K, D, R identity, P = [K 0]."""
    message = CameraInfo(
        header=stamped, width=intrinsics.width, height=intrinsics.height, distortion_model=intrinsics.model
    )
    message.k = intrinsics.K.ravel()
    message.p = np.hstack([intrinsics.K, np.zeros((3, 1))]).ravel()
    message.r = np.eye(3).ravel()
    message.d = array("d", intrinsics.distortion or (0.0,) * NO_DISTORTION[intrinsics.model])
    return message


def fill(message, values: np.ndarray) -> None:
    """Copy values into message.data, whose buffer is kept while the size stays."""
    if len(message.data) != values.nbytes:
        # Any other type than an array would be checked byte by byte.
        message.data = array("B", bytes(values.nbytes))
    if values.dtype.names:  # numpy would copy field by field
        values = values.reshape(-1).view(np.uint8)
    np.copyto(np.frombuffer(message.data, values.dtype).reshape(values.shape), values)


def fill_image(message: Image, pixels: np.ndarray, stamped: Header, encoding: str = "") -> Image:
    """Write (H, W) or (H, W, 3) pixels into an Image; the encoding follows from the dtype when not given."""
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    message.header = stamped
    message.height, message.width = pixels.shape[:2]
    message.step = message.width * channels * pixels.itemsize
    message.encoding = encoding or ENCODINGS[pixels.dtype, channels]
    message.is_bigendian = int(sys.byteorder == "big")
    fill(message, pixels)
    return message


@lru_cache
def point_fields(point: np.dtype) -> list[PointField]:
    """How a PointCloud2 describes a structured dtype; one list a dtype, to be left as it is."""
    fields = [(name, *point.fields[name]) for name in point.names]
    # Packed colours are called float32, as PCL and RViz expect them.
    return [
        PointField(name=n, offset=at, datatype=PointField.FLOAT32 if n == "rgb" else POINT_FIELD[kind], count=1)
        for n, kind, at in fields
    ]


def fill_cloud(message: PointCloud2, points: np.ndarray, stamped: Header) -> PointCloud2:
    """Write (H, W), or (N,) as one row, of a structured dtype into a PointCloud2."""
    message.header = stamped
    message.height, message.width = points.shape if points.ndim == 2 else (1, points.size)
    message.fields = point_fields(points.dtype)
    message.point_step = points.itemsize
    message.row_step = message.width * points.itemsize
    message.is_bigendian, message.is_dense = False, False
    fill(message, points)
    return message


def compressed_depth(depth_m: np.ndarray, stamped: Header) -> CompressedImage:
    """PNG of 16-bit millimetres as compressed_depth_image_transport writes it."""
    return compressed_codes(millimetres_from_depth(depth_m), stamped)


def compressed_codes(codes: np.ndarray, stamped: Header) -> CompressedImage:
    """PNG of (H, W) uint16, of which nothing is lost, as compressed_depth_image_transport writes 16UC1."""
    _, png = cv2.imencode(".png", codes, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    data = array("B", COMPRESSED_DEPTH_HEADER)
    data.frombytes(png.data)
    return CompressedImage(header=stamped, format="16UC1; compressedDepth png", data=data)


def jpeg(color: np.ndarray, stamped: Header) -> CompressedImage:
    """JPEG of (H, W, 3) uint8 RGB."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(color, cv2.COLOR_RGB2BGR))
    return CompressedImage(header=stamped, format="rgb8; jpeg compressed bgr8", data=array("B", data.tobytes()))


def pose(world_from_camera: np.ndarray, stamped: Header) -> PoseStamped:
    """PoseStamped of a (4, 4) rigid transform."""
    message = PoseStamped(header=stamped)
    x, y, z, w = quaternion(world_from_camera[:3, :3])
    message.pose.orientation = Quaternion(x=x, y=y, z=z, w=w)
    x, y, z = world_from_camera[:3, 3]
    message.pose.position = Point(x=float(x), y=float(y), z=float(z))
    return message
