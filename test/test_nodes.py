"""The depth node on a real graph: each frame's outputs, its books, bad input, settings, life cycle."""

import queue
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from conftest import SMALL, lively

from instance_depth_ros.model import checkpoint

pytest.importorskip("rclpy", reason="needs ROS")
import rclpy  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from ros_graph import (  # noqa: E402
    FOCAL_PX,
    SIZE,
    TOPICS,
    Graph,
    camera_info,
    depth_from_compressed,
    image,
    number_of,
    own_domain,
    picture,
    raw,
    stamp_of,
)
from sensor_msgs.msg import Image  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from instance_depth_ros import config, geometry  # noqa: E402
from instance_depth_ros.nodes import messages  # noqa: E402
from instance_depth_ros.nodes.diagnostics import Monitor  # noqa: E402
from instance_depth_ros.nodes.instances import ROW  # noqa: E402
from instance_depth_ros.nodes.listening import Listener, SequenceGaps  # noqa: E402
from instance_depth_ros.nodes.pairing import stamp_ns  # noqa: E402
from instance_depth_ros.nodes.reader import CameraReader  # noqa: E402

own_domain()
LOST = [f"lost_{reason}" for reason in ("not_received", "overwritten", "unpaired", "stale", "invalid", "queue_full")]
STEP_M = np.where(np.arange(SIZE[1]) < SIZE[1] // 2, 1.0, 1.5)[None].repeat(SIZE[0], 0).astype(np.float32)


@pytest.fixture(scope="module")
def graph():
    with Graph() as graph:
        yield graph


@pytest.fixture(scope="module")
def paired(tmp_path_factory):
    """A graph with registered depth and no CameraInfo, of a network that refines depth by whatever it sees."""
    weights = tmp_path_factory.mktemp("refining") / "refining.safetensors"
    network = lively(replace(SMALL, candidate_score=0.05, candidate_mask=0.3))
    checkpoint.save(network, weights, {"name": "refining"}, exact=True)
    with Graph(use_depth=True, weights=str(weights)) as graph:
        yield graph


def books(graph):
    """(in, out, lost) once nothing waits any more; they balance."""
    values = graph.diagnostics()
    while values["frames_waiting"] != "0":
        values = graph.diagnostics()
    frames_in, frames_out = int(values["frames_in"]), int(values["frames_out"])
    lost = {name: int(values[name]) for name in LOST}
    assert frames_in == frames_out + sum(lost.values()) and int(values["lost"]) == sum(lost.values())
    return frames_in, frames_out, lost


def fed(graph, send):
    """Send a frame that gives no result, and wait until it is booked."""
    frames_in = books(graph)[0]
    send()
    graph.until(lambda: books(graph)[0] > frames_in)


def good_frame(graph, number=1, size=SIZE):
    stamp_ns = graph.next_stamp()
    return graph.result(graph.send(picture(number, size), stamp_ns, camera_info(stamp_ns, size)))


def test_each_frame_comes_out_once_on_every_topic_with_its_stamp_and_its_picture(graph):
    numbers = np.random.default_rng(3).permutation(2**12)[:12]
    for number in numbers:
        result = good_frame(graph, int(number))
        assert {message.header.frame_id for t, message in result.items() if "markers" not in t} == {"lens"}
        overlay = messages.array_from_image(result["depth/overlay"])
        assert number_of(overlay[:, : SIZE[1]]) == number
        points = np.frombuffer(result["depth/points"].data, geometry.POINT).reshape(SIZE[0] // 2, SIZE[1] // 2)
        assert number_of((points["rgb"] >> 8 & 255)[..., None].repeat(2, -1), scale=2) == number
        depth_m = messages.depth_from_image(result["depth/image"])
        assert depth_m.shape == SIZE and geometry.valid(depth_m).any()
        in_png = depth_from_compressed(result["depth/image/compressedDepth"])
        np.testing.assert_allclose(in_png, depth_m, atol=6e-4)
        assert result["depth/camera_info"].k[0] == FOCAL_PX
        source = messages.array_from_image(result["depth/source"])
        np.testing.assert_array_equal(source > 0, geometry.valid(depth_m))


def test_a_flood_is_booked_to_the_last_frame_and_topics_agree(graph):
    frames_in, frames_out, _ = books(graph)
    before = {topic: len(graph.got[topic]) for topic in TOPICS}
    sent = 60
    for number in range(sent):
        graph.send(picture(number))
    good_frame(graph)
    now_in, now_out, lost = books(graph)
    assert now_in - frames_in == sent + 1
    assert lost["lost_overwritten"] + lost["lost_not_received"] > 0
    stamps = [[stamp_of(m) for m in graph.got[topic][before[topic] :]] for topic in TOPICS]
    assert len(stamps[0]) == now_out - frames_out
    assert all(of_topic == stamps[0] for of_topic in stamps)


def wrong_length(stamp_ns):
    return raw(80, 64, 240, "rgb8", bytes(100), stamp_ns)


def unknown_encoding(stamp_ns):
    return raw(80, 64, 160, "yuv422_yuy3", bytes(80 * 64 * 2), stamp_ns)


def depth_as_color(stamp_ns):
    return image(np.ones(SIZE, np.float32), stamp_ns)


def empty(stamp_ns):
    return raw(0, 0, 0, "rgb8", b"", stamp_ns)


@pytest.mark.parametrize(
    "bad, said",
    [(wrong_length, "100 bytes"), (unknown_encoding, "cv_bridge"), (depth_as_color, "remapping"), (empty, "0x0")],
)
def test_a_bad_picture_is_counted_and_explained_once(graph, bad, said):
    _, _, lost = books(graph)
    for _ in range(3):
        fed(graph, lambda: graph.send(bad(graph.next_stamp())))
    good_frame(graph)
    assert books(graph)[2]["lost_invalid"] == lost["lost_invalid"] + 3
    assert len([text for text in graph.logs if "frame skipped" in text and said in text]) == 1


@pytest.mark.parametrize("focal_px", [0.0, float("nan")])
def test_unusable_intrinsics_are_counted_and_explained(graph, focal_px):
    _, _, lost = books(graph)
    stamp_ns = graph.next_stamp()
    fed(graph, lambda: graph.send(picture(1), stamp_ns, camera_info(stamp_ns, focal_px=focal_px)))
    assert books(graph)[2]["lost_invalid"] == lost["lost_invalid"] + 1
    graph.until(lambda: any(f"got fx={focal_px}" in text for text in graph.logs))
    good_frame(graph)


def test_another_size_begins_anew(graph):
    good_frame(graph, size=(96, 128))
    assert graph.diagnostics()["last_reset"] == "size changed"
    good_frame(graph)


def test_stamps_that_go_back_begin_anew_and_come_out(graph):
    good_frame(graph)
    resets = int(graph.diagnostics()["resets"])
    result = graph.result(graph.send(picture(1), stamp_ns=5_000))
    assert stamp_ns(result["depth/points"]) == 5_000
    assert int(graph.diagnostics()["resets"]) == resets + 1


def test_reset_service_drops_the_memory(graph):
    first = messages.depth_from_image(good_frame(graph, 7)["depth/image"])
    good_frame(graph, 2000)
    assert graph.call(Trigger, "depth/reset", Trigger.Request()).success
    again = messages.depth_from_image(good_frame(graph, 7)["depth/image"])
    assert graph.call(Trigger, "depth/reset", Trigger.Request()).success
    anew = messages.depth_from_image(good_frame(graph, 7)["depth/image"])
    np.testing.assert_array_equal(again, anew)
    assert first.shape == anew.shape
    assert graph.diagnostics()["last_reset"] == "asked for"


def test_a_setting_of_the_start_is_refused_with_the_reason(graph):
    refused = graph.set("weights", "other")
    assert not refused.successful and "weights acts at the next start" in refused.reason
    refused = graph.set("max_depth_m", -3.0)
    assert not refused.successful and "max_depth_m" in refused.reason and "-3" in refused.reason
    refused = graph.set("fuse", "sometimes")
    assert not refused.successful and "one of off, replace" in refused.reason
    assert graph.depth.settings.weights == "random:tiny" and graph.depth.settings.max_depth_m == 80.0


def paired_frame(graph, number=1, late_ns=0, **more):
    stamp_ns = graph.next_stamp(**more)
    graph.sensor.publish(image(STEP_M, stamp_ns + late_ns))
    return graph.send(picture(number), stamp_ns)


def result_of(topic):
    return lambda graph: graph.result(paired_frame(graph))[topic]


def depth_share(graph):
    return geometry.valid(messages.depth_from_image(result_of("depth/image")(graph))).mean()


def points_left_out(graph):
    graph.set("fuse", "replace")
    points = np.frombuffer(result_of("depth/points")(graph).data, geometry.POINT)
    graph.set("fuse", "off")
    return int(np.isnan(points["z"]).sum())


def unpaired(graph):
    """Frames lost of those whose depth comes with a stamp 30 ms off."""
    lost = books(graph)[2]["lost_unpaired"]
    for _ in range(3):
        arrived = int(graph.diagnostics()["frames_in"])
        paired_frame(graph, late_ns=30_000_000)
        graph.until(lambda arrived=arrived: int(graph.diagnostics()["frames_in"]) > arrived)
    graph.result(paired_frame(graph))
    return books(graph)[2]["lost_unpaired"] - lost


def resets_after(*numbers, **stamps):
    def count(graph):
        graph.result(paired_frame(graph, 0))
        before = int(graph.diagnostics()["resets"])
        for number in numbers:
            graph.result(paired_frame(graph, number, **stamps))
        return int(graph.diagnostics()["resets"]) - before

    return count


def first_depth(graph):
    """(H, W) of a stream's first frame, the same whatever was before."""
    assert graph.call(Trigger, "depth/reset", Trigger.Request()).success
    return messages.depth_from_image(result_of("depth/image")(graph)).copy()


def instances_told_of(graph):
    """How many there are once tracks have had time to be confirmed."""
    return max(result_of("depth/instances/table")(graph).width for _ in range(6))


def silence_said(graph):
    said = f"/camera/color/image_raw for {graph.depth.settings.silence_s:g} s"
    graph.until(lambda: said in graph.diagnostics()["message"])
    return graph.diagnostics()["message"]


# setting: value, what is observed, what of it must change
LIVE = {
    "assumed_fov_deg": (90.0, lambda g: result_of("depth/camera_info")(g).k[0], lambda old, new: new < old),
    "max_depth_m": (0.1, depth_share, lambda old, new: old > 0 == new),
    "min_confidence": (1.0, depth_share, lambda old, new: old > 0 == new),
    "rectify": (False, first_depth, lambda old, new: np.nanmax(np.abs(old - new)) > 1e-3),
    "instance_threshold": (0.0, instances_told_of, lambda old, new: old == 0 < new),
    "fuse": (
        "replace",
        lambda g: messages.array_from_image(result_of("depth/source")(g)).max(initial=0, where=STEP_M == 1),
        lambda old, new: (old, new) == (2, 1),
    ),
    "cloud_stride": (4, lambda g: result_of("depth/points")(g).width, lambda old, new: (old, new) == (40, 20)),
    "cloud_step_ratio": (5.0, points_left_out, lambda old, new: old > 0 == new),
    "overlay_max_depth_m": (
        500.0,
        lambda g: messages.array_from_image(result_of("depth/overlay")(g))[:, SIZE[1] :].copy(),
        lambda old, new: (old != new).any(),
    ),
    "pair_slop_ms": (50.0, unpaired, lambda old, new: old > 0 == new),
    "reset_gap_s": (0.5, resets_after(0, 0, step_ns=1_000_000_000), lambda old, new: (old, new) == (0, 2)),
    "cut_threshold": (0.05, resets_after(15), lambda old, new: (old, new) == (0, 1)),
    "silence_s": (
        1.0,
        silence_said,
        lambda old, new: "for 3 s" in old and "for 1 s" in new and "0 publishers" not in new,
    ),
}


@pytest.mark.parametrize("name", [setting.name for setting in config.for_node("depth") if setting.live])
def test_a_live_setting_acts(paired, name):
    value, observe, changed = LIVE[name]
    default = config.BY_NAME[name].default
    old = observe(paired)
    assert paired.set(name, value).successful
    try:
        new = observe(paired)
    finally:
        assert paired.set(name, default).successful
    assert changed(old, new), (old, new)


def test_what_the_network_sees_agrees_on_all_topics(paired):
    assert paired.set("instance_threshold", 0.0).successful
    try:
        result = [paired.result(paired_frame(paired)) for _ in range(6)][-1]
    finally:
        assert paired.set("instance_threshold", 0.5).successful
    ids, rows = (
        messages.array_from_image(result["depth/instances"]),
        np.frombuffer(result["depth/instances/table"].data, ROW),
    )
    assert rows.size and set(np.unique(ids)) - {0} == set(rows["pixel"])
    points = np.frombuffer(result["depth/points"].data, geometry.POINT).reshape(SIZE[0] // 2, SIZE[1] // 2)
    classes = messages.array_from_image(result["depth/instances/classes"])
    for row in rows:
        mine = ids == row["pixel"]
        np.testing.assert_array_equal(points["instance_id"] == row["id"], mine[::2, ::2])
        assert set(classes[mine]) == {row["class_id"]}
        assert 0 < row["score"] <= 1 and row["depth_m"] > 0 and row["sigma_m"] > 0 and row["age_s"] > 0
    assert len(result["depth/instances/markers"].markers) <= 1 + 2 * rows.size


def test_silence_names_the_topic_its_publishers_and_their_qos(paired):
    said = silence_said(paired)
    assert "1 publishers, tester (reliable, volatile)" in said and "subscribed" in said
    paired.result(paired_frame(paired))
    paired.until(lambda: any(text.endswith("/camera/color/image_raw again") for text in paired.logs))


def state_of(graph):
    return graph.call(GetState, "depth/get_state", GetState.Request()).current_state.label


def change(graph, label):
    request = ChangeState.Request()
    request.transition.label = label
    return graph.call(ChangeState, "depth/change_state", request).success


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"weights": "/nowhere/w.pth"}, "/nowhere/w.pth"),
        ({"weights": "random:small", "weights_kind": "relative"}, "metric_video_depth_anything_vits.pth"),
    ],
)
def test_configure_refuses_unusable_weights_with_the_way_out(wrong, said):
    with Graph(active=False, **wrong) as graph:
        assert not change(graph, "configure")
        assert state_of(graph) == "unconfigured"
        graph.until(lambda: any(said in text for text in graph.logs))
        # Not configured, every setting can be given: this is the next start.
        assert graph.set("weights", "random:tiny").successful and graph.set("weights_kind", "auto").successful
        assert change(graph, "configure") and state_of(graph) == "inactive"


