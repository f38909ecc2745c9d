"""The recorder's writer by itself, in memory: how much may arrive a second before the first message is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from .timing import Job, no_row, row

COLOR, DEPTH = 848 * 480 * 3, 848 * 480 * 2  # bytes of a D455's pictures
MOMENT = COLOR + DEPTH
# A trial is lost when the writer is slower by more than QUEUE_BYTES / TRIAL_S; the search ends within EXACT.
QUEUE_BYTES, TRIAL_S, TRIAL_BYTES, EXACT = 32 << 20, 1.5, 1 << 30, 1.05
SETTLE_S = 0.5
LEAST_MB_PER_S, MOST_MB_PER_S = 50.0, 8000.0
DIFFERENT, FREE_BYTES = 32, 2 << 30
TMPFS = "/dev/shm"


def jobs() -> Iterator[Job]:
    yield Job(("recorder_writer",), rows)


def rows() -> Iterator[dict]:
    """ms of a colour and a depth picture; mb_per_s of them."""
    try:
        with TemporaryDirectory(dir=TMPFS) as folder:
            mb_per_s = most_mb_per_s(Path(folder))
    except (OSError, RuntimeError) as error:  # none there, or a small one
        yield no_row("recorder_writer", error)
        return
    yield row("recorder_writer", [MOMENT / mb_per_s / 1e3], mb_per_s=round(mb_per_s, 1))


def most_mb_per_s(folder: Path) -> float:
    """Doubled until something is lost, then halved in between."""
    # As many as no cache holds.
    moments = [(os.urandom(COLOR), os.urandom(DEPTH)) for _ in range(DIFFERENT)]
    good, bad = 0.0, LEAST_MB_PER_S
    while bad < MOST_MB_PER_S and not lost(folder, bad, moments):
        good, bad = bad, 2 * bad
    while good and bad / good > EXACT:
        middle = (good * bad) ** 0.5
        good, bad = (good, middle) if lost(folder, middle, moments) else (middle, bad)
    if not good:
        raise RuntimeError(f"messages are lost at {LEAST_MB_PER_S:g} MB/s already")
    return good


def lost(folder: Path, mb_per_s: float, moments: list[tuple[bytes, bytes]]) -> int:
    """Messages, of a trial at this rate; what it wrote is taken away."""
    from ...recording.bag_writer import Topic
    from ...recording.recording import Options, Recording

    with TemporaryDirectory(dir=folder) as bags:
        recording = Recording(Path(bags), Options(QUEUE_BYTES, 1.0, FREE_BYTES), {})
        time.sleep(SETTLE_S)  # while the disk is probed
        for name in ("color", "depth"):
            recording.add(Topic(name, "sensor_msgs/msg/Image", "uint8[] data"))
        start = time.monotonic()
        for number in range(int(min(TRIAL_S * mb_per_s * 1e6, TRIAL_BYTES) / MOMENT)):
            time.sleep(max(0.0, start + number * MOMENT / (mb_per_s * 1e6) - time.monotonic()))
            for name, picture in zip(("color", "depth"), moments[number % len(moments)], strict=True):
                recording.put(name, picture, time.time_ns(), 0)
        recording.close()
        if recording.problem and not any(counts.lost["queue_full"] for counts in recording.counts.values()):
            raise RuntimeError(recording.problem)
        return sum(sum(counts.lost.values()) for counts in recording.counts.values())
