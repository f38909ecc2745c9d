"""The recorder as a process: beside a whole graph, and ended by a signal; its bag replays as it was recorded."""

import signal
import subprocess
import time
from contextlib import contextmanager

import numpy as np
import pytest

from instance_depth_ros import graph
from instance_depth_ros.geometry import depth_from_millimetres

pytest.importorskip("rclpy", reason="needs ROS")
import rclpy  # noqa: E402
from bag_reading import metadata, of_topic  # noqa: E402
from rclpy.context import Context  # noqa: E402
from recordings import camera, play  # noqa: E402
from ros_graph import camera_info, image, own_domain, picture  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from test_graph import PATIENCE_S, running  # noqa: E402

own_domain()
COLOR, DEPTH = "/camera/color/image_raw", "/camera/aligned_depth_to_color/image_raw"
SMALL = {"camera": "topic", "record_min_free_mb": 1.0}


def test_a_graph_that_records_leaves_a_bag_that_replays_bit_for_bit(video, tmp_path):
    arguments = ["--camera", "file", "--camera-path", video, "--rate", "max", "--record", "--record-folder", tmp_path]
    with running(*arguments, "--record-min-free-mb", "1") as run:
        run.wait(PATIENCE_S)
    assert run.returncode == 0, run.said
    (bag,) = tmp_path.iterdir()
    counts = {row["topic_metadata"]["name"]: row["message_count"] for row in metadata(bag)["topics_with_message_count"]}
    assert counts[COLOR] == 10
    said = metadata(bag)["custom_data"]
    assert said["camera"].startswith("file") and said["weights"] == "random:tiny" and said["engine"] == "eager"
    assert {"parameters /camera", "parameters /depth"} <= said.keys()
    shown, replayed = play(camera("file", video)), play(camera("replay", bag))
    assert len(shown) == len(replayed) == 10
    assert all(np.array_equal(one.color, other.color) for one, other in zip(shown, replayed, strict=True))


@contextmanager
def recorder(folder, namespace):
    spec = graph.NodeSpec("recorder", namespace, SMALL | {"record_folder": str(folder)})
    process = subprocess.Popen(spec.command(), stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def publishers(namespace, kinds):
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("tester", namespace=namespace, context=context)
    made = [node.create_publisher(kind, topic, 20) for topic, kind in kinds.items()]
    deadline = time.monotonic() + PATIENCE_S
    try:
        yield made, lambda: wait(lambda: all(one.get_subscription_count() for one in made), deadline)
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def wait(predicate, deadline):
    while not predicate():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_bag_with_all_that_had_arrived(tmp_path, number):
    kinds = {COLOR[1:]: Image, "camera/color/camera_info": CameraInfo, DEPTH[1:]: Image}
    with publishers("ended", kinds) as ((color, info, depth), ready), recorder(tmp_path, "ended") as process:
        ready()
        time.sleep(0.2)  # the other side has seen it as well
        for stamp in range(10):
            info.publish(camera_info(stamp))
            depth.publish(image(np.full((64, 80), 1000 + stamp, np.uint16), stamp))
            color.publish(image(picture(stamp), stamp))
        color.wait_for_all_acked()
        depth.wait_for_all_acked()
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0
    (bag,) = tmp_path.iterdir()
    assert len(of_topic(bag, f"/ended{COLOR}")) == len(of_topic(bag, f"/ended{DEPTH}")) == 10
    assert metadata(bag)["custom_data"]["ended"]
    frames = play(camera("replay", bag))
    assert [frame.stamp_ns for frame in frames] == list(range(10))
    for stamp, frame in enumerate(frames):
        assert np.array_equal(frame.color, picture(stamp))
        assert np.array_equal(frame.depth_m, depth_from_millimetres(np.full((64, 80), 1000 + stamp, np.uint16)))


def test_a_folder_that_may_not_be_written_ends_it_with_the_reason(tmp_path):
    (tmp_path / "file").write_text("")
    with recorder(tmp_path / "file", "refused") as process:
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2 and f"cannot record into {tmp_path}/file" in said
