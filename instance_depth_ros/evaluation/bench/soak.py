"""`instance-depth bench --soak MINUTES`: does it stay as it was? The real graph at a camera's full rate, in soak.json.

Without ROS, the estimator alone. Exit status 1 where a limit is broken: memory that grows after the first minute, a
p99 that grows from the first third to the last, a frame that is neither out nor lost for a reason. Memory is what a
process has for itself: shared memory is of fixed size and touched bit by bit; its figures stand beside.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from pathlib import Path

import numpy as np

from ... import config, graph
from ...estimator import Estimator
from ...process import rss_mb, settle, shared_mb
from ...provenance import provenance
from ...run import Supervisor
from .host import filmed
from .timing import Stream, write

CAMERA_FPS, SIZE = 30.0, "480p"
PERIOD_S = 1.0  # of readings of memory
FIRST_S = 60.0  # what is allocated by then may stay
GROWTH, SLOWER = 0.01, 1.2
# What is sent before the depth node has found the camera, which a busy machine takes so long for, nobody can count.
UNSEEN_S = 3.0
# Readings of memory that are averaged: one alone trembles with what is on its way.
READINGS = 60


def main(args: Namespace, observer: type | None) -> int:
    """args: soak (minutes), out, settings. Exit status."""
    seconds = 60.0 * args.soak
    if observer:
        seen = of_graph(args.settings, seconds, observer)
    else:
        seen = of_estimator(args.settings, seconds)
    result = {**provenance(), "minutes": args.soak, "what": "graph" if observer else "estimator", **judged(**seen)}
    write(Path(args.out or "out/soak.json"), result)
    return int(bool(result["broken"]))


def of_graph(settings: dict, seconds: float, observer: type) -> dict:
    """A camera node and a depth node as `instance-depth run` starts them, with someone who listens."""
    with tempfile.TemporaryDirectory() as folder:
        camera = filmed(Path(folder) / "pictures", SIZE)
        camera |= {"fps": CAMERA_FPS, "frames": max(1, round(seconds * CAMERA_FPS)), "engine_build": False}
        supervisor, memory = Supervisor(graph.nodes(settings | camera), logs=Path(folder)), {}

        def note(node: str, figures: dict) -> None:
            if node in ("camera", "depth"):
                shared = float(figures["shared_mb"])
                memory.setdefault(node, []).append((time.monotonic(), float(figures["rss_mb"]) - shared, shared))

        with observer(note=note) as watching:
            status = supervisor.run()
            time.sleep(0.5)  # the nodes' last words are on their way
        record = watching.record
        if status or not {"camera", "depth"} <= record.figures.keys():
            raise RuntimeError(f"the graph did not run: {(Path(folder) / 'depth.log').read_text()[-1000:]}")
    depth, sent = record.figures["depth"], int(record.figures["camera"]["frames_out"])
    lost = {key.removeprefix("lost_"): int(value) for key, value in depth.items() if key.startswith("lost_")}
    counts = {"sent": sent, "frames_in": int(depth["frames_in"]), "frames_out": int(depth["frames_out"]), "lost": lost}
    return {"memory": memory, "latencies_ms": record.latencies_ms, **counts}


def of_estimator(settings: dict, seconds: float) -> dict:
    """One stream as fast as it goes."""
    stream = Stream(Estimator(config.make("depth", **settings)), 480, 640)
    stream.step()
    settle()
    memory, latencies_ms, until = [], [], time.monotonic() + seconds
    while time.monotonic() < until or not memory:
        start = time.monotonic()
        stream.step()
        stream.stages.clear()
        latencies_ms.append((time.monotonic() - start) * 1e3)
        if not memory or start - memory[-1][0] > PERIOD_S:
            memory.append((start, rss_mb() - shared_mb(), shared_mb()))
    count = len(latencies_ms)
    counts = {"sent": count, "frames_in": count, "frames_out": count, "lost": {}}
    return {"memory": {"estimator": memory}, "latencies_ms": latencies_ms, **counts}


def judged(
    memory: dict[str, list[tuple[float, float, float]]],
    latencies_ms: list[float],
    sent: int,
    frames_in: int,
    frames_out: int,
    lost: dict[str, int],
) -> dict:
    """The figures of a soak, and in `broken` the limits that they break.

    memory: (seconds, MB of its own, MB shared) by process; latencies_ms: of each output in order; sent: frames that the
    camera published.
    RuntimeError where nothing came out.
    """
    if not latencies_ms:
        raise RuntimeError(f"none of {frames_in} frames came out, lost: {lost}")
    after, end = sum(first_and_last(of_process) for of_process in memory.values())
    third = max(1, len(latencies_ms) // 3)
    parts = {"first_third": latencies_ms[:third], "last_third": latencies_ms[-third:]}
    percentiles = {
        name: dict(zip(("ms_p50", "ms_p99"), np.percentile(part, (50, 99)).round(2).tolist(), strict=True))
        for name, part in parts.items()
    }
    growth = float(end[0] / after[0] - 1)
    by_minute = {
        name: [round(mb + shared, 2) for _, mb, shared in of_process[:: round(60 / PERIOD_S)]]
        for name, of_process in memory.items()
    }
    slower = percentiles["last_third"]["ms_p99"] / percentiles["first_third"]["ms_p99"]
    total = sum(lost.values())
    broken = {
        f"memory grew by {100 * growth:.2f} %, limit {100 * GROWTH:g} %": growth > GROWTH,
        f"p99 of the last third is {slower:.2f} times that of the first, limit {SLOWER:g}": slower > SLOWER,
        f"of {frames_in} frames {frames_out} went out and {total} were lost": frames_in != frames_out + total,
        f"{sent} frames were sent and {frames_in} counted": not 0 <= sent - frames_in <= UNSEEN_S * CAMERA_FPS,
    }
    return {
        "mb_first_minute": round(float(after[0]), 1),
        "mb_end": round(float(end[0]), 1),
        "growth": round(growth, 5),
        "shared_mb_first_minute": round(float(after[1]), 1),
        "shared_mb_end": round(float(end[1]), 1),
        "rss_mb_by_minute": by_minute,
        **percentiles,
        "slower": round(slower, 3),
        "frames_sent": sent,
        "frames_in": frames_in,
        "frames_out": frames_out,
        "lost": lost,
        "broken": [what for what, is_broken in broken.items() if is_broken],
    }


def first_and_last(readings: list[tuple[float, float, float]]) -> np.ndarray:
    """(2, 2) MB, own and shared, when the first minute, or third of a shorter time, was over, and at the end."""
    readings = np.array(readings)
    settled = readings[0, 0] + min(FIRST_S, (readings[-1, 0] - readings[0, 0]) / 3)
    values = readings[readings[:, 0] >= settled, 1:]
    some = min(READINGS, max(1, len(values) // 2))
    return np.stack([np.median(values[:some], 0), np.median(values[-some:], 0)])
