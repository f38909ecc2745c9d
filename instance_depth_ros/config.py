"""Every setting once: default, unit, bounds, help, and whether it acts live or at the next start.

ROS parameters, the command line, the launch arguments and the README's table are made from SETTINGS.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

CAMERAS = (
    "auto", "topic", "realsense_driver", "kinect_driver", "file", "folder", "webcam", "stream", "simulated", "replay",
    "kinect", "realsense",
)  # fmt: skip
# the six of the GID dataset, then ours; a tour leads through several places
ACTIVITIES = ("basketball", "badminton", "volleyball", "dance", "table_tennis", "zoo", "plaza", "yard", "room", "tour")
# of instances; the number of a class is its place
CLASSES = ("background", "person", "animal", "ball", "racket", "vehicle", "other")
# what tells how long a metre is, the surest first
ANCHORS = ("sensor", "height", "stature")
# the frozen splits of config/splits/
SPLITS = ("sim-train", "sim-val", "sim-test", "sim-long")


@dataclass(frozen=True)
class Setting:
    """One setting. nodes: who takes it. live: acts at once when set on a running node.

    With choices and bounds it is one of the choices, or a number within the bounds as text. many: some of the choices,
    with commas between them, or none.
    """

    name: str
    default: bool | int | float | str
    help: str
    nodes: tuple[str, ...]
    unit: str = ""
    bounds: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    many: bool = False

    @property
    def span(self) -> str:
        """The bounds and the unit as people read them; '' without bounds."""
        return "[{:.10g}, {:.10g}] {}".format(*self.bounds, self.unit).strip() if self.bounds else ""

    @property
    def allowed(self) -> str:
        """The choices as people read them; '' without any."""
        return ", ".join(self.choices) + (f", or a number in {self.span}" if self.choices and self.bounds else "")

    def check(self, value: Any) -> bool | int | float | str:
        """The value in the setting's type; ValueError names the setting, the value and what is allowed."""
        if self.many:
            return self._some(value)
        kind = type(self.default)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if kind is str and self.bounds and isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and kind is not str:
            value = self._parse(value, kind)
        if type(value) is not kind:
            raise ValueError(f"{self.name} must be {kind.__name__}, got {value!r}")
        if self.choices and value not in self.choices and not (self.bounds and self._within(value)):
            raise ValueError(f"{self.name} must be one of {self.allowed}, got '{value}'")
        if self.bounds and not self.choices and not self._within(value):
            raise ValueError(f"{self.name} must be in {self.span}, got {value:.10g}")
        return value

    def _some(self, value) -> str:
        """YAML brings lists, too."""
        names = value.strip("[] ").split(",") if isinstance(value, str) else list(value)
        names = [name.strip() for name in names if name.strip()]
        for name in names:
            if name not in self.choices:
                raise ValueError(f"{self.name} must be some of {', '.join(self.choices)}, got '{name}'")
        return ",".join(names)

    def _within(self, value: int | float | str) -> bool:
        try:
            return self.bounds[0] <= float(value) <= self.bounds[1]
        except ValueError:
            return False

    def _parse(self, text: str, kind: type):
        """Command lines and launch arguments bring text."""
        try:
            if kind is bool:
                return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
            return kind(text)
        except (KeyError, ValueError):
            raise ValueError(f"{self.name} must be {kind.__name__}, got '{text}'") from None


