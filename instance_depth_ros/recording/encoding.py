"""Images compressed and back, from serialised message to serialised message, without ROS.

Only JPEG loses anything. compressedDepth keeps 16 bits a pixel: all of 16UC1, but of 32FC1 it would keep A / metres + B
rounded. So depth in metres stays an Image; compressed chunks make it smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from ..image_encodings import COMPRESSED_DEPTH_HEADER, JPEG_QUALITY, PNG_VARIED, array_from_image, picture_code
from .bag import COMPRESSED
from .cdr import read_compressed, read_image, write_compressed, write_image

COLORS = ("rgb8", "bgr8", "8UC3", "mono8", "8UC1")
DEPTHS = ("16UC1", "mono16")


def encoder(image: bytes, color: str) -> tuple[str, str, Callable[[bytes], bytes]] | None:
    """What to append to the topic's name, the new type, and what compresses each message of an Image topic.

    image: one of its messages. color: raw, jpeg or png. None where it stays: 32FC1, raw colour, rare encodings.
    """
    encoding = read_image(image).encoding
    if encoding in DEPTHS:
        return "/compressedDepth", COMPRESSED, compressed_depth
    if encoding in COLORS and color != "raw":
        return "/compressed", COMPRESSED, partial(compressed_color, jpeg=color == "jpeg")
    return None


def compressed_depth(image: bytes) -> bytes:
    """A 16UC1 Image as the CompressedImage that compressed_depth_image_transport makes, PNG; ValueError for others."""
    message = read_image(image)
    if message.encoding not in DEPTHS:
        raise ValueError(f"compressedDepth keeps {', '.join(DEPTHS)}, got '{message.encoding}'")
    pixels = array_from_image(message)
    code = COMPRESSED_DEPTH_HEADER + picture_code(".png", pixels.astype(np.uint16, copy=False), PNG_VARIED)
    return write_compressed(message.stamp_ns, message.frame_id, f"{message.encoding}; compressedDepth png", code)


def compressed_color(image: bytes, jpeg: bool) -> bytes:
    """A colour or grey Image as the CompressedImage that compressed_image_transport makes: JPEG 95, or PNG."""
    message = read_image(image)
    if message.encoding not in COLORS:
        raise ValueError(f"colour is compressed of {', '.join(COLORS)}, got '{message.encoding}'")
    pixels = array_from_image(message)
    if message.encoding == "rgb8":
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    what = "jpeg" if jpeg else "png"
    code = picture_code(f".{what}", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if jpeg else PNG_VARIED)
    form = f"{message.encoding}; {what} compressed {'bgr8' if pixels.ndim == 3 else ''}"
    return write_compressed(message.stamp_ns, message.frame_id, form, code)


def decompressed(compressed: bytes) -> bytes:
    """The Image that a CompressedImage was made of, by the two above or by ROS; ValueError when it is broken."""
    message = read_compressed(compressed)
    encoding, _, how = message.format.partition(";")
    depth = "compressedDepth" in how
    if encoding not in (DEPTHS if depth else COLORS):
        raise ValueError(f"Images are made of {', '.join(DEPTHS + COLORS)}, got '{message.format}'")
    code = np.frombuffer(message.data, np.uint8)[len(COMPRESSED_DEPTH_HEADER) if depth else 0 :]
    pixels = cv2.imdecode(code, cv2.IMREAD_UNCHANGED) if code.size else None
    if pixels is None or pixels.dtype != (np.uint16 if depth else np.uint8):
        raise ValueError(f"compressed image of {len(message.data)} bytes ('{message.format}') cannot be decoded")
    if encoding == "rgb8":
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
    return write_image(message.stamp_ns, message.frame_id, encoding, pixels)
