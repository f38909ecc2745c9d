"""A webcam through V4L2."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from glob import glob

import cv2
import numpy as np

from .base import CameraError
from .live import LiveCamera


class WebcamCamera(LiveCamera):
    """A V4L2 device by index, path or stable id (/dev/v4l/by-id/...); camera_path '' is the first.

    The size asked for may not be the size given.
    """

    def describe(self) -> dict[str, object]:
        return {"device": os.path.realpath(self._path())}

    def _path(self) -> str:
        path = self.settings.camera_path or "0"
        return f"/dev/video{path}" if path.isdigit() else os.path.expanduser(path)

    def _connect(self) -> cv2.VideoCapture:
        path = self._path()
        if not os.path.exists(path):
            there = (
                ", ".join(sorted(glob("/dev/video*"))) or "there is none; is it plugged in, and given to the container?"
            )
            raise CameraError(f"there is no webcam {path}; /dev/video*: {there}")
        if not os.access(path, os.R_OK | os.W_OK):
            raise CameraError(f"no permission for {path}; sudo usermod -aG video $USER, then log in again")
        # A stable id is a link, to another number after each replug.
        device = cv2.VideoCapture(os.path.realpath(path), cv2.CAP_V4L2)
        if not device.isOpened():
            raise CameraError(f"{path} gives no pictures; another program may hold it, or its neighbour is the camera")
        # Uncompressed pictures beyond VGA do not fit through USB 2 at full rate; a device without MJPG ignores this.
        device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*"MJPG"))
        device.set(cv2.CAP_PROP_FRAME_WIDTH, self.settings.width)
        device.set(cv2.CAP_PROP_FRAME_HEIGHT, self.settings.height)
        if self.settings.fps:
            device.set(cv2.CAP_PROP_FPS, self.settings.fps)
        # More buffers are older pictures.
        device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return device

    def _pictures(self, device: cv2.VideoCapture) -> Iterator[tuple[np.ndarray, int]]:
        try:
            while True:
                there, color = device.read()
                if not there:
                    raise CameraError(f"webcam {self.settings.camera_path or '0'} stopped; was it unplugged?")
                stamp_ns = stamp_of(device.get(cv2.CAP_PROP_POS_MSEC))
                yield cv2.cvtColor(color, cv2.COLOR_BGR2RGB), stamp_ns
        finally:
            device.release()


def stamp_of(device_ms: float) -> int:
    """Wall clock of a picture that the driver stamped in CLOCK_MONOTONIC ms; now, where it has no such stamp."""
    age_ns = time.monotonic_ns() - round(device_ms * 1e6)
    return time.time_ns() - (age_ns if 0 <= age_ns < 1_000_000_000 else 0)
