"""What one sees, in Rerun: colour, depth, confidence, instances, the cloud with the camera's frustum, and curves."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np

from .config import CLASSES
from .drawing import MASK_OPACITY, id_colors, instance_label
from .frame import Instance
from .geometry import Intrinsics, valid

INSTALL = "pip install 'instance_depth_ros[viewer]'"
# Enough for the eye; a recording of a minute stays below 100 MB.
PICTURE_WIDTH = 480
MAX_POINTS = 12_000
# The background of an id image, for an AnnotationContext.
CLEAR = (0, "", (0, 0, 0, 0))
CURVES = {
    "latency_ms": ("latency_ms_p50", "latency_ms_p99", "processing_ms_p50"),
    "rate_hz": ("input_hz", "output_hz"),
    "instances": ("instances", "tracks"),
}


class Screen:
    """A Rerun recording that is shown as a page on localhost or in a window, and saved.

    window: web, native, none or auto (native where there is a display). save: path of an .rrd file or ''.
    url is the page's address, '' without one. ValueError names the missing package or the port that is taken.
    """

    def __init__(self, window: str, web_port: int = 9090, grpc_port: int = 9876, save: str = ""):
        try:
            import rerun
        except ImportError:
            raise ValueError(f"the viewer needs rerun-sdk: {INSTALL}") from None
        if window == "auto":
            window = "native" if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") else "web"
        self._rerun = rerun
        self._recording = rerun.RecordingStream("instance_depth_ros")
        self._intrinsics, self._knows_truth, self._noted = None, False, False
        self._server, self.url, sinks = None, "", []
        if window != "none":
            data = f"rerun+http://127.0.0.1:{grpc_port}/proxy"
            self._server = _start_server(window, web_port, grpc_port)
            sinks.append(rerun.GrpcSink(data))
        if window == "web":
            self.url = f"http://127.0.0.1:{web_port}/?url={quote(data, safe='')}"
        if save:
            sinks.append(rerun.FileSink(save))
        if sinks:
            self._recording.set_sinks(*sinks)

    @property
    def open(self) -> bool:
        """False once somebody closed the window."""
        return self._server is None or self._server.poll() is None

    def show(
        self,
        stamp_ns: int,
        intrinsics: Intrinsics,
        color=None,
        depth_m=None,
        confidence=None,
        points=None,
        ids=None,
        instances: tuple[Instance, ...] = (),
        truth_m=None,
        true_ids=None,
    ):
        """Show one moment: color (H, W, 3) RGB, depth_m (H, W), confidence (H, W) uint8, points (...) of POINT.

        ids: (H, W) uint16, of instances. truth_m, true_ids: (H, W), of a simulated one.
        """
        self._set_time(stamp_ns)
        if intrinsics != self._intrinsics or (truth_m is not None and not self._knows_truth):
            self._knows_truth |= truth_m is not None
            self._show_camera(intrinsics, depth_m)
        if color is not None:
            self._log("camera/color", self._jpeg(color))
        if depth_m is not None:
            self._log("camera/depth", self._depth(depth_m))
        if truth_m is not None:
            self._log("camera/truth", self._depth(truth_m))
        if confidence is not None:
            self._log("camera/confidence", self._rerun.Image(_smaller(confidence, cv2.INTER_AREA)))
        if points is not None:
            self._log("cloud", self._points(points))
        if ids is not None:
            self._show_instances(intrinsics.width, ids, instances)
        if true_ids is not None:
            # Ids without a name get colours of Rerun's.
            self._log("camera/true_ids", self._rerun.AnnotationContext([CLEAR]), static=True)
            self._log("camera/true_ids", self._segmentation(true_ids))

    def plot(self, stamp_ns: int, values: dict[str, float]):
        """Continue the curves; values by the names of the diagnostics."""
        self._set_time(stamp_ns)
        for plot, names in CURVES.items():
            for name in names:
                if name in values:
                    self._log(f"{plot}/{name}", self._rerun.Scalars(float(values[name])))

    def note(self, stamp_ns: int, text: str):
        """A line about a moment; those before the first show() have a view of their own."""
        self._set_time(stamp_ns)
        self._noted = True
        self._log("notes", self._rerun.TextLog(text))

    def close(self):
        """Write what is pending and end the page or window that this screen started."""
        if self.open:
            self._recording.flush(timeout_sec=5)
        self._recording.disconnect()
        if self._server and self.open:
            self._server.terminate()
            self._server.wait(5)

    def _log(self, path, what, static=False):
        self._recording.log(path, what, static=static)

    def _set_time(self, stamp_ns):
        self._recording.set_time("stamp", timestamp=np.datetime64(stamp_ns, "ns"))

    def _show_instances(self, width, ids, instances):
        """Masks and names in the picture, boxes in space, and a table in words."""
        colors = id_colors([instance.id for instance in instances])
        labels = list(map(instance_label, instances))
        pixels = [instance.pixel for instance in instances]
        context = [CLEAR, *zip(pixels, labels, colors, strict=True)]
        # Beside what it names, and not the camera's, whose truth has other ids.
        self._log("camera/instances", self._rerun.AnnotationContext(context))
        self._log("camera/instances/ids", self._segmentation(ids))
        scale = min(1, PICTURE_WIDTH / width)
        boxes = self._rerun.Boxes2D(
            array=np.array([instance.box_px for instance in instances], float).reshape(-1, 4) * scale,
            array_format=self._rerun.Box2DFormat.XYWH,
            labels=labels,
            colors=colors,
        )
        self._log("camera/instances/names", boxes)
        placed = [i for i, instance in enumerate(instances) if np.isfinite(instance.center_m).all()]
        self._log(
            "boxes",
            self._rerun.Boxes3D(
                centers=[instances[i].center_m for i in placed],
                sizes=[instances[i].size_m for i in placed],
                labels=[labels[i] for i in placed],
                colors=colors[placed],
            ),
        )
        self._log("table", self._rerun.TextDocument(table_text(instances), media_type="text/markdown"))

    def _segmentation(self, ids):
        return self._rerun.SegmentationImage(_smaller(ids, cv2.INTER_NEAREST), opacity=MASK_OPACITY)

    def _show_camera(self, intrinsics, depth_m):
        """The frustum, as long as a fifth of the depth that the first frame shows."""
        self._intrinsics = intrinsics
        distance = 10.0 if depth_m is None or not valid(depth_m).any() else float(np.median(depth_m[valid(depth_m)]))
        pinhole = self._rerun.Pinhole(
            image_from_camera=intrinsics.resized(*_fit(intrinsics.width, intrinsics.height)).K,
            resolution=_fit(intrinsics.width, intrinsics.height),
            camera_xyz=self._rerun.ViewCoordinates.RDF,
            image_plane_distance=distance / 5,
        )
        self._log("/", self._rerun.ViewCoordinates.RDF, static=True)
        self._log("camera", pinhole, static=True)
        self._recording.send_blueprint(self._blueprint(distance))

    def _blueprint(self, distance):
        import rerun.blueprint as rrb

        eye = rrb.EyeControls3D(
            position=(-0.7 * distance, -0.6 * distance, -0.6 * distance),
            look_target=(0, 0, 0.8 * distance),
            eye_up=(0, -1, 0),
        )
        truth = {"true depth and instances": ["truth", "true_ids"]} if self._knows_truth else {}
        pictures = {
            "picture and instances": ["color", "instances/**"],
            **truth,
            "depth in metres, red is near": ["depth"],
            "confidence, white is sure": ["confidence"],
        }
        views = [
            rrb.Spatial2DView(origin="camera", contents=[f"camera/{part}" for part in parts], name=name)
            for name, parts in pictures.items()
        ]
        space = rrb.Spatial3DView(
            contents=["camera", "camera/color", "cloud", "boxes"], name="cloud, instances and camera", eye_controls=eye
        )
        below = [rrb.TimeSeriesView(origin=plot, name=plot.replace("_", ", ")) for plot in CURVES]
        below.append(rrb.TextDocumentView(origin="table", name="instances, the nearest first"))
        if self._noted:
            below.append(rrb.TextLogView(origin="notes"))
        left, right = rrb.Vertical(space, rrb.Horizontal(*below), row_shares=[3, 1]), rrb.Vertical(*views)
        return rrb.Blueprint(rrb.Horizontal(left, right, column_shares=[2, 1]), collapse_panels=True)

    def _jpeg(self, color):
        picture = cv2.cvtColor(_smaller(color, cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
        return self._rerun.EncodedImage(contents=data.tobytes(), media_type="image/jpeg")

    def _depth(self, depth_m):
        small = _smaller(depth_m, cv2.INTER_NEAREST)
        centimetres = np.where(valid(small), np.minimum(np.nan_to_num(small, posinf=0) * 100, 65535), 0)
        return self._rerun.DepthImage(centimetres.astype(np.uint16), meter=100, colormap="spectral")

    def _points(self, points):
        seen = points[np.isfinite(points["z"])]
        seen = seen[:: max(1, -(-seen.size // MAX_POINTS))]
        positions = np.stack([seen["x"], seen["y"], seen["z"]], -1)
        return self._rerun.Points3D(
            positions, colors=(seen["rgb"] << 8) | 0xFF, radii=self._rerun.Radius.ui_points(1.5)
        )


def table_text(instances: tuple[Instance, ...]) -> str:
    """Who is there, as Markdown: how far, how sure, how much of it is seen, who hides it, since when."""
    lines = ["| id | class | depth | visible | behind | for |", "|---|---|---|---|---|---|"]
    for i in sorted(instances, key=lambda instance: instance.depth_m):
        depth = f"{i.depth_m:.2f} m ± {i.sigma_m:.2f}"
        behind = f"#{i.hidden_by}" if i.hidden_by else ""
        lines.append(f"| #{i.id} | {CLASSES[i.class_id]} | {depth} | {i.visible:.0%} | {behind} | {i.age_s:.1f} s |")
    return "\n".join(lines)


def _fit(width, height):
    scale = min(1, PICTURE_WIDTH / width)
    return round(width * scale), round(height * scale)


def _smaller(picture, interpolation):
    size = _fit(picture.shape[1], picture.shape[0])
    return cv2.resize(picture, size, interpolation=interpolation)


def _start_server(window, web_port, grpc_port):
    """Rerun's own server, which keeps at most 256 MB for those who open the page late; it ends with this process."""
    program = Path(find_spec("rerun_cli").origin).parent / "rerun"
    command = [str(program), "--bind", "127.0.0.1", "--port", str(grpc_port)]
    if window == "web":
        command += ["--serve-web", "--web-viewer-port", str(web_port), "--server-memory-limit", "256MB"]
    ports = [grpc_port, web_port] if window == "web" else [grpc_port]
    for port in ports:
        if _listening(port):
            raise ValueError(f"port {port} is taken; another web_port or grpc_port (now {web_port}, {grpc_port}) helps")
    # A session of its own: Ctrl-C must not end it before the last pictures are through.
    server = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )
    deadline = time.monotonic() + 20
    while not all(map(_listening, ports)):
        if server.poll() is not None or time.monotonic() > deadline:
            server.kill()
            raise ValueError(f"Rerun did not start on ports {ports}; 'rerun --version' should answer, else: {INSTALL}")
        time.sleep(0.1)
    return server


def _listening(port):
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end_with_parent():
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