@pytest.mark.parametrize("missing, said", [(True, "pip install torch"), (False, "KeyError('libcudnn')")])
def test_whatever_stops_a_transition_is_said(monkeypatch, missing, said):
    def broken(settings):
        raise KeyError("libcudnn")

    if missing:
        monkeypatch.setitem(sys.modules, "instance_depth_ros.estimator", None)
    else:
        monkeypatch.setattr("instance_depth_ros.estimator.Estimator", broken)
    with Graph(active=False) as graph:
        assert not change(graph, "configure") and state_of(graph) == "unconfigured"
        graph.until(lambda: any(said in text for text in graph.logs))
        monkeypatch.undo()
        assert change(graph, "configure")


def test_a_calibration_file_serves_where_no_camera_info_comes(tmp_path):
    lens = tmp_path / "lens.yaml"
    k = [55.0, 0.0, SIZE[1] / 2, 0.0, 55.0, SIZE[0] / 2, 0.0, 0.0, 1.0]
    lens.write_text(f"{{image_width: {SIZE[1]}, image_height: {SIZE[0]}, camera_matrix: {{data: {k}}}}}")
    with Graph(camera_info=str(lens)) as graph:
        assert graph.result(graph.send(picture(1)))["depth/camera_info"].k[0] == 55.0
        assert "calibrated" in graph.diagnostics()["scale"]
        assert good_frame(graph)["depth/camera_info"].k[0] == FOCAL_PX
    with Graph(active=False, camera_info=str(tmp_path / "absent.yaml")) as graph:
        assert change(graph, "configure") and not change(graph, "activate") and state_of(graph) == "inactive"
        graph.until(lambda: any("absent.yaml" in text for text in graph.logs))


