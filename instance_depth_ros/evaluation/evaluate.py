"""`instance-depth eval`: accuracy on held-out scenes through Estimator.step, metric and unaligned, as on the robot."""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import numpy as np

from .. import config
from ..datasets.clips import Footage, open_split
from ..estimator import Estimator
from ..frame import Estimate, Frame
from ..model import checkpoint
from ..provenance import provenance
from .calibration import Calibration
from .metrics import MetricMean, depth_metrics, in_range, known_mean, tae
from .report import picture_sheet
from .trivial import best_constant_rel, best_constant_sigma1, train_mean

# Every so many frames, and about so many of a clip, are candidates for the picture sheet, at half size: neighbours look
# alike, and all fill memory.
SHEET_EVERY, SHEET_MOST = 5, 12
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

    def clip(self, footage: Footage, most: int = 0) -> dict[str, float]:
        """Judge one clip, or its first `most` frames; returns its rel, sigma1 and tae."""
        name, K, state, before, taes = footage.about["name"], footage.intrinsics.K, None, None, []
        frames = min(most or len(footage), len(footage))
        for index in range(frames):
            shot = footage.read(index, ("color", "truth_m", "static"))
            frame = Frame(shot["color"], shot["stamp_ns"], intrinsics=footage.intrinsics)
            estimate, state = self.estimator.step(frame, state)
            self._judge(name, frame, estimate, shot["truth_m"])
            if index % max(SHEET_EVERY, frames // SHEET_MOST) == 0:
                pictures = (shot["color"], shot["truth_m"], estimate.depth_m, estimate.confidence)
                self._rows.append((*(picture[::2, ::2].copy() for picture in pictures), f"{name}, frame {index}"))
            here = estimate.depth_m, shot["world_from_camera"], shot["static"]
            if before is not None:
                depths_m, poses, static = (np.stack(pair) for pair in zip(before, here, strict=True))
                taes.append(tae(depths_m, K, poses, static))
            before = here
        self._taes.append(known_mean(taes))
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
    """args: data, folder, out, without_memory, settings. Writes NAME.json and NAME.png into out; exit status."""
    settings = config.make("depth", **args.settings)
    estimator = Estimator(settings)
    if estimator.relative:
        raise ValueError(f"'{settings.weights}' gives relative disparity; metres are judged here, take metric weights")
    clips, evaluation = open_split(args.data, args.folder), Evaluation(estimator, args.without_memory)
    for number, footage in enumerate(clips, 1):
        with closing(footage):
            scores = evaluation.clip(footage, settings.frames)
        figures = "  ".join(f"{key} {_cell(value).strip()}" for key, value in scores.items())
        print(f"{number:3}/{len(clips)}  {footage.about['name']:20}  {figures}", flush=True)
    result = evaluation.result() | {
        "renderer": clips[0].about["renderer"],
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
