"""Instances on a real graph: every topic of a frame, field by field, as the estimator gave them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from ros_graph import SIZE, TOPICS, Graph, codes_from_compressed, image, own_domain, picture, stamp_of  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

from instance_depth_ros.estimator import State  # noqa: E402
from instance_depth_ros.frame import SOURCE_NETWORK, Estimate, Instance  # noqa: E402
from instance_depth_ros.geometry import POINT, Intrinsics, cloud  # noqa: E402
from instance_depth_ros.nodes import instances as wire  # noqa: E402
from instance_depth_ros.nodes import messages  # noqa: E402
from instance_depth_ros.tracking import Tracks  # noqa: E402

own_domain()
PERSON = Instance(
    70_001, 9, 1, 0.875, 4.25, 0.5, 0.75, 3, 12.5, (8, 16, 20, 30), (-0.5, 0.25, 4.0), (0.5, 1.75, 0.375)
)  # fmt: skip
BALL = Instance(3, 65_535, 3, 0.625, 2.5, 0.125, 1.0, 0, 0.25, (40, 20, 10, 10), (0.5, 0.125, 2.5), (0.25, 0.25, 0.25))
UNPLACED = replace(BALL, id=4, pixel=11, center_m=(float("nan"),) * 3, size_m=(float("nan"),) * 3)
CLOUD_M = 2.0
THREE_TRACKS = Tracks(rows=np.zeros(3, Tracks().rows.dtype), ids=41)


class Told:
    """An estimator that says what it is told to: its Estimates are real, and so is the node."""

    relative, instances, looks, fails, cloud = False, (), True, False, staticmethod(cloud)

    def __init__(self, settings):
        self.frames, self.states = [], []
        self.info = {"engine": "told", "instances": settings.instances}
        self.engine = SimpleNamespace(lacking=set())

    def warm_up(self, height, width):
        pass

    def step(self, frame, state):
        self.frames.append(frame)
        self.states.append(state)
        if self.fails:
            raise RuntimeError("told to fail")
        height, width = frame.size
        ids = np.zeros(frame.size, np.uint16)
        for instance in self.instances:
            x, y, w, h = instance.box_px
            ids[y : y + h, x : x + w] = instance.pixel
        source = np.full(frame.size, SOURCE_NETWORK, np.uint8)
        estimate = Estimate(
            frame.stamp_ns,
            frame.frame_id,
            frame.intrinsics or Intrinsics.from_fov(width, height, 60.0),
            np.full(frame.size, CLOUD_M, np.float32),
            source * 50,
            source,
            ids=ids if self.looks else None,
            instances=self.instances if self.looks else (),
        )
        return estimate, State(stamp_ns=frame.stamp_ns, size=frame.size, tracks=THREE_TRACKS)


@pytest.fixture(scope="module")
def graph():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("instance_depth_ros.estimator.Estimator", Told)
        with Graph() as graph:
            yield graph


def seen(graph, *instances, looks=True):
    """Every topic's message of a frame in which the estimator sees these."""
    estimator = graph.depth._estimator
    estimator.instances, estimator.looks = instances, looks
    return graph.result(graph.send(picture(1)))


def test_the_table_has_the_fields_of_the_design_and_their_values(graph):
    table = seen(graph, PERSON, BALL)["depth/instances/table"]
    float32, uint32, uint16 = 7, 6, 4
    names = "x y z size_x size_y size_z id pixel class_id score depth_m sigma_m visible hidden_by age_s".split()
    kinds = {"id": uint32, "hidden_by": uint32, "pixel": uint16, "class_id": uint16}
    assert [(f.name, f.datatype, f.count) for f in table.fields] == [(n, kinds.get(n, float32), 1) for n in names]
    assert (table.height, table.width, table.row_step) == (1, 2, 2 * table.point_step)
    # Each field by the offset that the message gives, as a reader who knows nothing else would.
    letter = {float32: "<f4", uint32: "<u4", uint16: "<u2"}
    read = [
        {f.name: np.frombuffer(table.data, letter[f.datatype], 1, row * table.point_step + f.offset)[0].item()
         for f in table.fields}
        for row in range(2)
    ]  # fmt: skip
    assert list(read[0].values()) == [-0.5, 0.25, 4.0, 0.5, 1.75, 0.375, 70_001, 9, 1, 0.875, 4.25, 0.5, 0.75, 3, 12.5]
    assert list(read[1].values()) == [0.5, 0.125, 2.5, 0.25, 0.25, 0.25, 3, 65_535, 3, 0.625, 2.5, 0.125, 1.0, 0, 0.25]