def test_registered_depth_that_never_comes_is_said():
    with Graph(use_depth=True, silence_s=0.5) as graph:

        def said():
            graph.send(picture(1))
            message = graph.diagnostics()["message"]
            return "aligned_depth_to_color/image_raw for 0.5 s" in message

        assert graph.until(said)


def test_what_a_camera_loses_is_booked(tmp_path):
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number))
    (tmp_path / "2.png").write_bytes(b"no picture")
    with Graph(camera="folder", camera_path=str(tmp_path), rate="max") as graph:
        graph.until(lambda: graph.diagnostics()["frames_out"] == "4")
        frames_in, _, lost = books(graph)
        assert frames_in == 5 and lost["lost_invalid"] == 1
        assert float(graph.diagnostics()["stage_ms_decode_p99"]) >= 0


def test_whatever_ends_a_recording_is_said_and_it_has_failed(tmp_path, monkeypatch):
    (tmp_path / "0.png").touch()
    monkeypatch.setattr(cv2, "imread", lambda *_: cv2.resize(np.zeros((2, 2)), (0, 0)))
    ended, said = queue.Queue(), []
    settings = config.make("camera", camera="folder", camera_path=str(tmp_path))
    CameraReader(settings, None, ended.put, said.append, Monitor()).start()
    assert ended.get(timeout=60) is True
    assert len(said) == 1 and said[0].startswith("the folder camera failed: error(")


