"""The metrics agree with the released ones and with arithmetic done by hand."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from instance_depth_ros.drawing import TILE
from instance_depth_ros.evaluation.metrics import MetricMean, align_disparity, depth_metrics, tae
from instance_depth_ros.evaluation.report import Row, picture_sheet
from instance_depth_ros.evaluation.trivial import best_constant_rel, best_constant_sigma1, mean_depth

GOLDENS = Path(__file__).parent / "goldens"
OFFICIAL = {
    "rel": "abs_relative_difference",
    "sq_rel": "squared_relative_difference",
    "rms": "rmse_linear",
    "rms_log": "rmse_log",
    "i_rms": "i_rmse",
    "sigma1": "delta1_acc",
    "sigma2": "delta2_acc",
    "sigma3": "delta3_acc",
}


def test_metrics_agree_with_the_released_ones():
    golden = np.load(GOLDENS / "metrics.npz")
    prediction, target, mask = golden["prediction"], golden["target"], golden["valid"]
    mean = MetricMean()
    for frame in zip(prediction, target, mask, strict=True):
        mean.add("clip", *frame)
    ours = mean.result()["all"]
    for name, official in OFFICIAL.items():
        assert ours[name] == pytest.approx(float(golden[official]), abs=1e-6), name
    # These two are released as values over all pixels of a clip, not as means over its frames.
    pooled = depth_metrics(prediction, target, mask)
    assert pooled["log10"] == pytest.approx(float(golden["log10"]), abs=1e-6)
    assert pooled["silog"] == pytest.approx(float(golden["silog_rmse"]), abs=1e-3)


def test_values_by_hand():
    metrics = depth_metrics(np.array([1.1, 2.0, 8.0]), np.array([1.0, 4.0, 8.0]))
    assert metrics["rel"] == pytest.approx((0.1 + 0.5 + 0) / 3)
    assert metrics["sq_rel"] == pytest.approx((0.01 + 1.0) / 3)
    assert metrics["rms"] == pytest.approx(np.sqrt((0.01 + 4) / 3))
    assert metrics["log10"] == pytest.approx((np.log10(1.1) + np.log10(2)) / 3)
    assert (metrics["sigma1"], metrics["sigma2"], metrics["sigma3"]) == pytest.approx((2 / 3, 2 / 3, 2 / 3))


def test_leaving_pixels_out_does_not_raise_a_score():
    truth = np.full((2, 2), 4.0)
    metrics = depth_metrics(np.array([[4.0, 4.0], [np.nan, 0.0]]), truth)
    assert (metrics["rel"], metrics["sigma1"], metrics["coverage"]) == (0.0, 0.5, 0.5)
    nothing = depth_metrics(np.full((2, 2), np.nan), truth)
    assert nothing["sigma1"] == nothing["coverage"] == 0.0 and np.isnan(nothing["rel"])


def test_pixels_then_frames_then_clips_and_ranges():
    mean = MetricMean()
    truth = np.array([[2.0, 20.0, np.nan, 100.0]])
    mean.add("a", np.array([[2.2, 40.0, 1.0, 1.0]]), truth)  # near 0.1, all (0.1 + 1) / 2
    mean.add("a", np.array([[2.0, 20.0, 1.0, 1.0]]), truth)  # 0
    mean.add("b", np.array([[1.0, 60.0, 1.0, 1.0]]), truth)  # near 0.5, all (0.5 + 2) / 2
    mean.add("b", truth, truth, np.zeros(truth.shape, bool))  # no pixel: no frame
    result = mean.result()
    assert result["near"]["rel"] == pytest.approx((0.1 / 2 + 0.5) / 2)
    assert result["all"]["rel"] == pytest.approx((0.55 / 2 + 1.25) / 2)
    assert (result["all"]["frames"], result["all"]["clips"]) == (3, 2)
    assert mean.by_clip()["near"]["b"]["rel"] == pytest.approx(0.5)
    assert MetricMean().result()["all"]["rel"] is None


def test_alignment_undoes_scale_and_shift():
    truth = np.random.default_rng(0).uniform(0.5, 9.0, (3, 8, 9)).astype(np.float32)
    disparity = 40 / truth + 7
    truth_with_holes = truth.copy()
    truth_with_holes[:, :2], truth_with_holes[:, 2] = np.nan, 500.0
    aligned = align_disparity(disparity, truth_with_holes, max_depth_m=10.0)
    np.testing.assert_allclose(aligned, truth, rtol=1e-4)
    assert align_disparity(disparity, truth, max_depth_m=5.0).max() == 5.0
    with pytest.raises(ValueError, match="no truth within"):
        align_disparity(disparity, truth, np.zeros(truth.shape, bool))


def test_tae_agrees_with_the_released_one():
    golden = np.load(GOLDENS / "tae.npz")
    value = tae(golden["depth"], golden["intrinsics"], golden["camera_to_world"])
    assert value == pytest.approx(float(golden["tae_percent"]), abs=1e-3)


def test_tae_of_a_wall():
    """A camera steps 1 m towards a wall 5 m away: true depth has no error, depth 10 % off in the second frame has."""
    K, poses = np.array([[40.0, 0, 20], [0, 40, 15], [0, 0, 1]]), np.stack([np.eye(4)] * 2)
    poses[1, 2, 3] = 1.0
    depth = np.stack([np.full((30, 40), 5.0), np.full((30, 40), 4.0)])
    assert tae(depth, K, poses) == pytest.approx(0.0, abs=1e-9)
    depth[1] *= 1.1
    expected = 100 * (abs(4.4 - 4) / 4.4 + abs(5 - 5.4) / 5) / 2
    assert tae(depth, K, poses) == pytest.approx(expected)
    left = np.zeros(depth.shape, bool)
    left[:, :, :20] = True
    depth[:, :, 20:] = np.nan
    assert tae(depth, K, poses, left) == pytest.approx(expected)
    assert np.isnan(tae(depth, K, poses, ~left))


def test_best_constants_are_best():
    truth = np.random.default_rng(1).gamma(2.0, 4.0, (20, 21)) + 0.2
    truth[0] = np.nan
    everywhere = np.ones(truth.shape, bool)
    scores = [depth_metrics(np.full(truth.shape, c), truth) for c in np.geomspace(0.2, 60, 400)]
    least = depth_metrics(np.full(truth.shape, best_constant_rel(truth, everywhere)), truth)["rel"]
    most = depth_metrics(np.full(truth.shape, best_constant_sigma1(truth, everywhere)), truth)["sigma1"]
    assert least <= min(score["rel"] for score in scores) and most >= max(score["sigma1"] for score in scores)
    assert best_constant_rel(np.array([1.0, 2.0, 4.0]), np.ones(3, bool)) == 1.0  # weights 1, 1/2, 1/4
    with pytest.raises(ValueError, match="no valid truth"):
        best_constant_rel(truth, ~everywhere)


def test_training_mean_per_pixel():
    clip = np.array([[[1.0, np.nan]], [[4.0, np.nan]]])
    np.testing.assert_allclose(mean_depth([clip, np.array([[2.0, 0.0]])]), [[2.0, 2.0]], rtol=1e-6)
    with pytest.raises(ValueError, match="no valid depth"):
        mean_depth([np.zeros((1, 2, 2))])


def test_picture_sheet_shows_holes_and_errors(tmp_path):
    truth = np.geomspace(1, 50, 48 * 64, dtype=np.float32).reshape(48, 64)
    truth[:8, :8] = np.nan
    color, sure = np.full((48, 64, 3), (200, 10, 10), np.uint8), np.full((48, 64), 128, np.uint8)
    nothing = np.full_like(truth, np.nan)
    rows = [Row(color, truth, truth, sure, "right"), Row(color, truth, nothing, sure, "missing")]
    sheet = cv2.imread(str(picture_sheet(rows, tmp_path / "new" / "sheet.png")))[..., ::-1]
    height = round(48 * TILE / 64)
    tops = 24, 24 + height + 24
    picture = [[sheet[top : top + height, 6 + n * (TILE + 6) :][:, :TILE] for n in range(3)] for top in tops]
    assert (picture[0][0] == (200, 10, 10)).all()
    assert (picture[0][1] == picture[0][2]).all() and (picture[0][1][0, 0] == 90).all()
    assert (picture[1][2] == 90).all() and not (picture[1][1] == 90).all()
    with pytest.raises(ValueError, match="at least one row"):
        picture_sheet([], tmp_path / "empty.png")
