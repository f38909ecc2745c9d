"""The two messages that pictures travel in, from and to their serialised bytes (CDR), whose layout is fixed."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

# How a serialised message begins: CDR, little-endian, no options.
_BEGIN = b"\x00\x01\x00\x00"


@dataclass(frozen=True)
class Image:
    """sensor_msgs/Image; data: a view of the bytes that it was read from. array_from_image() takes it as it is."""

    stamp_ns: int
    frame_id: str
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


@dataclass(frozen=True)
class Compressed:
    """sensor_msgs/CompressedImage; data: a view of the bytes that it was read from."""

    stamp_ns: int
    frame_id: str
    format: str
    data: memoryview


def read_image(data: bytes) -> Image:
    """Of a serialised sensor_msgs/Image; ValueError where it is cut off."""
    cdr = _Reader(data)
    head, height, width, encoding = cdr.head(), cdr.number("I"), cdr.number("I"), cdr.text()
    return Image(*head, height, width, encoding, cdr.number("B"), cdr.number("I"), cdr.octets())


def read_compressed(data: bytes) -> Compressed:
    """Of a serialised sensor_msgs/CompressedImage; ValueError where it is cut off."""
    cdr = _Reader(data)
    return Compressed(*cdr.head(), cdr.text(), cdr.octets())


def read_stamp(data: bytes) -> int:
    """Nanoseconds of any serialised message that begins with a std_msgs/Header, of which 12 bytes are enough."""
    return _Reader(data).stamp_ns()


def write_image(stamp_ns: int, frame_id: str, encoding: str, pixels: np.ndarray) -> bytes:
    """A serialised sensor_msgs/Image of (H, W) or (H, W, C) pixels."""
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    out = _head(stamp_ns, frame_id)
    _number(out, pixels.shape[0])
    _number(out, pixels.shape[1])
    _text(out, encoding)
    out.append(0)
    _number(out, pixels.nbytes // pixels.shape[0])
    _number(out, pixels.nbytes)
    return b"".join((out, pixels.reshape(-1).view(np.uint8)))


def write_compressed(stamp_ns: int, frame_id: str, form: str, code: bytes) -> bytes:
    """A serialised sensor_msgs/CompressedImage."""
    out = _head(stamp_ns, frame_id)
    _text(out, form)
    _number(out, len(code))
    return b"".join((out, code))


class _Reader:
    """Fields one after the other; each number stands at a multiple of its size, counted after the first 4 bytes."""

    def __init__(self, data: bytes):
        self._data, self._at = memoryview(data), 4
        self._order = "<" if len(data) > 1 and data[1] & 1 else ">"

    def number(self, kind: str) -> int:
        size = struct.calcsize(kind)
        (value,) = struct.unpack(self._order + kind, self._take(size, size))
        return value

    def octets(self) -> memoryview:
        return self._take(self.number("I"))

    def text(self) -> str:
        return bytes(self.octets()).rstrip(b"\x00").decode()

    def stamp_ns(self) -> int:
        return self.number("i") * 1_000_000_000 + self.number("I")

    def head(self) -> tuple[int, str]:
        return self.stamp_ns(), self.text()

    def _take(self, count: int, step: int = 1) -> memoryview:
        start = self._at + -self._at % step
        self._at = start + count
        if self._at > len(self._data):
            raise ValueError(f"a message of {len(self._data)} bytes is cut off, it goes on to {self._at}")
        return self._data[start : self._at]


def _head(stamp_ns: int, frame_id: str) -> bytearray:
    out = bytearray(_BEGIN + struct.pack("<iI", *divmod(stamp_ns, 1_000_000_000)))
    _text(out, frame_id)
    return out


def _number(out: bytearray, value: int) -> None:
    out += bytes(-len(out) % 4) + struct.pack("<I", value)


def _text(out: bytearray, text: str) -> None:
    code = text.encode() + b"\x00"
    _number(out, len(code))
    out += code
