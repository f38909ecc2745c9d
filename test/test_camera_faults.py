"""What a camera does to the depth node, which opens it itself: it never ends, says each change once, and goes on."""

import multiprocessing
import os
import socket
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from ros_graph import SIZE, Graph, books, own_domain, picture, stamp_of  # noqa: E402
from test_live_cameras import camera as opened  # noqa: E402

from instance_depth_ros.cameras import webcam  # noqa: E402
from instance_depth_ros.cameras.base import Camera, CameraError  # noqa: E402
from instance_depth_ros.frame import SOURCE_NETWORK, SOURCE_SENSOR, Frame  # noqa: E402
from instance_depth_ros.nodes import messages, reader  # noqa: E402

own_domain()
STEP_S = 0.05


class Device:
    """A camera that a test plugs in, unplugs, silences, and tells what to give."""

    def __init__(self):
        self.plugged, self.silent, self.held_by = True, False, None
        self.openings, self.more = 0, {}
        self.color = picture(1)


@pytest.fixture
def device(monkeypatch):
    """In place of the webcam; nobody waits long before it is opened again."""
    device = Device()

    class Scripted(Camera):
        def __init__(self, settings):
            self.settings, self.overwritten = settings, 0

        def open(self):
            device.openings += 1
            if not device.plugged:
                raise CameraError("there is no webcam /dev/video0")
            if device.held_by not in (None, self):
                raise CameraError("/dev/video0 gives no pictures; another program may hold it")
            device.held_by = self

        def read(self):
            time.sleep(STEP_S)
            if not device.plugged:
                raise CameraError("webcam 0 stopped; was it unplugged?")
            if device.silent:
                raise CameraError("the webcam camera gave no picture for 0.1 s")
            return Frame(**{"color": device.color, "stamp_ns": time.time_ns()} | device.more)

        def interrupt(self):
            pass

        def close(self):
            if device.held_by is self:
                device.held_by = None

    monkeypatch.setattr(webcam, "WebcamCamera", Scripted)
    monkeypatch.setattr(reader, "FIRST_DELAY_S", 0.05)
    monkeypatch.setattr(reader, "LAST_DELAY_S", 0.2)
    return device


@contextmanager
def streaming(**settings):
    with Graph(camera="webcam", **settings) as graph:
        graph.until(lambda: more(graph, 2))
        yield graph


def more(graph, count: int = 1) -> bool:
    """Whether so many outputs have come since more() was last true."""
    now = len(graph.got["depth/camera_info"])
    if now < getattr(graph, "counted", 0) + count:
        return False
    graph.counted = now
    return True


def goes_on(graph) -> dict:
    """Outputs come; the diagnostics after them."""
    more(graph, 0)
    graph.until(lambda: more(graph, 2))
    return graph.diagnostics()


@pytest.mark.parametrize("fault, said", [("plugged", "was it unplugged?"), ("silent", "gave no picture for 0.1 s")])
def test_a_camera_goes_and_comes_again_and_again(device, fault, said):
    with streaming(reset_gap_s=0.7) as graph:
        for outage in range(3):
            setattr(device, fault, not getattr(device, fault))
            before = device.openings
            graph.until(lambda: said in graph.diagnostics()["message"] or "no webcam" in graph.diagnostics()["message"])
            graph.until(lambda before=before: device.openings > before + 3)
            setattr(device, fault, not getattr(device, fault))
            values = goes_on(graph)
            assert int(values["camera_failures"]) >= 3 * (outage + 1) and values["message"] == "estimating"
        lines = [text for text in graph.logs if said in text]
        assert len(lines) == 3 and sum("gives pictures again" in text for text in graph.logs) == 3
        # never a busy loop: as many openings as delays allow
        assert device.openings < 60


@pytest.mark.parametrize("gap_s, resets", [(0.05, True), (60.0, False)])
def test_a_long_gap_drops_the_memory_and_a_short_one_does_not(device, gap_s, resets):
    with streaming(reset_gap_s=gap_s if resets else 60.0) as graph:
        before = int(graph.diagnostics()["resets"])
        device.plugged = False
        graph.until(lambda: graph.diagnostics()["message"] != "estimating")
        device.plugged = True
        values = goes_on(graph)
        assert (int(values["resets"]) > before) == resets
        assert not resets or values["last_reset"] == "gap"


def test_another_size_garbage_and_a_black_picture_come_out(device):
    with streaming() as graph:
        rng = np.random.default_rng(0)
        for color in (
            rng.integers(0, 255, (*SIZE, 3), np.uint8),
            np.zeros((*SIZE, 3), np.uint8),
            picture(1)[::2, ::2].copy(),
        ):
            device.color = color
            goes_on(graph)
            assert (graph.got["depth/image"][-1].height, graph.got["depth/image"][-1].width) == color.shape[:2]
        assert graph.diagnostics()["last_reset"] == "size changed"


