"""A simulated scene as a camera: frames with truth, and with the depth that its sensor would give."""

import numpy as np
import pytest

from instance_depth_ros import config
from instance_depth_ros.cameras import open_camera
from instance_depth_ros.cameras.base import CameraError

try:
    from instance_depth_ros.simulation.scene import Scene
    from instance_depth_ros.simulation.sensor import SENSORS
except RuntimeError as error:
    pytest.skip(str(error), allow_module_level=True)


def simulated(**options):
    options = {"activity": "room", "seed": 5, "width": 160, "height": 120, "frames": 4} | options
    return open_camera(config.make("camera", camera="simulated", rate="max", **options))


def test_frames_have_truth_and_move():
    with simulated() as camera:
        previous = None
        while (frame := camera.read()) is not None:
            truth = camera.truth
            assert frame.size == truth.depth_m.shape == truth.ids.shape == (120, 160)
            assert frame.intrinsics is not None and frame.depth_m is None
            np.testing.assert_allclose(np.linalg.det(truth.world_from_camera), 1, atol=1e-4)
            assert previous is None or (frame.color != previous).any()
            previous = frame.color
        assert previous is not None


def test_ids_are_those_of_the_frame_whether_or_not_they_were_expected():
    scene = Scene("room", 5, "test", 160, 120, window_s=30.0)
    expected = [scene.render(number / 10, truth=True) for number in range(4)]
    scene.close()
    with simulated() as camera:
        for number, moment in enumerate(expected):
            frame = camera.read()
            np.testing.assert_array_equal(frame.color, moment.color)
            np.testing.assert_array_equal(camera.truth.depth_m, moment.depth_m)
            if number != 1:  # skipped once: not drawn ahead for the next one
                np.testing.assert_array_equal(camera.truth.ids, moment.ids)


def test_sensor_depth_is_the_truth_with_noise_and_holes_and_the_same_again():
    taken = []
    for _ in range(2):
        with simulated(sensor_depth=True, frames=2) as camera:
            taken.append([(camera.read().depth_m, camera.truth.depth_m) for _ in range(2)])
    for (depth_m, true_m), (again, _) in zip(*taken, strict=True):
        np.testing.assert_array_equal(depth_m, again)
        given = np.isfinite(depth_m)
        assert 0.1 < given.mean() < np.isfinite(true_m).mean()
        error = np.abs(depth_m - true_m)[given & np.isfinite(true_m)] / depth_m[given & np.isfinite(true_m)]
        assert 1e-4 < np.median(error) < 0.05


def test_a_camera_without_a_depth_sensor_is_refused_by_name(monkeypatch):
    monkeypatch.setattr("instance_depth_ros.cameras.simulated.VIEWS", 1)
    scene = Scene("room", 5, "test", 160, 120, window_s=30.0)
    scene.close()
    for name in [name for name in SENSORS if name == scene.lens]:
        monkeypatch.delitem(SENSORS, name)
    with pytest.raises(CameraError, match=rf"without a depth sensor \({scene.lens}\).*sensor_depth:=false"):
        simulated(sensor_depth=True).open()