def test_a_reader_gets_the_instances_back(graph):
    result = seen(graph, PERSON, BALL)
    ids = messages.ids_from_image(result["depth/instances"])
    assert wire.instances_from_table(result["depth/instances/table"], ids) == (PERSON, BALL)


def test_ids_agree_between_picture_table_classes_and_cloud(graph):
    result = seen(graph, PERSON, BALL)
    ids = messages.array_from_image(result["depth/instances"])
    assert result["depth/instances"].encoding == "16UC1" and set(np.unique(ids)) == {0, 9, 65_535}
    np.testing.assert_array_equal(codes_from_compressed(result["depth/instances/compressedDepth"]), ids)
    lasting = np.zeros(SIZE, np.uint32)
    lasting[ids == 9], lasting[ids == 65_535] = 70_001, 3
    points = np.frombuffer(result["depth/points"].data, POINT).reshape(SIZE[0] // 2, SIZE[1] // 2)
    np.testing.assert_array_equal(points["instance_id"], lasting[::2, ::2])
    assert result["depth/instances/classes"].encoding == "mono8"
    classes = messages.array_from_image(result["depth/instances/classes"])
    np.testing.assert_array_equal(classes, np.select([ids == 9, ids == 65_535], [1, 3]))


@pytest.mark.parametrize("looks", [True, False], ids=["nobody there", "instances: none"])
def test_a_frame_without_instances_is_published_empty(graph, looks):
    seen(graph, PERSON)
    result = seen(graph, looks=looks)
    for topic in ("depth/instances", "depth/instances/classes"):
        pixels = messages.array_from_image(result[topic])
        assert pixels.shape == SIZE and not pixels.any()
    assert not codes_from_compressed(result["depth/instances/compressedDepth"]).any()
    table = result["depth/instances/table"]
    assert (table.height, table.width, len(table.data), len(table.fields)) == (1, 0, 0, 15)
    (only,) = result["depth/instances/markers"].markers
    assert only.action == Marker.DELETEALL
    assert not np.frombuffer(result["depth/points"].data, POINT)["instance_id"].any()


def test_markers_delete_the_last_ones_then_draw_a_box_and_a_label_of_each(graph):
    result = seen(graph, PERSON, BALL, UNPLACED)
    first, *drawn = result["depth/instances/markers"].markers
    assert first.action == Marker.DELETEALL
    assert [(m.ns, m.id, m.type) for m in drawn] == [
        ("boxes", 70_001, Marker.CUBE),
        ("labels", 70_001, Marker.TEXT_VIEW_FACING),
        ("boxes", 3, Marker.CUBE),
        ("labels", 3, Marker.TEXT_VIEW_FACING),
    ], "what has no depth has no place"
    assert {(m.header.frame_id, m.header.stamp.nanosec) for m in drawn} == {("lens", first.header.stamp.nanosec)}
    box, label = drawn[:2]
    assert (box.pose.position.x, box.pose.position.y, box.pose.position.z) == PERSON.center_m
    assert (box.scale.x, box.scale.y, box.scale.z) == PERSON.size_m
    assert label.text == "#70001 person 4.2 m behind #3"
    assert label.pose.position.y < PERSON.center_m[1] - PERSON.size_m[1] / 2, "above it: y points down"
    assert result["depth/instances/table"].width == 3


def test_every_frame_has_one_message_on_each_topic_whoever_comes_and_goes(graph):
    before = {topic: len(graph.got[topic]) for topic in TOPICS}
    shown = [(), (PERSON,), (PERSON, BALL), (BALL,), ()]
    stamps = [stamp_of(seen(graph, *instances)["depth/image"]) for instances in shown]
    for topic in TOPICS:
        assert [stamp_of(message) for message in graph.got[topic][before[topic] :]] == stamps, topic
    widths = [message.width for message in graph.got["depth/instances/table"][-5:]]
    assert widths == [0, 1, 2, 1, 0]


def test_the_overlay_shows_masks_borders_and_names(graph):
    empty = messages.array_from_image(seen(graph)["depth/overlay"]).astype(int)
    full = messages.array_from_image(seen(graph, PERSON)["depth/overlay"]).astype(int)
    changed = (empty != full).any(-1)
    # Below the label, which is as wide as the picture.
    assert changed[22:46, 8:28].all() and changed[22:, : SIZE[1]].sum() == 24 * 20
    assert changed[8:22, 28 : SIZE[1]].any(), "the label"
    outline = changed[:, SIZE[1] :]
    assert outline[16, 8:28].all() and outline[16:46, 8].all() and not outline[18:44, 10:26].any()


def test_figures_of_instances_are_in_the_diagnostics(graph):
    seen(graph, PERSON, BALL)
    graph.until(lambda: graph.diagnostics()["instances"] == "2")
    values = graph.diagnostics()
    assert (values["tracks"], values["instance_source"]) == ("3", "network")


def reset(graph):
    assert graph.call(Trigger, "depth/reset", Trigger.Request()).success


def fail(graph):
    estimator, lost = graph.depth._estimator, graph.diagnostics()["lost_invalid"]
    estimator.fails = True
    graph.send(picture(1))
    graph.until(lambda: graph.diagnostics()["lost_invalid"] != lost)
    estimator.fails = False


def pause(graph):
    for label in ("deactivate", "activate"):
        request = ChangeState.Request()
        request.transition.label = label
        assert graph.call(ChangeState, "depth/change_state", request).success
    graph.until(graph.image.get_subscription_count)


@pytest.mark.parametrize("event", [reset, fail, pause])
def test_whatever_happens_no_identity_is_given_twice(graph, event):
    seen(graph)
    event(graph)
    seen(graph)
    state = graph.depth._estimator.states[-1]
    assert (state.tracks.ids, len(state.tracks.rows), state.size) == (41, 0, (0, 0)), "anew, but for the ids"


def test_detections_name_class_and_lasting_id(graph):
    pytest.importorskip("vision_msgs", reason="vision_msgs comes with a ROS installation")
    array = seen(graph, PERSON, UNPLACED)["depth/instances/objects"]
    (one,) = array.detections
    assert (one.id, one.results[0].hypothesis.class_id, one.results[0].hypothesis.score) == ("70001", "person", 0.875)
    assert (one.bbox.size.x, one.bbox.size.y, one.bbox.size.z) == PERSON.size_m
    assert (one.bbox.center.position.x, one.bbox.center.position.z) == (-0.5, 4.0)


def test_names_of_classes_are_there_for_who_comes_late(graph):
    vision_msgs = pytest.importorskip("vision_msgs.msg", reason="vision_msgs comes with a ROS installation")
    seen(graph)
    latched, got = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL), []
    graph.node.create_subscription(vision_msgs.LabelInfo, "depth/instances/label_info", got.append, latched)
    graph.until(lambda: got)
    names = {entry.class_id: entry.class_name for entry in got[0].class_map}
    assert (names[0], names[1], names[3]) == ("background", "person", "ball")


