"""Numpy of image messages by their fields alone: of rclpy's messages and of those that a bag holds. No ROS is needed.

What is read are views of the message's memory wherever the encoding allows it.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np

from .geometry import Intrinsics, depth_from_millimetres

# encoding -> dtype, channels
LAYOUTS = {
    "rgb8": (np.uint8, 3),
    "bgr8": (np.uint8, 3),
    "rgba8": (np.uint8, 4),
    "bgra8": (np.uint8, 4),
    "mono8": (np.uint8, 1),
    "8UC1": (np.uint8, 1),
    "8UC3": (np.uint8, 3),
    "mono16": (np.uint16, 1),
    "16UC1": (np.uint16, 1),
    "32FC1": (np.float32, 1),
}
TO_RGB = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "8UC3": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
    "8UC1": cv2.COLOR_GRAY2RGB,
}
DEPTH_ENCODINGS = ("16UC1", "32FC1")
DISTORTION_MODELS = {"": "plumb_bob", "fisheye": "equidistant"}
# compressed_depth_image_transport puts its ConfigHeader before the PNG: an int32 and two float32, unused for 16UC1.
COMPRESSED_DEPTH_HEADER = bytes(12)
JPEG_QUALITY = 95
# Of PNG's filters "none" is the fastest for flat areas, "sub" packs what varies; OpenCV before 4.11 has no choice.
_FILTER = getattr(cv2, "IMWRITE_PNG_FILTER", None)
PNG_FLAT = [cv2.IMWRITE_PNG_COMPRESSION, 1] + ([_FILTER, 8] if _FILTER else [])
PNG_VARIED = [cv2.IMWRITE_PNG_COMPRESSION, 1] + ([_FILTER, 16] if _FILTER else [])


def stamp_ns(message) -> int:
    """Nanoseconds of a stamped message."""
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def picture_code(suffix: str, picture: np.ndarray, options: list[int]) -> bytes:
    """The bytes of a picture file; its colours are in OpenCV's order."""
    done, code = cv2.imencode(suffix, picture, options)
    if not done:
        raise ValueError(f"OpenCV cannot write a {picture.dtype} picture of shape {picture.shape} as {suffix}")
    return code.tobytes()


def array_from_image(message) -> np.ndarray:
    """(H, W) or (H, W, C) view of an Image, whatever its step and byte order; ValueError when it cannot be one."""
    dtype, channels = LAYOUTS[message.encoding]
    dtype = np.dtype(dtype).newbyteorder(">" if message.is_bigendian else "<")
    height, width, step = message.height, message.width, message.step
    row = width * channels * dtype.itemsize
    if not height or not width or step < row or len(message.data) < step * (height - 1) + row:
        raise ValueError(
            f"a {message.encoding} image of {width}x{height} needs rows of {row} bytes; "
            f"got step {step} and {len(message.data)} bytes"
        )
    shape, strides = (height, width), (step, channels * dtype.itemsize)
    if channels > 1:
        shape, strides = (*shape, channels), (*strides, dtype.itemsize)
    return np.ndarray(shape, dtype, np.frombuffer(message.data, np.uint8), strides=strides)


