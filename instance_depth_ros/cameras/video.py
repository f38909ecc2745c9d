"""Decoding with PyAV, which tells the end of a video from a broken frame."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from .base import CameraError

# A container that fails so often without giving a packet is not going to.
MAX_FAILURES = 100
TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


def open_video(source: str, timeout_s: float | None = None, options: dict[str, str] | None = None):
    """A PyAV container that has a video stream; CameraError names the source and the reason.

    timeout_s: how long opening, and each later read, may take. options: FFmpeg's.
    """
    try:
        import av
    except ImportError:
        raise CameraError("videos and streams need PyAV: pip install av") from None
    started_s = time.monotonic()
    try:
        container = av.open(source, metadata_errors="replace", timeout=timeout_s, options=options or {})
    except (av.error.FFmpegError, OSError, ValueError) as error:
        # What FFmpeg says of an opening that was cut short depends on where it was.
        late = timeout_s is not None and time.monotonic() - started_s >= timeout_s
        why = f"no answer within {timeout_s} s" if late else _reason(error)
        raise CameraError(f"{_shown(source)} cannot be opened: {why}") from None
    if not container.streams.video:
        container.close()
        raise CameraError(f"{_shown(source)} has no video stream")
    container.streams.video[0].thread_type = "AUTO"
    return container


def decode(container, skip: Callable[[], None]) -> Iterator[tuple[np.ndarray, float | None]]:
    """RGB pictures and their times in seconds (None where the video has none), to the end of the video.

    skip is called for each picture that is broken. CameraError when the source itself fails.
    """
    for _, frame in decode_streams(container, container.streams.video[:1]):
        if frame is None:
            skip()
        else:
            yield rgb(frame), frame.time


def decode_streams(container, streams: Sequence) -> Iterator[tuple]:
    """(stream, frame) of several streams, None for one that is broken; CameraError when the source itself fails."""
    import av

    try:
        for packet in _packets(container, streams):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                yield packet.stream, None
                continue
            for frame in frames:
                yield packet.stream, None if frame.is_corrupt else frame
    except av.error.EOFError:
        return
    except (av.error.FFmpegError, OSError) as error:
        raise CameraError(f"{_shown(container.name)} broke off: {_reason(error)}") from None


def _packets(container, streams: Sequence) -> Iterator:
    """The packets of these streams; damage between packets is read over."""
    import av

    failures = 0
    while True:
        try:
            for packet in container.demux(*streams):
                failures = 0
                yield packet
            return
        except av.error.InvalidDataError:
            failures += 1
            if failures >= MAX_FAILURES:
                raise


def rgb(frame) -> np.ndarray:
    """Upright (H, W, 3) uint8 RGB of a decoded frame; phones store how they were held."""
    color = frame.to_ndarray(format="rgb24")
    # PyAV before 12, as in older distributions, does not know.
    turn = TURNS.get(round(getattr(frame, "rotation", 0)) % 360)
    return np.ascontiguousarray(color if turn is None else cv2.rotate(color, turn))


def _reason(error: Exception) -> str:
    """What an av error says, without its number and file."""
    if type(error).__name__ == "ExitError":
        return "no data within the time-out"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _shown(source: str) -> str:
    """A file or URL as it may stand in a log: without the password."""
    return re.sub(r"//[^/@]*@", "//***@", source)