def test_stopping_does_not_wait_for_the_next_picture(tmp_path):
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number))
    frames, said = queue.Queue(), []
    settings = config.make("camera", camera="folder", camera_path=str(tmp_path), fps=0.001)
    reader = CameraReader(settings, frames.put, said.append, said.append, Monitor())
    reader.start()
    frames.get(timeout=60)
    reader.stop()
    assert not reader._thread.is_alive() and not said


@pytest.fixture
def listening():
    """A function (on_message, QoS overrides) that listens to /pictures: the Listener, a publisher, how to wait."""
    context = Context()
    rclpy.init(context=context)
    executor, made = SingleThreadedExecutor(context=context), []

    def listen(on_message, silence_s=lambda: float("inf"), **overrides):
        given = [Parameter(f"qos_overrides./pictures.subscription.{n}", value=v) for n, v in overrides.items()]
        node = rclpy.create_node("listener", context=context, parameter_overrides=given)
        made.append(node)
        executor.add_node(node)
        publisher = node.create_publisher(Image, "pictures", QoSProfile(depth=50))
        listener = Listener(node, Image, "pictures", on_message, silence_s=silence_s)

        def until(predicate):
            for _ in range(1000):
                if predicate():
                    return
                executor.spin_once(timeout_sec=0.05)
            raise AssertionError("waited in vain")

        until(publisher.get_subscription_count)
        until(lambda: node.get_publishers_info_by_topic("/pictures"))
        return listener, publisher, until

    yield listen
    executor.shutdown()
    for node in made:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_asking_for_reliable_loses_no_count_and_keeps_what_the_user_chose(listening):
    arrived = []
    listener, publisher, until = listening(arrived.append, depth=7)
    publisher.publish(image(picture(0), 0))
    until(lambda: arrived)
    listener._ask_for_reliable()
    assert (listener._qos.depth, listener._qos.reliability) == (7, ReliabilityPolicy.RELIABLE)
    for number in range(1, 4):
        publisher.publish(image(picture(number), number))
    until(publisher.get_subscription_count)
    publisher.publish(image(picture(4), 4))
    until(lambda: stamp_ns(arrived[-1]) == 4)
    assert len(arrived) + listener._missed == 5


