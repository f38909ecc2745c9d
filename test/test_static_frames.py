"""Where a device's optical frames stand: for tf, by the real camera node; tf2_ros, which only ROS has, is stood in."""

import sys
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from geometry_msgs.msg import TransformStamped  # noqa: E402
from ros_graph import own_domain  # noqa: E402
from software_camera import SoftwareCamera, full, sdk_lens  # noqa: E402
from test_realsense_node import camera_node  # noqa: E402

from instance_depth_ros.cameras.mounting import optical_frames  # noqa: E402
from instance_depth_ros.nodes.poses import matrix_from_transform  # noqa: E402
from instance_depth_ros.nodes.topics import ALIGNED_DEPTH, COLOR  # noqa: E402
from instance_depth_ros.simulation.sensor import TimeOfFlight  # noqa: E402

own_domain()


class StaticTransformBroadcaster:
    """As tf2_ros has it, but that each publishes its one transform on a topic of its own: tf2_msgs is not here."""

    def __init__(self, node):
        self.pub_tf = node.create_publisher(TransformStamped, "tf_static_stand_in", 2)
        self.sent = []
        SENT.append(self.sent)

    def sendTransform(self, transforms):  # noqa: N802 - the name in tf2_ros
        self.sent.extend(transforms)


SENT = []


@pytest.fixture
def tf2(monkeypatch):
    SENT.clear()
    tf2_ros = ModuleType("tf2_ros")
    tf2_ros.StaticTransformBroadcaster = StaticTransformBroadcaster
    monkeypatch.setitem(sys.modules, "tf2_ros", tf2_ros)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Of a RealSense whose colour is 59 mm left of its depth."""
    device = SoftwareCamera(sdk_lens(), sdk_lens(), translation_m=(0.059, 0.001, -0.002))
    return str(device.record(tmp_path_factory.mktemp("realsense") / "two.db3", full(2)))


def test_frames_of_a_device_stand_as_its_extrinsics_say():
    color_from_depth = TimeOfFlight().color_from_depth
    depth, color = optical_frames("front_color_optical_frame", color_from_depth)
    assert (depth.parent, depth.child) == ("front_link", "front_depth_optical_frame")
    assert (color.parent, color.child) == ("front_link", "front_color_optical_frame")
    again = np.linalg.inv(color.parent_from_child) @ depth.parent_from_child
    np.testing.assert_allclose(again, color_from_depth, atol=1e-12)
    # what lies a metre ahead of depth and below it
    np.testing.assert_allclose(depth.parent_from_child @ [0.0, 0.2, 1.0, 1.0], [1.0, 0.0, -0.2, 1.0])
    assert optical_frames("lens", color_from_depth)[0].parent == "lens_link"
    assert optical_frames("lens", None) == ()


def test_the_camera_node_tells_tf_what_a_realsense_tells(tf2, recording):
    with camera_node("told", camera="realsense", camera_path=recording) as (camera, _, until):
        until(lambda: camera._topics)
    ((depth, color),) = SENT
    assert {depth.header.frame_id, color.header.frame_id} == {"camera_link"}
    assert [one.child_frame_id for one in (depth, color)] == [f"camera_{of}_optical_frame" for of in ("depth", "color")]
    # 59 mm to the left, which is the link's y
    place = matrix_from_transform(color.transform)[:3, 3]
    np.testing.assert_allclose(place, [0.002, 0.059, 0.001], atol=1e-6)
    np.testing.assert_allclose(matrix_from_transform(depth.transform) @ [0, 0, 1.0, 1.0], [1.0, 0, 0, 1.0], atol=1e-6)


def test_tf_is_told_nothing_where_that_is_not_wanted(tf2, recording):
    with camera_node("quiet", camera="realsense", camera_path=recording, publish_tf=False) as (camera, _, until):
        until(lambda: camera._topics)
    assert SENT == []


def test_without_tf2_ros_nothing_else_is_lost(monkeypatch, recording):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    monkeypatch.setattr("instance_depth_ros.nodes.camera.WAIT_FOR_ANYBODY_S", 0)
    with camera_node("alone", camera="realsense", camera_path=recording, fps=10.0) as (_, got, until):
        until(lambda: got[COLOR] and got[ALIGNED_DEPTH])
