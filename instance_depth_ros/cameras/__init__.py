"""Where pictures come from: one interface, one file a source."""

from __future__ import annotations

from importlib import import_module

from .base import Camera, CameraError

__all__ = ["Camera", "CameraError", "open_camera"]

CLASSES = {
    "file": "FileCamera",
    "folder": "FolderCamera",
    "webcam": "WebcamCamera",
    "stream": "StreamCamera",
    "simulated": "SimulatedCamera",
    "replay": "ReplayCamera",
    "kinect": "kinect_camera",
    "realsense": "realsense_camera",
}
NEED_PATH = ("file", "folder", "stream", "replay")


def open_camera(settings) -> Camera:
    """The camera that settings.camera names, not opened yet (open it with `with` or .open()).

    settings: of config.make('camera' or 'depth', ...). ValueError when they name no camera this process can open.
    """
    kind = settings.camera
    if kind not in CLASSES:
        raise ValueError(f"camera '{kind}' is no camera to open; set camera to one of {', '.join(CLASSES)}")
    if kind in NEED_PATH and not settings.camera_path:
        raise ValueError(f"camera '{kind}' needs camera_path, got ''")
    return getattr(import_module(f".{kind}", __name__), CLASSES[kind])(settings)
