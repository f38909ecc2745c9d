"""The disk below a folder: may it be written, how much room it has, how fast it is."""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryFile

BLOCK_BYTES, MOST_BYTES, MOST_S = 4 << 20, 64 << 20, 0.5


class RecordingError(RuntimeError):
    """Why nothing is recorded; one line with the way out."""


def prepare(folder: Path, least_free_bytes: int) -> None:
    """Make the folder; RecordingError where it may not be written or has less room than that."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RecordingError(f"cannot record into {folder}: {error.strerror}; choose another folder") from None
    if (free := free_bytes(folder)) < least_free_bytes:
        raise RecordingError(
            f"cannot record into {folder}: {megabytes(free)} are free, and {megabytes(least_free_bytes)} are to stay "
            "free; make room or choose another folder"
        )


def free_bytes(folder: Path) -> int:
    """What a user who is not root may write."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def write_speed(folder: Path) -> float:
    """Bytes a second of a file that is written and synced, measured for half a second or 64 MiB."""
    block = os.urandom(BLOCK_BYTES)
    with TemporaryFile(dir=folder, buffering=0) as file:
        start, elapsed = time.monotonic(), 0.0
        while elapsed < MOST_S and file.tell() < MOST_BYTES:
            file.write(block)
            os.fdatasync(file.fileno())
            elapsed = time.monotonic() - start
        return file.tell() / elapsed


def megabytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB"
