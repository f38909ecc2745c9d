"""The graph as processes: a clip to its end, nodes that die, Ctrl-C; and what the command line makes of settings."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
import yaml

from instance_depth_ros import cli, graph
from instance_depth_ros.run import FIRST_DELAY_S, RESTARTS, Process, Supervisor

pytest.importorskip("rclpy", reason="needs ROS")
import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from ros_graph import number_of, own_domain, picture  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

from instance_depth_ros.nodes import messages  # noqa: E402
from instance_depth_ros.nodes.pairing import stamp_ns  # noqa: E402

own_domain()
SMALL = ["--weights", "random:tiny", "--network-short-side", "64", "--precision", "fp32", "--threads", "1"]
SMALL += ["--engine", "eager"]  # nothing is built beside them
PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """40 numbered pictures as a video, lossless."""
    path = tmp_path_factory.mktemp("clip") / "numbers.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 20, (80, 64))
    assert writer.isOpened()
    for number in range(40):
        writer.write(picture(number)[..., ::-1])
    writer.release()
    return path


class Watch:
    """What a graph publishes, within `with`."""

    def __init__(self):
        self.numbers, self.depth_stamps, self.values, self.info_stamps = {}, [], {}, []

    def __enter__(self):
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node("watch", context=self._context)
        many = QoSProfile(depth=500)
        self._node.create_subscription(Image, "camera/color/image_raw", self._color, many)
        self._node.create_subscription(Image, "depth/image", lambda m: self.depth_stamps.append(stamp_ns(m)), many)
        self._node.create_subscription(
            CameraInfo, "depth/camera_info", lambda m: self.info_stamps.append(stamp_ns(m)), many
        )
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._note, many)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        return self

    def __exit__(self, *exc_info):
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _color(self, message):
        self.numbers[stamp_ns(message)] = number_of(messages.color_from_image(message))

    def _note(self, message):
        self.values[message.status[0].name] = {pair.key: pair.value for pair in message.status[0].values}

    def until(self, predicate):
        deadline = time.monotonic() + PATIENCE_S
        while not predicate():
            assert time.monotonic() < deadline, f"waited in vain: {self.values}"
            self._executor.spin_once(timeout_sec=0.05)

    def settle(self):
        """Take what is still on its way."""
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            self._executor.spin_once(timeout_sec=0.05)


@contextmanager
def running(*arguments):
    """`instance-depth run` with these arguments; interrupted at the end if it still runs."""
    command = [sys.executable, "-m", "instance_depth_ros.cli", "run", *SMALL, *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    said = []
    reader = threading.Thread(target=lambda: said.extend(process.stderr))
    reader.start()
    process.said = said
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
        reader.join(PATIENCE_S)


def children(process) -> dict[str, int]:
    """Node name -> pid of a running graph's processes."""
    found = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open(f"/proc/{pid}/stat") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
            with open(f"/proc/{pid}/cmdline") as file:
                words = file.read().split("\0")
        except OSError:
            continue
        if parent == process.pid:
            found |= {word.rsplit(".", 1)[1]: pid for word in words if word.startswith("instance_depth_ros.nodes.")}
    return found


def alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def test_a_clip_played_as_fast_as_it_is_taken_comes_out_frame_for_frame(clip):
    # A graph so short-lived may be over before it has found the watcher: then it is played again.
    for _ in range(3):
        with Watch() as watch, running("--camera", "file", "--camera-path", clip, "--rate", "max") as run:
            watch.until(lambda run=run: run.poll() is not None)
            watch.settle()
        assert run.returncode == 0, run.said
        if {"/camera", "/depth"} <= watch.values.keys() and watch.numbers and watch.depth_stamps and watch.info_stamps:
            break
    camera, depth = watch.values["/camera"], watch.values["/depth"]
    assert camera["frames_out"] == depth["frames_in"] == "40"
    assert int(depth["frames_out"]) + int(depth["lost"]) == 40 and depth["frames_waiting"] == "0"
    assert int(depth["frames_out"]) >= 36
    # On a busy machine frames go out before the graph has found the watcher; from then on it sees each in its turn.
    seen = [watch.numbers[stamp_ns] for stamp_ns in sorted(watch.numbers)]
    assert seen == list(range(40 - len(seen), 40))
    assert watch.depth_stamps == sorted(set(watch.depth_stamps))
    both_watched = max(watch.depth_stamps[0], watch.info_stamps[0], min(watch.numbers))
    depth_stamps = [stamp_ns for stamp_ns in watch.depth_stamps if stamp_ns >= both_watched]
    assert depth_stamps == [stamp_ns for stamp_ns in watch.info_stamps if stamp_ns >= both_watched]
    assert set(depth_stamps) <= set(watch.numbers)


