"""The depth node on a real graph: each frame's outputs, its books, bad input, when a stream begins anew."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from ros_graph import (  # noqa: E402
    FOCAL_PX,
    SIZE,
    TOPICS,
    Graph,
    books,
    camera_info,
    depth_from_compressed,
    fed,
    good_frame,
    image,
    number_of,
    own_domain,
    picture,
    raw,
    stamp_of,
)
from std_srvs.srv import Trigger  # noqa: E402

from instance_depth_ros import geometry  # noqa: E402
from instance_depth_ros.nodes import messages  # noqa: E402
from instance_depth_ros.nodes.pairing import stamp_ns  # noqa: E402

own_domain()


@pytest.fixture(scope="module")
def graph():
    with Graph() as graph:
        yield graph


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


def test_registered_depth_that_never_comes_is_said():
    with Graph(use_depth=True, silence_s=0.5) as graph:

        def said():
            graph.send(picture(1))
            message = graph.diagnostics()["message"]
            return "aligned_depth_to_color/image_raw for 0.5 s" in message

        assert graph.until(said)
