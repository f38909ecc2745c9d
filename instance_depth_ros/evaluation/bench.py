"""`instance-depth bench`: how long things take on this machine, as medians; the last line printed is JSON.

Rows: name, ms_p50, ms_p99, fps (of the median), ratio (to another checkout; null).
"""

from __future__ import annotations

import json
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from .. import config, graph
from ..engine import PROBE
from ..estimator import Estimator
from ..frame import SOURCE_NETWORK, Estimate, Frame, Instance
from ..geometry import Intrinsics, cloud
from ..overlay import Overlay
from ..provenance import provenance
from ..run import Supervisor
from . import bench_data

SIZES = {"480p": (480, 640), "720p": (720, 1280)}
WARM_UP, RUNS, SLOW_RUNS = 5, 50, 10
FOV_DEG = 60.0
FRAME_NS = 33_333_333
CROWD = 20
STAGES = ("preprocess", "network", "instances", "steady", "track", "upsample", "finish")
# The graph runs at a pace that leaves the cores idle between frames, lest waiting be measured.
GRAPH_FPS, BUSY, GRAPH_FRAMES = 5.0, 0.4, 100


def main(args: Namespace) -> int:
    """args: out (a file), settings. Exit status."""
    observer = _observer()
    rows = []
    for row in measure(args.settings, observer):
        rows.append(row)
        print(f"{row['name']:32}{row['ms_p50']:9.2f} ms, p99 {row['ms_p99']:.2f} ms", flush=True)
    result = {**provenance(), "rows": rows}
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    return 0


def _observer() -> type | None:
    """Before anything else: rclpy from wheels starts the interpreter anew when it is first imported."""
    try:
        from ..nodes.observer import Observer
    except ImportError as error:
        print(f"no rows graph_*: there is no ROS 2 here ({error})")
        return None
    return Observer


def measure(settings: dict, observer: type | None) -> Iterator[dict]:
    """All rows, each as soon as it is known; settings: of the depth node."""
    slowest_ms = 0.0
    for precision in ("auto", "fp32", "bf16"):
        for estimated in estimator_rows(settings | {"precision": precision}):
            slowest_ms = max(slowest_ms, estimated["ms_p50"])
            yield estimated
    yield cloud_row()
    yield overlay_row()
    yield official_row(settings)
    yield from data_rows()
    if observer:
        yield instance_topics_row()
        fps = min(GRAPH_FPS, 1e3 * BUSY / slowest_ms)
        yield from (graph_row(settings, size, fps, observer) for size in SIZES)


def estimator_rows(settings: dict) -> Iterator[dict]:
    """The whole estimator at each size; of a fixed precision the network too, of auto the stages around it."""
    estimator, precision = Estimator(config.make("depth", **settings)), settings["precision"]
    name = estimator.engine.config.name
    for size in SIZES:
        stages = stage_times(estimator, *SIZES[size], RUNS)
        if precision == "auto":
            yield row(f"estimator_{name}_{size}", stages["estimator"])
            yield from (row(f"{stage}_{size}", stages[stage]) for stage in STAGES)
        else:
            yield from (row(f"{part}_{name}_{size}_{precision}", stages[part]) for part in ("estimator", "network"))


def official_row(settings: dict) -> dict:
    """The network of the official Small weights at the size that a robot could use."""
    small = {"weights": "random:small", "precision": "fp32", "network_short_side": 252}
    estimator = Estimator(config.make("depth", **settings | small))
    return row("stream_small_252x448_fp32", stage_times(estimator, *SIZES["720p"], SLOW_RUNS)["estimator"])


def data_rows() -> Iterator[dict]:
    """Simulation and loading; none where there is no simulation."""
    try:
        from ..simulation import render  # noqa: F401
    except RuntimeError as error:
        print(f"no rows simulate_*, clips_*: {error}")
        return
    for name, ms in bench_data.times():
        yield _row(name, ms, ms)


def cloud_row() -> dict:
    """The cloud as published by default, every second pixel of 720p."""
    height, width = SIZES["720p"]
    color, lens = picture(height, width), Intrinsics.from_fov(width, height, FOV_DEG)
    depth_m = np.linspace(30, 3, height, dtype=np.float32)[:, None].repeat(width, 1)
    return row("cloud_720p", [_timed(lambda: cloud(depth_m, lens, color)) for _ in range(WARM_UP + RUNS)][WARM_UP:])