def test_a_camera_that_dies_is_started_again_and_depth_lives_on(clip):
    with Watch() as watch, running("--camera", "file", "--camera-path", clip, "--loop", "true") as run:
        watch.until(lambda: len(watch.depth_stamps) > 3)
        before = children(run)
        os.kill(before["camera"], signal.SIGKILL)
        killed_at = len(watch.depth_stamps)
        watch.until(lambda: children(run).get("camera", before["camera"]) != before["camera"])
        watch.until(lambda: len(watch.depth_stamps) > killed_at + 10)
        after = children(run)
        assert after["depth"] == before["depth"]
        assert any("camera node died (-9)" in line for line in run.said)
        run.send_signal(signal.SIGINT)
        watch.until(lambda: run.poll() is not None)
        watch.settle()
    assert run.returncode == 0
    assert not any(alive(pid) for pid in (*before.values(), *after.values()))
    # The last words came: everything is booked.
    depth = watch.values["/depth"]
    assert depth["state"] == "finalized" and depth["frames_waiting"] == "0"
    assert int(depth["frames_in"]) == int(depth["frames_out"]) + int(depth["lost"])


def test_a_supervisor_that_is_killed_leaves_no_orphan(clip):
    with running("--camera", "file", "--camera-path", clip, "--loop", "true") as run:
        deadline = time.monotonic() + PATIENCE_S
        while len(children(run)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        pids = children(run).values()
        # Past the start of the interpreters, which would not hear a signal yet.
        time.sleep(2)
        run.kill()
        while any(map(alive, pids)):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_corrupt_video_and_bad_weights_end_the_run_with_the_reason(tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(np.random.default_rng(0).bytes(5000))
    with running("--camera", "file", "--camera-path", broken) as run:
        run.wait(PATIENCE_S)
    assert run.returncode == 1 and any("broken.mp4" in line for line in run.said), run.said
    with running("--weights", tmp_path / "none.pth") as run:
        run.wait(PATIENCE_S)
    assert run.returncode == 1 and any("none.pth" in line for line in run.said), run.said


def test_the_depth_node_opens_a_camera_itself_and_ends_with_it(clip):
    parameters = {"camera": "file", "camera_path": str(clip), "rate": "max", "weights": "random:tiny"}
    parameters |= {"network_short_side": 64, "precision": "fp32", "threads": 1}
    spec = graph.NodeSpec("depth", "robot", parameters)
    with Watch() as watch:
        process = subprocess.Popen(spec.command())
        watch.until(lambda: process.poll() is not None)
        watch.settle()
    assert process.returncode == 0
    values = watch.values["/robot/depth"]
    assert (values["frames_in"], values["frames_out"], values["lost"]) == ("40", "40", "0")


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--camera", "periscope"], "periscope"),
        (["--max-depth-m", "-3"], "max_depth_m must be in [0.1, 1000] m, got -3"),
        (["--loop", "perhaps"], "perhaps"),
    ],
)
def test_wrong_usage_exits_2_and_names_the_setting(arguments, named, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["run", *arguments])
    assert exit_.value.code == 2 and named in capsys.readouterr().err


def test_settings_reach_the_nodes_that_have_them():
    specs = graph.nodes({"camera": "file", "camera_path": "0", "max_depth_m": 12, "viewer_hz": 1}, "front", viewer=True)
    assert [spec.name for spec in specs] == ["camera", "depth", "viewer"]
    given = {spec.name: spec.parameters for spec in specs}
    assert given["camera"] == {"camera": "file", "camera_path": "0"}
    assert given["depth"] == {"max_depth_m": 12.0, "camera": "topic"} and given["viewer"] == {"viewer_hz": 1.0}
    for found_by_the_depth_node in ({}, {"camera": "auto"}, {"camera": "topic"}, {"camera": "realsense_driver"}):
        assert [spec.name for spec in graph.nodes(found_by_the_depth_node)] == ["depth"]
    with pytest.raises(ValueError, match="no setting 'wieghts'"):
        graph.nodes({"wieghts": "x"})


