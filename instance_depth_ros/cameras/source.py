"""What cameras that give plain pictures share: settings, calibration, stamps; and the pace and time of recordings."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..frame import Frame
from .base import Camera, CameraError
from .calibration import fit, load_camera_info

# A reader that is this late has paused the recording: it goes on from there, without a burst to catch up.
PAUSE_S = 1.0
# Between the last frame of a pass and the first of the next, where the recording has but one.
LOOP_STEP_NS = 33_333_333


class PictureCamera(Camera):
    """A camera of colour pictures whose lens, where known, is in the camera_info setting."""

    def __init__(self, settings):
        self.settings = settings
        self._lens = load_camera_info(settings.camera_info) if settings.camera_info else None
        self._given = 0

    def _frame(self, color: np.ndarray, stamp_ns: int) -> Frame:
        """The Frame of an RGB picture; CameraError when the calibration is for another shape."""
        lens, (height, width) = self._lens, color.shape[:2]
        try:
            lens = lens and fit(lens, width, height)
        except ValueError as error:
            raise CameraError(f"{self.settings.camera} camera {self.settings.camera_path}: {error}") from None
        self._given += 1
        return Frame(color, stamp_ns, self.settings.camera_frame, lens)

    def _enough(self) -> bool:
        """Whether as many frames were given as the frames setting asks for."""
        return 0 < self.settings.frames <= self._given


class Recording(PictureCamera):
    """Pictures from a file or folder, at their own pace or as fast as they are read.

    skipped: pictures that could not be decoded. Stamps are wall clock, so that latencies can be measured.
    """

    recording = on_demand = at_now = True

    def __init__(self, settings):
        super().__init__(settings)
        self.skipped = 0
        self._interrupted = threading.Event()
        self._pictures: Iterator[tuple[np.ndarray, float]] | None = None

    @abstractmethod
    def _play(self) -> Iterator[tuple[np.ndarray, float]]:
        """One pass: (H, W, 3) uint8 RGB and seconds since the one before it. CameraError when it cannot be played."""

    def open(self) -> None:
        """Start at the beginning; CameraError unless a first picture can be decoded."""
        self.close()
        self._interrupted.clear()
        self._given, self._due_s = 0, None
        pictures = self._passes()
        # Taken now, so that a file without a single picture is refused here.
        self._first = next(pictures)
        self._pictures = pictures

    def read(self) -> Frame | None:
        if self._pictures is None:
            raise CameraError(f"the {self.settings.camera} camera is not open; call open() first")
        if self._enough():
            return None
        picture, self._first = self._first or next(self._pictures, None), None
        if picture is None:
            return None
        color, step_s = picture
        self._wait(step_s)
        return self._frame(color, time.time_ns())

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        if self._pictures is not None:
            self._pictures.close()
        self._pictures = None

    def _passes(self) -> Iterator[tuple[np.ndarray, float]]:
        """All passes; each gives at least one picture or raises CameraError."""
        while True:
            seen = False
            for picture in self._play():
                seen = True
                yield picture
            if not seen:
                raise CameraError(f"no picture in {self.settings.camera_path} can be decoded; try another file")
            if not self.settings.loop:
                return

    def _step(self, before_s: float | None, at_s: float | None, step_s: float) -> float:
        """Seconds between two pictures; step_s where the timestamps are missing or make no sense."""
        if self.settings.fps or before_s is None or at_s is None:
            return step_s
        return at_s - before_s if 0 < at_s - before_s <= self.settings.timeout_s else step_s

    def _wait(self, step_s: float) -> None:
        """Wait until the next picture is due; each due time follows from the one before it, so nothing drifts."""
        if self.settings.rate == "max":
            return
        now_s = time.monotonic()
        pace = 1.0 if self.settings.rate == "real" else float(self.settings.rate)
        self._due_s = now_s if self._due_s is None else self._due_s + step_s / pace
        if now_s - self._due_s > PAUSE_S:
            self._due_s = now_s
        if self._due_s > now_s:
            self._interrupted.wait(self._due_s - now_s)


class StampedRecording(Recording):
    """A recording of whole frames, whose stamps are kept: two replays give the same, and a loop goes on rising.

    The pace is that of the stamps; a gap longer than timeout_s is waited for so long, one into the past not at all.
    unpaired: pictures whose depth is missing, and so left out. _why: what was wrong with the last that was skipped.
    """

    at_now = False

    def __init__(self, settings):
        super().__init__(settings)
        self.unpaired, self._why = 0, ""

    @abstractmethod
    def _frames(self) -> Iterator[Frame]:
        """One pass, with the recorded stamps. CameraError when it cannot be played."""

    def _passes(self) -> Iterator[tuple[Frame, float]]:
        self._later_ns = 0
        return super()._passes()

    def _play(self) -> Iterator[tuple[Frame, float]]:
        first_ns = last_ns = before_ns = None
        step_ns = LOOP_STEP_NS
        for frame in self._frames():
            stamp_ns = frame.stamp_ns
            if before_ns is None:
                first_ns = last_ns = stamp_ns
            elif stamp_ns > before_ns:
                step_ns = stamp_ns - before_ns
            first_ns, last_ns = min(first_ns, stamp_ns), max(last_ns, stamp_ns)
            yield replace(frame, stamp_ns=stamp_ns + self._later_ns), self._step_s(before_ns, stamp_ns)
            before_ns = stamp_ns
        if before_ns is None:
            lost = f"{self.skipped} cannot be decoded, {self.unpaired} are without depth of their moment"
            raise CameraError(f"no picture in {self.settings.camera_path}: {lost}. {self._why}".strip())
        self._later_ns += last_ns - first_ns + step_ns

    def _step_s(self, before_ns: int | None, stamp_ns: int) -> float:
        if self.settings.fps:
            return 1 / self.settings.fps
        if before_ns is None:
            return LOOP_STEP_NS / 1e9
        return min(max(stamp_ns - before_ns, 0) / 1e9, self.settings.timeout_s)

    def _frame(self, frame: Frame, _now_ns: int) -> Frame:
        self._given += 1
        # It may have waited for its time, or for who listens.
        return replace(frame, received_ns=time.monotonic_ns())

    def _lens_of(self, color: np.ndarray):
        """The lens in the camera_info setting for a picture, None without one; ValueError for another shape."""
        return self._lens and fit(self._lens, color.shape[1], color.shape[0])
