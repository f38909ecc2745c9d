"""Published datasets of videos: Bonn, ScanNet and Sintel, as judged by Video Depth Anything at up to 500 frames."""

from __future__ import annotations

from bisect import bisect_left
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ..geometry import Intrinsics
from .published_clip import Pictures, Protocol, Shot, folders, read_color, read_depth, there

FRAMES = 500
SCANNET_FPS, SINTEL_FPS = 30, 24
BONN_PAIR_S = 0.02  # pictures of colour and depth that are farther apart do not belong together
BONN_DISTORTION = (0.039903, -0.099343, -0.000730, -0.000144, 0.0)
BONN_LENS = Intrinsics(640, 480, 542.822841, 542.576870, 315.593520, 237.756098, "plumb_bob", BONN_DISTORTION)
SINTEL_TAG = np.float32(202021.25)


def bonn(folder: Path, protocol: Protocol) -> list[Pictures]:
    """A folder a sequence with rgb/ and depth/, whose pictures are named after their stamps in seconds (TUM RGB-D)."""
    clips = []
    for place in folders(folder, "rgb", "depth"):
        colors, depths = (sorted((place / kind).glob("*.png"), key=_seconds) for kind in ("rgb", "depth"))
        if not depths:
            raise FileNotFoundError(f"{place / 'depth'} holds no picture named after its stamp: STAMP_S.png")
        shots = [Shot(color, _nearest(color, depths), round(_seconds(color) * 1e9)) for color in colors[:FRAMES]]
        clips.append(Pictures(place.name, protocol, BONN_LENS, shots, read_color, partial(read_depth, unit_m=1 / 5000)))
    return clips


def _nearest(color: Path, depths: list[Path]) -> Path | None:
    """Of sorted depths the one taken at the same moment, None without one."""
    place = bisect_left(depths, _seconds(color), key=_seconds)
    near = min(depths[max(place - 1, 0) : place + 1], key=lambda depth: abs(_seconds(depth) - _seconds(color)))
    return near if abs(_seconds(near) - _seconds(color)) <= BONN_PAIR_S else None


def _seconds(path: Path) -> float:
    return float(path.stem)


def scannet(folder: Path, protocol: Protocol) -> list[Pictures]:
    """A folder a scene with color/N.jpg, depth/N.png, pose/N.txt, intrinsic/intrinsic_depth.txt: the .sens export.

    Colours are brought to the size of the depth.
    """
    clips = []
    for place in folders(folder, "color", "depth", "pose", "intrinsic"):
        colors = sorted((place / "color").glob("*.jpg"), key=lambda path: int(path.stem))[:FRAMES]
        depths = [place / "depth" / f"{path.stem}.png" for path in colors]
        if not colors:
            raise FileNotFoundError(f"{place / 'color'} holds no N.jpg; export the .sens file's frames")
        height, width = read_depth(depths[0], 1e-3).shape
        (fx, _, cx, _), (_, fy, cy, _), *_ = _matrix(place / "intrinsic" / "intrinsic_depth.txt")
        shots = []
        for color, depth in zip(colors, depths, strict=True):
            pose = _matrix(place / "pose" / f"{color.stem}.txt")  # not finite where tracking was lost
            stamp_ns = int(color.stem) * 10**9 // SCANNET_FPS
            shots.append(Shot(color, depth, stamp_ns, pose if np.isfinite(pose).all() else None))
        lens = Intrinsics(width, height, fx, fy, cx, cy)
        color = partial(_resized, size=(width, height))
        clips.append(Pictures(place.name, protocol, lens, shots, color, partial(read_depth, unit_m=1e-3), static=True))
    return clips


def _resized(path: Path, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(read_color(path), size, interpolation=cv2.INTER_AREA)


def sintel(folder: Path, protocol: Protocol) -> list[Pictures]:
    """training/{clean,depth,camdata_left}/SCENE/frame_0001.{png,dpt,cam}: the training data and its depth."""
    folder = folder / "training" if (folder / "training").is_dir() else folder
    clips = []
    for place in sorted(path for path in there(folder / "clean").iterdir() if path.is_dir()):
        shots, lens = [], None
        for index, color in enumerate(sorted(place.glob("frame_*.png"))):
            depth = folder / "depth" / place.name / f"{color.stem}.dpt"
            K, pose = _sintel_camera(folder / "camdata_left" / place.name / f"{color.stem}.cam")
            if lens is None:  # that of the first frame is taken for all
                height, width = read_color(color).shape[:2]
                lens = Intrinsics(width, height, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
            shots.append(Shot(color, depth, index * 10**9 // SINTEL_FPS, pose))
        if shots:
            clips.append(Pictures(place.name, protocol, lens, shots, read_color, _sintel_depth))
    return clips


def _sintel_camera(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) K and (4, 4) world_from_camera of a .cam file: a tag, K, and the rows of camera_from_world, float64."""
    content = there(path).read_bytes()
    if len(content) != 4 + 8 * 21 or np.frombuffer(content, "<f4", 1)[0] != SINTEL_TAG:
        raise ValueError(f"{path} is no .cam file of Sintel; unpack it again")
    numbers = np.frombuffer(content, "<f8", offset=4)
    camera_from_world = np.vstack([numbers[9:].reshape(3, 4), [0, 0, 0, 1]])
    return numbers[:9].reshape(3, 3), np.linalg.inv(camera_from_world)


def _sintel_depth(path: Path) -> np.ndarray:
    """(H, W) metres of a .dpt file: a tag, width, height, then the rows as float32."""
    content = there(path).read_bytes()
    width, height = np.frombuffer(content, "<i4", 2, 4) if len(content) >= 12 else (0, 0)
    if len(content) != 12 + 4 * int(width) * int(height) or np.frombuffer(content, "<f4", 1)[0] != SINTEL_TAG:
        raise ValueError(f"{path} is no .dpt file of Sintel, or only the beginning of one; unpack it again")
    return np.frombuffer(content, "<f4", offset=12).reshape(height, width)


def _matrix(path: Path) -> np.ndarray:
    numbers = np.array(there(path).read_text().split(), np.float64)
    if numbers.size != 16:
        raise ValueError(f"{path} should hold 4 x 4 numbers, has {numbers.size}")
    return numbers.reshape(4, 4)
