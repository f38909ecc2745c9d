"""An Azure Kinect: a recording of it as a camera, or the device itself (kinect_live)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from ..frame import Frame
from ..geometry import depth_from_millimetres
from ..pairing import Pairer
from ..registration import register
from .base import Camera, CameraError
from .kinect_calibration import read_calibration
from .mounting import optical_frames
from .source import StampedRecording
from .video import decode_streams, open_video, rgb

# Decoders that use several threads hand colour out so much later than depth.
WAITING = 30
DEFAULT_FPS = 30
log = logging.getLogger(__name__)


def kinect_camera(settings) -> Camera:
    """The recording that camera_path names, or the device: '' is the first, 1 the second."""
    if settings.camera_path.strip().isdecimal() or not settings.camera_path:
        from .kinect_live import KinectCamera

        return KinectCamera(settings)
    return KinectRecording(settings)


class KinectRecording(StampedRecording):
    """A .mkv of k4arecorder or of the SDK's record API: colour, and depth registered to it by the stored calibration.

    Tracks are found by the tags K4A_COLOR_TRACK and K4A_DEPTH_TRACK or their titles; depth is 16-bit, millimetres.
    Stamps are the time of creation (whole seconds) plus the device's clock. Without a calibration the lens is that of
    the camera_info setting, and depth is left out, which describe() and the log say.
    """

    def __init__(self, settings):
        super().__init__(settings)
        self._told = {}

    def describe(self) -> dict[str, object]:
        return {"camera_stamps": "time of creation plus device clock", **self._told}

    def _frames(self) -> Iterator[Frame]:
        path = Path(self.settings.camera_path).expanduser()
        if not path.is_file():
            raise CameraError(f"there is no recording {path}; camera_path names a .mkv, or is empty for the device")
        with open_video(str(path)) as container:
            color, depth = _track(container, "COLOR"), _track(container, "DEPTH")
            if color is None:
                raise CameraError(f"{path} has no colour track; camera: file plays videos of other cameras")
            self._calibrate(path, container, color, depth)
            yield from self._pairs(container, color, depth if self._depth_lens else None)

    def _calibrate(self, path: Path, container, color, depth) -> None:
        self._color_lens = self._depth_lens = None
        self._told = {"camera_calibration": "of the recording", "camera_depth": "registered" if depth else "none"}
        sizes = [stream and (stream.width, stream.height) for stream in (color, depth)]
        try:
            if depth and not depth.pix_fmt.startswith("gray16"):
                raise ValueError(f"depth is no 16-bit grey, but {depth.pix_fmt}")
            calibration = read_calibration(_attachment(container), *sizes)
            self._color_lens, self._depth_lens, self._color_from_depth = calibration
            self.placed = optical_frames(self.settings.camera_frame, self._color_from_depth)
        except ValueError as error:
            given = f"camera_info {self.settings.camera_info}" if self.settings.camera_info else "none"
            self._told = {"camera_calibration": given, "camera_depth": f"left out: {error}" if depth else "none"}
            log.warning("%s: %s; the lens is that of %s, depth is left out", path, error, given)

    def _pairs(self, container, color, depth) -> Iterator[Frame]:
        pairs, start_ns = deque(), _start_ns(container.metadata)
        slop_ns = int(0.5e9 / float(color.average_rate or DEFAULT_FPS))
        delay_ns = int(container.metadata.get("K4A_DEPTH_DELAY_NS", 0))
        pairer = Pairer(2, lambda *pair: pairs.append(pair), slop_ns, WAITING, self._on_unpaired)
        for stream, picture in decode_streams(container, [color, depth] if depth else [color]):
            if picture is None or picture.pts is None:
                self.skipped += stream == color
                continue
            stamp_ns = start_ns + round(picture.pts * picture.time_base * 10**9)
            if depth is None:
                yield self._frame_of((picture, stamp_ns))
            else:
                # Depth is taken so much later than its colour.
                pairer.add(int(stream == depth), stamp_ns - delay_ns * (stream == depth), (picture, stamp_ns))
            while pairs:
                yield self._frame_of(*pairs.popleft())
        pairer.flush()

    def _frame_of(self, color, depth=None) -> Frame:
        (picture, stamp_ns), depth_m = color, None
        pixels = rgb(picture)
        if depth is not None:
            depth_m = depth_from_millimetres(depth[0].to_ndarray().astype(np.uint16, copy=False))
            depth_m = register(depth_m, self._depth_lens, self._color_lens, self._color_from_depth)
        lens = self._color_lens or self._lens_of(pixels)
        return Frame(pixels, stamp_ns, self.settings.camera_frame, lens, depth_m)

    def _on_unpaired(self, stream: int, _item) -> None:
        self.unpaired += stream == 0


def _track(container, name: str):
    """The video stream with this K4A tag or title, else None."""
    for stream in container.streams.video:
        if f"K4A_{name}_TRACK" in stream.metadata or stream.metadata.get("title") == name:
            return stream
    return None


def _attachment(container) -> bytes:
    for stream in container.streams:
        if stream.type == "attachment" and stream.metadata.get("filename") == "calibration.json":
            return bytes(stream.data)
    raise ValueError("it has no attachment calibration.json")


def _start_ns(metadata: dict[str, str]) -> int:
    """When the first track began: wall clock where that was recorded, else the device's."""
    try:
        created = datetime.fromisoformat(metadata["creation_time"].replace("Z", "+00:00"))
    except (KeyError, ValueError):
        return int(metadata.get("K4A_START_OFFSET_NS", 0))
    return round(created.replace(tzinfo=created.tzinfo or timezone.utc).timestamp()) * 10**9