def overlay_row() -> dict:
    """The picture for people of a crowded frame of 720p."""
    color, estimate, overlay = picture(*SIZES["720p"]), crowd(*SIZES["720p"]), Overlay()
    return row("overlay_720p", [_timed(lambda: overlay.draw(color, estimate)) for _ in range(WARM_UP + RUNS)][WARM_UP:])


def instance_topics_row() -> dict:
    """All that is made for the topics depth/instances... and for the cloud's ids, of a crowded frame of 720p."""
    from ..nodes import instances, messages

    estimate, image, table = crowd(*SIZES["720p"]), messages.Image(), messages.PointCloud2()
    stamped = messages.header(0, "camera")

    def make():
        messages.fill_image(image, estimate.ids, stamped)
        messages.compressed_codes(estimate.ids, stamped)
        messages.fill_cloud(table, instances.table_from_instances(estimate.instances), stamped)
        instances.of_pixels(estimate, "class_id", np.uint8)
        instances.of_pixels(estimate, "id", np.uint32, stride=2)
        instances.markers(estimate.instances, stamped)

    return row("instance_topics_720p", [_timed(make) for _ in range(WARM_UP + RUNS)][WARM_UP:])


def crowd(height: int, width: int) -> Estimate:
    """CROWD instances in a row before a floor."""
    depth_m = np.linspace(30, 3, height, dtype=np.float32)[:, None].repeat(width, 1)
    ids, across, instances = np.zeros((height, width), np.uint16), width // CROWD, []
    for number in range(1, CROWD + 1):
        box = ((number - 1) * across, height // 4, across - 4, height // 2)
        ids[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = number
        place = (float(number), 0.0, 5.0)
        instances.append(
            Instance(number, number, 1, 0.9, 5.0 + number, 0.3, 1.0, number - 1, 3.0, box, place, (0.5, 1.7, 0.4))
        )
    source = np.full((height, width), SOURCE_NETWORK, np.uint8)
    lens = Intrinsics.from_fov(width, height, FOV_DEG)
    return Estimate(0, "camera", lens, depth_m, source, source, ids=ids, instances=tuple(instances))


def graph_row(settings: dict, size: str, fps: float, observer: type) -> dict:
    """Received to published without the estimator, in a depth node fed by a camera node and watched by an observer.

    The observer subscribes to depth, confidence, ids, the table of instances and depth's camera_info.
    """
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        pictures.mkdir()
        cv2.imwrite(str(pictures / "0.jpg"), picture(*SIZES[size]))
        camera = {"camera": "folder", "camera_path": str(pictures), "loop": True, "fps": fps, "frames": GRAPH_FRAMES}
        supervisor = Supervisor(graph.nodes(settings | camera), logs=Path(folder))
        with observer() as watching:
            status = supervisor.run()
            # The node's last words are on their way.
            time.sleep(0.5)
        figures = watching.record.figures.get("depth", {})
        if status or "graph_ms_p50" not in figures:
            raise RuntimeError(f"the graph did not run: {(Path(folder) / 'depth.log').read_text()[-1000:]}")
    return _row(f"graph_{size}", *(float(figures[f"graph_ms_{p}"]) for p in ("p50", "p99")))


def stage_times(estimator: Estimator, height: int, width: int, runs: int) -> dict[str, list[float]]:
    """Milliseconds of each run after warming up, by stage and as `estimator`; one stream, so its memory is in use.

    What is seen is the probe clip, some people, forwards and backwards.
    """
    with np.load(PROBE) as stored:
        clip = [cv2.resize(color, (width, height)) for color in stored["color"]]
    clip, lens, state = clip + clip[-2:0:-1], Intrinsics.from_fov(width, height, FOV_DEG), None
    times = []
    for index in range(WARM_UP + runs):
        color = clip[index % len(clip)]
        start = time.perf_counter()
        estimate, state = estimator.step(Frame(color, index * FRAME_NS, intrinsics=lens), state)
        times.append({"estimator": (time.perf_counter() - start) * 1e3, **estimate.timings_ms})
    return {stage: [run[stage] for run in times[WARM_UP:]] for stage in times[0]}


def picture(height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8: smooth colours, the same each time."""
    coarse = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def row(name: str, times_ms: list[float]) -> dict:
    return _row(name, *map(float, np.percentile(times_ms, (50, 99))))


def _row(name: str, p50: float, p99: float) -> dict:
    return {"name": name, "ms_p50": round(p50, 3), "ms_p99": round(p99, 3), "fps": round(1e3 / p50, 2), "ratio": None}


def _timed(work) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3