def test_silence_after_a_first_image_asks_for_reliable(listening):
    """One large image may come through by chance, and none after it: no gap is ever seen."""
    arrived = []
    listener, publisher, until = listening(arrived.append, silence_s=lambda: 0.5)
    publisher.publish(image(picture(0), 0))
    until(lambda: arrived)
    until(lambda: listener._qos.reliability == ReliabilityPolicy.RELIABLE)


def test_best_effort_that_the_user_asked_for_stays(listening):
    listener, *_ = listening(lambda message: None, reliability="best_effort")
    listener._ask_for_reliable()
    assert listener._qos.reliability == ReliabilityPolicy.BEST_EFFORT


def test_the_life_cycle_keeps_the_engine_and_frees_it():
    with Graph() as graph:
        engine = graph.depth._estimator
        good_frame(graph)
        assert change(graph, "deactivate")
        assert graph.diagnostics()["state"] == "inactive"
        graph.until(lambda: graph.image.get_subscription_count() == 0)
        graph.send(picture(1))
        assert change(graph, "activate") and graph.depth._estimator is engine
        graph.until(lambda: graph.image.get_subscription_count() == 1)
        good_frame(graph)
        assert books(graph)[:2] == (2, 2)
        assert change(graph, "deactivate") and change(graph, "cleanup")
        assert graph.depth._estimator is None and state_of(graph) == "unconfigured"
        assert change(graph, "configure") and change(graph, "activate")
        graph.until(lambda: graph.image.get_subscription_count() == 1)
        graph.until(lambda: len(graph.depth._topics.wanted()) == len(TOPICS))
        good_frame(graph)