def color_from_image(message) -> np.ndarray:
    """(H, W, 3) uint8 RGB; rgb8 is a view. Encodings not in LAYOUTS go through cv_bridge where it is installed."""
    if message.encoding not in LAYOUTS:
        return _color_by_cv_bridge(message)
    if message.encoding in DEPTH_ENCODINGS:
        raise ValueError(f"encoding {message.encoding} is depth, the image topic wants colour: check the remapping")
    pixels = array_from_image(message)
    if message.encoding == "rgb8":
        return pixels
    if message.encoding == "mono16":
        return cv2.cvtColor((pixels >> 8).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    return cv2.cvtColor(pixels, TO_RGB[message.encoding])


def _color_by_cv_bridge(message) -> np.ndarray:
    try:
        from cv_bridge import CvBridge
    except ImportError:
        raise ValueError(
            f"encoding '{message.encoding}' needs cv_bridge (apt install ros-$ROS_DISTRO-cv-bridge); "
            f"without it: {', '.join(LAYOUTS)}"
        ) from None
    try:
        return CvBridge().imgmsg_to_cv2(message, "rgb8")
    except Exception as error:  # cv_bridge raises its own, cv2's and KeyError for what it does not know
        raise ValueError(f"encoding '{message.encoding}' cannot be read: {error}") from error


def color_from_compressed(message) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a JPEG or PNG; ValueError when it is broken."""
    data = np.frombuffer(message.data, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        raise ValueError(f"compressed image of {data.size} bytes ('{message.format}') cannot be decoded")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)


def depth_from_image(message) -> np.ndarray:
    """(H, W) float32 metres, NaN invalid, of a 16UC1, mono16 or 32FC1 Image (REP 118); aligned 32FC1 is a view."""
    if message.encoding in ("16UC1", "mono16"):
        return depth_from_millimetres(array_from_image(message))
    if message.encoding != "32FC1":
        raise ValueError(f"registered depth must be 16UC1 (mm) or 32FC1 (m), got '{message.encoding}'")
    return array_from_image(message).astype(np.float32, copy=False)


def depth_from_compressed(message) -> np.ndarray:
    """(H, W) float32 metres, NaN invalid, of what compressed_depth_image_transport writes as PNG.

    16UC1 are millimetres; the codes of 32FC1 are A / metres + B, with A and B in the header.
    """
    codes = codes_from_compressed(message)
    if not message.format.startswith("32FC1"):
        return depth_from_millimetres(codes)
    a, b = struct.unpack("<2f", bytes(message.data[4:12]))
    with np.errstate(divide="ignore"):
        depth_m = np.float32(a) / (codes - np.float32(b))
    depth_m[codes == 0] = np.nan
    return depth_m


def codes_from_compressed(message) -> np.ndarray:
    """(H, W) uint16 of what compressed_depth_image_transport writes as PNG: of 16UC1 the very pixels."""
    png = np.frombuffer(message.data, np.uint8)[len(COMPRESSED_DEPTH_HEADER) :]
    codes = cv2.imdecode(png, cv2.IMREAD_UNCHANGED) if png.size else None
    if codes is None or codes.ndim != 2 or codes.dtype != np.uint16:
        raise ValueError(f"compressed depth of {len(message.data)} bytes ('{message.format}') is no 16-bit PNG")
    return codes


def ids_from_image(message) -> np.ndarray:
    """(H, W) uint16, 0 background, of a 16UC1, mono16, mono8 or 8UC1 Image; aligned 16-bit ones are a view."""
    if message.encoding not in ("16UC1", "mono16", "mono8", "8UC1"):
        raise ValueError(f"an id image must be 16UC1 or mono8, got '{message.encoding}'")
    return array_from_image(message).astype(np.uint16, copy=False)


def intrinsics_from_info(message) -> Intrinsics:
    """Intrinsics of a CameraInfo, unchecked: a Frame checks them against its image."""
    model = DISTORTION_MODELS.get(message.distortion_model, message.distortion_model)
    k = [float(value) for value in message.k]
    distortion = tuple(float(value) for value in message.d)
    return Intrinsics(message.width, message.height, k[0], k[4], k[2], k[5], model, distortion)


def matrix_from_transform(transform) -> np.ndarray:
    """(4, 4) of a geometry_msgs/Transform."""
    return rigid(transform.translation, transform.rotation)


def rigid(position, rotation) -> np.ndarray:
    """(4, 4) of x, y, z and of a quaternion x, y, z, w, as messages have them."""
    vector = np.array([rotation.x, rotation.y, rotation.z])
    length = np.linalg.norm(vector)
    angle = 2 * np.arctan2(length, rotation.w)
    matrix = np.eye(4)
    matrix[:3, :3] = cv2.Rodrigues(vector * (angle / max(length, 1e-12)))[0]
    matrix[:3, 3] = position.x, position.y, position.z
    return matrix


def quaternion(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """x, y, z, w of (3, 3)."""
    vector = cv2.Rodrigues(np.asarray(rotation, np.float64))[0].ravel()
    half_angle = np.linalg.norm(vector) / 2
    return *(vector * (np.sinc(half_angle / np.pi) / 2)).tolist(), float(np.cos(half_angle))
