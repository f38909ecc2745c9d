"""Parts of pictures, edges, obstacles, sparsification and drift against figures computed by hand."""

import cv2
import numpy as np
import pytest

from instance_depth_ros.evaluation.boundaries import boundary_f1
from instance_depth_ros.evaluation.calibration import ause
from instance_depth_ros.evaluation.drift import Drift, draw_curve
from instance_depth_ros.evaluation.metrics import MetricMean, carry_depth, depth_metrics, metrics_of_parts
from instance_depth_ros.evaluation.obstacles import Obstacles
from instance_depth_ros.evaluation.parts import bordering_pairs, hiding_pairs, occlusion_bands, uncovered

K = np.array([[40.0, 0, 20], [0, 40, 15], [0, 0, 1]])


def test_parts_of_a_frame_are_judged_as_each_by_itself():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.5, 30, (20, 30)).astype(np.float32)
    prediction = (truth * rng.uniform(0.5, 2, truth.shape)).astype(np.float32)
    truth[:3], prediction[2:6] = np.nan, np.nan
    parts = {name: rng.random(truth.shape) < share for name, share in (("few", 0.1), ("many", 0.9), ("none", 0))}
    together = metrics_of_parts(prediction, truth, parts)
    for name, mask in parts.items():
        assert together[name] == pytest.approx(depth_metrics(prediction, truth, mask), nan_ok=True)
    assert np.isnan(together["none"]["sigma1"])
    mean = MetricMean(("many", "absent"))
    mean.add("clip", prediction, truth, parts={"many": parts["many"]})
    assert mean.result()["many"]["rel"] == pytest.approx(together["many"]["rel"])
    assert mean.result()["absent"]["rel"] is None and mean.result()["absent"]["frames"] == 0


def test_band_where_one_instance_hides_another():
    ids, truth = np.zeros((40, 60), np.uint16), np.full((40, 60), 9.0, np.float32)
    ids[10:30, 10:20], ids[10:30, 20:40] = 1, 2
    truth[ids == 1], truth[ids == 2] = 4.0, 4.1  # 1 touches 2: a step of 2.5 %
    assert not occlusion_bands(ids, truth, None).any()
    assert not occlusion_bands(ids, truth, [(1, 7)]).any()
    known = occlusion_bands(ids, truth, [(2, 1)])
    truth[ids == 2] = 6.0
    np.testing.assert_array_equal(occlusion_bands(ids, truth, None), known)
    np.testing.assert_array_equal(np.flatnonzero(known[20]), np.arange(19 - 5, 20 + 5 + 1))
    np.testing.assert_array_equal(occlusion_bands(ids.T, truth.T, [(1, 2)]), known.T)
    assert not occlusion_bands(ids, truth, []).any()
    assert bordering_pairs(ids, truth) == [(1, 2)]
    truth[10:13, 20:40] = 3.0  # three pixels the other way round are too few
    assert bordering_pairs(ids, truth) == [(1, 2)]
    truth[13, 20:40] = 3.0
    assert bordering_pairs(ids, truth) == [(1, 2), (2, 1)]
    assert bordering_pairs(np.zeros_like(ids), truth) == []
    assert hiding_pairs([{"id": 3, "hides": [4, 5]}, {"id": 4, "hides": []}]) == [(3, 4), (3, 5)]
    assert hiding_pairs([{"id": 3, "hides": None}]) is None


def test_uncovered_is_what_was_in_the_picture_but_hidden():
    """Someone 2 m away stood before a wall at 4 m, then steps aside; the camera may go sideways at the same time."""
    before, now = np.full((2, 30, 40), 4.0, np.float32)
    before[10:20, 10:20] = 2.0
    static = np.ones(now.shape, bool)
    fresh = uncovered(now, static, before, K, np.eye(4))
    expected = np.zeros(now.shape, bool)
    expected[11:19, 11:19] = True  # without a rim of a pixel
    np.testing.assert_array_equal(fresh, expected)
    assert not uncovered(now, ~static, before, K, np.eye(4)).any()
    sideways = np.eye(4)
    sideways[0, 3] = 1.0  # a point was 1 m farther right: 10 pixels at 4 m; the rightmost ten were not in the picture
    np.testing.assert_array_equal(uncovered(now, static, before, K, sideways), np.roll(expected, -10, 1))
    assert not uncovered(now, static, np.full_like(now, np.nan), K, np.eye(4)).any()  # the sky hides nothing


