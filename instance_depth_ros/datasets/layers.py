"""The pictures of a sequence folder: which files they are, and how arrays become bytes and arrays again.

Formats were chosen by measured time and size; docs/dataset.md has the table.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ..geometry import codes_from_depth, depth_from_codes
from ..image_encodings import JPEG_QUALITY, PNG_FLAT, PNG_VARIED, picture_code

# Flow as in KITTI: 16 bits, 1/64 pixel, with 2**15 for 0.
FLOW_STEPS, FLOW_ZERO = 64.0, 2**15
METRE = 1.0  # depth in this unit is kept as floats
_BEGINS = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"II*\0": ".tiff", b"MM\0*": ".tiff", b"PK": ".npz"}
_TIFF_LZW = [cv2.IMWRITE_TIFF_COMPRESSION, 5]


@dataclass(frozen=True)
class Layer:
    """path: of frame 0, without suffix; suffixes: any of which is read; the bytes say which it is.

    encode, decode: (array, depth unit in metres) -> bytes and back; decode raises ValueError.
    """

    path: str
    suffixes: tuple[str, ...]
    encode: Callable[[np.ndarray, float], bytes]
    decode: Callable[[bytes, float], np.ndarray]

    @property
    def folder(self) -> str:
        return self.path.partition("/")[0]

    def files(self, index: int) -> list[str]:
        """Where frame number index may lie, relative to the sequence."""
        return [self.path.format(index) + suffix for suffix in self.suffixes]

    def file(self, index: int, code: bytes) -> str:
        """Where frame number index belongs, relative to the sequence; ValueError for bytes that are no such picture."""
        if (suffix := suffix_of(code)) not in self.suffixes:
            raise ValueError(f"{self.folder}/ holds {' or '.join(self.suffixes)}, got '{suffix or bytes(code[:8])}'")
        return self.path.format(index) + suffix


def suffix_of(code: bytes) -> str:
    """Of the file that begins with these bytes, '' where it is none of those that LAYERS holds."""
    return next((suffix for begin, suffix in _BEGINS.items() if bytes(code[: len(begin)]) == begin), "")


def _decode(code: bytes, dtype: type, *channels: int) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_UNCHANGED) if code else None
    if picture is None:
        raise ValueError("is no picture, or only the beginning of one")
    found = 1 if picture.ndim == 2 else picture.shape[2]
    if picture.dtype != dtype or found not in channels:
        raise ValueError(f"should have {channels[0]} x {np.dtype(dtype)} a pixel, has {found} x {picture.dtype}")
    return picture


def _color_code(color: np.ndarray, _) -> bytes:
    return picture_code(".jpg", cv2.cvtColor(color, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def _color(code: bytes, _) -> np.ndarray:
    """Grey ones, too, as cameras compress them."""
    picture = _decode(code, np.uint8, 3, 1)
    return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB if picture.ndim == 2 else cv2.COLOR_BGR2RGB)


def flow_code(flow: np.ndarray) -> bytes:
    """(H, W, 2) pixels, NaN invalid -> a PNG as of KITTI: R is x, G is y, B is 1 where valid."""
    steps = np.rint(flow * np.float32(FLOW_STEPS) + np.float32(FLOW_ZERO))
    known = ((steps > 0) & (steps < 2**16)).all(-1)
    steps[~known] = 0
    # OpenCV's order is B, G, R
    picture = np.empty((*known.shape, 3), np.uint16)
    picture[..., 0], picture[..., 1], picture[..., 2] = known, steps[..., 1], steps[..., 0]
    return picture_code(".png", picture, PNG_VARIED)


def flow(code: bytes) -> np.ndarray:
    """The inverse of flow_code: (H, W, 2) float32."""
    picture = _decode(code, np.uint16, 3)
    vectors = (picture[..., :0:-1].astype(np.float32) - FLOW_ZERO) / FLOW_STEPS
    vectors[picture[..., 0] == 0] = np.nan
    return vectors


def amodal_code(masks: dict[int, np.ndarray]) -> bytes:
    """id -> (H, W) bool, as an NPZ: size (2,), ids (n,), boxes (n, 4) x y w h, and bits: the masks within their boxes,
    one after the other, packed."""
    size = next(iter(masks.values())).shape if masks else (0, 0)
    boxes = np.array([cv2.boundingRect(mask.view(np.uint8)) for mask in masks.values()], np.uint16).reshape(-1, 4)
    cuts = [m[y : y + h, x : x + w].reshape(-1) for m, (x, y, w, h) in zip(masks.values(), boxes, strict=True)]
    bits = np.packbits(np.concatenate([*cuts, np.zeros(0, bool)]))
    file = io.BytesIO()
    np.savez_compressed(
        file, size=np.array(size, np.uint16), ids=np.array(list(masks), np.uint16), boxes=boxes, bits=bits
    )
    return file.getvalue()


def amodal(code: bytes) -> dict[int, np.ndarray]:
    """The inverse of amodal_code."""
    with np.load(io.BytesIO(code), allow_pickle=False) as file:
        size, ids, boxes, bits = (file[name] for name in ("size", "ids", "boxes", "bits"))
    bits, start, masks = np.unpackbits(bits).view(bool), 0, {}
    for number, (x, y, w, h) in zip(ids.tolist(), boxes.astype(int).tolist(), strict=True):
        masks[number] = np.zeros(size, bool)
        masks[number][y : y + h, x : x + w] = bits[start : start + w * h].reshape(h, w)
        start += w * h
    return masks


def _depth_code(depth_m: np.ndarray, unit_m: float) -> bytes:
    if unit_m == METRE:
        return _floats_code(depth_m)
    return picture_code(".png", codes_from_depth(depth_m, unit_m), PNG_VARIED)


def _depth(code: bytes, unit_m: float) -> np.ndarray:
    return _decode(code, np.float32, 1) if unit_m == METRE else depth_from_codes(_decode(code, np.uint16, 1), unit_m)


def _floats_code(depth_m: np.ndarray, _=METRE) -> bytes:
    return picture_code(".tiff", depth_m.astype(np.float32, copy=False), _TIFF_LZW)


LAYERS = {
    "color": Layer("rgb/{:06d}", (".jpg", ".png"), _color_code, _color),
    "depth_m": Layer(
        "depth/{:06d}",
        (".png", ".tiff"),
        _depth_code,
        _depth,
    ),
    "ids": Layer(
        "mask/{:06d}",
        (".png",),
        lambda ids, _: picture_code(".png", ids.astype(np.uint16, copy=False), PNG_FLAT),
        lambda code, _: _decode(code, np.uint16, 1),
    ),
    "ground": Layer(
        "ground/{:06d}",
        (".png",),
        lambda mask, _: picture_code(".png", mask.astype(np.uint8) * 255, PNG_FLAT),
        lambda code, _: _decode(code, np.uint8, 1) > 0,
    ),
    "truth_m": Layer(
        "truth/{:06d}",
        (".tiff",),
        _floats_code,
        lambda code, _: _decode(code, np.float32, 1),
    ),
    "amodal": Layer("amodal/{:06d}", (".npz",), lambda masks, _: amodal_code(masks), lambda code, _: amodal(code)),
    "flow_next": Layer("flow/{:06d}_next", (".png",), lambda f, _: flow_code(f), lambda code, _: flow(code)),
    "flow_previous": Layer("flow/{:06d}_previous", (".png",), lambda f, _: flow_code(f), lambda code, _: flow(code)),
}
# What follows from ids and what is known of each instance.
DERIVED = ("classes", "static")
