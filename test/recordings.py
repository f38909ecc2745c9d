"""Recordings for tests: pictures that say their number, videos of them, and a camera that plays them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from instance_depth_ros import config
from instance_depth_ros.cameras import open_camera

av = pytest.importorskip("av", reason="PyAV reads videos and streams")

HEIGHT, WIDTH = 96, 128


def camera(kind, path="", **settings):
    return open_camera(config.make("camera", camera=kind, camera_path=str(path), **{"rate": "max"} | settings))


def numbered(number: int) -> np.ndarray:
    """A picture whose brightness says its number, redder than blue."""
    picture = np.full((HEIGHT, WIDTH, 3), 20 + 10 * number, np.uint8)
    picture[..., 2] //= 2
    picture[:16, :16] = 0
    return picture


def number_of(picture: np.ndarray) -> int:
    return round((float(picture[16:, 16:, 0].mean()) - 20) / 10)


def write_video(path: Path, count: int, codec: str = "mjpeg", times: tuple[int, ...] = ()) -> Path:
    """count numbered pictures at 10 a second, or at the given times in ms."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if times:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts = times[number] if times else number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def play(opened, limit: int = 1000) -> list:
    """Frames to the end."""
    frames = []
    with opened:
        while len(frames) < limit and (frame := opened.read()) is not None:
            frames.append(frame)
    return frames


def numbers(frames) -> list[int]:
    return [number_of(frame.color) for frame in frames]
