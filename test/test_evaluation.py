"""The figures of an evaluation are those of the stream on the robot, and the trivial predictors are what they say."""

import json

import numpy as np
import pytest

from instance_depth_ros import config
from instance_depth_ros.cli import main
from instance_depth_ros.datasets.sequence import SequenceWriter, camera_json, open_folder
from instance_depth_ros.estimator import Estimator
from instance_depth_ros.evaluation import evaluate, trivial
from instance_depth_ros.evaluation.calibration import Calibration
from instance_depth_ros.evaluation.metrics import depth_metrics
from instance_depth_ros.frame import Frame
from instance_depth_ros.geometry import Intrinsics

SIZE = (96, 128)
# what a result file has, null or not
FIGURES = (
    "all near instances static dynamic occlusion_bands tae tae_truth tae_without_memory ap ap50 ap50_hidden "
    "order_accuracy order_accuracy_heuristic idf1 hota id_switches boundary_f1 ece ause missed_obstacles "
    "false_obstacles drift clips frames renderer weights_sha256 commit"
).split()
LENS = Intrinsics.from_fov(SIZE[1], SIZE[0], 60)


class Wall:
    """A clip of a wall without people, seen by a camera that stands still; colours move."""

    intrinsics, layers = LENS, ("color", "truth_m", "static")

    def __init__(self, name, *depths_m):
        self.about, self.depths_m = {"name": name}, depths_m

    def __len__(self):
        return len(self.depths_m)

    def read(self, index, layers):
        y, x = np.mgrid[: SIZE[0], : SIZE[1]]
        return {
            "stamp_ns": index * 100_000_000,
            "color": np.stack([2 * x - 9 * index, 2 * y, x + y], -1).clip(0, 255).astype(np.uint8),
            "truth_m": np.full(SIZE, self.depths_m[index], np.float32),
            "static": np.ones(SIZE, bool),
            "world_from_camera": np.eye(4),
            "instances": [],
        }


@pytest.fixture(scope="module")
def estimator():
    return Estimator(config.make("depth", weights="random:tiny", network_short_side=64, precision="fp32", threads=1))


def test_scores_are_those_of_the_stream(estimator):
    evaluation = evaluate.Evaluation(estimator)
    near, far = Wall("a", *[4.0] * 6), Wall("b", 20.0, 20.0, 20.0)
    evaluation.clip(near)
    evaluation.clip(far, 2)
    result = evaluation.result()
    means = []
    for wall, count in ((near, 6), (far, 2)):
        state, scores = None, []
        for index in range(count):
            seen = wall.read(index, ())
            estimate, state = estimator.step(Frame(seen["color"], seen["stamp_ns"], intrinsics=LENS), state)
            scores.append(depth_metrics(estimate.depth_m, seen["truth_m"])["rel"])
        means.append(np.mean(scores))
    assert result["all"]["rel"] == pytest.approx(np.mean(means))
    assert result["near"]["rel"] == pytest.approx(means[0])
    assert (result["clips"], result["frames"], result["near"]["clips"]) == (2, 8, 1)
    assert result["tae"] > 0 and result["tae_truth"] == 0 and result["memory_none"] is None
    assert result["idf1"] is None and result["occlusion_bands"]["rel"] is None
    assert evaluation.by_clip()["b"]["all"]["rel"] == pytest.approx(means[1])


def test_a_constant_is_best_where_the_truth_is_one(estimator):
    evaluation = evaluate.Evaluation(estimator, without_memory=True)
    evaluation.clip(Wall("wall", 4.0, 4.0))
    result = evaluation.result()
    assert result["best_constant"] == {"rel": 0.0, "sigma1": 1.0}
    assert result["train_mean"]["rel"] > 0.1
    assert {"rel", "sigma1", "rel_uncovered"} < result["memory_none"].keys()


def test_frames_without_truth_are_passed_over(estimator):
    evaluation = evaluate.Evaluation(estimator)
    evaluation.clip(Wall("sky", 4.0, np.nan))
    assert evaluation.result()["frames"] == 1


def test_calibration_against_hand_computed_bins():
    """1000 pixels say 0.9 and 600 are right; 1000 say 0.1 and 100 are right: (0.3 + 0) / 2."""
    truth_m = np.full((2, 1000), 2.0)
    prediction_m = np.full((2, 1000), 3.0)
    prediction_m[0, :600], prediction_m[1, :100] = 2.19, 1.81
    confidence = np.repeat(np.uint8([[230], [26]]), 1000, 1)
    calibration = Calibration()
    assert calibration.ece() is None
    calibration.add(confidence, prediction_m, truth_m, np.ones_like(truth_m, bool))
    assert calibration.ece() == pytest.approx((230 / 255 - 0.6 + abs(26 / 255 - 0.1)) / 2)


def test_training_mean_is_made_of_the_training_clips(tmp_path, monkeypatch):
    for depth_m in (2.0, 8.0):
        folder = tmp_path / f"{depth_m:.0f} m"
        with SequenceWriter(folder, {"name": folder.name, "frames": 8}, camera_json(LENS, 0.001, "truth")) as writer:
            for index in range(8):
                writer.add({"stamp_ns": index, "instances": [], "truth_m": np.full(SIZE, depth_m, np.float32)})
    trivial.save_train_mean(open_folder(tmp_path), tmp_path / "mean.npz")
    monkeypatch.setattr(trivial, "TRAIN_MEAN", tmp_path / "mean.npz")
    trivial.train_mean.cache_clear()
    try:
        np.testing.assert_allclose(trivial.train_mean(30, 40), np.full((30, 40), 4.0), rtol=2e-3)
    finally:
        trivial.train_mean.cache_clear()


def test_eval_writes_figures_and_pictures_of_the_held_out_scenes(tmp_path):
    pytest.importorskip("pycocotools")
    pytest.importorskip("trackeval.metrics")
    try:
        from instance_depth_ros.simulation import scene  # noqa: F401
    except RuntimeError as error:
        pytest.skip(str(error))
    options = ["--weights", "random:tiny", "--network-short-side", "64", "--precision", "fp32", "--threads", "1"]
    assert main(["eval", "--data", "sim-val", "--clips", "1", "--frames", "6", "--out", str(tmp_path), *options]) == 0
    result = json.loads((tmp_path / "sim-val.json").read_text())
    assert (result["clips"], result["frames"]) == (1, 6)
    assert result["all"]["coverage"] == 1
    assert 0 <= result["ece"] <= 1 and result["tae"] > 0
    assert set(FIGURES) <= result.keys()
    assert result["weights_sha256"] is None and result["renderer"].startswith("MuJoCo")
    assert (tmp_path / "sim-val.png").stat().st_size > 10_000
