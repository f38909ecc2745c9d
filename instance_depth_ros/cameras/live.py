"""Cameras that do not wait for their reader: the newest picture wins, so that latency cannot grow."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator

import numpy as np

from ..frame import Frame
from .base import CameraError
from .source import PictureCamera


class LiveCamera(PictureCamera):
    """A source read by a thread of its own into a slot of one.

    overwritten: pictures that a newer one replaced before they were read. skipped: those that were broken.
    """

    def __init__(self, settings):
        super().__init__(settings)
        self.overwritten = self.skipped = 0
        self._reader: _Reader | None = None

    @abstractmethod
    def _connect(self):
        """The open device, or CameraError."""

    @abstractmethod
    def _pictures(self, device) -> Iterator[tuple[np.ndarray, int]]:
        """(H, W, 3) uint8 RGB and stamp_ns, as they come; raises CameraError on failure. Releases the device."""

    def open(self) -> None:
        self.close()
        self._reader = _Reader(self._pictures(self._connect()), f"{self.settings.camera} camera")

    def read(self) -> Frame | None:
        if self._reader is None:
            raise CameraError(f"the {self.settings.camera} camera is not open; call open() first")
        if self._enough():
            return None
        (color, stamp_ns), missed = self._reader.take(self.settings.timeout_s)
        self.overwritten += missed
        return self._frame(color, stamp_ns)

    def interrupt(self) -> None:
        if (reader := self._reader) is not None:
            reader.end()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.stop()
        self._reader = None


class _Reader:
    """A thread that keeps the newest of what an iterator gives."""

    def __init__(self, pictures: Iterator, name: str):
        self._pictures, self._name = pictures, name
        self._changed = threading.Condition()
        self._newest, self._missed, self._ended = None, 0, False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> tuple[tuple, int]:
        """The newest picture not yet taken and how many it replaced; CameraError after timeout_s or on failure."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._error or self._ended, timeout_s)
            if self._ended:
                raise CameraError(f"the {self._name} is being closed")
            if self._newest is None:
                raise self._error or CameraError(f"the {self._name} gave no picture for {timeout_s} s")
            newest, missed = self._newest, self._missed
            self._newest, self._missed = None, 0
            return newest, missed

    def end(self) -> None:
        """Let the thread end, and who waits go; from any thread."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def stop(self) -> None:
        """end(), and wait for it; a thread that is blocked in a driver ends by itself when that times out."""
        self.end()
        self._thread.join(1.0)

    def _run(self) -> None:
        try:
            for picture in self._pictures:
                with self._changed:
                    self._missed += self._newest is not None
                    self._newest = picture
                    self._changed.notify()
                if self._ended:
                    break
            else:
                raise CameraError(f"the {self._name} has ended")
        except Exception as error:
            # Whatever ends the thread must reach the one who waits.
            with self._changed:
                self._error = error
                self._changed.notify()
        finally:
            self._pictures.close()
