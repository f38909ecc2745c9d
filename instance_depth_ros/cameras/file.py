"""A video file as a camera."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .base import CameraError
from .source import Recording
from .video import decode, open_video


class FileCamera(Recording):
    """Any video FFmpeg can decode, at the pace of its own timestamps or of the fps setting."""

    def _play(self) -> Iterator[tuple[np.ndarray, float]]:
        path = Path(self.settings.camera_path).expanduser()
        if path.is_dir():
            raise CameraError(f"{path} is a folder; set camera to folder to play it")
        if not path.is_file():
            raise CameraError(f"there is no file {path}; camera_path names the video (for a URL set camera to stream)")
        with open_video(str(path)) as container:
            step_s = 1 / (self.settings.fps or float(container.streams.video[0].average_rate or 30))
            before_s = None
            for color, at_s in decode(container, self._skip):
                yield color, self._step(before_s, at_s, step_s)
                before_s = at_s

    def _skip(self) -> None:
        self.skipped += 1