def test_a_recorder_stands_beside_each_camera_and_knows_whose_topics_it_records():
    settings = {"camera": "realsense_driver", "record_profile": "camera", "max_depth_m": 9}
    depth, recorder = graph.nodes(settings, "robot", record=True)
    assert recorder.title == "robot/recorder" and recorder.executable == "recorder_node"
    assert recorder.parameters == {"camera": "realsense_driver", "record_profile": "camera"}
    specs = graph.nodes({"camera": "webcam"}, cameras="front,left", record=True)
    assert [spec.title for spec in specs if spec.name == "recorder"] == ["front/recorder", "left/recorder"]
    assert "recorder" not in {spec.name for spec in graph.nodes(settings)}
    # What is recorded is kept for a recorder that lags, unless the user decides.
    assert [spec.parameters["publish_queue"] for spec in specs if spec.name != "recorder"] == [30, 30, 30]
    given = graph.nodes({"camera": "webcam", "publish_queue": 5}, record=True)
    assert [spec.parameters.get("publish_queue") for spec in given] == [5, 5, None]
    assert all("publish_queue" not in spec.parameters for spec in graph.nodes({"camera": "webcam"}))


def test_cameras_have_a_node_each_and_share_the_depth_process():
    settings = {"camera": "webcam", "max_depth_m": 9}
    *opened, depth = graph.nodes(settings, "robot", files=("a.yaml",), cameras="front,left")
    assert [spec.title for spec in (*opened, depth)] == ["robot/front/camera", "robot/left/camera", "depth"]
    assert [(spec.name, spec.namespace) for spec in opened] == [("camera", "/robot/front"), ("camera", "/robot/left")]
    command = depth.command()
    assert command[3:6] == ["/robot/front", "/robot/left", "--ros-args"] and "__ns" not in " ".join(command)
    assert depth.parameters == {"max_depth_m": 9.0, "camera": "topic"} and depth.files == ("a.yaml",)
    for wrong, said in (("front,", "got ''"), ("a-b", "got 'a-b'"), ("left,/left", "'/left' twice")):
        with pytest.raises(ValueError, match=said):
            graph.nodes({}, cameras=wrong)
    with pytest.raises(ValueError, match="shows one camera"):
        graph.nodes({}, viewer=True, cameras="front")


def test_a_calibration_goes_to_who_opens_the_camera():
    settings = {"camera_info": "lens.yaml"}
    assert [spec.parameters for spec in graph.nodes(settings | {"camera": "webcam"})] == [
        settings | {"camera": "webcam"},
        {"camera": "topic"},
    ]
    assert [spec.parameters for spec in graph.nodes(settings | {"camera": "topic"})] == [settings | {"camera": "topic"}]


def test_a_remap_line_reaches_each_node_as_ros_takes_it():
    (depth,) = graph.nodes({}, remaps=["camera/color/image_raw:=/some/image"])
    command = depth.command()
    assert command[command.index("-r") + 1] == "camera/color/image_raw:=/some/image"
    with pytest.raises(ValueError, match="remap must be from:=to, .* got 'a=b'"):
        graph.nodes({}, remaps=["a=b"])


class Script(graph.NodeSpec):
    """A process that does as a node of this name would: it ends, or stays."""

    CODE = {
        "camera": "import time; time.sleep(1)",
        # what starts the tests may ignore SIGINT
        "depth": "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL); time.sleep(60)",
        "viewer": "raise SystemExit({})",
    }

    def command(self):
        return [sys.executable, "-c", self.CODE[self.name].format(*self.files)]


def test_of_two_cameras_one_may_be_done_before_the_other():
    supervisor, statuses = Supervisor([Script("camera"), Script("camera"), Script("depth")]), []
    first, other, _ = supervisor.processes
    for process in supervisor.processes:
        process.start()
    other.signal(signal.SIGSTOP)
    first.child.wait(PATIENCE_S)
    statuses.append(supervisor._tend(first))
    other.signal(signal.SIGCONT)
    other.child.wait(PATIENCE_S)
    statuses.append(supervisor._tend(other))
    supervisor.stop_all()
    assert statuses == [None, 0]


