"""The recorder node as people and programs use it: its services, its settings while it runs, what its bags say."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from bag_reading import files, metadata, of_topic, schemas  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3  # noqa: E402
from recorder_graph import COLOR, DEPTH, RecorderGraph  # noqa: E402
from ros_graph import FOCAL_PX, SIZE, camera_info, image, own_domain, picture  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, PointCloud2  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from instance_depth_ros.nodes.origins import mounting  # noqa: E402
from instance_depth_ros.provenance import commit  # noqa: E402

own_domain()
ERROR = DiagnosticStatus.ERROR
LARGE = (600, 800)  # of a picture larger than the smallest queue


def came(graph) -> int:
    """Of pictures that are recorded, or were in a pause."""
    values = graph.diagnostics()
    return int(values.get(graph.name(COLOR), "0").split()[0]) + int(values["messages_paused"])


def test_recording_begins_and_ends_when_told(tmp_path):
    with RecorderGraph(tmp_path, record_at_start=False) as graph:
        assert graph.diagnostics()["state"] == "stopped" and not list(tmp_path.iterdir())
        assert not graph.record(False).success and not graph.pause(True).success
        assert "nothing is being recorded" in graph.trigger("split").message
        begun = graph.record(True)
        assert begun.success and "recorded already" in graph.record(True).message
        color = graph.publisher(Image, COLOR)
        color.publish(image(picture(1), 1))
        graph.written(1, COLOR)
        ended = graph.record(False)
        assert ended.success and begun.message in ended.message and "none lost" in ended.message
        # The next one is a bag of its own.
        again = graph.record(True)
        assert again.success and again.message != begun.message
        graph.until(lambda: color.get_subscription_count() == 2)
        color.publish(image(picture(2), 2))
        graph.written(1, COLOR)
        graph.bag()
    assert [len(of_topic(bag, graph.name(COLOR))) for bag in sorted(tmp_path.iterdir())] == [1, 1]


def test_what_comes_in_a_pause_is_not_in_the_bag_and_is_no_loss(tmp_path):
    with RecorderGraph(tmp_path, record_profile="camera") as graph:
        color = graph.publisher(Image, COLOR)
        for number, paused in enumerate((False, True, False)):
            graph.pause(paused)
            color.publish(image(picture(number), number))
            graph.until(lambda number=number: came(graph) == number + 1)
        values = graph.diagnostics()
        assert (values["lost"], values["messages_paused"]) == ("0", "1") and graph.level == DiagnosticStatus.OK
        bag = graph.bag()
        sent = [data for data, _ in graph.sent[graph.name(COLOR)]]
    assert of_topic(bag, graph.name(COLOR)) == [sent[0], sent[2]]


def test_a_split_begins_a_new_file_and_loses_nothing(tmp_path):
    with RecorderGraph(tmp_path) as graph:
        color = graph.publisher(Image, COLOR)
        for number in range(6):
            color.publish(image(picture(number), number))
            if number == 2:
                graph.written(3, COLOR)
                assert graph.trigger("split").success
                graph.until(lambda: len(list(tmp_path.glob("*/*.mcap"))) == 2)
        graph.written(6, COLOR)
        bag = graph.bag()
    assert len(files(bag)) == 2 and len(of_topic(bag, graph.name(COLOR))) == 6


def test_a_snapshot_holds_what_was_before_the_trigger(tmp_path):
    with RecorderGraph(tmp_path, record_at_start=False, record_profile="camera") as graph:
        assert "set record_snapshot_s" in graph.trigger("snapshot").message
        assert graph.set("record_snapshot_s", 60.0).successful
        graph.until(lambda: graph.diagnostics()["state"] == "standby")
        color = graph.publisher(Image, COLOR)
        for number in range(4):
            color.publish(image(picture(number), number))
        graph.until(lambda: came(graph) == 4)
        kept = graph.trigger("snapshot")
        assert kept.success
        (bag,) = tmp_path.iterdir()
        assert str(bag) == kept.message
        graph.until((bag / "metadata.yaml").exists)
        assert of_topic(bag, graph.name(COLOR)) == [data for data, _ in graph.sent[graph.name(COLOR)]]
        # Of a past that is too large only the last is held.
        assert graph.set("record_snapshot_mb", 2.0).successful
        graph.until(lambda: graph.tested._session._limits.ring_bytes == 2_000_000)
        for number in (5, 6):
            color.publish(image(picture(number, LARGE), number))
        graph.until(lambda: came(graph) == len(graph.sent[graph.name(COLOR)]) == 6)
        kept = Path(graph.trigger("snapshot").message)
        graph.until((kept / "metadata.yaml").exists)
        assert of_topic(kept, graph.name(COLOR)) == [graph.sent[graph.name(COLOR)][-1][0]]
        # A bag that is begun now takes only what comes now.
        assert graph.record(True).success
        color.publish(image(picture(9), 9))
        graph.written(1, COLOR)
        assert of_topic(graph.bag(), graph.name(COLOR)) == [graph.sent[graph.name(COLOR)][-1][0]]


def test_settings_act_while_it_records(tmp_path):
    with RecorderGraph(tmp_path, record_profile="camera", record_flush_s=60.0) as graph:
        color = graph.publisher(Image, COLOR)
        points = graph.publisher(PointCloud2, "depth/points", heard=False)
        extra = graph.publisher(String, "extra", heard=False)
        estimate = graph.publisher(Image, "depth/image", heard=False)
        assert graph.set("record_profile", "estimate").successful
        graph.until(lambda: estimate.get_subscription_count() == 2)
        assert points.get_subscription_count() == extra.get_subscription_count() == 1
        assert graph.set("record_profile", "all").successful and graph.set("record_topics", "extra").successful
        graph.until(lambda: points.get_subscription_count() == extra.get_subscription_count() == 2)
        assert graph.set("record_profile", "camera").successful
        graph.until(lambda: points.get_subscription_count() == 1)
        # What decides over the whole bag waits for the next.
        refused = graph.set("record_compression", "zstd")
        assert not refused.successful and "next start" in refused.reason
        assert graph.set("silence_s", 0.5).successful
        graph.until(lambda: "no picture for" in graph.said)
        # Limits of the recording itself.
        color.publish(image(picture(0), 0))
        graph.until(lambda: graph.name(COLOR) in graph.diagnostics())
        assert graph.set("record_flush_s", 0.05).successful
        graph.until(lambda: graph.diagnostics()[graph.name(COLOR)].startswith("1 written"), patience_s=25)
        for number, (name, value) in enumerate({"record_split_mb": 0.001, "record_split_s": 0.01}.items(), 2):
            assert graph.set(name, value).successful
            color.publish(image(picture(number), number))
            graph.until(lambda number=number: len(list(tmp_path.glob("*/*.mcap"))) >= number)
            graph.written(number, COLOR)
            graph.set(name, 0.0)
        assert graph.set("record_queue_mb", 1.0).successful
        graph.until(lambda: graph.tested._session._limits.queue_bytes == 1_000_000)
        color.publish(image(picture(1, LARGE), 1))
        graph.until(lambda: graph.diagnostics().get("lost_queue_full") == "1")
        # The disk has become too full for the bag to go on: it is closed, and whole.
        assert graph.set("record_min_free_mb", 1e6).successful
        graph.until(lambda: graph.diagnostics()["state"] == "stopped" and graph.level == ERROR)
        assert "nearly full" in graph.said and len(metadata(next(tmp_path.iterdir()))["files"]) >= 2
        graph.until(lambda: color.get_subscription_count() == 1)


def test_a_bag_says_where_it_comes_from(tmp_path):
    with RecorderGraph(tmp_path) as graph:
        graph.node.declare_parameter("gain", 3)
        color, info = graph.publisher(Image, COLOR), graph.publisher(CameraInfo, "camera/color/camera_info")
        told = {f"{graph.place}/depth": {"weights": "tiny", "weights_sha256": "ab12", "engine": "eager", "rss_mb": "1"}}
        told |= {f"{graph.place}/camera": {"camera_serial": "0815"}, "/other/depth": {"weights": "others"}}
        status = [
            DiagnosticStatus(name=n, values=[KeyValue(key=k, value=v) for k, v in t.items()]) for n, t in told.items()
        ]
        diagnostics = graph.node.create_publisher(DiagnosticArray, "/diagnostics", 5)
        graph.until(lambda: diagnostics.get_subscription_count() >= 2)
        diagnostics.publish(DiagnosticArray(status=status))
        info.publish(camera_info(1))
        color.publish(image(np.zeros((*SIZE, 3), np.uint8), 1))
        key = f"parameters {graph.node.get_fully_qualified_name()}"
        graph.written(1, COLOR)
        graph.until(lambda: {key, "camera_serial"} <= graph.tested._session._origins.told.keys())
        said = metadata(graph.bag())["custom_data"]
    assert (said["weights"], said["weights_sha256"], said["engine"], said["camera_serial"]) == (
        "tiny",
        "ab12",
        "eager",
        "0815",
    )
    assert said["commit"] == (commit() or "unknown") and said["started"] < said["ended"] and "rss_mb" not in said
    lens = json.loads(said[f"intrinsics {graph.name('camera/color/camera_info')}"])
    assert (lens["width"], lens["height"], lens["K"][0]) == (SIZE[1], SIZE[0], FOCAL_PX)
    assert json.loads(said[key])["gain"] == 3
    own = json.loads(said[f"parameters {graph.place}/recorder"])
    assert own["record_profile"] == "estimate" and own["record_folder"] == str(tmp_path)
    counts = json.loads(said["counts"])[graph.name(COLOR)]
    assert (counts["received"], counts["written"], counts["lost"]) == (1, 1, {})


def test_the_mounting_is_told_as_tf_has_it():
    shift, turn = Vector3(x=0.1, y=-0.2, z=0.3), Quaternion(x=0.0, y=0.0, z=0.6, w=0.8)
    one = TransformStamped(child_frame_id="lens", transform=Transform(translation=shift, rotation=turn))
    one.header.frame_id = "base"
    told = {"parent": "base", "child": "lens", "translation_m": [0.1, -0.2, 0.3], "rotation_xyzw": [0.0, 0.0, 0.6, 0.8]}
    assert mounting(SimpleNamespace(transforms=[one])) == {"lens": told}


def test_pictures_are_compressed_as_asked_and_come_back_the_same(tmp_path):
    encoding = pytest.importorskip("instance_depth_ros.recording.encoding")
    with RecorderGraph(tmp_path, record_color="png", record_depth="png") as graph:
        pixels = {COLOR: picture(5), DEPTH: np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(SIZE)}
        # What is no picture for people stays as it is.
        pixels |= {"depth/image": np.full(SIZE, 1.25, np.float32), "depth/source": np.full(SIZE, 3, np.uint8)}
        for topic, values in pixels.items():
            graph.publisher(Image, topic).publish(image(values, 1, "8UC1" if topic == "depth/source" else ""))
        names = {COLOR: f"{COLOR}/compressed", DEPTH: f"{DEPTH}/compressedDepth"}
        for topic in pixels:
            graph.written(1, names.get(topic, topic))
        bag = graph.bag()
        sent = {topic: graph.sent[graph.name(topic)][0][0] for topic in pixels}
    for topic in pixels:
        (data,) = of_topic(bag, graph.name(names.get(topic, topic)))
        assert (encoding.decompressed(data) if topic in names else data) == sent[topic]
        kind, definition = schemas(bag)[graph.name(names.get(topic, topic))]
        assert kind.endswith("CompressedImage" if topic in names else "/Image") and "uint8[] data" in definition


def test_a_type_that_is_not_installed_costs_that_topic_alone(tmp_path, monkeypatch):
    from instance_depth_ros.nodes import recorded

    def absent(kind):
        raise ImportError(f"no Python class for {kind}: apt install ros-DISTRO-tf2-msgs")

    real = recorded.message_class
    monkeypatch.setattr(recorded, "message_class", lambda kind: absent(kind) if "String" in kind else real(kind))
    with RecorderGraph(tmp_path, record_topics="strange, bad name, text") as graph:
        graph.publisher(String, "text", heard=False)
        graph.publisher(Image, COLOR).publish(image(picture(1), 1))
        graph.written(1, COLOR)
        key = f"skipped {graph.name('text')}"
        graph.until(lambda: key in graph.diagnostics())
        values = graph.diagnostics()
        assert "apt install" in values[key] and "skipped bad name" in values
        graph.bag()
