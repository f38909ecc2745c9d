"""The thread that reads a camera: what it loses is booked, what ends it is said, and stopping does not wait."""

import queue

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from ros_graph import Graph, books, own_domain, picture  # noqa: E402

from instance_depth_ros import config  # noqa: E402
from instance_depth_ros.nodes.diagnostics import Monitor  # noqa: E402
from instance_depth_ros.nodes.reader import CameraReader  # noqa: E402

own_domain()


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
