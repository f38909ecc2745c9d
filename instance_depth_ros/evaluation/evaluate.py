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
from ..borders import invented_share
from ..datasets.clips import Footage, open_split
from ..datasets.published import open_published
from ..estimator import Estimator
from ..model import checkpoint
from ..provenance import provenance
from . import published
from .boundaries import boundary_f1
from .calibration import Calibration, ause
from .drift import Drift, draw_curve, stretches
from .identities import Identities
from .instance_depth import InstanceDepth
from .masks import MaskPrecision
from .metrics import MetricMean, depth_metrics, in_range, known_mean, tae
from .obstacles import Obstacles
from .overlap import Overlap, overlap
from .parts import hiding_pairs, occlusion_bands, uncovered
from .report import Row, picture_sheet
from .stream import EVERY, Moment, moments
from .trivial import best_constant_rel, best_constant_sigma1, train_mean

# Of longer clips, those of sim-long, depth, too, is judged every fifth frame.
LONG = 2000
# About so many frames of a clip are candidates for the picture sheet, at half size: neighbours look alike, and all fill
# memory.
SHEET_MOST = 12
PARTS = ("instances", "static", "dynamic", "occlusion_bands", "uncovered", "filled")
CLIP_MEANS = ("tae", "tae_truth", "tae_without_memory", "boundary_f1", "invented_at_borders", "ause")