def test_points_behind_the_camera_or_without_depth_are_not_carried():
    depth = np.full((30, 40), 5.0, np.float32)
    depth[0, 0] = np.nan
    assert np.isnan(carry_depth(depth, K, np.eye(4))).sum() == 1
    back = np.eye(4)
    back[2, 3] = -6.0
    assert np.isnan(carry_depth(depth, K, back)).all()


def test_boundary_f1_by_hand():
    truth = np.full((40, 40), 8.0, np.float32)
    truth[:, 20:] = 4.0
    assert boundary_f1(truth, truth) == boundary_f1(3 * truth, truth) == 1.0
    assert boundary_f1(np.roll(truth, 2, 1)[:, 2:], truth[:, 2:]) == 1.0  # within two pixels
    assert boundary_f1(np.roll(truth, 5, 1)[:, 5:], truth[:, 5:]) == 0.0
    assert np.isnan(boundary_f1(truth, np.full_like(truth, 5.0)))
    half = truth.copy()
    half[20:, 20:] = np.nan
    recall = (20 + 2) / 39  # of 39 rows with a step; those above the hole, and two below
    assert boundary_f1(half, truth) == pytest.approx(2 * recall / (1 + recall))
    weak = np.full_like(truth, 4.3)
    weak[:, 20:] = 4.0  # 7.5 %: an edge for 1.05 alone
    assert boundary_f1(weak, truth) == pytest.approx(1 / 5)


def test_obstacles_by_hand():
    truth, found = np.full((2, 16, 28), 10.0, np.float32)  # cells of 8: 2 x 3, and 4 columns that make no cell
    truth[:8, :8], found[:8, :8] = 2.9, 3.5  # near enough
    truth[:8, 8:16] = 2.0  # missed
    found[8:, :8] = 2.5  # false
    truth[8:, 8:16], found[8:, 8:16] = 3.5, 2.5  # near enough
    truth[0, 16], found[0, 17] = 1.0, 1.0  # a pixel: a border
    truth[:, 24:] = 1.0
    truth[8:, 16:24], found[8:, 16:24] = np.nan, 1.0  # nobody knows
    obstacles = Obstacles()
    assert obstacles.result() == {"missed_obstacles": None, "false_obstacles": None}
    obstacles.add(found, truth)
    assert obstacles.result() == {"missed_obstacles": 1 / 2, "false_obstacles": 1 / 2}
    obstacles.add(np.full_like(truth, np.nan), truth)  # silence is a miss
    assert obstacles.result()["missed_obstacles"] == 3 / 4


def test_ause_by_hand():
    """Errors 0 .. 0.9 of ten pixels. Surest first, last, or all the same."""
    truth, error = np.full((1, 1000), 2.0), np.repeat(np.arange(10) / 10, 100)[None]
    prediction, judged = truth * (1 + error), np.ones(truth.shape, bool)
    sure = (250 - 200 * error).astype(np.uint8)
    assert ause(sure, prediction, truth, judged) == pytest.approx(0, abs=1e-6)
    left = 1 - np.arange(20) / 20
    best = np.array([np.sort(error[0])[: round(1000 * share)].mean() for share in left])
    worst = np.array([np.sort(error[0])[::-1][: round(1000 * share)].mean() for share in left])
    assert ause(255 - sure, prediction, truth, judged) == pytest.approx(np.mean(worst - best), abs=1e-6)
    assert ause(np.full_like(sure, 7), prediction, truth, judged) == pytest.approx(np.mean(0.45 - best), abs=1e-6)
    assert np.isnan(ause(sure, prediction, truth, ~judged))


def test_drift_is_late_minus_early(tmp_path):
    drift = Drift()
    for clip, late in (("a", 0.7), ("b", 0.9)):
        for index in range(4, 3000, 5):
            drift.add(clip, index, 0.8 if index < 1500 else late)
    drift.add("short", 0, 0.1)
    result = drift.result()
    assert result["drift"] == pytest.approx(((0.7 - 0.8) + (0.9 - 0.8)) / 2)
    assert result["drift_curve"]["frame"][::29] == [50, 2950]
    assert result["drift_curve"]["sigma1"] == pytest.approx([(0.8 + 0.8 + 0.1) / 3] + [0.8] * 29)
    draw_curve(result["drift_curve"], tmp_path / "curve.png")
    assert cv2.imread(str(tmp_path / "curve.png")).std() > 5
    early = Drift()
    early.add("a", 40, 0.5)
    assert early.result() == {"drift": None, "drift_curve": None}
