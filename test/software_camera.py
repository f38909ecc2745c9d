"""A RealSense for tests: the SDK's own software device, recorded to a file by its recorder, or streaming live."""

from itertools import count
from pathlib import Path

import numpy as np
import pytest

rs = pytest.importorskip("pyrealsense2", reason="needs pyrealsense2 and libusb-1.0-0", exc_type=ImportError)

WIDTH, HEIGHT, FPS = 64, 48, 30
STEP_MS = 1000 / FPS


def sdk_lens(focal_px=60.0, width=WIDTH, height=HEIGHT, model="brown_conrady", coeffs=(0.0,) * 5):
    lens = rs.intrinsics()
    lens.width, lens.height, lens.fx, lens.fy = width, height, focal_px, focal_px
    lens.ppx, lens.ppy = (width - 1) / 2, (height - 1) / 2
    lens.model, lens.coeffs = getattr(rs.distortion, model), list(coeffs)
    return lens


def color_of(number: int, lens=None) -> np.ndarray:
    """(H, W, 3) uint8 of a number, each pixel another."""
    size = (lens.height, lens.width) if lens else (HEIGHT, WIDTH)
    return np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)


def codes_of(number: int, lens=None) -> np.ndarray:
    """(H, W) uint16 of a number, each pixel another, some without depth."""
    size = (lens.height, lens.width) if lens else (HEIGHT, WIDTH)
    codes = np.random.default_rng(number).integers(300, 60000, size, np.uint16)
    codes[::7, ::5] = 0
    return codes


class SoftwareCamera:
    """A device with a colour and a depth sensor; within `with` it takes frames."""

    def __init__(self, color=None, depth=None, translation_m=(0.0, 0.0, 0.0), unit_m=0.001, serial="0042", form="rgb8"):
        self.color_lens, self.depth_lens, self.unit_m = color or sdk_lens(), depth or sdk_lens(), unit_m
        self.device, self.numbers = rs.software_device(), count()
        self.device.register_info(rs.camera_info.serial_number, serial)
        self.device.register_info(rs.camera_info.name, "Software RealSense")
        self.stereo, self.rgb = self.device.add_sensor("Stereo Module"), self.device.add_sensor("RGB Camera")
        self.stereo.add_read_only_option(rs.option.depth_units, unit_m)
        self._depth = self._stream(self.stereo, rs.stream.depth, rs.format.z16, 2, self.depth_lens)
        self._color = self._stream(self.rgb, rs.stream.color, getattr(rs.format, form), 3, self.color_lens)
        pose = rs.extrinsics()
        pose.rotation, pose.translation = np.eye(3).ravel().tolist(), list(translation_m)
        self._depth.register_extrinsics_to(self._color, pose)
        self.device.create_matcher(rs.matchers.default)

    def _stream(self, sensor, kind, form, bytes_per_pixel, lens):
        stream = rs.video_stream()
        stream.type, stream.fmt, stream.bpp, stream.intrinsics = kind, form, bytes_per_pixel, lens
        stream.uid, stream.width, stream.height, stream.fps = int(kind), lens.width, lens.height, FPS
        return sensor.add_video_stream(stream).as_video_stream_profile()

    def add_option(self, sensor, option, low, high, step, value) -> None:
        span = rs.option_range()
        span.min, span.max, span.step, span.default = low, high, step, value
        sensor.add_option(option, span, True)

    def show(self, number: int, color=None, codes=None, stamp_ms=None, domain="hardware_clock") -> None:
        """The frames of one moment that are given."""
        for sensor, profile, pixels in ((self.stereo, self._depth, codes), (self.rgb, self._color, color)):
            if pixels is None:
                continue
            frame = rs.software_video_frame()
            frame.pixels, frame.bpp = pixels, pixels.itemsize * (pixels.size // (pixels.shape[0] * pixels.shape[1]))
            frame.stride, frame.profile, frame.frame_number = frame.bpp * pixels.shape[1], profile, number
            frame.timestamp = STEP_MS * number + 1000 if stamp_ms is None else stamp_ms
            frame.domain, frame.depth_units = getattr(rs.timestamp_domain, domain), self.unit_m
            sensor.on_video_frame(frame)

    def record(self, path: Path, moments) -> Path:
        """moments: keywords of show(), one after another, in a recording."""
        recorder, queue = rs.recorder(str(path), self.device), rs.frame_queue(2)
        for sensor, profile in ((self.stereo, self._depth), (self.rgb, self._color)):
            sensor.open([profile])
            sensor.start(queue)
        for number, moment in enumerate(moments):
            self.show(number, **moment)
        for sensor in (self.stereo, self.rgb):
            sensor.stop()
            sensor.close()
        recorder.pause()
        return path


def full(count: int) -> list[dict]:
    """So many moments with colour and depth."""
    return [{"color": color_of(number), "codes": codes_of(number)} for number in range(count)]


def aligned_by_the_sdk(path: Path) -> np.ndarray:
    """(H, W) uint16: depth of a recording's first frameset, aligned to colour by the SDK."""
    config, pipeline = rs.config(), rs.pipeline()
    config.enable_device_from_file(str(path), False)
    playback = config.resolve(rs.pipeline_wrapper(pipeline)).get_device().as_playback()
    playback.set_real_time(False)
    playback.pause()
    pipeline.start(config)
    playback.resume()
    aligned = rs.align(rs.stream.color).process(pipeline.wait_for_frames()).get_depth_frame()
    codes = np.array(aligned.get_data())
    pipeline.stop()
    return codes
