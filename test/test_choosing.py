"""Where the depth node finds its frames: named drivers, camera: auto, and what it says while nothing comes."""

import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
import rclpy  # noqa: E402
from rclpy.context import Context  # noqa: E402
from ros_graph import Graph, image, own_domain, picture  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

from instance_depth_ros import config  # noqa: E402
from instance_depth_ros.cameras import NEED_PATH, connected, open_camera  # noqa: E402
from instance_depth_ros.cameras.v4l2 import Profile, Webcam  # noqa: E402
from instance_depth_ros.nodes import choosing  # noqa: E402
from instance_depth_ros.nodes.drivers import AZURE_KINECT, ORBBEC, OURS, REALSENSE, SOURCES  # noqa: E402

own_domain()


@contextmanager
def bare(camera, **parameters):
    """A graph in which nobody publishes pictures yet."""
    graph = Graph(camera=camera, **parameters)
    if camera != "topic":  # else the graph waits until its own publisher is subscribed to
        graph.node.destroy_publisher(graph.image)
    with graph:
        if camera == "topic":
            graph.node.destroy_publisher(graph.image)
        yield graph


class Driver:
    """Publishes as a camera driver does, under its names."""

    def __init__(self, graph, names):
        self._graph = graph
        self._color = graph.node.create_publisher(Image, names.color, 2)
        self._info = graph.node.create_publisher(CameraInfo, names.info, 2)
        self._depth = graph.node.create_publisher(Image, names.depth, 2)

    def send(self, depth_m=None):
        """A frame; whether depth of one came back."""
        stamp_ns = self._graph.next_stamp()
        if depth_m is not None:
            self._depth.publish(image(depth_m, stamp_ns))
        self._color.publish(image(picture(1), stamp_ns))
        return self._graph.got["depth/image"]


@pytest.mark.parametrize(
    "camera, names",
    [
        ("realsense_driver", REALSENSE),
        ("kinect_driver", AZURE_KINECT),
        ("kinect_driver", ORBBEC),
        ("auto", OURS),
        ("auto", REALSENSE),
    ],
)
def test_a_drivers_pictures_become_depth_though_its_depth_topic_is_silent(camera, names):
    with bare(camera=camera) as graph:
        driver = Driver(graph, names)
        graph.until(driver.send)
        assert graph.diagnostics()["camera"] == graph.node.resolve_topic_name(names.color)


def test_a_drivers_depth_is_taken_where_it_is_asked_for():
    with bare(camera="realsense_driver", use_depth=True, fuse="replace") as graph:
        driver = Driver(graph, REALSENSE)
        sensor_m = np.full(picture(1).shape[:2], 3.0, np.float32)
        graph.until(lambda: driver.send(sensor_m))
        assert np.frombuffer(graph.got["depth/image"][-1].data, np.float32)[0] == 3.0


@pytest.mark.parametrize("camera", ["topic", "auto"])
def test_where_nothing_comes_live_images_are_named_with_a_line_to_paste(camera):
    with bare(camera=camera, silence_s=0.5) as graph:
        other = graph.node.create_publisher(Image, "/some/other/image", 2)
        info = graph.node.create_publisher(CameraInfo, "/some/other/camera_info", 2)
        line = "-r camera/color/image_raw:=/some/other/image -r camera/color/camera_info:=/some/other/camera_info"
        graph.until(lambda: line in graph.diagnostics()["message"])
        graph.until(lambda: any(line in text for text in graph.logs))
        assert "/depth/image" not in graph.diagnostics()["message"], "what the node itself publishes is no camera"
        graph.node.destroy_publisher(other)
        graph.node.destroy_publisher(info)


@pytest.mark.parametrize("camera", config.CAMERAS)
def test_every_camera_configures_without_hardware_and_says_what_it_waits_for(camera, tmp_path):
    path = {"stream": "http://127.0.0.1:1/none"}.get(camera, str(tmp_path / "none")) if camera in NEED_PATH else ""
    with bare(camera, camera_path=path, silence_s=0.5) as graph:
        named = graph.node.resolve_topic_name(SOURCES[camera][0].color) if camera in SOURCES else path or camera

        def waits_or_has_frames():
            said = graph.diagnostics()["message"]
            waits = named in said.lower() and not said.startswith(("waiting", "opening"))
            return waits or graph.got["depth/image"]

        graph.until(waits_or_has_frames)
        if path and open_camera(graph.depth.settings).recording:
            graph.until(graph.depth.ended.is_set)
        else:
            assert graph.diagnostics()["state"] == "active" and not graph.depth.ended.is_set()


