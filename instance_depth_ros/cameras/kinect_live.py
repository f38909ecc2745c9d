"""The Azure Kinect itself, through pyk4a (1.5) and the Azure Kinect SDK."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from ..frame import Frame
from ..geometry import Intrinsics, depth_from_millimetres
from .base import CameraError
from .live import LiveCamera
from .mounting import optical_frames
from .webcam import stamp_of

# The height of colour pictures -> the SDK's name; widths follow from it.
RESOLUTIONS = {720: "RES_720P", 1080: "RES_1080P", 1440: "RES_1440P", 1536: "RES_1536P", 2160: "RES_2160P"}
RATES = (5, 15, 30)


class KinectCamera(LiveCamera):
    """Device number camera_path, 0 by default: colour of the height next to that asked for, at 5, 15 or 30 a second.

    Depth is what the SDK registers to colour, of one capture with it; the stamps are the host's, mapped to wall clock.
    """

    def describe(self) -> dict[str, object]:
        return {"camera_stamps": "host clock at arrival, by the SDK"}

    def _connect(self):
        number = int(self.settings.camera_path or 0)
        try:
            import pyk4a
        except ImportError as error:
            raise CameraError(
                f"a live Kinect needs the Azure Kinect SDK (libk4a) and pyk4a: pip install pyk4a ({error})"
            ) from None
        height = min(RESOLUTIONS, key=lambda height: abs(height - self.settings.height))
        rate = min(RATES, key=lambda rate: abs(rate - (self.settings.fps or max(RATES))))
        device = pyk4a.PyK4A(
            pyk4a.Config(
                color_resolution=pyk4a.ColorResolution[RESOLUTIONS[height]],
                color_format=pyk4a.ImageFormat.COLOR_BGRA32,
                depth_mode=pyk4a.DepthMode.NFOV_UNBINNED,
                camera_fps=pyk4a.FPS[f"FPS_{rate}"],
                synchronized_images_only=True,
            ),
            device_id=number,
        )
        try:
            device.start()
            calibration = device.calibration
        except pyk4a.K4AException as error:
            count = pyk4a.connected_device_count()
            raise CameraError(
                f"Kinect {number} of {count} cannot be started ({error or 'the SDK logs why'}): is its power supply "
                "connected, on USB 3, and no other program using it?"
            ) from None
        K = calibration.get_camera_matrix(pyk4a.CalibrationType.COLOR)
        distortion = calibration.get_distortion_coefficients(pyk4a.CalibrationType.COLOR)
        self._optics = K[0, 0], K[1, 1], K[0, 2], K[1, 2], "rational_polynomial", tuple(map(float, distortion))
        color_from_depth = np.eye(4)
        color_from_depth[:3, :3], color_from_depth[:3, 3] = calibration.get_extrinsic_parameters(
            pyk4a.CalibrationType.DEPTH, pyk4a.CalibrationType.COLOR
        )
        self.placed = optical_frames(self.settings.camera_frame, color_from_depth)
        return device

    def _pictures(self, device) -> Iterator[tuple[tuple[np.ndarray, np.ndarray | None], int]]:
        import pyk4a

        try:
            while True:
                try:
                    capture = device.get_capture(timeout=int(self.settings.timeout_s * 1000))
                    color, depth_mm = capture.color, capture.transformed_depth
                except pyk4a.K4AException as error:
                    what = "timed out" if isinstance(error, pyk4a.K4ATimeoutException) else "failed"
                    raise CameraError(f"the Kinect {what}; was it unplugged?") from None
                if color is None or depth_mm is None:
                    self.skipped += 1
                    continue
                stamp_ns = stamp_of(capture.color_system_timestamp_nsec / 1e6)
                yield (cv2.cvtColor(color, cv2.COLOR_BGRA2RGB), depth_from_millimetres(depth_mm)), stamp_ns
        finally:
            device.stop()

    def _frame(self, picture: tuple[np.ndarray, np.ndarray], stamp_ns: int) -> Frame:
        color, depth_m = picture
        height, width = color.shape[:2]
        lens = Intrinsics(width, height, *self._optics)
        return replace(super()._frame(color, stamp_ns), intrinsics=lens, depth_m=depth_m)
