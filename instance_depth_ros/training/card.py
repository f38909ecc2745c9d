"""The card beside shipped weights: python -m instance_depth_ros.training.card RECIPE.yaml RUN OUT.md EVAL.json ...

RUN: the folder of a finished run of that recipe (log.jsonl, NAME.safetensors). EVAL.json: what `instance-depth eval`
wrote of its weights, a file a split; out/eval/ablation.json may be among them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from ..model.checkpoint import read
from ..model.presets import ModelConfig
from .phases import TrainConfig

CARD = """# {name}

Streaming metric depth and instances from one camera, trained on simulated scenes alone: it has never seen a real
picture. Expect the shape of a scene to be right before its scale is. Licence: Apache-2.0.

| | |
|---|---|
| network | {network}, {parameters:.2f} M parameters, matrices in 8 bits with a scale a row |
| input | short side {short_side} px, both sides multiples of {multiple}; RGB, and each pixel's ray |
| output | depth in metres, confidence; masks, classes, depth layers and embeddings of {queries} queries |
| ranges | {range_count}, {ranges}, over {range_limits_m[0]:g} to {range_limits_m[1]:g} m |
| data | {clips} clips, `instance-depth simulate --split sim-train` |
| recipe | `instance-depth train --config {recipe}`, seed {seed}, {steps} steps, commit {commit} |
| begins with | {start} |
| sha256 | {sha256} |

## Schedule

| phase | steps | clips a step | frames | input | strides | rates |
|---|---|---|---|---|---|---|
{schedule}

{evaluations}
## The curve

Held-out clips in training size, each phase at its own; `loss` is the sum of the terms of the phase, so phases differ.

| step | phase | loss | sigma1 | REL | recall of instances | REL of layers |
|---|---|---|---|---|---|---|
{curve}
"""
EVALUATION = """## On {split}

`instance-depth eval --data {split}`: {clips} clips, {frames} frames, streaming, metric, no alignment ({machine},
{date}, commit {commit}).

| | {titles} |
|---|{rules}|
{parts}

{others}
"""
METRICS = ("sigma1", "sigma2", "sigma3", "rel", "sq_rel", "rms", "rms_log", "log10", "silog")
PARTS = ("all", "near", "instances", "static", "dynamic", "occlusion_bands", "uncovered")
SIMPLE = ("memory_none", "unrefined", "train_mean", "best_constant")


def card(recipe: Path, run: Path, evaluations: dict[str, dict]) -> str:
    """Markdown of the card; evaluations by the name of their split."""
    plan = TrainConfig.read(recipe)
    path = run / f"{plan.name}.safetensors"
    tensors, metadata = read(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    for split, evaluation in evaluations.items():
        if evaluation.get("weights_sha256", sha256) != sha256:
            raise ValueError(
                f"{split} was evaluated with other weights, {evaluation['weights_sha256']}: evaluate again"
            )
    model = ModelConfig.from_json(metadata["config"])
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    about = {key: getattr(model, key) for key in ("short_side", "multiple", "queries", "range_count", "range_limits_m")}
    return CARD.format(
        **about,
        **{key: metadata[key] for key in ("name", "clips", "commit")},
        seed=plan.seed,
        steps=sum(phase.steps for phase in plan.phases),
        network=model.name,
        ranges={"log": "logarithmic"}.get(model.ranges, model.ranges),
        parameters=sum(tensor.numel() for tensor in tensors.values()) / 1e6,
        recipe=recipe,
        start=plan.start or "random weights",
        sha256=sha256,
        schedule="\n".join(_phase(phase) for phase in plan.phases),
        evaluations="\n".join(_evaluation(split, result) for split, result in evaluations.items()),
        curve="\n".join(_curve(rows)),
    )


def _phase(phase) -> str:
    rates = ", ".join(f"{part} {rate:g}" for part, rate in phase.rates.items() if rate)
    size, strides = (" to ".join(map(str, pair)) for pair in (phase.size, phase.strides))
    size = size.replace(" to ", "x")
    return f"| {phase.name} | {phase.steps} | {phase.batch} | {phase.frames} | {size} | {strides} | {rates} |"


def _evaluation(split: str, result: dict) -> str:
    if "falls" in result:
        falls = (f"| {part} | {_fall(fall)} |" for part, fall in result["falls"].items() if fall)
        head = f"## Ablation on {result['split']}\n\n{len(result['seeds'])} seeds, {result['steps']} steps each.\n"
        return "\n".join([head, "| REL from baseline to whole, of | |", "|---|---|", *falls, ""])
    parts = [(name, result.get(name)) for name in (*PARTS, *SIMPLE)]
    lines = [f"| {name} | {' | '.join(_cell(row.get(m)) for m in METRICS)} |" for name, row in parts if row]
    others = [(key, value) for key, value in result.items() if isinstance(value, int | float) or value is None]
    for which in ("ap50_by_class", "ap50_by_size"):
        others += [(f"ap50 of {name}", value) for name, value in (result.get(which) or {}).items()]
    table = [
        "| | |",
        "|---|---|",
        *(f"| {key} | {_cell(value)} |" for key, value in others if key not in SIMPLE + PARTS),
    ]
    return EVALUATION.format(
        split=split,
        **{key: result[key] for key in ("clips", "frames", "machine", "date", "commit")},
        titles=" | ".join(METRICS),
        rules="---|" * (len(METRICS) - 1) + "---",
        parts="\n".join(lines),
        others="\n".join(table),
    )


def _fall(fall: dict) -> str:
    low, high = fall["interval"]
    return f"falls by {fall['share']:.1%}, 95 % interval {low:.1%} to {high:.1%}, {fall['clips']} clips"


def _cell(value: float | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def _curve(rows: list[dict]):
    phase, loss, beside = "", float("nan"), ("phase", "step", "frames_per_s", "left_s")
    for row in rows:
        if "sigma1" in row:
            figures = (row["sigma1"], row["rel"], row.get("recall"), row.get("layer_rel"))
            yield f"| {row['step']} | {phase} | {loss:.2f} | {' | '.join(map(_cell, figures))} |"
        else:
            phase, loss = row["phase"], sum(value for key, value in row.items() if key not in beside)


if __name__ == "__main__":
    recipe, run, out, *files = map(Path, sys.argv[1:])
    out.write_text(card(recipe, run, {file.stem: json.loads(file.read_text()) for file in files}))
