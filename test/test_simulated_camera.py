"""A simulated scene as a camera: frames with truth, and with the depth that its sensor would give."""

import time

import numpy as np
import pytest

from instance_depth_ros import config
from instance_depth_ros.cameras import open_camera
from instance_depth_ros.cameras.base import CameraError
from instance_depth_ros.table import ROW

try:
    from instance_depth_ros.simulation.actors.script import LOOP_S
    from instance_depth_ros.simulation.scene import Scene
    from instance_depth_ros.simulation.sensor import SENSORS
except RuntimeError as error:
    pytest.skip(str(error), allow_module_level=True)


def simulated(**options):
    options = {"activity": "room", "seed": 5, "width": 160, "height": 120, "frames": 4} | options
    return open_camera(config.make("camera", camera="simulated", rate="max", **options))


def test_frames_have_truth_and_move():
    with simulated() as camera:
        previous = None
        while (frame := camera.read()) is not None:
            truth = camera.truth
            assert frame.size == truth.depth_m.shape == truth.ids.shape == (120, 160)
            assert frame.intrinsics is not None and frame.depth_m is None
            np.testing.assert_allclose(np.linalg.det(truth.world_from_camera), 1, atol=1e-4)
            assert previous is None or (frame.color != previous).any()
            previous = frame.color
        assert previous is not None


def test_ids_are_those_of_the_frame_whether_or_not_they_were_expected():
    scene = Scene("room", 5, "test", 160, 120, window_s=LOOP_S)
    expected = [scene.render(number / 10, truth=True) for number in range(4)]
    scene.close()
    with simulated() as camera:
        for number, moment in enumerate(expected):
            frame = camera.read()
            np.testing.assert_array_equal(frame.color, moment.color)
            np.testing.assert_array_equal(camera.truth.depth_m, moment.depth_m)
            if number != 1:  # skipped once: not drawn ahead for the next one
                np.testing.assert_array_equal(camera.truth.ids, moment.ids)


def test_a_camera_node_publishes_the_truth_of_each_picture():
    """Colour, depth, ids and pose of one stamp are those of one moment of the scene."""
    rclpy = pytest.importorskip("rclpy", reason="needs ROS")
    from geometry_msgs.msg import PoseStamped
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.parameter import Parameter
    from rclpy.qos import QoSProfile
    from ros_graph import own_domain
    from sensor_msgs.msg import Image, PointCloud2

    from instance_depth_ros.nodes.camera import CameraNode
    from instance_depth_ros.nodes.messages import array_from_image
    from instance_depth_ros.nodes.pairing import stamp_ns
    from instance_depth_ros.nodes.topics import COLOR, TRUE_DEPTH, TRUE_IDS, TRUE_POSE, TRUE_TABLE

    asked = {COLOR: Image, TRUE_DEPTH: Image, TRUE_IDS: Image, TRUE_TABLE: PointCloud2, TRUE_POSE: PoseStamped}
    own_domain()
    context, got = Context(), {topic: {} for topic in asked}
    rclpy.init(context=context)
    where = {"context": context, "namespace": "truth"}
    settings = {"camera": "simulated", "activity": "room", "seed": 5, "width": 160, "height": 120, "fps": 2.0}
    camera = CameraNode(parameter_overrides=[Parameter(n, value=v) for n, v in settings.items()], **where)
    tester, executor = rclpy.create_node("tester", **where), SingleThreadedExecutor(context=context)
    for topic, kind in asked.items():
        keep = lambda message, topic=topic: got[topic].update({stamp_ns(message): message})  # noqa: E731
        tester.create_subscription(kind, topic, keep, QoSProfile(depth=20))
    executor.add_node(tester)
    executor.add_node(camera)
    try:
        deadline = time.monotonic() + 60
        while any(len(of_one) < 3 for of_one in got.values()) and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.05)
    finally:
        camera.close()
        executor.shutdown()
        for one in (camera, tester):
            one.destroy_node()
        rclpy.shutdown(context=context)
    stamps = sorted(got[COLOR])[:3]
    assert len(stamps) == 3 and all(sorted(of_one)[:3] == stamps for of_one in got.values())
    scene = Scene("room", 5, "test", 160, 120, window_s=LOOP_S)
    moments, classes = [scene.render(number / 2, truth=True) for number in range(3)], scene.classes
    scene.close()
    for stamp, moment in zip(stamps, moments, strict=True):
        color, depth_m, ids = (array_from_image(got[topic][stamp]) for topic in (COLOR, TRUE_DEPTH, TRUE_IDS))
        np.testing.assert_array_equal(color, moment.color)
        np.testing.assert_allclose(depth_m, moment.depth_m, atol=1e-3)
        np.testing.assert_array_equal(ids, moment.ids)
        assert ids.any()
        rows = np.frombuffer(got[TRUE_TABLE][stamp].data, ROW)
        assert rows["pixel"].tolist() == np.unique(ids[ids > 0]).tolist()
        for row in rows:
            assert row["class_id"] == classes[row["id"] - 1]
            np.testing.assert_allclose(row["depth_m"], np.nanmean(depth_m[ids == row["pixel"]]), rtol=1e-4)
        message = got[TRUE_POSE][stamp]
        place, turn = message.pose.position, message.pose.orientation
        vector, axes = np.array([turn.x, turn.y, turn.z]), np.eye(3)
        turned = axes + 2 * np.cross(vector, np.cross(vector, axes) + turn.w * axes)
        np.testing.assert_allclose(turned.T, moment.world_from_camera[:3, :3], atol=1e-5)  # it is on a grid
        np.testing.assert_allclose((place.x, place.y, place.z), moment.world_from_camera[:3, 3], atol=1e-6)
        assert message.header.frame_id == "world"


def test_sensor_depth_is_the_truth_with_noise_and_holes_and_the_same_again():
    taken = []
    for _ in range(2):
        with simulated(sensor_depth=True, frames=2) as camera:
            taken.append([(camera.read().depth_m, camera.truth.depth_m) for _ in range(2)])
    for (depth_m, true_m), (again, _) in zip(*taken, strict=True):
        np.testing.assert_array_equal(depth_m, again)
        given = np.isfinite(depth_m)
        assert 0.1 < given.mean() < np.isfinite(true_m).mean()
        error = np.abs(depth_m - true_m)[given & np.isfinite(true_m)] / depth_m[given & np.isfinite(true_m)]
        assert 1e-4 < np.median(error) < 0.05


def test_a_camera_without_a_depth_sensor_is_refused_by_name(monkeypatch):
    monkeypatch.setattr("instance_depth_ros.cameras.simulated.VIEWS", 1)
    scene = Scene("room", 5, "test", 160, 120, window_s=LOOP_S)
    scene.close()
    for name in [name for name in SENSORS if name == scene.lens]:
        monkeypatch.delitem(SENSORS, name)
    with pytest.raises(CameraError, match=rf"without a depth sensor \({scene.lens}\).*sensor_depth:=false"):
        simulated(sensor_depth=True).open()
