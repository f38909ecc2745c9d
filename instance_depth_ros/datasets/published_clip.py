"""A clip of a published dataset, with the face of a sequence, and the protocol that it is judged by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..geometry import Intrinsics, depth_from_codes

Edge = int | float


@dataclass(frozen=True)
class Protocol:
    """How figures on a dataset are made.

    limits_m: truth outside is not judged; predictions are clipped to them. crop: first and last row, first and last
    column (excluded) of what is judged, in pixels, or as shares of the size where they are floats. each: 'frame' or
    'clip': what means are taken over, and what relative disparity gets one scale and shift for.
    """

    name: str
    limits_m: tuple[float, float]
    each: str
    crop: tuple[Edge, Edge, Edge, Edge] | None = None

    def judged(self, depth_m: np.ndarray) -> np.ndarray:
        """(H, W) metres -> (H, W) float32, NaN where it is not judged."""
        truth_m = np.full(depth_m.shape, np.nan, np.float32)
        inside = slice(None), slice(None)
        if self.crop:
            edges = zip(self.crop, (depth_m.shape[0],) * 2 + (depth_m.shape[1],) * 2, strict=True)
            top, bottom, left, right = (int(e * size) if isinstance(e, float) else e for e, size in edges)
            inside = slice(top, bottom), slice(left, right)
        part = depth_m[inside]
        with np.errstate(invalid="ignore"):
            truth_m[inside] = np.where((part > self.limits_m[0]) & (part < self.limits_m[1]), part, np.nan)
        return truth_m


class Shot(NamedTuple):
    """One frame before it is read. color, depth: what the dataset's readers take, such as paths; depth may be None."""

    color: Any
    depth: Any
    stamp_ns: int
    world_from_camera: np.ndarray | None = None


class Pictures:
    """A clip (clips.Footage). truth_m is what the protocol judges: NaN outside its crop and limits.

    color: what reads a Shot's color as (H, W, 3) uint8 RGB; depth_m: its depth as (H, W) metres, NaN or 0 unknown.
    static: the world stands still, by the nature of the dataset.
    """

    def __init__(
        self,
        name: str,
        protocol: Protocol,
        intrinsics: Intrinsics,
        shots: list[Shot],
        color: Callable[[Any], np.ndarray],
        depth_m: Callable[[Any], np.ndarray],
        static: bool = False,
    ):
        self.intrinsics, self._shots, self._protocol = intrinsics, shots, protocol
        self._color, self._depth_m = color, depth_m
        self.layers = ("color", "truth_m", *(("static",) if static else ()))
        self.about = {
            "name": name,
            "source": "imported",
            "dataset": protocol.name,
            "frames": len(shots),
            "renderer": None,
        }

    def __len__(self) -> int:
        return len(self._shots)

    def read(self, index: int, layers: Iterable[str] = ("color", "truth_m")) -> dict:
        """As Sequence.read(); instances are not known. ValueError, FileNotFoundError: a file is damaged or missing."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.about['name']} has {len(self)} frames, asked for number {index}")
        shot = self._shots[index]
        frame = {"index": index, "stamp_ns": shot.stamp_ns, "world_from_camera": shot.world_from_camera}
        return frame | {"instances": []} | {name: self._layer(name, shot) for name in layers}

    def _layer(self, name: str, shot: Shot) -> np.ndarray:
        size = self.intrinsics.height, self.intrinsics.width
        if name not in self.layers:
            raise ValueError(f"{self.about['name']} has no layer '{name}'; it has {', '.join(self.layers)}")
        if name == "static":
            return np.ones(size, bool)
        if name == "truth_m" and shot.depth is None:
            return np.full(size, np.nan, np.float32)
        source, read = (shot.color, self._color) if name == "color" else (shot.depth, self._depth_m)
        array = read(source)
        if array.shape[:2] != size:
            raise ValueError(f"{source} is {array.shape[1]}x{array.shape[0]}, the lens is of {size[1]}x{size[0]}")
        return array if name == "color" else self._protocol.judged(array)

    def close(self) -> None:
        """Nothing is held open."""


def there(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; it is part of the dataset's published layout")
    return path


def folders(folder: Path, *parts: str) -> list[Path]:
    """The folders in a folder that have all of these parts."""
    return sorted(path for path in folder.iterdir() if all((path / part).is_dir() for part in parts))


def read_color(path: Path) -> np.ndarray:
    picture = cv2.imread(str(there(path)), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path} is no picture, or only the beginning of one; unpack it again")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def read_depth(path: Path, unit_m: float) -> np.ndarray:
    codes = cv2.imread(str(there(path)), cv2.IMREAD_UNCHANGED)
    if codes is None or codes.dtype != np.uint16 or codes.ndim != 2:
        raise ValueError(f"{path} is no picture of 16 bits a pixel, or only the beginning of one; unpack it again")
    return depth_from_codes(codes, unit_m)
