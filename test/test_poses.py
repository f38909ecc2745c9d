"""The camera's pose from tf: through the real node, with a stand-in for tf2_ros, which only a ROS installation has."""

import sys
from types import ModuleType

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3  # noqa: E402
from ros_graph import Graph, own_domain, picture  # noqa: E402
from test_instance_topics import Told  # noqa: E402

from instance_depth_ros.nodes import messages  # noqa: E402
from instance_depth_ros.nodes.poses import matrix_from_transform  # noqa: E402

own_domain()


def transform(world_from_camera):
    """A geometry_msgs/Transform of a (4, 4)."""
    pose = messages.pose(world_from_camera, messages.header(0, "")).pose
    p, q = pose.position, pose.orientation
    return Transform(translation=Vector3(x=p.x, y=p.y, z=p.z), rotation=Quaternion(x=q.x, y=q.y, z=q.z, w=q.w))


def turned(angle):
    matrix = np.eye(4)
    matrix[:3, :3] = cv2.Rodrigues(np.array([1.0, -2.0, 0.5]) / np.linalg.norm([1.0, -2.0, 0.5]) * angle)[0]
    matrix[:3, 3] = 1, 2, 3
    return matrix


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.3, np.pi / 2, np.pi])
def test_a_transform_is_its_matrix(angle):
    np.testing.assert_allclose(matrix_from_transform(transform(turned(angle))), turned(angle), atol=1e-7)


class Buffer:
    """Knows where the lens is in odom until KNOWN_UNTIL_NS, as tf2_ros.Buffer would say it."""

    KNOWN_UNTIL_NS = 1_150_000_000

    def lookup_transform(self, target_frame, source_frame, time, timeout):
        if (target_frame, source_frame) != ("odom", "lens") or time.nanoseconds > self.KNOWN_UNTIL_NS:
            raise TransformException(f"no {source_frame} in {target_frame}")
        return TransformStamped(transform=transform(turned(0.3)))


class TransformException(Exception):
    pass


class TransformListener:
    listening = 0

    def __init__(self, buffer, node):
        TransformListener.listening += 1

    def unregister(self):
        TransformListener.listening -= 1


def install_tf2(monkeypatch, buffer: type) -> None:
    """A tf2_ros that knows what this buffer knows."""
    tf2_ros = ModuleType("tf2_ros")
    tf2_ros.Buffer, tf2_ros.TransformListener, tf2_ros.TransformException = (
        buffer,
        TransformListener,
        TransformException,
    )
    monkeypatch.setitem(sys.modules, "tf2_ros", tf2_ros)


def test_frames_have_the_ground_where_tf_knows_it(monkeypatch):
    install_tf2(monkeypatch, Buffer)
    monkeypatch.setattr("instance_depth_ros.estimator.Estimator", Told)
    with Graph(ground_frame="odom") as graph:
        for number in range(2):
            graph.result(graph.send(picture(number)))
        known, unknown = graph.depth._estimator.frames
        assert known.world_from_camera is None and unknown.floor is None
        # any point of that plane is on the ground of the frame
        ray = np.array([0.3, -0.2, 1])
        point = np.append(ray / (known.floor @ ray), 1)
        assert (turned(0.3) @ point)[2] == pytest.approx(0, abs=1e-6)


def test_frames_have_their_pose_where_tf_knows_it(monkeypatch):
    install_tf2(monkeypatch, Buffer)
    monkeypatch.setattr("instance_depth_ros.estimator.Estimator", Told)
    with Graph(fixed_frame="odom") as graph:
        for number in range(3):
            graph.result(graph.send(picture(number)))
        known, *unknown = [frame.world_from_camera for frame in graph.depth._estimator.frames]
        np.testing.assert_allclose(known, turned(0.3), atol=1e-7)
        assert unknown == [None, None]
        graph.until(lambda: graph.diagnostics()["frames_without_pose"] == "2")
        graph.until(lambda: any("without a pose: no lens in odom" in text for text in graph.logs))
        assert TransformListener.listening == 1
    assert TransformListener.listening == 0


def test_a_fixed_frame_without_tf2_ros_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    monkeypatch.setattr("instance_depth_ros.estimator.Estimator", Told)
    with Graph(active=False, fixed_frame="odom") as graph:
        graph.depth.trigger_configure()
        graph.depth.trigger_activate()
        graph.until(lambda: any("fixed_frame 'odom' needs tf2_ros: apt install" in text for text in graph.logs))
