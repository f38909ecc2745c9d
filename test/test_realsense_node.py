"""A RealSense on the real nodes: what was recorded is what is published, and one that is not there is waited for."""

import time
from collections import defaultdict
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
pytest.importorskip("pyrealsense2", reason="needs pyrealsense2 and libusb-1.0-0", exc_type=ImportError)
import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from ros_graph import PATIENCE_S, Graph, own_domain  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from software_camera import SoftwareCamera, codes_of, color_of, full  # noqa: E402

from instance_depth_ros.cameras import realsense  # noqa: E402
from instance_depth_ros.geometry import depth_from_codes  # noqa: E402
from instance_depth_ros.nodes.camera import CameraNode  # noqa: E402
from instance_depth_ros.nodes.messages import array_from_image  # noqa: E402
from instance_depth_ros.nodes.pairing import stamp_ns  # noqa: E402
from instance_depth_ros.nodes.topics import ALIGNED_DEPTH, COLOR, COLOR_INFO  # noqa: E402

own_domain()
ASKED = {COLOR: Image, COLOR_INFO: CameraInfo, ALIGNED_DEPTH: Image, "/diagnostics": DiagnosticArray}


@contextmanager
def camera_node(name: str, **settings):
    """A camera node of this namespace, what it publishes by topic, and until(predicate)."""
    context, got = Context(), defaultdict(list)
    rclpy.init(context=context)
    where = {"context": context, "namespace": name}
    camera = CameraNode(parameter_overrides=[Parameter(n, value=v) for n, v in settings.items()], **where)
    tester, executor = rclpy.create_node("tester", **where), SingleThreadedExecutor(context=context)
    for topic, kind in ASKED.items():
        tester.create_subscription(kind, topic, got[topic].append, QoSProfile(depth=50))
    for node in (tester, camera):
        executor.add_node(node)

    def until(predicate):
        deadline = time.monotonic() + PATIENCE_S
        while not predicate():
            assert time.monotonic() < deadline, camera._reader.problem
            executor.spin_once(timeout_sec=0.05)

    try:
        yield camera, got, until
    finally:
        camera.close()
        executor.shutdown()
        for node in (camera, tester):
            node.destroy_node()
        rclpy.shutdown(context=context)


def said(got, name: str) -> dict[str, str]:
    """The last diagnostics of the camera node in this namespace."""
    statuses = [s for message in got["/diagnostics"] for s in message.status if s.name == f"/{name}/camera"]
    return {pair.key: pair.value for pair in statuses[-1].values} | {"": statuses[-1].message} if statuses else {}


def test_what_was_recorded_is_published_bit_by_bit(tmp_path):
    moments = full(10)
    del moments[6]["codes"]
    path = SoftwareCamera().record(tmp_path / "ten.db3", moments)
    with camera_node("played", camera="realsense", camera_path=str(path), fps=10.0) as (camera, got, until):
        until(lambda: camera.ended.is_set() and len(got[COLOR]) >= 9 and said(got, "played")["frames_in"] == "10")
        values = said(got, "played")
    assert camera.status == 0 and values["lost_unpaired"] == "1" and values["camera_serial"] == "0042"
    numbers = [number for number in range(10) if number != 6]
    by_stamp = [{stamp_ns(m): m for m in got[topic]} for topic in (COLOR, ALIGNED_DEPTH, COLOR_INFO)]
    assert [len(messages) for messages in by_stamp] == [9] * 3
    for number, stamp in zip(numbers, sorted(by_stamp[0]), strict=True):
        color, depth, info = (messages[stamp] for messages in by_stamp)
        assert depth.encoding == "16UC1" and np.array_equal(array_from_image(depth), codes_of(number))
        assert np.array_equal(array_from_image(color), color_of(number))
        assert (info.k[0], info.distortion_model) == (60.0, "plumb_bob")


def test_a_camera_that_is_not_there_is_waited_for_and_then_gives_pictures(monkeypatch):
    devices = []
    monkeypatch.setattr(realsense, "connected", lambda context: [device.device for device in devices])
    with camera_node("absent", camera="realsense") as (_, got, until):
        until(lambda: "there is no RealSense" in said(got, "absent").get("", ""))
        assert said(got, "absent")["state"] == "silent"
        devices.append(SoftwareCamera())
        numbers = iter(range(10**6))

        def shown():
            number = next(numbers)
            devices[0].show(number, color_of(number), codes_of(number))
            return got[ALIGNED_DEPTH] and said(got, "absent")["state"] == "active"

        until(shown)


def test_depth_is_the_sensors_wherever_it_has_any(tmp_path):
    path = SoftwareCamera().record(tmp_path / "few.db3", full(3))
    with Graph(camera="realsense", camera_path=str(path), fuse="replace", max_depth_m=1000.0) as graph:
        stamps = graph.until(lambda: [stamp_ns(m) for m in graph.got["depth/image"]][:1])
        (depth,) = (m for m in graph.got["depth/image"] if stamp_ns(m) == stamps[0])
        expected = [depth_from_codes(codes_of(number)) for number in range(3)]
        given = array_from_image(depth)
        assert any(np.array_equal(given[e > 0], e[e > 0]) for e in expected)
