"""The recorder node over DDS: how much it takes before the first loss, and what a D455 with its estimate costs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml

from ... import graph
from .host import crowd
from .timing import Job, no_row, picture, row

SIZE, FPS = (480, 848), 30.0
D455_S = 60.0
# The load grows by this factor from trial to trial.
FIRST_MB_PER_S, GROWTH, MOST_MB_PER_S, TRIAL_S = 100.0, 1.2, 2000.0, 3.0
# What the publisher does not reach is no measure of the recorder.
REACHED = 0.95
NAMESPACE = "bench"
ON_THE_WAY_S = 0.5  # of the last messages


def jobs(observer: type | None) -> Iterator[Job]:
    """observer: as of host.jobs()."""
    for name, measure in (("recorder", most_row), ("recorder_d455", d455_row)):
        yield Job((name,), measure if observer else lambda name=name: iter([no_row(name, "there is no ROS 2 here")]))


def most_row() -> Iterator[dict]:
    """MB/s of pictures before the first loss, on tmpfs; limit: who gave up, the recorder or the publisher."""
    images = {"camera/color/image_raw": camera_messages()["camera/color/image_raw"]}
    size_mb = len(images["camera/color/image_raw"].data) / 1e6
    best, asked, limit = None, FIRST_MB_PER_S, "none"
    while asked < MOST_MB_PER_S:
        trial = recorded(images, asked / size_mb, TRIAL_S)
        reached = trial["sent"] * size_mb / trial["seconds"]
        if trial["lost"]:
            limit = "recorder"
            break
        best = (reached, trial)
        if reached < REACHED * asked:
            limit = "publisher"
            break
        asked *= GROWTH
    if best is None:
        raise RuntimeError(f"{trial['lost']} of {trial['sent']} messages were lost at {FIRST_MB_PER_S:g} MB/s already")
    reached, trial = best
    ms = 1e3 * trial["seconds"] / trial["sent"]
    yield row("recorder", [ms]) | {"mb_per_s": round(reached, 1), "cpu_share": trial["cpu_share"], "limit": limit}


def d455_row() -> Iterator[dict]:
    """A minute of a D455's colour and depth with the estimate, raw: what is lost, and of one core how much is taken."""
    trial = recorded(camera_messages() | estimate_messages(), FPS, D455_S)
    figures = {key: trial[key] for key in ("lost", "cpu_share", "mb_per_s")}
    yield row("recorder_d455", [1e3 * trial["seconds"] / trial["sent"]]) | figures


def camera_messages() -> dict[str, object]:
    """Of a D455 at 848x480, by topic."""
    from ...nodes import messages

    stamped, estimate = messages.header(0, "camera"), crowd(*SIZE)
    millimetres = (estimate.depth_m * 1e3).astype(np.uint16)
    return {
        "camera/color/image_raw": messages.fill_image(messages.Image(), picture(*SIZE), stamped),
        "camera/color/camera_info": messages.info_from_intrinsics(estimate.intrinsics, stamped),
        "camera/aligned_depth_to_color/image_raw": messages.fill_image(messages.Image(), millimetres, stamped),
    }


def estimate_messages() -> dict[str, object]:
    """What the depth node adds to them."""
    from ...nodes import instances, messages

    stamped, estimate = messages.header(0, "camera"), crowd(*SIZE)
    table = instances.table_from_instances(estimate.instances)
    return {
        "depth/image": messages.fill_image(messages.Image(), estimate.depth_m, stamped),
        "depth/confidence": messages.fill_image(messages.Image(), estimate.confidence, stamped, "8UC1"),
        "depth/source": messages.fill_image(messages.Image(), estimate.source, stamped, "8UC1"),
        "depth/instances": messages.fill_image(messages.Image(), estimate.ids, stamped),
        "depth/instances/table": messages.fill_cloud(messages.PointCloud2(), table, stamped),
        "depth/camera_info": messages.info_from_intrinsics(estimate.intrinsics, stamped),
    }


def recorded(messages: dict[str, object], fps: float, seconds: float) -> dict:
    """Of a bag on tmpfs: how often the messages were sent, in how many seconds, how many were lost; the cost.

    lost: those sent that are not in the bag, for whatever reason; cpu_share: of one core, the recorder's process.
    """
    from ...nodes.feeder import Feeder

    with tempfile.TemporaryDirectory(dir=tmpfs()) as folder, recorder(folder) as process:
        with Feeder(NAMESPACE, messages, graph.RECORDED_QUEUE) as feeder:
            feeder.wait()
            before_s = cpu_s(process.pid)
            sent, taken_s = feeder.run(fps, seconds)
            share = (cpu_s(process.pid) - before_s) / taken_s
            time.sleep(ON_THE_WAY_S)
            process.send_signal(signal.SIGINT)
            process.wait(60)
        (bag,) = Path(folder).glob("*/metadata.yaml")
        counts = json.loads(yaml.safe_load(bag.read_text())["rosbag2_bagfile_information"]["custom_data"]["counts"])
        size = sum(file.stat().st_size for file in bag.parent.iterdir())
    lost = sum(sent - counts.get(f"/{NAMESPACE}/{topic}", {"written": 0})["written"] for topic in messages)
    figures = {"lost": lost, "cpu_share": round(share, 3), "mb_per_s": round(size / 1e6 / taken_s, 1)}
    return {"sent": sent, "seconds": taken_s, **figures}


def tmpfs() -> str | None:
    """A folder in memory, where the disk limits nothing; None where there is none."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


@contextmanager
def recorder(folder: str) -> Iterator[subprocess.Popen]:
    """The node as a process of its own."""
    parameters = {"record_folder": folder, "record_min_free_mb": 100.0, "record_split_mb": 0.0}
    process = subprocess.Popen(graph.NodeSpec("recorder", NAMESPACE, parameters).command(), stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def cpu_s(pid: int) -> float:
    """Seconds of processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
