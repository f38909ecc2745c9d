"""`instance-depth demo`: a video through the real graph, live figures, and pictures of it in out/demo/."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .. import config, graph
from ..cameras import CLASSES
from ..evaluation.metrics import depth_metrics, in_range
from ..provenance import provenance
from ..run import Supervisor
from ..shared import shared_file
from .clip import fetch_demo_clip
from .pictures import contact_sheet, depth_video

ENDLESS_CAMERA_FRAMES = 300
LOG_TAIL = 12


def main(args: Namespace) -> int:
    """args: clip, out, settings (names of config.py). 0 when outputs came and were written, else 1."""
    # Before anything else: rclpy from wheels starts the interpreter anew when it is first imported.
    from ..nodes.observer import Observer

    started = process_started()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for old in [*out.glob("*.log"), out / "summary.json"]:
        old.unlink(missing_ok=True)
    settings = choose_camera(dict(args.settings), args.clip)
    viewer = choose_viewer(settings, out)
    # a demo ends before an engine would be built, and its figures would suffer
    supervisor = Supervisor(graph.nodes({"engine_build": False} | settings, viewer=viewer), logs=out)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, supervisor.stop)
    with Observer(live_errors if settings["camera"] == "simulated" else None) as observer:
        with LiveLine(observer.record, supervisor, started) as live:
            status = supervisor.run()
        # The nodes' last words are on their way.
        time.sleep(0.5)
    record = observer.record
    if not record.samples or status:
        show_logs(out)
        print(f"error: {'a node failed' if status else 'no depth came out'}; {out}/*.log has all", file=sys.stderr)
        return 1
    summary = summarize(record, live, settings)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print("drawing contact_sheet.png and depth.mp4", flush=True)
    title = (
        f"{summary['clip']}, {settings.get('weights', config.BY_NAME['weights'].default)}, {summary['fps']} frames/s"
    )
    contact_sheet(record, out / "contact_sheet.png", title)
    depth_video(record, out / "depth.mp4")
    print(json.dumps(summary, indent=2))
    print(f"look at {out}/contact_sheet.png, {out}/depth.mp4" + (f", {out}/demo.rrd (with: rerun)" if viewer else ""))
    return 0


def choose_camera(settings: dict, clip: str) -> dict:
    """The settings with a camera: the one asked for, the given clip, OpenCV's clip, or else the simulated one.

    ValueError for topics, which somebody else publishes and which have no end.
    """
    if (camera := settings.get("camera", "file")) not in CLASSES:
        yours = "for yours: instance-depth run --viewer"
        raise ValueError(f"the demo starts its own camera, got camera '{camera}'; {yours}")
    if clip and camera in ("file", "folder", "stream", "webcam"):
        return {"camera": "file", "camera_path": clip} | settings
    if camera == "file":
        path = fetch_demo_clip(lambda line: print(line, flush=True))
        if path:
            calibration = shared_file("config/vtest_camera_info.yaml")
            return settings | {"camera": "file", "camera_path": str(path), "camera_info": str(calibration)}
        print("taking the simulated camera instead (CLIP=video.mp4 plays a video of yours)")
        settings = settings | {"camera": "simulated"}
    return {"frames": ENDLESS_CAMERA_FRAMES} | settings


def choose_viewer(settings: dict, out: Path) -> bool:
    """Whether there is a viewer; its ports are free ones, and what it shows is saved."""
    if not find_spec("rerun"):
        print("no viewer without rerun-sdk: pip install 'instance_depth_ros[viewer]'")
        return False
    for name in ("web_port", "grpc_port"):
        settings.setdefault(name, free_port(config.BY_NAME[name].default))
    settings["save"] = str(out / "demo.rrd")
    return True


def free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise OSError("no free port on localhost")


def live_errors(depth_m: np.ndarray, truth_m: np.ndarray) -> dict[str, float]:
    """Metrics of a frame, (H, W) metres: every other pixel of every other row is enough while it runs, at a quarter."""
    depth_m, truth_m = depth_m[::2, ::2], truth_m[::2, ::2]
    return depth_metrics(depth_m, truth_m, in_range(truth_m))


class LiveLine:
    """While in `with`: a line a second with what is going on, and the peak of the nodes' memory."""

    def __init__(self, record, supervisor: Supervisor, started: float):
        self.record, self.supervisor, self.started = record, supervisor, started
        self.rss_mb = 0.0
        self._terminal = sys.stdout.isatty()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live line", daemon=True)

    def __enter__(self) -> LiveLine:
        self._thread.start()
        return self

    def __exit__(self, *exc_info) -> None:
        self._done.set()
        self._thread.join()
        if self._terminal:
            print()

    def _run(self):
        said_page, ticks = False, 0
        while not self._done.wait(0.5):
            # The supervisor forgets a child that died while this looks.
            children = [process.child for process in self.supervisor.processes]
            self.rss_mb = max(self.rss_mb, sum(resident_mb(child.pid) for child in children if child))
            if not said_page:
                said_page = self._say_page()
            ticks += 1
            if self._terminal:
                print(f"\r{self.text():<120}", end="", flush=True)
            elif ticks % 10 == 0:
                print(self.text(), flush=True)

    def _say_page(self) -> bool:
        for process in self.supervisor.processes:
            if process.spec.name == "viewer" and process.log.exists() and "open http" in process.log.read_text():
                print("see it live: http" + process.log.read_text().split("open http")[1].split()[0], flush=True)
                return True
        return False

    def text(self) -> str:
        record, elapsed = self.record, time.monotonic() - self.started
        if not record.arrivals:
            return f"{elapsed:6.1f} s  the nodes are starting"
        recent = record.arrivals[-30:]
        fps = (len(recent) - 1) / max(recent[-1] - recent[0], 1e-3)
        lost = record.figures.get("depth", {}).get("lost", "0")
        line = f"{elapsed:6.1f} s  {len(record.arrivals)} frames  {fps:.1f} frames/s"
        line += f"  latency {np.median(record.latencies_ms[-30:]):.0f} ms  lost {lost}  middle {record.middle_m:.2f} m"
        line += f"  {record.instance_counts[-1] if record.instance_counts else 0} instances"
        if record.rel:
            line += f"  rel {np.nanmean(record.rel):.3f}  sigma1 {np.nanmean(record.sigma1):.3f}"
        return line