SETTINGS = (
    # where pictures come from
    Setting("camera", "auto", "where frames come from; the depth node can open a camera itself, without a hop; auto: a "
            "RealSense, else live image topics, else a webcam", ("camera", "depth", "recorder"), choices=CAMERAS),
    Setting("camera_path", "", "file, folder, bag, device or URL of the camera", ("camera", "depth")),
    Setting("camera_info", "", "calibration: a ROS camera_info YAML file", ("camera", "depth")),
    Setting("camera_frame", "camera_color_optical_frame", "frame id of what the camera gives", ("camera", "depth")),
    Setting("publish_tf", True, "tell tf where the camera's optical frames stand in its link, where a device or a bag "
            "tells it and tf2_ros is installed; false: the robot's description does", ("camera", "depth")),
    Setting("loop", False, "play a recording again and again", ("camera", "depth")),
    Setting("rate", "real", "real: the pace of the recording; max: as fast as frames are taken; 2.0: twice its pace",
            ("camera", "depth"), choices=("real", "max"), bounds=(0.01, 100.0)),
    Setting("fps", 0.0, "frames per second asked of a live camera, or the pace of a recording or scene; 0: its own",
            ("camera", "depth"), unit="Hz", bounds=(0.0, 240.0)),
    Setting("width", 640, "width asked of a live camera or scene", ("camera", "depth"), unit="px", bounds=(64, 7680)),
    Setting("height", 480, "height asked of a live camera or scene", ("camera", "depth"), unit="px", bounds=(64, 4320)),
    Setting("frames", 0, "stop after so many frames; 0: at the end", ("camera", "depth"), bounds=(0, 1e9)),
    Setting("activity", "plaza", "scene of the simulated camera", ("camera", "depth"), choices=ACTIVITIES),
    Setting("seed", 0, "seed of the simulated camera", ("camera", "depth"), bounds=(0, 2**31 - 1)),
    Setting("sensor_depth", False, "the simulated camera also gives the depth that its sensor would",
            ("camera", "depth")),
    Setting("replay_color_topic", "", "topic of a bag to replay colour from; empty: found by type and name",
            ("camera", "depth")),
    Setting("replay_depth_topic", "", "topic of a bag to replay registered depth from; none: colour alone; empty: "
            "found by type and name", ("camera", "depth")),
    Setting("serial", "", "serial number of a RealSense; empty: the first", ("camera", "depth")),
    Setting("exposure_us", 0, "exposure time of a RealSense's colour; 0: automatic", ("camera", "depth"), unit="us",
            bounds=(0, 1_000_000)),
    Setting("laser_power_mw", -1.0, "power of a RealSense's laser; 0: off, -1: as it is", ("camera", "depth"),
            unit="mW", bounds=(-1.0, 1000.0)),
    Setting("timeout_s", 5.0, "a camera or stream silent for so long is opened again", ("camera", "depth"), unit="s",
            bounds=(0.5, 60.0)),
    # the network
    Setting("weights", "instance_depth_tiny", "shipped name, or path of a .safetensors or .pth file", ("depth",)),
    Setting("weights_kind", "auto", "what official weights give; auto reads it from a 'metric_' in the file name",
            ("depth",), choices=("auto", "metric", "relative")),
    Setting("engine", "auto", "how the network runs; auto: the fastest on this machine of those that agree with eager "
            "torch, which serves until that is known", ("depth",),
            choices=("auto", "eager", "compiled", "tensorrt", "onnx")),
    Setting("engine_build", True, "the depth node has an engine that is not there built by a process beside it; false: "
            "only what `instance-depth engine build` has made is taken", ("depth",)),
    Setting("precision", "auto", "auto: the fastest that agrees with fp32 on a stored probe", ("depth",),
            choices=("auto", "fp32", "bf16", "fp16")),
    Setting("device", "auto", "cpu, cuda, cuda:1, ...; auto: CUDA where there is one", ("depth",)),
    Setting("threads", 0, "CPU threads of the network; 0: all cores but one", ("depth",), bounds=(0, 256)),
    Setting("network_short_side", 0, "short side of the network's input; 0: what the weights were made for",
            ("depth",), unit="px", bounds=(0, 2048)),
    Setting("instances", "network", "whose instances: the network's; hf: of a transformers model; topic: an id image "
            "from elsewhere; none", ("depth",), choices=("network", "hf", "topic", "none")),
    Setting("instance_threshold", 0.5, "less certain instances are not told of", ("depth",), bounds=(0.0, 1.0),
            live=True),
    Setting("instance_every", 1, "the network looks for instances in every n-th frame; between, they are carried along",
            ("depth",), bounds=(1, 30), live=True),
    Setting("rectify", True, "refine depth by instances; false: the holistic depth", ("depth",), live=True),
    Setting("memory", "vda", "which past frames the network sees; vda: the official rule; adaptive: the last seconds, "
            "and key frames that change with the view", ("depth",), choices=("vda", "adaptive", "none")),
    Setting("steady_s", 0.45, "still surfaces' depth is averaged over so long; 0: each frame's own", ("depth",),
            unit="s", bounds=(0.0, 10.0), live=True),
    Setting("reset_gap_s", 2.0, "a longer gap between stamps drops the memory", ("depth",), unit="s",
            bounds=(0.05, 3600.0), live=True),
    Setting("cut_threshold", 0.4, "how different two frames are to be a scene cut; 1: never", ("depth",),
            bounds=(0.05, 1.0), live=True),
    Setting("assumed_fov_deg", 60.0, "horizontal field of view where no CameraInfo is known", ("depth",), unit="deg",
            bounds=(10.0, 150.0), live=True),
    Setting("max_depth_m", 80.0, "farther depth is invalid", ("depth",), unit="m", bounds=(0.1, 1000.0), live=True),
    Setting("min_confidence", 0.07, "less confident depth is invalid: the sky, mostly", ("depth",),
            bounds=(0.0, 1.0), live=True),
    Setting("fuse", "fill", "registered sensor depth is kept where it is valid; fill: the rest the network's, at its "
            "scale; replace: the network's as it is; off: the network's everywhere", ("depth",),
            choices=("fill", "replace", "off"), live=True),
    Setting("scale_anchors", "sensor,height,stature", "what the network's metres are corrected by, where it is known: "
            "sensor depth, the camera's height above ground, people's stature; empty: nothing", ("depth",),
            choices=ANCHORS, many=True, live=True),
    Setting("camera_height_m", 0.0, "the camera's height above the ground it sees; 0: unknown", ("depth",), unit="m",
            bounds=(0.0, 100.0), live=True),
    Setting("ground_frame", "", "frame on the ground (base_footprint): tf's height of the camera above it", ("depth",)),
    Setting("instance_weights", "Roboflow/rf-detr-seg-medium",
            "instances: hf: a Hugging Face model by name, or its folder; the default is Apache-2.0, code and weights",
            ("depth",)),
    Setting("batch_wait_ms", 5.0, "of several cameras in one process: a frame waits at most so long for those of the "
            "others, to go through the network together", ("depth",), unit="ms", bounds=(0.0, 100.0)),
    # the depth node
    Setting("cloud_stride", 2, "every n-th pixel becomes a point", ("depth",), unit="px", bounds=(1, 32), live=True),
    Setting("cloud_step_ratio", 0.1, "points on depth steps larger than this share are left out", ("depth",),
            bounds=(0.01, 10.0), live=True),
    Setting("overlay_max_depth_m", 0.0, "end of the overlay's colours; 0: the farthest (98 %) depth seen so far",
            ("depth",), unit="m", bounds=(0.0, 1000.0), live=True),
    Setting("use_compressed", False, "subscribe to CompressedImage instead of Image", ("depth", "recorder")),
    Setting("use_depth", False, "subscribe to registered depth and pair it by stamp", ("depth",)),
    Setting("fixed_frame", "", "frame that stands still (odom, map): tf's pose of the camera in it helps tracking",
            ("depth",)),
    Setting("pair_slop_ms", 15.0, "stamps this close belong to one frame", ("depth",), unit="ms", bounds=(0.0, 1000.0),
            live=True),
    Setting("autostart", True, "configure and activate by itself; false: leave it to a lifecycle manager", ("depth",)),
    Setting("silence_s", 3.0, "say what is wrong after so long without a frame", ("depth", "viewer", "recorder"),
            unit="s", bounds=(0.5, 600.0), live=True),
    # the recorder
    Setting("record_folder", "out/bags", "where bags go, each a folder named by its start (UTC) and its camera",
            ("recorder",)),
    Setting("record_profile", "estimate", "camera: colour, sensor depth, camera infos, tf; estimate: depth, "
            "confidence, source, instances and diagnostics as well; all: cloud, overlay and a simulation's truth as "
            "well", ("recorder",), choices=("camera", "estimate", "all"), live=True),
    Setting("record_topics", "", "topics to record besides, with commas between them", ("recorder",), live=True),
    Setting("record_color", "raw", "how colour is kept; jpeg loses some of it", ("recorder",),
            choices=("raw", "jpeg", "png")),
    Setting("record_depth", "raw", "how 16-bit depth and id images are kept; png: smaller, and all of it",
            ("recorder",), choices=("raw", "png")),
    Setting("record_compression", "none", "compression of a bag's chunks", ("recorder",), choices=("none", "zstd")),
    Setting("record_split_s", 0.0, "a bag's next file begins after so long; 0: never", ("recorder",), unit="s",
            bounds=(0.0, 86400.0), live=True),
    Setting("record_split_mb", 4000.0, "a bag's next file begins after so much; 0: never", ("recorder",), unit="MB",
            bounds=(0.0, 1e6), live=True),
    Setting("record_snapshot_s", 0.0, "so much of the past is held in memory for recorder/snapshot; 0: nothing",
            ("recorder",), unit="s", bounds=(0.0, 600.0), live=True),
    Setting("record_snapshot_mb", 2000.0, "what of the past is held at most, whatever its age", ("recorder",),
            unit="MB", bounds=(1.0, 1e6), live=True),
    Setting("record_queue_mb", 512.0, "what may wait in memory for a slow disk", ("recorder",), unit="MB",
            bounds=(1.0, 65536.0), live=True),
    Setting("record_flush_s", 1.0, "all that is older than this is safe on the disk, whatever happens", ("recorder",),
            unit="s", bounds=(0.05, 60.0), live=True),
    Setting("record_min_free_mb", 1000.0, "the bag is closed when the disk has no more room than this", ("recorder",),
            unit="MB", bounds=(1.0, 1e6), live=True),
    Setting("record_at_start", True, "record as soon as the node runs; false: when recorder/record says so",
            ("recorder",)),
    # the process
    Setting("publish_queue", 2, "messages of a topic that are kept for a reliable subscriber that lags; `run` and the "
            "launch file make it 30 where they record", ("camera", "depth"), bounds=(1, 1000)),
    Setting("realtime_priority", 0, "SCHED_FIFO priority of the node's threads, where the user may have it; 0: off",
            ("camera", "depth", "recorder"), bounds=(0, 99)),
    Setting("cpu_affinity", "", "CPUs that the node keeps to, such as 0,2-3; empty: all",
            ("camera", "depth", "recorder")),
    # the viewer
    Setting("window", "auto", "web: a page on localhost; native: Rerun's window; auto: native where there is a display",
            ("viewer",), choices=("auto", "web", "native", "none")),
    Setting("web_port", 9090, "port of the viewer's page", ("viewer",), bounds=(1024, 65535)),
    Setting("grpc_port", 9876, "port of the viewer's data", ("viewer",), bounds=(1024, 65535)),
    Setting("save", "", "also write what is seen to this .rrd file", ("viewer",)),
    Setting("viewer_hz", 5.0, "pictures per second shown at most", ("viewer",), unit="Hz", bounds=(0.1, 60.0),
            live=True),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}


def for_node(node: str) -> tuple[Setting, ...]:
    """The settings a node takes."""
    return tuple(setting for setting in SETTINGS if node in setting.nodes)


def make(node: str, **overrides) -> SimpleNamespace:
    """The checked settings of a node as attributes; unknown names and bad values raise ValueError."""
    known = {setting.name: setting for setting in for_node(node)}
    for name in overrides:
        if name not in known:
            raise ValueError(f"the {node} node has no setting '{name}'; it has {', '.join(sorted(known))}")
    return SimpleNamespace(**{n: s.check(overrides.get(n, s.default)) for n, s in known.items()})
