"""Depth sensors and cameras that come and go: registration, filling, and how soon pictures are back."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

import numpy as np

from ... import config
from ...cameras.base import Camera, CameraError
from ...frame import Frame
from ...fusion import fill
from ...geometry import Intrinsics
from ...registration import register
from .host import crowd
from .timing import SIZES, Job, no_row, repeated, row

UNPLUGS, LONGEST_S, PATIENCE_S = 24, 2.0, 60.0


def jobs(observer: type | None) -> Iterator[Job]:
    """observer: as of host.jobs()."""
    yield Job(("register_480p",), register_row)
    yield Job(("fill_480p",), fill_row)
    yield Job(("unplug_24",), unplug_row if observer else lambda: iter([no_row("unplug_24", "there is no ROS 2 here")]))


def register_row() -> Iterator[dict]:
    """Depth of a wall behind twenty things, with holes, registered to the picture 59 mm beside; lenses as a D455's."""
    height, width = SIZES["480p"]
    depth_lens = Intrinsics(width, height, 386.0, 386.0, 320.0, 240.0)
    color_lens = Intrinsics(width, height, 384.0, 383.5, 318.0, 243.0, distortion=(-0.055, 0.064, 3e-4, -5e-4, -0.02))
    depth_m, pose = crowd(height, width).depth_m.copy(), np.eye(4)
    depth_m[:, ::32] = 1.5
    depth_m[np.random.default_rng(0).random(depth_m.shape) < 0.05] = np.nan
    pose[:3, 3] = -0.059, 1e-4, 3e-4
    yield row("register_480p", repeated(lambda: register(depth_m, depth_lens, color_lens, pose)))


def fill_row() -> Iterator[dict]:
    """A sensor's depth with noise and holes in the network's, which is off by a fifth."""
    truth_m, rng, ratios = crowd(*SIZES["480p"]).depth_m, np.random.default_rng(0), None
    measured_m = truth_m * rng.normal(1, 0.02, truth_m.shape).astype(np.float32)
    measured_m[:, ::7] = measured_m[100:200, 200:300] = np.nan
    network_m = truth_m * np.float32(1.2)

    def work():
        nonlocal ratios
        _, _, ratios = fill(network_m, measured_m, time.monotonic_ns(), ratios)

    yield row("fill_480p", repeated(work))


class Plug(Camera):
    """A camera that is there while `plugged` is set, and opens at once."""

    def __init__(self, settings):
        self.settings, self.plugged = settings, threading.Event()
        self._color = np.zeros((48, 64, 3), np.uint8)

    def open(self) -> None:
        if not self.plugged.is_set():
            raise CameraError("unplugged")

    def read(self) -> Frame:
        time.sleep(0.01)
        self.open()
        return Frame(self._color, time.time_ns())

    def interrupt(self) -> None:
        """It never waits."""

    def close(self) -> None:
        """It holds nothing."""


def unplug_row() -> Iterator[dict]:
    """From a camera's being plugged in again to its next frame, after outages of up to LONGEST_S, one after the other.

    RuntimeError where one of them was not survived.
    """
    from ...nodes.diagnostics import Monitor
    from ...nodes.reader import CameraReader

    settings, frames, said = config.make("camera", camera="webcam"), queue.Queue(), []
    reader = CameraReader(settings, frames.put, said.append, said.append, Monitor())
    reader.camera = plug = Plug(settings)
    rng, times = np.random.default_rng(0), []
    plug.plugged.set()
    reader.start()
    try:
        for _ in range(UNPLUGS):
            frames.get(timeout=PATIENCE_S)
            plug.plugged.clear()
            time.sleep(rng.uniform(0.1, LONGEST_S))
            while not frames.empty():
                frames.get()
            start = time.perf_counter()
            plug.plugged.set()
            frames.get(timeout=PATIENCE_S)
            times.append((time.perf_counter() - start) * 1e3)
    except queue.Empty:
        raise RuntimeError(f"after {len(times)} of {UNPLUGS} unplugs no picture came for {PATIENCE_S} s") from None
    finally:
        reader.stop()
    yield row("unplug_24", times)
