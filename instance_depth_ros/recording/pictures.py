"""The pictures of one topic of a bag, by number: as arrays, or as files that hold the same bits."""

from __future__ import annotations

import numpy as np

from ..image_encodings import (
    COMPRESSED_DEPTH_HEADER,
    PNG_FLAT,
    PNG_VARIED,
    array_from_image,
    codes_from_compressed,
    color_from_compressed,
    color_from_image,
    depth_from_compressed,
    depth_from_image,
    ids_from_image,
    picture_code,
)
from .bag import COMPRESSED, IMAGE
from .cdr import Compressed, Image, read_compressed, read_image
from .indexed import IndexedBag

_FILES = (b"\xff\xd8", b"\x89PNG")
_PNG = _FILES[1]
_LEAST_COMPRESSED = 100  # bytes; no picture is so small


class Pictures:
    """Of an Image or CompressedImage topic.

    good: (n,) bool, whether the message is as long as most are; of compressed ones, as any picture is.
    floats: whether depth is in metres (32FC1), not in millimetres.
    """

    def __init__(self, bag: IndexedBag, topic: str):
        self.topic, self._bag, self._compressed = topic, bag, bag.topics[topic] == COMPRESSED
        sizes, first = bag.entries[topic]["size"], bag.first(topic)
        if self._compressed:
            self.good = sizes > _LEAST_COMPRESSED
        else:
            found, counts = np.unique(sizes, return_counts=True)
            self.good = sizes == found[counts.argmax()]
        encoding = "" if first is None else first.format if self._compressed else first.encoding
        self.floats, self.frame_id = encoding.startswith("32FC1"), "" if first is None else first.header.frame_id

    def message(self, number: int) -> Image | Compressed:
        """ValueError where it is damaged."""
        data = self._bag.data(self.topic, number)
        return read_compressed(data) if self._compressed else read_image(data)

    def color(self, number: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        message = self.message(number)
        return color_from_compressed(message) if self._compressed else color_from_image(message)

    def color_code(self, number: int) -> bytes | np.ndarray:
        """The JPEG or PNG that was recorded; else the array."""
        message = self.message(number)
        if self._compressed and bytes(message.data[:4]).startswith(_FILES):
            return bytes(message.data)
        return self.color(number)

    def depth_m(self, number: int) -> np.ndarray:
        """(H, W) float32 metres, NaN invalid."""
        message = self.message(number)
        return depth_from_compressed(message) if self._compressed else depth_from_image(message)

    def depth_code(self, number: int) -> bytes | np.ndarray:
        """A PNG of the millimetres that were recorded; of metres the array."""
        if self.floats:
            return self.depth_m(number)
        return self._code(number, PNG_VARIED)

    def ids(self, number: int) -> np.ndarray:
        """(H, W) uint16, 0 background."""
        message = self.message(number)
        return codes_from_compressed(message) if self._compressed else ids_from_image(message)

    def ids_code(self, number: int) -> bytes:
        """A PNG of the 16-bit ids that were recorded."""
        return self._code(number, PNG_FLAT)

    def _code(self, number: int, options: list[int]) -> bytes:
        message = self.message(number)
        if not self._compressed:
            return picture_code(".png", array_from_image(message).astype(np.uint16, copy=False), options)
        code = bytes(message.data[len(COMPRESSED_DEPTH_HEADER) :])
        if not code.startswith(_PNG):
            raise ValueError(f"{self.topic}: '{message.format}' is no PNG, which alone can be read")
        return code


def find_pictures(bag: IndexedBag, topic: str) -> Pictures | None:
    """Of a topic of images, or of its compressedDepth; None where the bag has neither."""
    for name in (topic, f"{topic}/compressedDepth"):
        if bag.topics.get(name) in (IMAGE, COMPRESSED) and len(bag.entries[name]):
            return Pictures(bag, name)
    return None
