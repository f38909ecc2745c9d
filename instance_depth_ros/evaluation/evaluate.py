"""`instance-depth eval`: accuracy on held-out scenes through Estimator.step, metric and unaligned, as on the robot."""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

from .. import config
from ..datasets.shards import split_scenes
from ..estimator import Estimator
from ..frame import Estimate, Frame
from ..geometry import Intrinsics
from ..model import checkpoint
from ..provenance import provenance
from .calibration import Calibration
from .metrics import MetricMean, depth_metrics, in_range, known_mean, tae
from .report import picture_sheet
from .trivial import best_constant_rel, best_constant_sigma1, train_mean

FRAMES, FPS, WIDTH, HEIGHT = 60, 10, 640, 480
# Every so many frames are candidates for the picture sheet, at half size: neighbours look alike, and all fill memory.
SHEET_EVERY = 5
# Of the full result file, what needs instances or the long split.
NOT_MEASURED = (
    "instances static dynamic occlusion_bands tae_truth tae_without_memory ap ap50 ap50_hidden order_accuracy "
    "order_accuracy_heuristic idf1 hota id_switches boundary_f1 ause missed_obstacles false_obstacles drift".split()
)


class Evaluation:
    """Streams clips through an estimator and keeps what is needed to judge it.

    without_memory: also estimates each frame as if it were the first of a stream, for comparison.
    """

    def __init__(self, estimator: Estimator, without_memory: bool = False):
        self.estimator, self._without_memory = estimator, without_memory
        self._scores = defaultdict(MetricMean)
        self._calibration, self._taes, self._rows = Calibration(), [], []

    def clip(self, name: str, moments: Iterable, intrinsics: Intrinsics) -> dict[str, float]:
        """Judge one clip of simulation.scene.Moment with ids, FPS a second; returns its rel, sigma1 and tae."""
        state, depths, still, poses = None, [], [], []
        for index, moment in enumerate(moments):
            frame = Frame(moment.color, index * 1_000_000_000 // FPS, intrinsics=intrinsics)
            estimate, state = self.estimator.step(frame, state)
            self._judge(name, frame, estimate, moment.depth_m)
            if index % SHEET_EVERY == 0:
                pictures = (moment.color, moment.depth_m, estimate.depth_m, estimate.confidence)
                self._rows.append((*(picture[::2, ::2].copy() for picture in pictures), f"{name}, frame {index}"))
            depths.append(estimate.depth_m)
            still.append(moment.ids == 0)
            poses.append(moment.world_from_camera)
        self._taes.append(tae(np.stack(depths), intrinsics.K, np.stack(poses), np.stack(still)))
        return _short(self._scores["network"].by_clip()["all"][name]) | {"tae": self._taes[-1]}

    def _judge(self, clip: str, frame: Frame, estimate: Estimate, truth_m: np.ndarray) -> None:
        judged = in_range(truth_m)
        predictions = {"network": estimate.depth_m, "train_mean": train_mean(*frame.size)}
        if self._without_memory:
            predictions["memory_none"] = self.estimator.step(frame)[0].depth_m
        if judged.any():
            # The best constant for one metric is not the best for the other.
            for metric, constant_m in (("rel", best_constant_rel), ("sigma1", best_constant_sigma1)):
                predictions[f"constant_{metric}"] = np.full(frame.size, constant_m(truth_m, judged), np.float32)
        for name, depth_m in predictions.items():
            self._scores[name].add(clip, depth_m, truth_m)
        self._calibration.add(estimate.confidence, estimate.depth_m, truth_m, judged)

    def result(self) -> dict:
        """What the result file says of accuracy; `all` and `near` are the network's."""
        scores = {name: mean.result() for name, mean in self._scores.items()}
        network = scores["network"]
        return {
            **network,
            "coverage": network["all"]["coverage"],
            "tae": None if np.isnan(static := known_mean(self._taes)) else static,
            "ece": self._calibration.ece(),
            "train_mean": _short(scores["train_mean"]["all"]),
            "best_constant": {metric: scores[f"constant_{metric}"]["all"][metric] for metric in ("rel", "sigma1")},
            "memory_none": _short(scores["memory_none"]["all"]) if self._without_memory else None,
            **dict.fromkeys(NOT_MEASURED),
            "clips": network["all"]["clips"],
            "frames": network["all"]["frames"],
        }

    def sheet(self, path: Path) -> None:
        """Write the best, median and worst of the remembered frames as a picture."""
        ranked = sorted((row for row in self._rows if in_range(row[1]).any()), key=_rel)
        picks = (("best", ranked[0]), ("median", ranked[len(ranked) // 2]), ("worst", ranked[-1]))
        picture_sheet([(*pictures, f"{rank}: {label}") for rank, (*pictures, label) in picks], path)


def _rel(row: tuple) -> float:
    _, truth_m, prediction_m, _, _ = row
    return depth_metrics(prediction_m, truth_m, in_range(truth_m))["rel"]


def _short(scores: dict) -> dict:
    return {metric: scores[metric] for metric in ("rel", "sigma1")}


def simulated(activity: str, seed: int, frames: int) -> tuple[Iterator, Intrinsics]:
    """The moments of a scene, drawn as the fixed splits say, and its lens."""
    from ..simulation.scene import Scene

    scene = Scene(activity, seed, "val", WIDTH, HEIGHT)

    def moments():
        try:
            for index in range(frames):
                yield scene.render(index / FPS, ids=True)
        finally:
            scene.close()

    return moments(), scene.intrinsics


def weights_sha256(weights: str) -> str | None:
    """Of the file behind the setting; None for random weights, which are no file."""
    if weights.startswith("random:"):
        return None
    return hashlib.sha256(checkpoint.resolve(weights).read_bytes()).hexdigest()


def table(result: dict) -> str:
    """The figures that matter, for people."""
    rows = [("network, all", result["all"]), ("network, near", result["near"])]
    rows += [(name.replace("_", " "), result[name]) for name in ("memory_none", "train_mean", "best_constant")]
    lines = [f"{'':16}{'REL':>8}{'sigma1':>8}"]
    lines += [f"{name:16}{_cell(row['rel'])}{_cell(row['sigma1'])}" for name, row in rows if row]
    others = "  ".join(f"{name} {_cell(result[name]).strip()}" for name in ("tae", "ece", "coverage"))
    return "\n".join([*lines, f"{others}  ({result['clips']} clips, {result['frames']} frames)"])


def _cell(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.3f'):>8}"


def main(args: Namespace) -> int:
    """args: data, out, without_memory, settings. Writes NAME.json and NAME.png into out; exit status."""
    settings = config.make("depth", **args.settings)
    estimator = Estimator(settings)
    if estimator.relative:
        raise ValueError(f"'{settings.weights}' gives relative disparity; metres are judged here, take metric weights")
    scenes, evaluation = split_scenes(args.data), Evaluation(estimator, args.without_memory)
    for number, (activity, seed) in enumerate(scenes, 1):
        name = f"{activity} {seed}"
        clip = evaluation.clip(name, *simulated(activity, seed, settings.frames or FRAMES))
        figures = "  ".join(f"{key} {_cell(value).strip()}" for key, value in clip.items())
        print(f"{number:3}/{len(scenes)}  {name:12}  {figures}", flush=True)
    result = evaluation.result() | {
        "renderer": f"MuJoCo {version('mujoco')}",
        "weights": settings.weights,
        "weights_sha256": weights_sha256(settings.weights),
        "precision": estimator.engine.precision,
        **provenance(),
    }
    path = Path(args.out) / f"{args.data}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    evaluation.sheet(path.with_suffix(".png"))
    print(table(result), f"written: {path} and {path.with_suffix('.png').name}", sep="\n")
    return 0
