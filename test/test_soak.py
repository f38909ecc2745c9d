"""A soak of the real graph, too short to judge how steady it is: every frame is accounted for, figures are there."""

import json
from argparse import Namespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from ros_graph import own_domain  # noqa: E402

from instance_depth_ros.evaluation.bench import soak  # noqa: E402
from instance_depth_ros.nodes.observer import Observer  # noqa: E402

own_domain()
SECONDS = 6


def test_every_frame_of_a_soaked_graph_is_out_or_lost_for_a_reason(tmp_path):
    settings = {"weights": "random:tiny", "network_short_side": 64, "precision": "fp32", "threads": 1}
    out = tmp_path / "soak.json"
    status = soak.main(Namespace(soak=SECONDS / 60, out=str(out), settings=settings), Observer)
    result = json.loads(out.read_text())
    assert status == bool(result["broken"]) and result["what"] == "graph"
    assert result["frames_sent"] == SECONDS * soak.CAMERA_FPS
    assert 0 <= result["frames_sent"] - result["frames_in"] <= soak.UNSEEN_S * soak.CAMERA_FPS
    assert result["frames_in"] == result["frames_out"] + sum(result["lost"].values()) and result["frames_out"] > 0
    assert not [what for what in result["broken"] if "frames" in what]
    assert 0 < result["first_third"]["ms_p50"] <= result["first_third"]["ms_p99"]
    assert result["mb_first_minute"] > 100 and result["mb_end"] > 100
    assert min(result["shared_mb_first_minute"], result["shared_mb_end"]) > 0, "pictures go by shared memory"
