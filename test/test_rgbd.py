"""realsense2_camera's message of a picture, its lens and its depth: by a stand-in, as no wheel has the real one.

Its fields are those of realsense2_camera_msgs/msg/RGBD.msg.
"""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from ros_graph import FOCAL_PX, Graph, camera_info, image, own_domain, picture  # noqa: E402
from test_instance_topics import Told  # noqa: E402

from instance_depth_ros import config  # noqa: E402
from instance_depth_ros.geometry import depth_from_millimetres  # noqa: E402
from instance_depth_ros.nodes import choosing, drivers, inputs  # noqa: E402
from instance_depth_ros.nodes.drivers import REALSENSE, REALSENSE_RGBD, sources  # noqa: E402

own_domain()


class RGBD(SimpleNamespace):
    pass


RGBD.__module__ = "realsense2_camera_msgs.msg._rgbd"


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(drivers, "RGBD", RGBD)


def test_it_is_looked_for_where_its_package_is_and_depth_is_wanted(monkeypatch):
    def of(**settings):
        return sources(config.make("depth", camera="realsense_driver", **settings))

    monkeypatch.setattr(drivers, "RGBD", None)
    assert of(use_depth=True) == (REALSENSE,)
    monkeypatch.setattr(drivers, "RGBD", RGBD)
    assert of(use_depth=True) == (REALSENSE_RGBD, REALSENSE)
    assert of(use_depth=False) == of(use_depth=True, use_compressed=True) == (REALSENSE,)


def test_it_goes_before_the_pair_of_topics_where_it_is_live(monkeypatch, installed):
    settings = config.make("depth", camera="realsense_driver", use_depth=True)
    with Graph(active=False) as graph:
        together, color = (graph.node.resolve_topic_name(names.color) for names in (REALSENSE_RGBD, REALSENSE))
        live = {RGBD: [together], drivers.Image: [color]}
        monkeypatch.setattr(choosing, "published", lambda node, kind: live.get(kind, []))

        def chosen():
            found = choosing.ChosenInput(graph.node, settings, lambda names: names)
            found._timer.cancel()
            for _ in range(choosing.LOOKS):
                found._look()
            return found._input or found.problem

        assert chosen() == REALSENSE_RGBD
        live.pop(RGBD)
        assert chosen() == REALSENSE
        live.clear()
        assert f"no image on {together}, {color}" in chosen()


class Listener:
    """Subscribes to nothing, as there is no such type here."""

    problem = ""

    def __init__(self, node, kind, topic, on_message, *_, **__):
        self.topic = node.resolve_topic_name(topic)

    def close(self):
        """It holds nothing."""


def test_one_message_is_one_frame_with_its_lens_and_its_depth(monkeypatch, installed):
    monkeypatch.setattr("instance_depth_ros.estimator.Estimator", Told)
    with Graph(use_depth=True) as graph:
        monkeypatch.setattr(inputs, "Listener", Listener)
        depth = graph.depth
        rgbd = inputs.RgbdInput(depth, depth.settings, depth._monitor, depth._worker.put, REALSENSE_RGBD)

        def receive(number: int, codes) -> int:
            stamp_ns = graph.next_stamp()
            color = image(picture(number), stamp_ns)
            info = camera_info(stamp_ns)
            rgbd._on_image(
                RGBD(
                    header=color.header,
                    rgb_camera_info=info,
                    depth_camera_info=info,
                    rgb=color,
                    depth=image(codes, stamp_ns),
                )
            )
            return stamp_ns

        codes = np.full(picture(1).shape[:2], 1500, np.uint16)
        codes[:3] = 0
        stamp_ns = receive(5, codes)
        graph.result(stamp_ns)
        frame = depth._estimator.frames[-1]
        assert (frame.stamp_ns, frame.intrinsics.fx) == (stamp_ns, FOCAL_PX)
        np.testing.assert_array_equal(frame.color, picture(5))
        np.testing.assert_array_equal(frame.depth_m, depth_from_millimetres(codes))
        assert rgbd.describe()["camera"] == graph.depth.resolve_topic_name(REALSENSE_RGBD.color)
        assert rgbd.describe()["sensor_depth"] == "registered"
        receive(6, codes[::2])
        graph.until(lambda: graph.diagnostics()["lost_invalid"] == "1")
        rgbd.close()
