"""A thread that reads a Camera: opens it again after failures, and knows when a recording has ended."""

from __future__ import annotations

import threading
from dataclasses import replace

from ..cameras import open_camera
from ..cameras.base import CameraError
from ..frame import Frame

RECORDINGS = ("file", "folder")
# A driver's own stamp is kept when it is of this clock.
SAME_CLOCK_NS = 1_000_000_000
FIRST_DELAY_S, LAST_DELAY_S = 0.5, 10.0


def restamped(frame: Frame, camera: str, now_ns: int) -> Frame:
    """The frame with a stamp of the ROS clock: a live driver's own, or now (a recording happens now for the graph)."""
    if camera not in (*RECORDINGS, "simulated") and abs(now_ns - frame.stamp_ns) < SAME_CLOCK_NS:
        return frame
    return replace(frame, stamp_ns=now_ns)


class CameraReader:
    """Calls on_frame(frame) for each frame, from its own thread; on_end(failed) once after the last of a recording.

    A live camera that fails is opened again, at growing intervals; a recording that fails has ended.
    problem: what is wrong now, '' when nothing is. ValueError for settings that name no camera.
    """

    def __init__(self, settings, on_frame, on_end, complain):
        self.camera = open_camera(settings)
        self.problem = f"opening the {settings.camera} camera"
        self._recording = settings.camera in RECORDINGS
        self._on_frame, self._on_end, self._complain = on_frame, on_end, complain
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close the camera and end the thread; safe to call twice, and from within a callback."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        delay_s = FIRST_DELAY_S
        while not self._stop.is_set():
            try:
                with self.camera:
                    while not self._stop.is_set():
                        frame = self.camera.read()
                        if frame is None:
                            self.problem = "the recording has ended"
                            return self._on_end(False)
                        self.problem, delay_s = "", FIRST_DELAY_S
                        self._on_frame(frame)
            # ValueError: a picture that its calibration does not fit.
            except (CameraError, ValueError) as error:
                self.problem = str(error)
                self._complain(self.problem)
                if self._recording:
                    return self._on_end(True)
                self._stop.wait(delay_s)
                delay_s = min(2 * delay_s, LAST_DELAY_S)