def test_compressed_pictures_come_in_and_broken_ones_are_counted():
    with Graph(use_compressed=True) as graph:
        for _ in range(3):
            graph.compressed.publish(messages.jpeg(picture(99), messages.header(stamp := graph.next_stamp(), "lens")))
            overlay = messages.array_from_image(graph.result(stamp)["depth/overlay"])
            assert number_of(overlay[:, : SIZE[1]]) == 99
        for length in (20, 21, 33):
            broken = messages.jpeg(picture(99), messages.header(graph.next_stamp(), "lens"))
            broken.data = broken.data[:length]
            fed(graph, lambda broken=broken: graph.compressed.publish(broken))
        graph.until(lambda: any("cannot be decoded" in text for text in graph.logs))
        assert books(graph)[2]["lost_invalid"] == 3
        assert len([text for text in graph.logs if "cannot be decoded" in text]) == 1, "said once, whatever its length"


def test_gaps_in_publication_numbers_are_frames_that_never_arrived():
    gaps = SequenceGaps()
    seen = [("a", 5), ("a", 6), ("a", 9), ("b", 40), ("a", 10), ("b", 42), ("b", 1), ("b", 2)]
    missed = [gaps.missed({"publication_sequence_number": n, "publisher_gid": gid}) for gid, n in seen]
    assert missed == [0, 0, 2, 0, 0, 1, 0, 0]
    assert gaps.missed({"publication_sequence_number": None}) == gaps.missed({}) == 0
