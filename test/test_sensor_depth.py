"""Depth beside colour on a real graph: registered by tf where it is not, left out with the reason, never misused."""

import sys

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from geometry_msgs.msg import TransformStamped  # noqa: E402
from ros_graph import FOCAL_PX, SIZE, Graph, camera_info, image, own_domain, picture  # noqa: E402
from sensor_msgs.msg import CameraInfo  # noqa: E402
from test_instance_topics import Told  # noqa: E402
from test_poses import TransformException, install_tf2, transform  # noqa: E402

from instance_depth_ros.nodes import messages  # noqa: E402
from instance_depth_ros.registration import register  # noqa: E402

own_domain()
COLOR_FROM_DEPTH = np.eye(4)
COLOR_FROM_DEPTH[0, 3] = 0.2
DEPTH_M = np.where(np.arange(SIZE[1]) < SIZE[1] // 3, 1.0, 2.0)[None].repeat(SIZE[0], 0).astype(np.float32)


class Buffer:
    """Knows where the depth camera is."""

    def lookup_transform(self, target_frame, source_frame, time):
        if (target_frame, source_frame) != ("lens", "depth_lens"):
            raise TransformException(f"no {source_frame} in {target_frame}")
        return TransformStamped(transform=transform(COLOR_FROM_DEPTH))


@pytest.fixture
def tf2(monkeypatch):
    install_tf2(monkeypatch, Buffer)


@pytest.fixture
def graph(monkeypatch):
    monkeypatch.setattr("instance_depth_ros.estimator.Estimator", Told)
    with Graph(use_depth=True) as graph:
        topic = "camera/aligned_depth_to_color/camera_info"
        graph.depth_info = graph.node.create_publisher(CameraInfo, topic, 2)
        yield graph


def seen(graph, frame_id: str, depth_m=DEPTH_M) -> np.ndarray | None:
    """The depth of the frame that the estimator got."""
    stamp_ns = graph.next_stamp()
    message = image(depth_m, stamp_ns)
    message.header.frame_id = frame_id
    graph.sensor.publish(message)
    graph.result(graph.send(picture(1), stamp_ns, info=camera_info(stamp_ns)))
    return graph.depth._estimator.frames[-1].depth_m


def tell_lens(graph, focal_px: float = FOCAL_PX) -> None:
    graph.until(graph.depth_info.get_subscription_count)
    info = camera_info(0, focal_px=focal_px)
    graph.depth_info.publish(info)
    graph.until(lambda: graph.depth._input._sensor._info is not None)


def test_depth_of_colours_frame_is_taken_as_it_is(graph):
    np.testing.assert_array_equal(seen(graph, "lens"), DEPTH_M)
    assert graph.diagnostics()["sensor_depth"] == "registered"


def test_depth_of_another_frame_with_colours_lens_is_registered_already(graph):
    tell_lens(graph)
    np.testing.assert_array_equal(seen(graph, "depth_lens"), DEPTH_M)


def test_depth_of_another_lens_is_registered_by_tf(graph, tf2):
    tell_lens(graph, 0.8 * FOCAL_PX)
    found = seen(graph, "depth_lens")
    lenses = (messages.intrinsics_from_info(camera_info(0, focal_px=f)) for f in (0.8 * FOCAL_PX, FOCAL_PX))
    np.testing.assert_array_equal(found, register(DEPTH_M, *lenses, COLOR_FROM_DEPTH))
    assert np.isfinite(found).mean() > 0.5 and not np.array_equal(found, DEPTH_M)


def test_what_cannot_be_registered_is_left_out_with_the_reason(graph, tf2):
    assert seen(graph, "depth_lens") is None
    assert "its lens is unknown, nothing comes on" in graph.diagnostics()["sensor_depth"]
    tell_lens(graph, 0.8 * FOCAL_PX)
    assert seen(graph, "elsewhere") is None
    assert "tf does not know where it is (no elsewhere in lens)" in graph.diagnostics()["sensor_depth"]
    graph.until(lambda: any("no elsewhere in lens" in text for text in graph.logs))
    np.testing.assert_array_equal(seen(graph, "lens"), DEPTH_M)
    graph.until(lambda: any("sensor depth is taken again" in text for text in graph.logs))


def test_without_tf2_ros_it_is_left_out(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    tell_lens(graph, 0.8 * FOCAL_PX)
    assert seen(graph, "depth_lens") is None
    assert "tf2_ros, which knows where it is, is not installed" in graph.diagnostics()["sensor_depth"]


def test_depth_of_another_size_in_colours_frame_is_left_out(graph):
    assert seen(graph, "lens", DEPTH_M[::2, ::2]) is None
    assert "of colour's frame, but of another size" in graph.diagnostics()["sensor_depth"]
