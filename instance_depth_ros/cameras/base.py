"""What every camera is: open, read, close."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..frame import Frame
from .mounting import Placed


class CameraError(RuntimeError):
    """A camera that cannot be opened or has fallen silent; the message names it and the way out."""


class Camera(ABC):
    """A source of frames; a context manager. One thread uses it at a time; another may interrupt() it.

    recording: it ends, and one that fails has ended; a live one is opened again. on_demand: its first frame waits for
    who listens. at_now: its frames happen when they are given, whatever their stamps say. placed: frames that do not
    move against each other, such as its optical ones, as far as it tells; known once a frame was read.
    """

    recording = on_demand = at_now = False
    placed: tuple[Placed, ...] = ()

    def describe(self) -> dict[str, object]:
        """What diagnostics tell of it besides its name: device, clock of the stamps, what was lost."""
        return {}

    @abstractmethod
    def open(self) -> None:
        """Connect, or raise CameraError. May be called again after close or a failed read."""

    @abstractmethod
    def read(self) -> Frame | None:
        """The next frame, at the camera's pace; None once a recording has ended; CameraError on silence or failure."""

    @abstractmethod
    def interrupt(self) -> None:
        """From any thread: a read() that waits returns at once, with whatever or a CameraError; open() undoes it."""

    @abstractmethod
    def close(self) -> None:
        """Release the device; safe to call twice."""

    def __enter__(self) -> Camera:
        self.open()
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()
