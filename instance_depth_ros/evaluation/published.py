"""Figures on published datasets: by the dataset's protocol, beside those that the InstanceDepth paper prints."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..datasets.clips import Footage
from ..datasets.published_clip import Protocol
from ..estimator import Estimator
from ..frame import Frame
from ..provenance import provenance
from .metrics import HIGHER_IS_BETTER, LOWER_IS_BETTER, MetricMean, align_disparity

# settings of the estimator: the protocols judge every pixel
EVERYWHERE = {"min_confidence": 0.0, "max_depth_m": 1000.0}
HEADS = {"rms": "RMS", "rel": "REL", "rms_log": "RMSlog", "log10": "log10", "sq_rel": "SqRel"}
USUAL = ("rel", "sq_rel", "rms", "rms_log", "sigma1", "sigma2", "sigma3")
# title, metrics, method -> figures: as printed
PAPER = {
    "gid": (
        "InstanceDepth, Table 2: GID test set, all trained on GID",
        ("rms", "rel", "rms_log", "log10", "sigma1"),
        {
            "CDMOV": (0.657, 0.078, 0.128, 0.182, 0.768),
            "NeWCRFs": (0.497, 0.067, 0.098, 0.029, 0.938),
            "ZoeDepth": (0.487, 0.068, 0.107, 0.034, 0.949),
            "NVDS": (0.511, 0.062, 0.116, 0.037, 0.942),
            "DepthAnything V1": (0.433, 0.052, 0.086, 0.024, 0.973),
            "DepthAnything V2": (0.435, 0.053, 0.088, 0.026, 0.971),
            "PromDep": (0.431, 0.051, 0.084, 0.024, 0.974),
            "InstanceDepth": (0.397, 0.045, 0.077, 0.019, 0.983),
        },
    ),
    "nyu": (
        "InstanceDepth, Table 3: NYU Depth v2 test set, all trained on NYU Depth v2",
        ("rel", "rms", "sigma1", "sigma2"),
        {
            "AdaBins": (0.178, 0.595, 0.698, 0.937),
            "TransDepth": (0.106, 0.365, 0.900, 0.983),
            "P3Depth": (0.104, 0.356, 0.898, 0.981),
            "ZoeDepth": (0.077, 0.282, 0.951, 0.994),
            "UniDepth-V": (0.058, 0.201, 0.886, 0.984),
            "DepthAnything V1": (0.056, 0.206, 0.984, 1.0),
            "DepthAnything V2": (0.056, 0.206, 0.984, 0.998),
            "InstanceDepth": (0.056, 0.202, 0.985, 0.999),
        },
    ),
}


def figures(by_clip: dict[str, dict[str, dict]], protocol: Protocol) -> dict[str, float | None]:
    """{metric: mean} of MetricMean.by_clip(): every clip counts alike or, in stills, every frame."""
    clips = list(by_clip["all"].values())
    weights = [clip["frames"] if protocol.each == "frame" else 1 for clip in clips]
    return {metric: _mean([clip[metric] for clip in clips], weights) for metric in LOWER_IS_BETTER + HIGHER_IS_BETTER}


def _mean(values: list[float | None], weights: list[int]) -> float | None:
    known = [(value * weight, weight) for value, weight in zip(values, weights, strict=True) if value is not None]
    return sum(value for value, _ in known) / sum(weight for _, weight in known) if known else None


def table(ours: dict[str, float | None], protocol: Protocol, label: str) -> str:
    """The paper's table of this dataset, or its head alone, and our row below."""
    title, metrics, printed = PAPER.get(protocol.name, (f"{protocol.name}: the paper has no figures", USUAL, {}))
    rows = {**printed, label: [ours[metric] for metric in metrics]}
    width = max(map(len, rows)) + 2
    lines = [title, " " * width + "".join(f"{HEADS.get(metric, metric):>9}" for metric in metrics)]
    lines += [f"{name:{width}}" + "".join(map(_cell, values)) for name, values in rows.items()]
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.3f'):>9}"


def judge_relative(estimator: Estimator, clips: list[Footage], protocol: Protocol | None, out: Path) -> int:
    """Judge weights that give relative disparity: writes NAME.json into out and prints the table; exit status."""
    settings = estimator.settings
    if protocol is None:
        raise ValueError(f"'{settings.weights}' gives relative disparity; metres are judged here, take metric weights")
    scores = aligned(estimator, clips, protocol, settings.frames)
    ours = figures(scores.by_clip(), protocol)
    path = out / f"{protocol.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {"alignment": protocol.each, "weights": settings.weights, **provenance()}
    path.write_text(json.dumps({"published": ours, **scores.result(), **head}, indent=2) + "\n")
    print(table(ours, protocol, f"{Path(settings.weights).stem}, aligned"), f"written: {path}", sep="\n")
    return 0


def aligned(estimator: Estimator, clips: Iterable[Footage], protocol: Protocol, most: int = 0) -> MetricMean:
    """Scores of weights that give relative disparity: one scale and shift each clip, or each frame of stills.

    most: frames of a clip; 0: all.
    """
    scores = MetricMean()
    for footage in clips:
        seen = list(_judged_pixels(estimator, footage, protocol, min(most or len(footage), len(footage))))
        for group in [seen] if protocol.each == "clip" else [[pixels] for pixels in seen]:
            if group:
                _align(footage.about["name"], group, protocol, scores)
        footage.close()
    return scores


def _judged_pixels(estimator: Estimator, footage: Footage, protocol: Protocol, frames: int):
    """Disparity and truth of the pixels that are judged, frame by frame; none of a frame without any."""
    layer, state = "truth_m" if "truth_m" in footage.layers else "depth_m", None
    for index in range(frames):
        shot = footage.read(index, ("color", layer))
        estimate, state = estimator.step(Frame(shot["color"], shot["stamp_ns"], intrinsics=footage.intrinsics), state)
        truth_m = protocol.judged(shot[layer])
        known = np.isfinite(truth_m)
        if known.any():
            yield estimate.disparity[known], truth_m[known]


def _align(clip: str, group: list[tuple[np.ndarray, np.ndarray]], protocol: Protocol, scores: MetricMean) -> None:
    disparity, truth_m = (np.concatenate(parts) for parts in zip(*group, strict=True))
    depth_m = align_disparity(disparity, truth_m, max_depth_m=protocol.limits_m[1])
    ends = np.cumsum([len(truth) for _, truth in group])[:-1]
    for of_frame in zip(np.split(depth_m, ends), np.split(truth_m, ends), strict=True):
        scores.add(clip, *of_frame)