@pytest.mark.parametrize("dtype", [np.uint16, np.uint8])
def test_an_id_image_from_elsewhere_comes_with_its_picture(monkeypatch, dtype):
    monkeypatch.setattr("instance_depth_ros.estimator.Estimator", Told)
    given = np.zeros(SIZE, dtype)
    given[10:20, 30:40] = 200
    with Graph(instances="topic") as graph:
        graph.until(graph.ids.get_subscription_count)
        graph.result(graph.send(picture(1), ids=given))
        late = graph.next_stamp()
        graph.ids.publish(image(given.astype(np.uint16), late + 60_000_000))
        graph.send(picture(2), late)
        graph.result(graph.send(picture(3), ids=given * 0))
        frames = graph.depth._estimator.frames
        assert [frame.ids.dtype for frame in frames] == [np.uint16] * 2
        np.testing.assert_array_equal(frames[0].ids, given)
        assert not frames[1].ids.any()
        graph.until(lambda: graph.diagnostics()["lost_unpaired"] == "1")
        assert graph.diagnostics()["instance_source"] == "topic"


def test_id_images_that_never_come_or_are_none_are_said(monkeypatch):
    monkeypatch.setattr("instance_depth_ros.estimator.Estimator", Told)
    with Graph(instances="topic", silence_s=0.5) as graph:
        graph.until(graph.ids.get_subscription_count)
        graph.send(picture(1), ids=np.zeros((8, 8), np.uint16))
        graph.until(lambda: any("ids must be registered" in text for text in graph.logs))
        graph.send(picture(2), ids=None, depth_m=None)

        def said():
            graph.send(picture(3))
            return "/camera/instances for 0.5 s" in graph.diagnostics()["message"]

        assert graph.until(said)
    with Graph(active=False, instances="topic", camera="folder", camera_path=".") as graph:
        graph.depth.trigger_configure()
        graph.depth.trigger_activate()
        graph.until(lambda: any("needs frames from topics too, got camera 'folder'" in text for text in graph.logs))
