"""What every row of the benchmark is made with: pictures, runs after warming up, and the row itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ... import config
from ...engines import store
from ...engines.choice import choose, kind_of
from ...engines.probe import PROBE
from ...estimator import Estimator
from ...frame import Frame
from ...geometry import Intrinsics
from ...model import checkpoint

SIZES = {"480p": (480, 640), "720p": (720, 1280)}
WARM_UP, RUNS = 5, 50
# What takes longer is run less often.
SLOW_MS, SLOW_RUNS = 500.0, 10
FOV_DEG = 60.0
FRAME_NS = 33_333_333


class Job(NamedTuple):
    """Rows that are measured together, and how."""

    names: tuple[str, ...]
    measure: Callable[[], Iterable[dict]]


def row(name: str, times_ms: list[float], ratio: float | None = None, **more) -> dict:
    """A row of the result; more: what else belongs into it."""
    p50, p99 = np.percentile(times_ms, (50, 99)).tolist()
    ratio = None if ratio is None else round(float(ratio), 3)
    times = {"name": name, "ms_p50": round(p50, 4), "ms_p99": round(p99, 4), "fps": round(1e3 / p50, 2)}
    return {**times, "ratio": ratio, **more}


def no_row(name: str, why: object) -> dict:
    """A row without figures; `why` is one line."""
    why = str(why).strip().splitlines()[0]
    return {"name": name, "ms_p50": None, "ms_p99": None, "fps": None, "ratio": None, "why": why}


def write(out: Path, result: dict) -> None:
    """Into its file, and as the last line."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def repeated(work: Callable[[], float | object]) -> list[float]:
    """Milliseconds of each of RUNS runs after WARM_UP; of SLOW_RUNS after two where one takes longer than SLOW_MS."""
    work()
    slow = timed(work) > SLOW_MS
    for _ in range(0 if slow else WARM_UP - 2):
        work()
    return [timed(work) for _ in range(SLOW_RUNS if slow else RUNS)]


def ready(settings: dict, *sizes: tuple[int, int]) -> Estimator:
    """Once `engine: auto` knows what is fastest here for pictures of these sizes, (height, width)."""
    given = config.make("depth", **settings)
    estimator = Estimator(given)
    for size in sizes if given.engine == "auto" else ():
        kind = kind_of(estimator.engine.config, given, *size)
        if store.find(estimator.engine.key("auto", kind)) is None:
            print(f"building engines for {given.weights}, {kind.width} x {kind.height}: minutes, once", flush=True)
            choose(checkpoint.load(given.weights)[0], given, kind)
    return estimator


def ran(estimator: Estimator) -> dict[str, str]:
    """What its last frames ran in."""
    return {key: estimator.engine.info[key] for key in ("engine", "precision")}


class Stream:
    """One camera that shows the probe clip, some people, forwards and backwards, to an estimator; its memory is in use.

    step() runs the next frame and keeps the stages' milliseconds in `stages`.
    """

    def __init__(self, estimator: Estimator, height: int, width: int):
        self._estimator, self._state, self._index = estimator, None, 0
        self._clip, self._lens = probe_clip(height, width), Intrinsics.from_fov(width, height, FOV_DEG)
        self.stages: list[dict[str, float]] = []

    def step(self) -> None:
        color = self._clip[self._index % len(self._clip)]
        frame = Frame(color, self._index * FRAME_NS, intrinsics=self._lens)
        start = time.perf_counter()
        estimate, self._state = self._estimator.step(frame, self._state)
        self._index += 1
        self.stages.append({"estimator": (time.perf_counter() - start) * 1e3, **estimate.timings_ms})


def stage_times(estimator: Estimator, height: int, width: int) -> dict[str, list[float]]:
    """Milliseconds of each run after warming up, by stage and as `estimator`."""
    stream = Stream(estimator, height, width)
    runs = len(repeated(stream.step))
    return {stage: [times[stage] for times in stream.stages[-runs:]] for stage in stream.stages[0]}


def probe_clip(height: int, width: int) -> list[np.ndarray]:
    """(height, width, 3) uint8 pictures of people, which can be shown again and again without a cut."""
    with np.load(PROBE) as stored:
        clip = [cv2.resize(color, (width, height)) for color in stored["color"]]
    return clip + clip[-2:0:-1]


def picture(height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8: smooth colours, the same each time."""
    coarse = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