@pytest.fixture
def room(monkeypatch):
    """A function of what is there -> what a ChosenInput opens, or what it says; it looks twice."""
    context = Context()
    rclpy.init(context=context)
    node, driver = (rclpy.create_node(name, context=context) for name in ("chooser", "driver"))

    def choose(camera, realsense, live, webcam):
        made = [driver.create_publisher(Image, f"/{names.color}", 2) for names in live]
        seen = [Webcam(Path("/dev/video4"), "Cam", "/dev/v4l/by-id/cam", "", 480.0, False, True)] * webcam
        monkeypatch.setattr(choosing, "realsenses", lambda: [object()] * realsense)
        monkeypatch.setattr(connected, "webcams", lambda: seen)
        monkeypatch.setitem(choosing.CLASSES, "realsense", "")
        for names in live:
            while not node.count_publishers(f"/{names.color}"):
                time.sleep(0.01)
        devices = {"open_camera": lambda chosen: (chosen.camera, chosen.camera_path)} if camera == "auto" else {}
        chosen = choosing.ChosenInput(node, config.make("depth", camera=camera), lambda names: names, **devices)
        chosen._timer.cancel()
        chosen._look()
        assert chosen._input is None or camera != "auto", "topics are discovered first"
        chosen._look()
        for publisher in made:
            driver.destroy_publisher(publisher)
        return chosen._input or chosen.problem

    yield choose
    node.destroy_node()
    driver.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize(
    "camera, realsense, live, webcam, expected",
    [
        ("auto", True, [OURS], True, ("realsense", "")),
        ("auto", True, [REALSENSE], True, REALSENSE),
        ("auto", False, [AZURE_KINECT], True, AZURE_KINECT),
        ("auto", False, [], True, ("webcam", "/dev/v4l/by-id/cam")),
        ("kinect_driver", True, [ORBBEC], True, ORBBEC),
    ],
)
def test_auto_takes_a_realsense_then_topics_then_a_webcam(room, camera, realsense, live, webcam, expected):
    assert room(camera, realsense, live, webcam) == expected


def test_what_was_looked_for_is_said(room):
    said = room("auto", False, [], False)
    assert "no RealSense" in said and "no webcam" in said
    for names in SOURCES["auto"]:
        assert f"/{names.color}" in said
    assert "webcam" not in room("kinect_driver", True, [], True)


def test_a_realsense_without_its_sdk_is_taken_by_its_colour_node_and_what_it_lacks_is_said(monkeypatch):
    def node(number: int, *formats: str) -> Webcam:
        profiles = tuple(Profile(name, 640, 480) for name in formats)
        return Webcam(Path(f"/dev/video{number}"), "RealSense", "", "", 5000.0, True, True, profiles)

    seen = [node(0, "Z16"), node(2, "GREY", "UYVY", "Y8I"), node(4, "YUYV")]
    monkeypatch.setattr(connected, "webcams", lambda: seen)
    monkeypatch.setattr(connected, "realsenses_on_usb", lambda: ["Intel(R) RealSense(TM) Depth Camera 435"])
    monkeypatch.setattr(connected, "find_spec", lambda name: None)
    monkeypatch.setattr(choosing, "realsenses", lambda: [])
    opened = []

    class Input:
        problem = "opening"

        def __init__(self, node, settings, *_):
            opened.append((settings.camera, settings.camera_path))

        def describe(self):
            return {}

        def close(self):
            """It holds nothing."""

    monkeypatch.setattr("instance_depth_ros.nodes.depth.CameraInput", Input)
    with bare("auto") as graph:
        graph.until(lambda: opened)
        assert opened == [("webcam", "/dev/video4")]
        graph.until(lambda: any("Camera 435 is on USB, and gives its depth with" in text for text in graph.logs))
    assert connected.color_webcam() == seen[2]
    seen.pop()
    assert connected.color_webcam() == seen[1], "better than none"
