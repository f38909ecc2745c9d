"""RealSense D400 cameras and recordings of them, through the pipeline of their SDK."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..frame import Frame
from .base import Camera, CameraError
from .clock import DeviceClock
from .mounting import optical_frames
from .realsense_sdk import (
    Moment,
    Moments,
    choose_device,
    choose_profiles,
    configure,
    connected,
    identity,
    load_sdk,
    speaking,
)
from .source import PictureCamera, Recording

# A read that waits looks up so often whether it is still wanted, and whether the camera is still there.
LOOK_UP_MS = 100
# A frame counter that jumps further has been started anew.
MANY = 1000


def realsense_camera(settings) -> Camera:
    """The recording that camera_path names, else the device of the serial setting."""
    return RealsenseRecording(settings) if settings.camera_path else RealsenseCamera(settings)


class RealsenseCamera(PictureCamera):
    """A D400 that is plugged in: colour, and the depth of the same moment registered to it.

    overwritten: colour pictures that a newer one replaced before they were read. unpaired: those without their depth.
    Stamps are the SDK's global time where the device has it, else of its clock, with a low-passed offset to the host's.
    """

    def __init__(self, settings):
        super().__init__(settings)
        self.overwritten = self.unpaired = 0
        self._interrupted = threading.Event()
        self._device = self._pipeline = self._last = None
        self._told: dict[str, str] = {}

    def open(self) -> None:
        self.close()
        self._interrupted.clear()
        rs, settings = load_sdk(), self.settings
        with speaking("the RealSense cannot be opened"):
            context = rs.context()
            self._device = choose_device(connected(context), settings.serial)
            self._told = identity(self._device)
            configure(self._device, settings.exposure_us, settings.laser_power_mw)
            config, pipeline = rs.config(), rs.pipeline(context)
            for p in choose_profiles(self._device, settings.width, settings.height, settings.fps):
                config.enable_stream(p.stream_type(), p.stream_index(), p.width(), p.height(), p.format(), p.fps())
            pipeline.set_device(self._device)
            profile = pipeline.start(config)
            self._pipeline, self._clock, self._last = pipeline, DeviceClock(), None
            self._moments = Moments(profile, self._lens, self._count_unpaired)
            self.placed = optical_frames(settings.camera_frame, self._moments.color_from_depth)

    def read(self) -> Frame | None:
        if self._pipeline is None:
            raise CameraError("the realsense camera is not open; call open() first")
        if self._enough():
            return None
        before, moment = self._last, self._next()
        if before is not None and 0 < (missed := moment.number - before.number - 1) < MANY:
            self.overwritten += missed
        frame = self._frame(moment.color, self._stamp_ns(moment))
        return replace(frame, intrinsics=self._moments.lens, depth_m=moment.depth_m)

    def _next(self) -> Moment:
        """The next moment; CameraError when none comes for timeout_s."""
        name, timeout_s = f"RealSense {self._told['serial']}", self.settings.timeout_s
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            if self._interrupted.is_set():
                raise CameraError(f"{name} is being closed")
            with speaking(f"{name} failed"):
                came, frameset = self._pipeline.try_wait_for_frames(LOOK_UP_MS)
                if not came and not self._device.is_connected():
                    raise CameraError(f"{name} is gone; was it unplugged?")
                if came and (moment := self._moments.take(frameset)):
                    self._last = moment
                    return moment
        raise CameraError(f"{name} gave no picture with its depth for {timeout_s} s")

    def _stamp_ns(self, moment: Moment) -> int:
        by_device = moment.domain == "hardware_clock"
        return self._clock.host_ns(moment.device_ns, moment.arrived_ns) if by_device else moment.device_ns

    def _count_unpaired(self) -> None:
        self.unpaired += 1

    def describe(self) -> dict[str, object]:
        values = {f"camera_{key}": value for key, value in self._told.items()}
        if self._last is not None:
            offset = " with a low-passed offset" if self._last.domain == "hardware_clock" else ""
            values["camera_stamps"] = self._last.domain + offset
        return values

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        if self._pipeline is not None:
            self._pipeline.stop()
        self._pipeline = self._device = None


class RealsenseRecording(Recording):
    """A .bag or .db3 of the SDK, played through its pipeline: every moment, with the stamp it was recorded with.

    unpaired: colour pictures without depth of their moment.
    """

    at_now = False

    def __init__(self, settings):
        super().__init__(settings)
        self.unpaired, self._told = 0, {}

    def _play(self) -> Iterator[tuple[Moment, float]]:
        path = Path(self.settings.camera_path).expanduser()
        if not path.is_file():
            raise CameraError(f"there is no file {path}; camera_path names a recording of a RealSense (.bag, .db3)")
        rs = load_sdk()
        pipeline = rs.pipeline(rs.context())
        with speaking(f"{path} cannot be played"):
            profile = _start(rs, pipeline, str(path))
            try:
                playback = profile.get_device().as_playback()
                self._told = {f"camera_{key}": value for key, value in identity(playback).items()}
                moments = Moments(profile, self._lens, self._count_unpaired)
                self._color_lens = moments.lens
                self.placed = optical_frames(self.settings.camera_frame, moments.color_from_depth)
                yield from self._steps(pipeline, playback, moments)
            finally:
                pipeline.stop()

    def _steps(self, pipeline, playback, moments: Moments) -> Iterator[tuple[Moment, float]]:
        started, before_s, heard_s = False, None, time.monotonic()
        while True:
            came, frameset = pipeline.try_wait_for_frames(LOOK_UP_MS)
            if came and (moment := moments.take(frameset)):
                at_s = moment.device_ns / 1e9
                yield moment, self._step(before_s, at_s, 1 / (self.settings.fps or moments.fps))
                before_s = at_s
            if came:
                started, heard_s = True, time.monotonic()
            elif started and playback.current_status() == load_sdk().playback_status.stopped:
                break
            elif self._interrupted.is_set() or time.monotonic() - heard_s > self.settings.timeout_s:
                raise CameraError(f"{self.settings.camera_path} gave nothing for {self.settings.timeout_s} s")
        moments.end()
        if before_s is None:
            raise CameraError(f"no colour picture in {self.settings.camera_path} has depth of the same moment")

    def _frame(self, moment: Moment, stamp_ns: int) -> Frame:
        self._told["camera_stamps"] = f"the recording's, {moment.domain}"
        frame = super()._frame(moment.color, moment.device_ns)
        return replace(frame, intrinsics=self._color_lens, depth_m=moment.depth_m)

    def _count_unpaired(self) -> None:
        self.unpaired += 1

    def describe(self) -> dict[str, object]:
        return self._told


def _start(rs, pipeline, path: str):
    """The profile of the pipeline, started with colour and, where it was recorded, depth; the pace is the reader's."""

    def resolved(streams):
        config = rs.config()
        config.enable_device_from_file(path, False)
        for stream in streams:
            config.enable_stream(stream)
        return config, config.resolve(rs.pipeline_wrapper(pipeline))

    _, everything = resolved(())
    streams = {profile.stream_type() for profile in everything.get_streams()} & {rs.stream.color, rs.stream.depth}
    if rs.stream.color not in streams:
        raise CameraError(f"{path} holds no colour; record the colour stream too")
    config, profile = resolved(streams)
    playback = profile.get_device().as_playback()
    playback.set_real_time(False)
    # else the first frames pass while the second of the sensors is being started
    playback.pause()
    profile = pipeline.start(config)
    playback.resume()
    return profile
