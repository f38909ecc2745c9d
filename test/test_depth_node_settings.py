"""The depth node's settings on a real graph with registered depth: each live one acts, one of the start is refused."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import SMALL, lively

from instance_depth_ros.model import checkpoint

pytest.importorskip("rclpy", reason="needs ROS")
from ros_graph import SIZE, Graph, books, image, own_domain, picture  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from instance_depth_ros import config, geometry, ground  # noqa: E402
from instance_depth_ros.frame import SOURCE_NETWORK, SOURCE_SENSOR  # noqa: E402
from instance_depth_ros.nodes import messages  # noqa: E402
from instance_depth_ros.nodes.instances import ROW  # noqa: E402

own_domain()


STEP_M = np.where(np.arange(SIZE[1]) < SIZE[1] // 2, 1.0, 1.5)[None].repeat(SIZE[0], 0).astype(np.float32)


# else nothing but the sensor is seen
START = {"fuse": "off", "scale_anchors": ""}


@pytest.fixture(scope="module")
def paired(tmp_path_factory):
    """A graph with registered depth and no CameraInfo, of a network that refines depth by whatever it sees."""
    weights = tmp_path_factory.mktemp("refining") / "refining.safetensors"
    network = lively(replace(SMALL, candidate_score=0.05, candidate_mask=0.3), seed=2)  # chance: it sees instances
    checkpoint.save(network, weights, {"name": "refining"}, exact=True)
    with Graph(use_depth=True, weights=str(weights), **START) as graph:
        yield graph


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


def second_depth(graph):
    """(H, W) of a stream's second frame, which shows what the first did."""
    first_depth(graph)
    return messages.depth_from_image(result_of("depth/image")(graph)).copy()


def instances_told_of(graph):
    """How many there are once tracks have had time to be confirmed."""
    return max(result_of("depth/instances/table")(graph).width for _ in range(6))


def silence_said(graph):
    said = f"/camera/color/image_raw for {graph.depth.settings.silence_s:g} s"
    graph.until(lambda: said in graph.diagnostics()["message"])
    return graph.diagnostics()["message"]


def scale_said(graph):
    """What diagnostics say of the scale after a frame."""
    graph.result(paired_frame(graph))
    return graph.diagnostics()["scale"]


def scale_on_ground(graph):
    """The same with a ground 2 m below the camera, of which the made-up network knows nothing, and no sensor."""
    assert graph.set("scale_anchors", "[height, stature]").successful
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ground, "fit", lambda *_: ground.Ground(np.array([0, 0.5, 0]), 0.01, 0.01))
        assert graph.call(Trigger, "depth/reset", Trigger.Request()).success
        said = scale_said(graph)
    assert graph.set("scale_anchors", START["scale_anchors"]).successful
    return said


# setting: value, what is observed, what of it must change
LIVE = {
    "assumed_fov_deg": (90.0, lambda g: result_of("depth/camera_info")(g).k[0], lambda old, new: new < old),
    "max_depth_m": (0.1, depth_share, lambda old, new: old > 0 == new),
    "min_confidence": (1.0, depth_share, lambda old, new: old > 0 == new),
    "rectify": (False, first_depth, lambda old, new: np.nanmax(np.abs(old - new)) > 1e-3),
    "steady_s": (0.0, second_depth, lambda old, new: np.nanmax(np.abs(old - new)) > 1e-4),
    # in the second frame of a stream nobody is carried along yet
    "instance_every": (2, second_depth, lambda old, new: np.nanmax(np.abs(old - new)) > 1e-4),
    "instance_threshold": (0.0, instances_told_of, lambda old, new: old == 0 < new),
    "fuse": (
        "fill",
        lambda g: messages.array_from_image(result_of("depth/source")(g)).max(initial=0, where=STEP_M == 1),
        lambda old, new: (old, new) == (SOURCE_NETWORK, SOURCE_SENSOR),
    ),
    "scale_anchors": ("sensor", scale_said, lambda old, new: "(network alone)" in old and "(sensor " in new),
    "camera_height_m": (3.0, scale_on_ground, lambda old, new: "network alone" in old and "(height 1.50" in new),
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
    default = START.get(name, config.BY_NAME[name].default)
    old = observe(paired)
    assert paired.set(name, value).successful
    try:
        new = observe(paired)
    finally:
        assert paired.set(name, default).successful
    assert changed(old, new), (old, new)


def test_a_setting_of_the_start_is_refused_with_the_reason(paired):
    before = paired.depth.settings
    refused = paired.set("weights", "other")
    assert not refused.successful and "weights acts at the next start" in refused.reason
    refused = paired.set("max_depth_m", -3.0)
    assert not refused.successful and "max_depth_m" in refused.reason and "-3" in refused.reason
    refused = paired.set("fuse", "sometimes")
    assert not refused.successful and "one of fill, replace, off" in refused.reason
    assert paired.depth.settings == before and before.weights.endswith("refining.safetensors")
    assert before.max_depth_m == 80.0


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
