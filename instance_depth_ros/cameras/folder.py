"""A folder of pictures as a camera."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..picture_files import SUFFIXES, pictures_in
from .base import CameraError
from .source import Recording

DEFAULT_FPS = 30.0


class FolderCamera(Recording):
    """The pictures of a folder in natural order (2.png before 10.png), at the fps setting or 30 a second."""

    def _play(self) -> Iterator[tuple[np.ndarray, float]]:
        folder = Path(self.settings.camera_path).expanduser()
        if not folder.is_dir():
            raise CameraError(f"there is no folder {folder}; camera_path names the folder of pictures")
        paths = pictures_in(folder)
        if not paths:
            raise CameraError(f"{folder} holds no picture ({', '.join(sorted(SUFFIXES))})")
        for path in paths:
            color = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if color is None:
                self.skipped += 1
                continue
            yield cv2.cvtColor(color, cv2.COLOR_BGR2RGB), 1 / (self.settings.fps or DEFAULT_FPS)