@pytest.mark.parametrize("status", ["0", "2"])
def test_the_graph_outlives_its_viewer(status, capsys):
    supervisor = Supervisor([Script("viewer", files=(status,)), Script("camera"), Script("depth")])
    assert supervisor.run() == 0
    assert capsys.readouterr().err == f"the viewer ended with status {status}; the others go on\n"


class Diary(graph.NodeSpec):
    """A process that notes its begin and its end in a folder; a camera ends when all others have begun."""

    CODE = """
import signal, sys, time
from pathlib import Path
name, folder = sys.argv[1], Path(sys.argv[2])
signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts the tests may ignore it
try:
    (folder / f"{name} begun").touch()
    while name != "camera" or len(list(folder.glob("* begun"))) < 3:
        time.sleep(0.02)
finally:
    (folder / f"{name} ended").touch()
"""

    def command(self):
        return [sys.executable, "-c", self.CODE, self.name, *self.files]


def test_the_recorder_ends_when_the_others_have_said_their_last_words(tmp_path):
    assert Supervisor([Diary(n, files=(str(tmp_path),)) for n in ("recorder", "camera", "depth")]).run() == 0
    depth, recorder = ((tmp_path / f"{name} ended").stat().st_mtime_ns for name in ("depth", "recorder"))
    assert depth < recorder


def test_an_hour_of_health_forgets_old_deaths():
    process = Process(graph.NodeSpec("depth"))
    process.starts = [time.monotonic() - 3600 + number for number in range(20)]
    assert process.delay_s() == FIRST_DELAY_S
    process.starts += [time.monotonic()] * (RESTARTS + 1)
    assert process.delay_s() is None


LARGE_PICTURES = """
import json, sys, threading, time
from instance_depth_ros.nodes.observer import Observer
from instance_depth_ros import graph
from instance_depth_ros.run import Supervisor
supervisor = Supervisor(graph.nodes(json.loads(sys.argv[1])))
with Observer() as observer:
    def stop_when_seen():
        while min(len(observer.record.arrivals), len(observer.record.small)) <= 3:
            time.sleep(0.1)
        supervisor.stop()
    threading.Thread(target=stop_when_seen, daemon=True).start()
    status = supervisor.run()
print(json.dumps([status, len(observer.record.arrivals), len(observer.record.small)]))
"""


def test_large_pictures_arrive_where_shared_memory_is_small(tmp_path):
    """Without our Fast DDS profile, as in a container: 921 kB do not fit into its segment of 512 kB."""
    cv2.imwrite(str(tmp_path / "0.jpg"), picture(1, (480, 640)))
    settings = {"camera": "folder", "camera_path": str(tmp_path), "loop": True, "fps": 4, "frames": 200}
    settings |= {"silence_s": 1, "weights": "random:tiny", "network_short_side": 64, "precision": "fp32", "threads": 1}
    none = {**os.environ, "FASTDDS_DEFAULT_PROFILES_FILE": "", "FASTRTPS_DEFAULT_PROFILES_FILE": ""}
    command = [sys.executable, "-c", LARGE_PICTURES, json.dumps(settings)]
    done = subprocess.run(command, env=none, capture_output=True, text=True, timeout=PATIENCE_S)
    status, published, seen = json.loads(done.stdout.splitlines()[-1])
    assert status == 0 and published > 3 and seen > 3, done.stderr


def test_a_parameter_on_the_command_line_is_yaml_of_its_own_type():
    values = {"camera_path": "0", "weights": 'a "b": c', "loop": True, "max_depth_m": 5.0, "frames": 7}
    command = graph.NodeSpec("depth", parameters=values, files=("a.yaml",)).command()
    pairs = [word.split(":=", 1) for word in command if ":=" in word]
    assert {name: yaml.safe_load(text) for name, text in pairs} == values
    assert command[command.index("--params-file") + 1] == "a.yaml"
    assert Counter(type(value) for value in values.values()) == Counter(type(json.loads(t)) for _, t in pairs)