def test_a_sensor_that_is_blind_or_half_there_leaves_depth_to_the_network(device):
    device.more = {"depth_m": np.zeros(SIZE, np.float32)}
    with streaming(scale_anchors="") as graph:
        assert (messages.array_from_image(graph.got["depth/source"][-1]) <= SOURCE_NETWORK).all()
        half = np.full(SIZE, np.nan, np.float32)
        half[: SIZE[0] // 2] = 2.0
        device.more = {"depth_m": half}
        goes_on(graph)
        source = messages.array_from_image(graph.got["depth/source"][-1])
        assert (source[: SIZE[0] // 2] == SOURCE_SENSOR).all() and (source[SIZE[0] // 2 :] != SOURCE_SENSOR).all()
        np.testing.assert_array_equal(
            messages.depth_from_image(graph.got["depth/image"][-1])[: SIZE[0] // 2], np.float32(2.0)
        )
        device.more = {"depth_m": np.full((4, 4), 2.0, np.float32)}
        graph.until(lambda: "registered to color" in graph.diagnostics()["message"])
        device.more = {}
        goes_on(graph)


@pytest.mark.parametrize("stamp_ns", [0, 10, 2**61])
def test_stamps_of_1970_and_of_the_future_become_now(device, stamp_ns):
    device.more = {"stamp_ns": stamp_ns}
    with streaming() as graph:
        assert abs(stamp_of(graph.got["depth/image"][-1]) - time.time_ns()) < 60e9
        device.more = {}
        assert int(goes_on(graph)["frames_out"]) > 2


@pytest.mark.parametrize("step_ns", [-3_000_000_000, 3_000_000_000])
def test_topics_whose_time_jumps_go_on(step_ns):
    with Graph() as graph:
        stamps = [10_000_000_000, 10_100_000_000, 10_200_000_000 + step_ns, 10_300_000_000 + step_ns]
        stamps += [0, 2_000_000_000 * 10**9]  # 1970 and 2033
        for number, stamp_ns in enumerate(stamps):
            graph.result(graph.send(picture(number), stamp_ns))
        assert int(graph.diagnostics()["resets"]) >= 2 and books(graph)[1] == len(stamps)


def test_a_camera_faster_than_the_network_loses_pictures_by_name_alone(device, monkeypatch):
    monkeypatch.setattr("test_camera_faults.STEP_S", 0.001)
    with streaming() as graph:
        graph.until(lambda: int(graph.diagnostics()["lost_overwritten"]) > 0)
        values = graph.diagnostics()
        frames_in, *parts = (int(values[name]) for name in ("frames_in", "frames_out", "frames_waiting", "lost"))
        assert frames_in == sum(parts)


def test_a_camera_slower_than_asked_loses_nothing_and_its_rate_is_told(device, monkeypatch):
    monkeypatch.setattr("test_camera_faults.STEP_S", 0.3)
    with streaming(fps=30.0) as graph:
        graph.until(lambda: 0 < float(graph.diagnostics()["input_hz"]) < 5)
        assert int(goes_on(graph)["lost"]) == 0 and graph.diagnostics()["message"] == "estimating"


def test_of_two_nodes_on_one_device_the_second_waits_for_it(device):
    with streaming() as first:
        with Graph(camera="webcam") as second:
            second.until(lambda: "another program may hold it" in second.diagnostics()["message"])
            goes_on(first)
            assert first.depth.trigger_deactivate()
            second.until(lambda: more(second, 2))
            assert sum("another program" in text for text in second.logs) <= 1


def test_a_server_that_accepts_and_never_answers_is_said_and_left_in_time(device):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/live"
        with Graph(camera="stream", camera_path=url, timeout_s=0.5) as graph:
            graph.until(lambda: "no answer within 0.5 s" in graph.diagnostics()["message"])
            failures = int(graph.diagnostics()["camera_failures"])
            graph.until(lambda: int(graph.diagnostics()["camera_failures"]) > failures)
            assert sum("no answer" in text for text in graph.logs) == 1


def _as_nobody(path: str, said) -> None:
    os.setuid(65534)
    try:
        opened("webcam", path).open()
    except CameraError as error:
        said.put(str(error))


def test_an_unprivileged_user_is_told_of_the_group():
    if os.geteuid():
        pytest.skip("as root, which may become another user; else test_live_cameras has it")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video"
        path.touch(mode=0o600)
        Path(folder).chmod(0o711)
        forks = multiprocessing.get_context("fork")
        said = forks.Queue()
        child = forks.Process(target=_as_nobody, args=(str(path), said))
        child.start()
        assert "no permission" in said.get(timeout=60)
        child.join(60)
