"""The card beside shipped weights: python -m instance_depth_ros.training.card RUN EVAL.json OUT.md

RUN: the folder of a finished run (log.jsonl, NAME.safetensors); EVAL.json: what `instance-depth eval` wrote of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..model.checkpoint import read
from ..model.presets import ModelConfig

CARD = """# {name}

Streaming metric depth from one camera, trained on simulated scenes alone: it has never seen a real picture. Expect the
shape of a scene to be right before its scale is. Licence: Apache-2.0.

| | |
|---|---|
| network | {network}: residual encoder, spatio-temporal DPT head, {parameters:.1f} M parameters, fp16 |
| input | short side {short_side} px, both sides multiples of {multiple}; RGB, and each pixel's ray |
| output | depth for a focal length of {focal:g} px at the input, multiplied by focal / {focal:g}; confidence |
| data | {clips} clips of nine activities, `instance-depth simulate --split sim-train`, after 2438 of earlier ones |
| recipe | `instance-depth train --config config/train/tiny.yaml`, seed {seed}, {steps} steps, commit {commit} |
| sha256 | {sha256} |

## On sim-val

`instance-depth eval --data sim-val`: {eval_clips} clips, {eval_frames} frames of held-out scenes, streaming,
metric, no alignment ({machine}, {date}).

| | sigma1 | REL |
|---|---|---|
{figures}

## The curve

Held-out clips in training size, of the earlier scenes up to step 6000; `images` and `clips` at half size, `full` at the
size it runs at.

| step | phase | training: term `absolute` | held out: sigma1 | held out: REL |
|---|---|---|---|---|
{curve}
"""


def card(run: Path, evaluation: dict) -> str:
    """Markdown of the card."""
    path = next(run.glob("*.safetensors"))
    tensors, metadata = read(path)
    config = ModelConfig.from_json(metadata["config"])
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return CARD.format(
        name=metadata["name"],
        network=config.name,
        parameters=sum(tensor.numel() for tensor in tensors.values()) / 1e6,
        short_side=config.short_side,
        multiple=config.multiple,
        focal=config.canonical_focal_px,
        clips=metadata["clips"],
        seed=metadata["seed"],
        steps=metadata["steps"],
        commit=metadata["commit"],
        sha256=evaluation["weights_sha256"],
        eval_clips=evaluation["clips"],
        eval_frames=evaluation["frames"],
        machine=evaluation["machine"],
        date=evaluation["date"],
        figures="\n".join(_figures(evaluation)),
        curve="\n".join(_curve(rows)),
    )


def _figures(evaluation: dict):
    best = evaluation["best_constant"]
    for label, result in (
        ("all, 0.1..80 m", evaluation["all"]),
        ("near, 0.1..10 m", evaluation["near"]),
        ("training mean per pixel, all", evaluation["train_mean"]),
        ("best constant per image given the truth, all", best),
    ):
        yield f"| {label} | {result['sigma1']:.3f} | {result['rel']:.3f} |"


def _curve(rows: list[dict]):
    phase, error = "", float("nan")
    for row in rows:
        if "sigma1" in row:
            yield f"| {row['step']} | {phase} | {error:.2f} | {row['sigma1']:.3f} | {row['rel']:.3f} |"
        else:
            phase, error = row["phase"], row["absolute"]


if __name__ == "__main__":
    run, evaluation, out = map(Path, sys.argv[1:])
    out.write_text(card(run, json.loads(evaluation.read_text())))