class Evaluation:
    """Streams clips through an estimator and keeps what is needed to judge it.

    Depth, calibration, obstacles and identities are of every frame (depth of clips beyond LONG: of every fifth); masks,
    instances' depth, boundaries, depth invented at borders of the estimate's own instances, AUSE, what was hidden five
    frames before, trivial predictors and unrefined depth of every fifth; TAE of it and the one before.
    without_memory: those are also estimated as if each began a stream. limits_m: depth is clipped to them before errors
    are taken, as some protocols do. drift_only: of each clip only the frames that drift follows from are seen. given:
    as of stream.moments(); with a sensor `filled` is what it does not measure, `unfused` the depth by colour alone.
    """

    def __init__(
        self,
        estimator: Estimator,
        without_memory: bool = False,
        limits_m: tuple[float, float] | None = None,
        drift_only: bool = False,
        given: tuple[str, ...] = (),
    ):
        self.estimator, self._without_memory, self._limits_m = estimator, without_memory, limits_m
        self._drift_only, self._given = drift_only, given
        self._scores = defaultdict(lambda: MetricMean(PARTS))
        self._means = {name: {} for name in CLIP_MEANS}
        self._calibration, self._obstacles, self._instance_depth = Calibration(), Obstacles(), InstanceDepth()
        self._masks, self._identities, self._rows = MaskPrecision(), Identities(), []
        self._drift, self._drift_alone = Drift(), Drift()

    def clip(self, footage: Footage, most: int = 0) -> dict[str, float]:
        """Judge one clip, or its first `most` frames; returns its rel, sigma1 and tae."""
        name, K = footage.about["name"], footage.intrinsics.K
        frames = min(most or len(footage), len(footage))
        indices = stretches(frames) if self._drift_only else range(frames)
        values, before, earlier = {mean: [] for mean in CLIP_MEANS}, None, None
        shown_every = -(-len(indices) // (EVERY * SHEET_MOST))  # sampled frames
        for moment in moments(self.estimator, footage, indices, self._without_memory, self._given):
            matched = None
            if moment.ids is not None and moment.estimate.ids is not None:
                matched = overlap(moment.ids, moment.rows, moment.estimate)
                self._identify(name, moment, matched)
            if moment.sampled:
                parts = _parts(moment, earlier, K)
                self._judge_sampled(name, moment, matched, parts, values)
                _judge_pair(before, moment, K, values)
                if moment.index // EVERY % shown_every == 0:
                    self._rows.append(_sheet_row(name, moment))
                earlier = moment
            if moment.sampled or frames <= LONG:
                parts = parts if moment.sampled else _parts(moment, None, K)
                self._judge_depth(name, moment, parts)
            before = moment
        for mean, of_frames in values.items():
            self._means[mean][name] = known_mean(of_frames)
        scores = self.depth.by_clip()["all"].get(name, {})
        return {metric: scores.get(metric) for metric in ("rel", "sigma1")} | {"tae": _known(self._means["tae"][name])}

    def _judge_depth(self, clip: str, moment: Moment, parts: dict[str, np.ndarray]) -> None:
        truth_m, estimate = moment.truth_m, moment.estimate
        depth_m = estimate.depth_m if self._limits_m is None else np.clip(estimate.depth_m, *self._limits_m)
        scores = self._scores["network"].add(clip, depth_m, truth_m, parts=parts)
        if "all" in scores:
            self._drift.add(clip, moment.index, scores["all"]["sigma1"])
        self._calibration.add(estimate.confidence, estimate.depth_m, truth_m, in_range(truth_m))
        self._obstacles.add(estimate.depth_m, truth_m)

    def _judge_sampled(
        self, clip: str, moment: Moment, matched: Overlap | None, parts: dict[str, np.ndarray], values: dict
    ) -> None:
        truth_m, estimate, judged = moment.truth_m, moment.estimate, in_range(moment.truth_m)
        others = {"train_mean": train_mean(*truth_m.shape)}
        others |= {"memory_none": moment.alone_m, "unrefined": moment.unrefined_m, "unfused": moment.unfused_m}
        if judged.any():
            # The best constant for one metric is not the best for the other.
            for metric, constant_m in (("rel", best_constant_rel), ("sigma1", best_constant_sigma1)):
                others[f"constant_{metric}"] = np.full(truth_m.shape, constant_m(truth_m, judged), np.float32)
        for name, depth_m in others.items():
            if depth_m is not None:
                scores = self._scores[name].add(clip, depth_m, truth_m, parts=parts)
                if name == "memory_none" and "all" in scores:
                    self._drift_alone.add(clip, moment.index, scores["all"]["sigma1"])
        values["boundary_f1"].append(boundary_f1(estimate.depth_m, truth_m))
        if estimate.ids is not None:
            values["invented_at_borders"].append(invented_share(estimate.depth_m, estimate.ids))
        values["ause"].append(ause(estimate.confidence, estimate.depth_m, truth_m, judged))
        if moment.ids is not None:
            depths_m = estimate.depth_m, moment.unrefined_m
            self._instance_depth.add(moment.ids, moment.rows, truth_m, *depths_m, matched)

    def _identify(self, clip: str, moment: Moment, matched: Overlap) -> None:
        self._identities.add(clip, moment.stamp_s, moment.rows, matched, moment.ids.shape)
        if moment.sampled:
            self._masks.add(moment.ids, moment.rows, moment.candidates)

    def result(self) -> dict:
        """What the result file says of accuracy; a range or part by itself is the network's."""
        scores = {name: mean.result() for name, mean in self._scores.items()}
        network = scores["network"]
        return {
            **network,
            "coverage": network["all"]["coverage"],
            **{name: _known(known_mean(list(clips.values()))) for name, clips in self._means.items()},
            **self._masks.result(),
            **self._instance_depth.result(),
            **self._identities.result(),
            "ece": self._calibration.ece(),
            **self._obstacles.result(),
            **self._drift.result(),
            "drift_without_memory": self._drift_alone.result()["drift"],
            "memory_none": _short(scores.get("memory_none")),
            "unrefined": _short(scores.get("unrefined")),
            "unfused": _short(scores.get("unfused")),
            "train_mean": _short(scores.get("train_mean")),
            "best_constant": {m: _of(scores.get(f"constant_{m}"), m) for m in ("rel", "sigma1")},
            "clips": network["all"]["clips"],
            "frames": network["all"]["frames"],
        }

    @property
    def depth(self) -> MetricMean:
        """The network's figures of depth."""
        return self._scores["network"]

    def by_clip(self) -> dict:
        """{clip: {rel, sigma1 of all, instances and occlusion bands, tae}}, for intervals over clips."""
        parts = self.depth.by_clip()
        return {
            clip: {name: _short_part(parts[name].get(clip)) for name in ("all", "near", "instances", "occlusion_bands")}
            | {name: _known(self._means[name][clip]) for name in ("tae", "tae_truth")}
            for clip in parts["all"]
        }

    def sheet(self, path: Path) -> None:
        """Write the best, median and worst of the remembered frames as a picture; ValueError where none has truth."""
        ranked = sorted((row for row in self._rows if in_range(row.truth_m).any()), key=_rel)
        if not ranked:
            raise ValueError("no frame has truth between 0.1 and 80 m; look at the data")
        picks = (("best", ranked[0]), ("median", ranked[len(ranked) // 2]), ("worst", ranked[-1]))
        picture_sheet([row._replace(label=f"{rank}: {row.label}") for rank, row in picks], path)


def _parts(moment: Moment, earlier: Moment | None, K: np.ndarray) -> dict[str, np.ndarray]:
    """Masks of PARTS, as far as they are known."""
    parts = {}
    if moment.ids is not None:
        bands = occlusion_bands(moment.ids, moment.truth_m, hiding_pairs(moment.rows))
        parts = {"instances": moment.ids > 0, "occlusion_bands": bands}
    if moment.static is not None:
        parts |= {"static": moment.static, "dynamic": ~moment.static}
        if earlier and _posed(earlier, moment):
            before_from_now = np.linalg.inv(earlier.world_from_camera) @ moment.world_from_camera
            parts["uncovered"] = uncovered(moment.truth_m, moment.static, earlier.truth_m, K, before_from_now)
    if moment.measured is not None:
        parts["filled"] = ~moment.measured
    return parts


def _judge_pair(before: Moment | None, moment: Moment, K: np.ndarray, values: dict) -> None:
    """TAE of two neighbours where both are static; of the truth, what sampling and hidden surfaces make of it."""
    if before is None or moment.static is None or not _posed(before, moment):
        return
    pair = before, moment
    poses = np.stack([each.world_from_camera for each in pair])
    for name, depths_m in (
        ("tae", [each.estimate.depth_m for each in pair]),
        ("tae_truth", [each.truth_m for each in pair]),
        ("tae_without_memory", [each.alone_m for each in pair]),
    ):
        if depths_m[0] is not None:
            known = [np.where(e.static & in_range(e.truth_m), d, np.nan) for e, d in zip(pair, depths_m, strict=True)]
            values[name].append(tae(np.stack(known), K, poses))


def _posed(*pair: Moment) -> bool:
    return all(moment.world_from_camera is not None for moment in pair)


def _sheet_row(clip: str, moment: Moment) -> Row:
    estimate = moment.estimate
    pictures = (moment.color, moment.truth_m, estimate.depth_m, estimate.confidence, moment.ids, estimate.ids)
    small = [None if picture is None else picture[::2, ::2].copy() for picture in pictures]
    return Row(*small[:4], f"{clip}, frame {moment.index}", *small[4:], estimate.instances)


def _rel(row: Row) -> float:
    rel = depth_metrics(row.prediction_m, row.truth_m, in_range(row.truth_m))["rel"]
    return np.inf if np.isnan(rel) else rel


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _of(scores: dict | None, metric: str) -> float | None:
    return scores and scores["all"][metric]


def _short(scores: dict | None) -> dict | None:
    """rel and sigma1 of all, and rel of the parts."""
    if scores is None:
        return None
    return _short_part(scores["all"]) | {f"rel_{name}": scores[name]["rel"] for name in PARTS}


def _short_part(scores: dict | None) -> dict | None:
    return scores and {metric: scores[metric] for metric in ("rel", "sigma1")}


def weights_sha256(weights: str) -> str | None:
    """Of the file behind the setting; None for random weights, which are no file."""
    if weights.startswith("random:"):
        return None
    return hashlib.sha256(checkpoint.resolve(weights).read_bytes()).hexdigest()


def table(result: dict) -> str:
    """The figures that matter, for people."""
    rows = [(name, result[name]) for name in ("all", "near", *PARTS)]
    rows += [(name, result[name]) for name in ("memory_none", "unrefined", "unfused", "train_mean", "best_constant")]
    lines = [f"{'':16}{'REL':>8}{'sigma1':>8}"]
    lines += [f"{name.replace('_', ' '):16}{_cell(row['rel'])}{_cell(row['sigma1'])}" for name, row in rows if row]
    for names in (
        "tae tae_truth tae_without_memory drift drift_without_memory",
        "ap ap50 ap50_hidden idf1 hota id_switches",
        "order_accuracy order_accuracy_unrefined order_accuracy_heuristic order_pairs",
        "order_accuracy_found order_accuracy_found_heuristic order_pairs_found",
        "boundary_f1 invented_at_borders ece ause",
        "missed_obstacles false_obstacles coverage",
    ):
        lines.append("  ".join(f"{name} {_cell(result[name]).strip()}" for name in names.split()))
    return "\n".join([*lines, f"({result['clips']} clips, {result['frames']} frames)"])


def _cell(value: float | None) -> str:
    return f"{'-' if value is None else value if isinstance(value, int) else format(value, '.3f'):>8}"


def main(args: Namespace) -> int:
    """args: data, folder, clips, out, without_memory, drift, given, settings. Writes NAME.json, .png; exit status."""
    name, _, folder = args.data.partition(":")
    settings = config.make("depth", **(published.EVERYWHERE if folder else {}) | args.settings)
    clips, protocol = open_published(name, folder) if folder else (open_split(name, args.folder, args.clips), None)
    clips, estimator = clips[: args.clips], Estimator(settings)
    if estimator.relative:
        return published.judge_relative(estimator, clips, protocol, Path(args.out))
    limits_m = protocol and protocol.limits_m
    evaluation = Evaluation(estimator, args.without_memory, limits_m, args.drift, tuple(args.given))
    for number, footage in enumerate(clips, 1):
        with closing(footage):
            scores = evaluation.clip(footage, settings.frames)
        figures = "  ".join(f"{key} {_cell(value).strip()}" for key, value in scores.items())
        print(f"{number:3}/{len(clips)}  {footage.about['name']:20}  {figures}", flush=True)
    result = evaluation.result() | {
        "published": protocol and published.figures(evaluation.depth.by_clip(), protocol),
        "renderer": clips[0].about.get("renderer"),
        "weights": settings.weights,
        "weights_sha256": weights_sha256(settings.weights),
        "engine": estimator.engine.info["engine"],
        "precision": estimator.engine.info["precision"],
        "given": args.given,
        "settings": {key: value for key, value in args.settings.items() if key not in ("threads", "weights")},
        **provenance(),
        "by_clip": evaluation.by_clip(),
    }
    path = Path(args.out) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    evaluation.sheet(path.with_suffix(".png"))
    if result["drift_curve"]:
        draw_curve(result["drift_curve"], path.with_name(f"{path.stem}-drift.png"))
    print(table(result))
    if protocol:
        print(published.table(result["published"], protocol, Path(settings.weights).stem))
    print(f"written: {path} and {path.with_suffix('.png').name}")
    return 0
