"""The lens of a camera from a ROS camera_info YAML file (what camera_calibration and camera_info_manager write)."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

import yaml

from ..geometry import Intrinsics


def load_camera_info(path: str | Path) -> Intrinsics:
    """The Intrinsics in a camera_info YAML file; ValueError names the file and the key that is wrong."""
    path = Path(path).expanduser()
    try:
        info = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"camera_info {path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(info, dict):
        raise ValueError(f"camera_info {path} is no camera_info: it has no key image_width")
    try:
        K = _numbers(info, "camera_matrix", 9)
        lens = Intrinsics(
            width=_whole(info, "image_width"),
            height=_whole(info, "image_height"),
            fx=K[0],
            fy=K[4],
            cx=K[2],
            cy=K[5],
            model=info.get("distortion_model", "plumb_bob"),
            distortion=_numbers(info, "distortion_coefficients") if "distortion_coefficients" in info else (),
        )
        lens.check((lens.height, lens.width))
    except ValueError as error:
        raise ValueError(f"camera_info {path}: {error}") from None
    return lens


def fit(lens: Intrinsics, width: int, height: int) -> Intrinsics:
    """The lens for width x height pictures; ValueError when they are no resized version of the calibrated ones."""
    if (width, height) == (lens.width, lens.height):
        return lens
    if abs(width * lens.height - height * lens.width) > max(lens.width, lens.height):
        raise ValueError(
            f"the calibration is for {lens.width}x{lens.height} and the picture is {width}x{height}, of another shape; "
            "calibrate at this size, or leave camera_info empty to let a field of view be assumed"
        )
    return lens.resized(width, height)


def _whole(info: dict, key: str) -> int:
    value = info.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{key} must be a whole number of pixels, got {value!r}")
    return value


def _numbers(info: dict, key: str, count: int | None = None) -> tuple[float, ...]:
    matrix = info.get(key)
    data = matrix.get("data") if isinstance(matrix, dict) else None
    try:
        # YAML 1.1 takes 1e-05 for text, and C++ drivers write it.
        numbers = tuple(float(x) for x in data)
    except (TypeError, ValueError):
        numbers = ()
    if not all(map(isfinite, numbers)) or len(numbers) != (count or len(data or ())):
        raise ValueError(f"{key}.data must be a list of {count or 'finite'} numbers, got {data!r}")
    return numbers
