"""The depth node's life cycle: what a transition needs, keeps and frees, and that what stops it is said."""

import gc
import sys

import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from ros_graph import FOCAL_PX, SIZE, TOPICS, Graph, books, good_frame, own_domain, picture  # noqa: E402

own_domain()


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
        assert "calibrated" in graph.diagnostics()["lens"]
        assert good_frame(graph)["depth/camera_info"].k[0] == FOCAL_PX
    with Graph(active=False, camera_info=str(tmp_path / "absent.yaml")) as graph:
        assert change(graph, "configure") and not change(graph, "activate") and state_of(graph) == "inactive"
        graph.until(lambda: any("absent.yaml" in text for text in graph.logs))


def test_the_life_cycle_keeps_the_engine_and_frees_it():
    with Graph() as graph:
        engine = graph.depth._estimator
        assert gc.get_freeze_count() > 0, "the collector passes over what stays"
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
        assert gc.get_freeze_count() == 0, "or it would never be freed"
        assert change(graph, "configure") and change(graph, "activate")
        graph.until(lambda: graph.image.get_subscription_count() == 1)
        graph.until(lambda: len(graph.depth._topics.wanted()) == len(TOPICS))
        good_frame(graph)
