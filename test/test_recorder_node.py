"""The recorder node: all that is published is in the bag, byte for byte; what is not is counted, and said at once."""

import json
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from bag_reading import metadata, of_topic, recorded, schemas  # noqa: E402
from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from recorder_graph import COLOR, DEPTH, LATCHED, RecorderGraph  # noqa: E402
from ros_graph import SIZE, camera_info, image, own_domain, picture  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from instance_depth_ros.nodes import tap  # noqa: E402

own_domain()
LARGE = (600, 800)  # of a picture larger than the smallest queue


@pytest.fixture
def graph(tmp_path):
    with RecorderGraph(tmp_path / "bags") as running:
        yield running


def test_every_byte_that_is_sent_is_in_the_bag_with_its_times(graph):
    color, depth = graph.publisher(Image, COLOR), graph.publisher(Image, DEPTH)
    info = graph.publisher(CameraInfo, "camera/color/camera_info")
    begun_ns = time.time_ns()
    for number in range(20):
        info.publish(camera_info(number))
        depth.publish(image(np.full(SIZE, number, np.uint16), number))
        color.publish(image(picture(number), number))
    for topic in (COLOR, DEPTH, "camera/color/camera_info"):
        graph.written(20, topic)
        graph.until(lambda topic=topic: len(graph.sent[graph.name(topic)]) == 20)
    bag = graph.bag()
    found = recorded(bag)
    for topic in (COLOR, DEPTH, "camera/color/camera_info"):
        rows = [row for row in found if row.topic == graph.name(topic)]
        assert [(row.data, row.publish_ns) for row in rows] == graph.sent[graph.name(topic)]
        assert all(begun_ns <= row.publish_ns <= row.log_ns <= time.time_ns() for row in rows)
    assert bag.name.endswith(f"Z_{graph.node.get_namespace().strip('/')}")


def test_the_bag_says_of_each_topic_what_others_need_to_play_it(graph):
    graph.publisher(Image, COLOR).publish(image(picture(1), 1))
    graph.written(1, COLOR)
    bag = graph.bag()
    name = graph.name(COLOR)
    kind, definition = schemas(bag)[name]
    assert kind == "sensor_msgs/msg/Image" and "uint8[] data" in definition
    parts = definition.split("=" * 80 + "\n")
    assert [part.splitlines()[0] for part in parts[1:]] == ["MSG: std_msgs/Header", "MSG: builtin_interfaces/Time"]
    topics = [row["topic_metadata"] for row in metadata(bag)["topics_with_message_count"]]
    (row,) = [topic for topic in topics if topic["name"] == name]
    assert row["type_description_hash"].startswith("RIHS01_")
    (offered,) = row["offered_qos_profiles"]
    assert (offered["reliability"], offered["durability"]) == ("reliable", "volatile")


def test_topics_that_come_late_or_go_are_recorded_while_they_are_there(graph):
    color = graph.publisher(Image, COLOR)
    color.publish(image(picture(1), 1))
    late = graph.publisher(Image, "depth/image")
    late.publish(image(np.ones(SIZE, np.float32), 1))
    graph.written(1, COLOR)
    graph.node.destroy_publisher(color)
    graph.until(lambda: not graph.node.count_publishers(graph.name(COLOR)))
    again = graph.publisher(Image, COLOR)
    again.publish(image(picture(2), 2))
    graph.written(2, COLOR)
    graph.written(1, "depth/image")
    assert graph.diagnostics()["lost"] == "0"
    bag = graph.bag()
    assert of_topic(bag, graph.name(COLOR)) == [data for data, _ in graph.sent[graph.name(COLOR)]]


def test_latched_messages_from_before_are_recorded_once_whoever_joins(tmp_path):
    with RecorderGraph(tmp_path, record_at_start=False, record_topics="mounting") as graph:
        latched = graph.publisher(String, "mounting", LATCHED, heard=False)
        latched.publish(String(data="before"))
        assert graph.record(True).success
        graph.written(1, "mounting")
        # One that latches nothing makes a new subscription necessary, which the others answer once more.
        other = graph.publisher(String, "mounting", heard=False)
        graph.until(lambda: other.get_subscription_count() == 2)
        other.publish(String(data="after"))
        graph.written(2, "mounting")
        bag = graph.bag()
    assert [data[8:-1] for data in of_topic(bag, graph.name("mounting"))] == [b"before", b"after"]


def test_what_never_arrived_is_counted_by_the_gap_it_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tap, "PICTURES", 5)
    with RecorderGraph(tmp_path) as graph:
        color = graph.publisher(Image, COLOR, 50)
        color.publish(image(picture(0), 0))
        graph.written(1, COLOR)
        with graph.hold:
            for number in range(20):
                color.publish(image(picture(number), number))
            graph.until(lambda: len(graph.sent[graph.name(COLOR)]) == 21)
        graph.until(lambda: graph.diagnostics().get("lost_not_received") == "15")
        assert "15 lost: 15 not_received" in graph.said and graph.level == DiagnosticStatus.ERROR
        bag = graph.bag()
    counts = json.loads(metadata(bag)["custom_data"]["counts"])[graph.name(COLOR)]
    assert (counts["received"], counts["written"], counts["lost"]) == (6, 6, {"not_received": 15})


def test_what_the_queue_has_no_room_for_is_an_error_at_once(tmp_path):
    with RecorderGraph(tmp_path, record_queue_mb=1.0, record_profile="camera") as graph:
        color, info = graph.publisher(Image, COLOR), graph.publisher(CameraInfo, "camera/color/camera_info")
        color.publish(image(picture(1, LARGE), 1))
        before = graph.diagnostics_count
        # By itself, without anybody's asking.
        graph.until(lambda: graph.diagnostics_count > before and graph.level == DiagnosticStatus.ERROR)
        graph.until(lambda: "too slow" in graph.said and any("too slow" in log for log in graph.logs))
        info.publish(camera_info(1))
        graph.written(1, "camera/color/camera_info")
        values = graph.diagnostics()
        assert values["lost_queue_full"] == values["lost"] == "1" and values["messages_waiting"] == "0"
        counts = json.loads(metadata(graph.bag())["custom_data"]["counts"])[graph.name(COLOR)]
    assert (counts["received"], counts["written"], counts["lost"]) == (1, 0, {"queue_full": 1})
