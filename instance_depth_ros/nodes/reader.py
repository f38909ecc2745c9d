"""A thread that reads a Camera: opens it again after failures, and knows when a recording has ended."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

from ..cameras import open_camera
from ..cameras.base import Camera, CameraError
from ..cameras.mounting import Placed
from ..frame import Frame

log = logging.getLogger(__name__)
# A driver's own stamp is kept when it is of this clock.
SAME_CLOCK_NS = 1_000_000_000
# What is plugged in again gives pictures within three seconds.
FIRST_DELAY_S, LAST_DELAY_S = 0.25, 2.0
# A camera that is being opened, or a frame that is being taken, may hold the thread; the process ends without it.
STOP_S = 3.0
# What a camera itself counts, and the reason by which it is lost.
CAMERA_LOSSES = {"skipped": "invalid", "overwritten": "overwritten", "unpaired": "unpaired"}


def restamped(frame: Frame, camera: Camera, now_ns: int) -> Frame:
    """The frame with the stamp it has for the graph: its own, or now where it is no moment of the ROS clock.

    A recording that has stamps keeps them, however old.
    """
    if camera.at_now or not (camera.recording or abs(now_ns - frame.stamp_ns) < SAME_CLOCK_NS):
        return replace(frame, stamp_ns=now_ns)
    return frame


class CameraReader:
    """Calls on_frame(frame) for each frame, from its own thread; on_end(failed) once after the last of a recording.

    A live camera that fails is opened again, at growing intervals; a recording that fails has ended. Pictures that the
    camera itself lost are received and lost for the monitor.
    problem: what is wrong now, '' when nothing is, each change of which is said once. failures: how often it failed.
    ValueError for settings that name no camera.
    """

    def __init__(self, settings, on_frame, on_end, complain, monitor):
        self.camera = open_camera(settings)
        self.problem, self.failures = f"opening the {settings.camera} camera", 0
        self._said = ""
        self._on_frame, self._on_end, self._complain, self._monitor = on_frame, on_end, complain, monitor
        self._booked = dict.fromkeys(CAMERA_LOSSES, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close the camera and end the thread; safe to call twice, and from within a callback."""
        self._stop.set()
        self.camera.interrupt()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(STOP_S)

    @property
    def placed(self) -> tuple[Placed, ...]:
        """What tf is to be told of the camera."""
        return self.camera.placed if self.camera.settings.publish_tf else ()

    def describe(self) -> dict[str, object]:
        """For diagnostics."""
        settings = self.camera.settings
        source = f"{settings.camera} {settings.camera_path}".strip()
        return {"camera": source, "camera_failures": self.failures, **self.camera.describe()}

    def _run(self) -> None:
        self._delay_s = FIRST_DELAY_S
        while not self._stop.is_set():
            try:
                with self.camera:
                    ended = self._read_all()
            except Exception as error:  # whatever it is, the thread must not end in silence
                if self._stop.is_set():
                    return
                # ValueError: a picture that its calibration does not fit.
                expected = isinstance(error, CameraError | ValueError)
                self.problem = str(error) if expected else f"the {self.camera.settings.camera} camera failed: {error!r}"
                self.failures += 1
                if self.problem != self._said:
                    self._said = self.problem
                    self._complain(self.problem)
                if self.camera.recording:
                    return self._on_end(True)
                self._stop.wait(self._delay_s)
                self._delay_s = min(2 * self._delay_s, LAST_DELAY_S)
            else:
                if ended and not self._stop.is_set():
                    self.problem = "the recording has ended"
                    return self._on_end(False)

    def _read_all(self) -> bool:
        """Hand over each frame until stop(), or the end of a recording; whether it was that."""
        while not self._stop.is_set():
            try:
                frame = self.camera.read()
            finally:
                self._book_losses()
            if frame is None:
                return True
            if self._said:
                log.info("the %s camera gives pictures again", self.camera.settings.camera)
            self.problem, self._said, self._delay_s = "", "", FIRST_DELAY_S
            self._on_frame(frame)
        return False

    def _book_losses(self) -> None:
        for name, reason in CAMERA_LOSSES.items():
            count = getattr(self.camera, name, 0)
            if new := count - self._booked[name]:
                self._booked[name] = count
                self._monitor.received(new)
                self._monitor.lost(reason, new)
