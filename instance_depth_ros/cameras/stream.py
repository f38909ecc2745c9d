"""A network stream (RTSP, HTTP, ...) as a camera."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from .live import LiveCamera
from .video import decode, open_video

OPTIONS = {"rtsp_transport": "tcp", "fflags": "nobuffer", "flags": "low_delay"}


class StreamCamera(LiveCamera):
    """A URL that FFmpeg can play; silence of timeout_s, at opening or later, is a CameraError."""

    def _connect(self):
        container = open_video(self.settings.camera_path, self.settings.timeout_s, OPTIONS)
        # Frame threads would hold back a picture each.
        container.streams.video[0].thread_type = "SLICE"
        return container

    def _pictures(self, device) -> Iterator[tuple[np.ndarray, int]]:
        with device:
            for color, _ in decode(device, self._skip):
                yield color, time.time_ns()

    def _skip(self) -> None:
        self.skipped += 1