def resident_mb(pid: int) -> float:
    """Resident memory of a process and its children, MB; 0 for one that has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = [c for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 + sum(resident_mb(int(child)) for child in children)


def process_started() -> float:
    """When this process began, on time.monotonic()'s clock: before Python, and before rclpy started it anew."""
    since_boot_s = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot_s)


def balance(figures: dict[str, dict[str, str]]) -> tuple[int, int, dict[str, int]]:
    """frames_in, frames_out and the losses by reason, from the last diagnostics of the camera and the depth node.

    ValueError where what the camera sent is not what the depth node gave and lost, as each counted it for itself.
    """
    if silent := {"camera", "depth"} - figures.keys():
        raise ValueError(f"no diagnostics came from: {', '.join(sorted(silent))}; without them no loss is known")
    camera, depth = figures["camera"], figures["depth"]
    sent = int(camera["frames_out"])
    frames_in, frames_out, waiting = (int(depth[f"frames_{name}"]) for name in ("in", "out", "waiting"))
    lost = {key.removeprefix("lost_"): int(value) for key, value in depth.items() if key.startswith("lost_")}
    # Frames lost before the first that arrived, and after the last, leave no gap that the depth node could see.
    unseen = sent - frames_in
    if unseen < 0 or waiting or frames_in != frames_out + sum(lost.values()):
        raise ValueError(
            f"the nodes' counts do not agree: camera sent {sent}; depth got {frames_in}, gave {frames_out}, "
            f"lost {lost}, keeps {waiting}; did a node start anew? Its .log in the output folder says"
        )
    return sent, frames_out, lost | {"not_received": lost["not_received"] + unseen}


def summarize(record, live: LiveLine, settings: dict) -> dict:
    """The figures of the run; frames_in = frames_out + the losses. ValueError where that is not so."""
    frames_in, frames_out, lost = balance(record.figures)
    depth = record.figures["depth"]
    duration_s = max(record.arrivals[-1] - record.arrivals[0], 1e-3)
    p50, p99 = np.percentile(record.latencies_ms, (50, 99))
    return {
        "frames_in": frames_in,
        "frames_out": frames_out,
        "fps": round((len(record.arrivals) - 1) / duration_s, 2),
        "latency_ms_p50": round(float(p50), 1),
        "latency_ms_p99": round(float(p99), 1),
        "lost": lost,
        "first_output_s": round(record.arrivals[0] - live.started, 2),
        "rss_mb": round(live.rss_mb),
        "engine": depth.get("engine"),
        "precision": depth.get("precision"),
        "clip": Path(settings["camera_path"]).name if settings.get("camera_path") else _camera(settings),
        **provenance(),
        "rel": round(float(np.nanmean(record.rel)), 4) if record.rel else None,
        "sigma1": round(float(np.nanmean(record.sigma1)), 4) if record.sigma1 else None,
        **instance_figures(record, settings),
    }


def instance_figures(record, settings: dict) -> dict[str, float | int | None]:
    """How many instances a frame has, how many identities there were, how long the most lasting was seen."""
    names = ("instances_per_frame", "identities", "longest_identity_s")
    if settings.get("instances") == "none" or not record.instance_counts:
        return dict.fromkeys(names)
    longest_s = max((last_ns - first_ns for first_ns, last_ns in record.spans_ns.values()), default=0) / 1e9
    values = (round(float(np.mean(record.instance_counts)), 2), len(record.spans_ns), round(longest_s, 2))
    return dict(zip(names, values, strict=True))


def show_logs(out: Path) -> None:
    """The end of what each node said."""
    for log in sorted(out.glob("*.log")):
        print(f"--- {log}", *log.read_text(errors="replace").splitlines()[-LOG_TAIL:], sep="\n", file=sys.stderr)


def _camera(settings: dict) -> str:
    """The camera by name; of a simulated one also the scene."""
    if settings["camera"] != "simulated":
        return settings["camera"]
    return "simulated {} {}".format(*(settings.get(n, config.BY_NAME[n].default) for n in ("activity", "seed")))
