"""What is not the network: ROS and all work of a node around the network, clouds, pictures, codecs, pairing."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ... import config, graph
from ...estimator import Estimator
from ...frame import SOURCE_NETWORK, Estimate, Instance
from ...geometry import Intrinsics, cloud
from ...overlay import Overlay
from ...run import Supervisor
from .timing import FOV_DEG, SIZES, Job, no_row, picture, probe_clip, repeated, row, stage_times

CROWD = 20
# The graph runs at a pace that leaves the cores idle between frames, lest waiting be measured.
GRAPH_FPS, BUSY, GRAPH_FRAMES = 5.0, 0.4, 100
# Pairs a run: one takes microseconds.
PAIRS = 100


def jobs(settings: dict, observer: type | None) -> Iterator[Job]:
    """observer: nodes.observer.Observer; None where there is no ROS 2, without which most rows have no figures."""
    yield Job(("cloud_720p",), cloud_row)
    yield Job(("overlay_720p",), overlay_row)
    with_ros = [
        Job(("instance_topics_720p",), instance_topics_row),
        *(Job((f"codec_{size}",), partial(codec_row, size)) for size in SIZES),
        Job(("pairing_2",), pairing_row),
        *(Job((f"graph_{size}", f"host_{size}"), partial(graph_rows, settings, size, observer)) for size in SIZES),
    ]
    yield from with_ros if observer else (Job(job.names, partial(_without_ros, job.names)) for job in with_ros)


def _without_ros(names: tuple[str, ...]) -> Iterator[dict]:
    yield from (no_row(name, "there is no ROS 2 here") for name in names)


def cloud_row() -> Iterator[dict]:
    """The cloud as published by default, every second pixel of 720p."""
    color, estimate = picture(*SIZES["720p"]), crowd(*SIZES["720p"])
    yield row("cloud_720p", repeated(lambda: cloud(estimate.depth_m, estimate.intrinsics, color)))


def overlay_row() -> Iterator[dict]:
    """The picture for people of a crowded frame of 720p."""
    color, estimate, overlay = picture(*SIZES["720p"]), crowd(*SIZES["720p"]), Overlay()
    yield row("overlay_720p", repeated(lambda: overlay.draw(color, estimate)))


def instance_topics_row() -> Iterator[dict]:
    """All that is made for the topics depth/instances... and for the cloud's ids, of a crowded frame of 720p."""
    from ...nodes import instances, messages

    estimate, image, table = crowd(*SIZES["720p"]), messages.Image(), messages.PointCloud2()
    stamped = messages.header(0, "camera")

    def make():
        messages.fill_image(image, estimate.ids, stamped)
        messages.compressed_codes(estimate.ids, stamped)
        messages.fill_cloud(table, instances.table_from_instances(estimate.instances), stamped)
        instances.of_pixels(estimate, "class_id", np.uint8)
        instances.of_pixels(estimate, "id", np.uint32, stride=2)
        instances.markers(estimate.instances, stamped)

    yield row("instance_topics_720p", repeated(make))


def codec_row(size: str) -> Iterator[dict]:
    """A bgr8 Image to colours; depth, confidence and ids to Images, and depth to a PNG."""
    from ...nodes import messages

    stamped, estimate = messages.header(0, "camera"), crowd(*SIZES[size])
    color = messages.fill_image(messages.Image(), picture(*SIZES[size]), stamped, "bgr8")
    depth, confidence, ids = (messages.Image() for _ in range(3))

    def work():
        messages.color_from_image(color)
        messages.fill_image(depth, estimate.depth_m, stamped)
        messages.fill_image(confidence, estimate.confidence, stamped, "8UC1")
        messages.fill_image(ids, estimate.ids, stamped)
        messages.compressed_depth(estimate.depth_m, stamped)

    yield row(f"codec_{size}", repeated(work))


def pairing_row() -> Iterator[dict]:
    """A message of each of two streams to the pair that they are."""
    from ...nodes.pairing import StampPairer

    pairer, stamps, paired = StampPairer(streams=2, slop_ns=15_000_000), iter(range(0, 2**62, 33_333_333)), []
    pairer.registerCallback(lambda *pair: paired.append(pair))

    def work():
        paired.clear()
        for _ in range(PAIRS):
            stamp_ns = next(stamps)
            pairer.add(0, stamp_ns, "color")
            pairer.add(1, stamp_ns + 5_000_000, "depth")

    yield row("pairing_2", [ms / PAIRS for ms in repeated(work)])


def graph_rows(settings: dict, size: str, observer: type) -> Iterator[dict]:
    """Received to published without the estimator, and without the network: a camera node, a depth node, an observer.

    The observer subscribes to depth, confidence, ids, the table of instances and depth's camera_info.
    """
    estimated = stage_times(Estimator(config.make("depth", **settings)), *SIZES[size])["estimator"]
    fps = min(GRAPH_FPS, 1e3 * BUSY / float(np.median(estimated)))
    with tempfile.TemporaryDirectory() as folder:
        camera = filmed(Path(folder) / "pictures", size) | {"fps": fps, "frames": GRAPH_FRAMES}
        camera["engine_build"] = False  # nothing is built beside what is measured
        supervisor = Supervisor(graph.nodes(settings | camera), logs=Path(folder))
        with observer() as watching:
            status = supervisor.run()
            # The node's last words are on their way.
            time.sleep(0.5)
        figures = watching.record.figures.get("depth", {})
        if status or "graph_ms_p50" not in figures:
            raise RuntimeError(f"the graph did not run: {(Path(folder) / 'depth.log').read_text()[-1000:]}")
    for name in ("graph", "host"):
        p50, p99 = (float(figures[f"{name}_ms_{p}"]) for p in ("p50", "p99"))
        yield row(f"{name}_{size}", [p50]) | {"ms_p99": p99}


def filmed(folder: Path, size: str) -> dict:
    """Settings of a camera that shows the probe clip, some people, without end; its pictures go into the folder."""
    folder.mkdir()
    for index, color in enumerate(probe_clip(*SIZES[size])):
        cv2.imwrite(str(folder / f"{index:03}.jpg"), cv2.cvtColor(color, cv2.COLOR_RGB2BGR))
    return {"camera": "folder", "camera_path": str(folder), "loop": True}


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
