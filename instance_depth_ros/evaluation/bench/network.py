"""The estimator and its network: by stage, engine, precision, size and device; several cameras.

`stream_` rows have all cores, as nothing runs beside them; the others leave one to camera and transport, as the node.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import product

import numpy as np
import torch

from ... import config
from ...datasets.clips import open_split
from ...engine import choose_device
from ...estimator import Estimator
from ...model import checkpoint
from ...process import rss_mb, settle, unsettle, use_threads
from ...sharing import SharedEngine
from ..boundaries import boundary_f1
from ..stream import moments
from .roofline import EMULATED, emulated, precisions
from .timing import SIZES, Job, Stream, no_row, ran, ready, repeated, row, stage_times, timed

STAGES = ("preprocess", "network", "instances", "steady", "scale", "track", "upsample", "fuse", "finish")
# The network's size -> height and width of the picture, and the short side asked for; of ours both sides are rounded.
STREAMS = {"252x448": (720, 1280, 252), "518x518": (720, 720, 518)}
UNNAMED = {"auto": "", "eager": ""}  # engines that names of rows leave out
CAMERAS = (1, 2, 4)
F1_FRAMES = 20
GROWTH_FRAMES, GROWTH_WARM_UP = 10_000, 2_000


def jobs(settings: dict) -> Iterator[Job]:
    """settings: of the depth node; its weights take the place of `tiny`."""
    tiny = checkpoint.load(settings.get("weights", config.BY_NAME["weights"].default))[0].config.name
    stages = tuple(f"{stage}_{size}" for size in SIZES for stage in STAGES)
    yield Job((*(f"estimator_{tiny}_{size}" for size in SIZES), *stages), partial(estimator_rows, settings, tiny))
    for precision in ("fp32", "bf16"):
        names = tuple(f"{part}_{tiny}_{size}_{precision}" for size in SIZES for part in ("estimator", "network"))
        yield Job(names, partial(precision_rows, names, settings | {"precision": precision}))
    yield Job((f"estimator_{tiny}_480p_loose",), partial(loose_row, f"estimator_{tiny}_480p_loose", settings))
    yield Job(tuple(f"cameras_{count}_480p" for count in CAMERAS), partial(camera_rows, settings))
    yield Job(("growth_10000",), partial(growth_row, settings))
    yield from stream_jobs(settings, tiny)
    yield from stream_jobs(settings | {"weights": "random:small"}, "small")


def stream_jobs(settings: dict, label: str) -> Iterator[Job]:
    """Each size, device, engine and precision; `stream_LABEL_SIZE_PRECISION` is eager torch on the processor."""
    for size, device in product(STREAMS, devices(settings)):
        for engine, precision in ways(device):
            parts = ("stream", label, size, "cuda" * (device == "cuda"), UNNAMED.get(engine, engine), precision)
            name = "_".join(filter(None, parts))
            chosen = {"engine": engine, "precision": precision, "device": device, "threads": all_cores(settings)}
            yield Job((name,), partial(stream_row, name, size, settings | chosen))


def devices(settings: dict) -> tuple[str, ...]:
    """'cpu', and 'cuda' where there is one and no device was asked for."""
    asked = settings.get("device", "auto").partition(":")[0]
    if asked != "auto":
        return (asked,)
    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def ways(device: str) -> Iterator[tuple[str, str]]:
    """(engine, precision) to measure: what is chosen by itself, then all there is."""
    yield "auto", "auto"
    for engine in config.BY_NAME["engine"].choices:
        for precision in precisions(device) if engine != "auto" else ():
            yield engine, precision


def all_cores(settings: dict) -> int:
    return settings.get("threads") or len(os.sched_getaffinity(0))


def estimator_rows(settings: dict, name: str) -> Iterator[dict]:
    """The whole estimator as it runs by default, and its stages."""
    estimator = ready(settings, *SIZES.values())
    for size in SIZES:
        times = stage_times(estimator, *SIZES[size])
        more = {"boundary_f1": boundary_of(estimator)} if size == "480p" else {}
        yield row(f"estimator_{name}_{size}", times["estimator"], **ran(estimator), **more)
        yield from (row(f"{stage}_{size}", times[stage]) for stage in STAGES)


def boundary_of(estimator: Estimator) -> float | None:
    """Boundary F1 of this estimator on the beginning of a held-out scene; None where there is no simulation."""
    try:
        (footage,) = open_split("sim-val", most=1)
    except RuntimeError:
        return None
    with closing(footage):
        seen = moments(estimator, footage, range(F1_FRAMES))
        scores = [boundary_f1(m.estimate.depth_m, m.truth_m) for m in seen if m.sampled]
    return round(float(np.nanmean(scores)), 3)


def precision_rows(names: tuple[str, ...], settings: dict) -> Iterator[dict]:
    """The whole estimator and its network at a fixed precision."""
    if emulated(choose_device(settings.get("device", "auto")).type, settings["precision"]):
        yield from (no_row(name, EMULATED) for name in names)
        return
    estimator = Estimator(config.make("depth", **settings))
    for size in SIZES:
        times = stage_times(estimator, *SIZES[size])
        of_size = [name for name in names if f"_{size}_" in name]
        yield from (row(name, times[name.partition("_")[0]]) for name in of_size)


def loose_row(name: str, settings: dict) -> Iterator[dict]:
    """The estimator while OpenCV and BLAS take all cores, as by themselves; ratio: to how it runs, taken in turns."""
    estimator = Estimator(config.make("depth", **settings))
    stream, cores = Stream(estimator, *SIZES["480p"]), len(os.sched_getaffinity(0))
    own, times = torch.get_num_threads(), {True: [], False: []}
    for loose in (False, True, False, True):
        use_threads(cores if loose else own)
        torch.set_num_threads(own)
        times[loose] += repeated(stream.step)
    use_threads(own)
    yield row(name, times[True], np.median(times[True]) / np.median(times[False]))


def camera_rows(settings: dict) -> Iterator[dict]:
    """A frame of each of so many cameras in step, which share an engine, each with a thread of its own, as in the node.

    ratio: what one more costs, the first being 1. Counts are taken in turns.
    """
    settings = ready(settings, SIZES["480p"]).settings
    engine = SharedEngine.of(settings, wait_ms=settings.batch_wait_ms)
    streams = [Stream(Estimator(settings, engine), *SIZES["480p"]) for _ in range(max(CAMERAS))]
    threads = [ThreadPoolExecutor(1) for _ in streams]
    times = {count: [] for count in CAMERAS}

    def frame_of_each(count: int):
        pairs = list(zip(threads, streams, strict=True))[:count]
        for frame in [thread.submit(stream.step) for thread, stream in pairs]:
            frame.result()

    def turn():
        for count in CAMERAS:
            frame_of_each(count)  # by which they know that they are in step
            times[count].append(timed(lambda count=count: frame_of_each(count)))

    runs = len(repeated(turn))
    first = np.median(times[1][-runs:])
    for count in CAMERAS:
        whole = times[count][-runs:]
        yield row(f"cameras_{count}_480p", whole, (np.median(whole) / first - 1) / (count - 1) if count > 1 else 1.0)


def growth_row(settings: dict) -> Iterator[dict]:
    """Small frames one after the other, and by how many MB the process grew over the last GROWTH_FRAMES."""
    estimator = Estimator(config.make("depth", **settings | {"network_short_side": 64, "engine": "eager"}))
    stream, times = Stream(estimator, 120, 160), []
    for index in range(GROWTH_WARM_UP + GROWTH_FRAMES):
        if index == GROWTH_WARM_UP:
            unsettle()  # what is given back at the end is given back here, too
            before_mb = rss_mb()
            settle()
        times.append(timed(stream.step))
        stream.stages.clear()
    unsettle()
    yield row("growth_10000", times[GROWTH_WARM_UP:], growth_mb=round(rss_mb() - before_mb, 1))


def stream_row(name: str, size: str, settings: dict) -> Iterator[dict]:
    """The whole estimator on one stream, of pictures larger than the network's input."""
    height, width, short_side = STREAMS[size]
    if emulated(settings["device"], settings["precision"]):
        yield no_row(name, EMULATED)
        return
    try:
        estimator = ready(settings | {"network_short_side": short_side}, (height, width))
        times = stage_times(estimator, height, width)
    except (ImportError, RuntimeError, ValueError, OSError) as error:  # an engine that is not installed, or too large
        yield no_row(name, error)
        return
    if why := estimator.engine.refused.get(settings["engine"]):
        yield no_row(name, f"engine {settings['engine']} was not taken: {why}")
        return
    yield row(name, times["estimator"], **ran(estimator))
