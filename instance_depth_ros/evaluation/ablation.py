"""`instance-depth ablation`: Table 4 of the paper, baseline, + holistic initialisation, + instances, on equal terms.

All variants have as many parameters (within 10 %), steps, the same start weights (but for what all begin `anew`) and,
for each seed, the same data in the same order; each is evaluated as the robot would run it. Finished runs and
evaluations are kept.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from .. import config
from ..datasets.clips import open_split
from ..estimator import Estimator
from ..model.network import DepthNetwork
from ..provenance import provenance
from ..shared import shared_file
from ..training.loop import Trainer, begin_process, end_process
from ..training.phases import TrainConfig
from .evaluate import Evaluation, weights_sha256

SLACK = 0.1  # of parameters between variants
DRAWS = 10_000  # of the bootstrap
COMPARED = ("all", "instances", "occlusion_bands")
ERRORS = ("rel", "rms", "rms_log", "log10", "sigma1", "sigma2", "sigma3")


@dataclass(frozen=True)
class Ablation:
    """What config/train/ablation.yaml holds: the split to evaluate on, seeds, and the recipe of each variant.

    The first variant is the baseline, the last the whole.
    """

    split: str
    folder: str | None
    frames: int
    seeds: tuple[int, ...]
    variants: dict[str, TrainConfig]

    @classmethod
    def read(cls, path: Path) -> Ablation:
        try:
            file = yaml.safe_load(path.read_text())
            recipe, variants = file["train"], file["variants"]
            recipes = {name: _recipe(recipe, name, network, str(path)) for name, network in variants.items()}
            seeds = tuple(file.get("seeds", (0, 1)))
            return cls(file["split"], file.get("folder") or None, file.get("frames", 0), seeds, recipes)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: it lacks or misspells {error}") from error

    def parameters(self) -> dict[str, int]:
        """How many each variant has; ValueError where they differ by more than 10 %."""
        counts = {
            name: sum(p.numel() for p in DepthNetwork(recipe.model_config).parameters())
            for name, recipe in self.variants.items()
        }
        if max(counts.values()) > (1 + SLACK) * min(counts.values()):
            raise ValueError(
                f"variants must have equal parameters within {SLACK:.0%}, they have {counts}: change depths"
            )
        return counts


def _recipe(recipe: dict, name: str, network: dict, origin: str) -> TrainConfig:
    """The recipe of a variant; one without instances takes the rates that stand under `instead`."""
    network = {**recipe.get("network", {}), **network}
    phases = [dict(phase) for phase in recipe["phases"]]
    for phase in phases:
        instead = phase.pop("instead", phase["rates"])
        if network.get("queries") == 0:
            phase["rates"] = instead
    return TrainConfig.of({**recipe, "name": name, "network": network, "phases": phases}, origin)


def train(ablation: Ablation, folder: Path) -> dict[tuple[str, int], Path]:
    """(variant, seed) -> its weights; trains what is not there yet."""
    weights = {}
    for seed in ablation.seeds:
        for variant, recipe in ablation.variants.items():
            run, recipe = folder / f"{variant}-{seed}", replace(recipe, seed=seed)
            weights[variant, seed] = run / f"{recipe.name}.safetensors"
            _same(run / "recipe.txt", repr(recipe))
            if not weights[variant, seed].is_file():
                Trainer(recipe, run, resume=True).run()
    return weights


def _same(path: Path, text: str) -> None:
    """Runs of two recipes are not to be mixed."""
    if path.is_file() and path.read_text() != text:
        raise ValueError(f"{path.parent} was trained by another recipe: remove it, or choose another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def evaluate(ablation: Ablation, weights: Path, with_instances: bool, threads: int) -> dict:
    """{all, instances, occlusion_bands: errors, clips: by clip} of one run, kept beside its weights."""
    kept = weights.with_name(f"{ablation.split}.json")
    asked = {"split": ablation.split, "folder": ablation.folder, "frames": ablation.frames}
    asked["weights_sha256"] = weights_sha256(str(weights))
    if kept.is_file() and asked.items() <= (known := json.loads(kept.read_text())).items():
        return known
    instances = "network" if with_instances else "none"
    estimator = Estimator(config.make("depth", weights=str(weights), instances=instances, threads=threads))
    evaluation = Evaluation(estimator)
    for footage in open_split(ablation.split, ablation.folder):
        with closing(footage):
            evaluation.clip(footage, ablation.frames)
    result = evaluation.result()
    errors = {part: {name: (result[part] or {}).get(name) for name in ERRORS} for part in COMPARED}
    found = {**asked, **errors, "clips": evaluation.by_clip()}
    kept.write_text(json.dumps(found, indent=1))
    return found


def compared(results: dict[tuple[str, int], dict], baseline: str, whole: str, part: str) -> dict | None:
    """By which share REL of a part falls from baseline to whole: paired over clips, each the mean over its seeds.

    interval: 95 %, of the bootstrap over clips.
    """
    of = {}
    for variant in (baseline, whole):
        runs = [result["clips"] for (name, _), result in results.items() if name == variant]
        clips = [clip for clip in runs[0] if all((run[clip][part] or {}).get("rel") is not None for run in runs)]
        of[variant] = {clip: np.mean([run[clip][part]["rel"] for run in runs]) for clip in clips}
    clips = sorted(of[baseline].keys() & of[whole].keys())
    if not clips:
        return None
    before, after = (np.array([of[variant][clip] for clip in clips]) for variant in (baseline, whole))
    drawn = np.random.default_rng(0).integers(len(clips), size=(DRAWS, len(clips)))
    falls = 1 - after[drawn].mean(1) / before[drawn].mean(1)
    interval = [float(x) for x in np.percentile(falls, (2.5, 97.5))]
    return {"share": float(1 - after.mean() / before.mean()), "interval": interval, "clips": len(clips)}


def table(results: dict[tuple[str, int], dict], ablation: Ablation) -> dict[str, dict]:
    """{variant: {all: {rel, ...}, instances, occlusion_bands}}: the mean over seeds, None where there was nothing."""
    rows = {}
    for variant in ablation.variants:
        runs = [results[variant, seed] for seed in ablation.seeds]
        rows[variant] = {part: {name: _mean([run[part][name] for run in runs]) for name in ERRORS} for part in COMPARED}
    return rows


def _mean(values: list[float | None]) -> float | None:
    return None if None in values else float(np.mean(values))


def main(args) -> int:
    """args: config, out, threads. Writes OUT/eval/ablation.json; runs go to OUT/train/ablation."""
    recipe = Path(args.config) if args.config else shared_file("config/train/ablation.yaml")
    ablation, out = Ablation.read(recipe), Path(args.out)
    counts = ablation.parameters()
    rank = begin_process(args.threads)
    weights = train(ablation, out / "train/ablation")
    end_process()
    if rank:
        return 0  # the first process evaluates
    results = {}
    for (variant, seed), path in weights.items():
        with_instances = ablation.variants[variant].model_config.queries > 0
        results[variant, seed] = evaluate(ablation, path, with_instances, args.threads)
    baseline, *_, whole = ablation.variants
    rows = table(results, ablation)
    result = {
        "split": ablation.split,
        "seeds": list(ablation.seeds),
        "steps": sum(phase.steps for phase in ablation.variants[whole].phases),
        "parameters": counts,
        "variants": rows,
        "falls": {part: compared(results, baseline, whole, part) for part in COMPARED},
        "runs": {
            f"{variant}-{seed}": {part: run[part] for part in COMPARED} for (variant, seed), run in results.items()
        },
        **provenance(),
    }
    path = out / "eval/ablation.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    print("\n".join(_lines(rows, result["falls"], baseline, whole)))
    print(f"written: {path}")
    return 0


def _lines(rows: dict, falls: dict, baseline: str, whole: str):
    yield f"{'':12}{'REL':>8}{'RMS':>8}{'sigma1':>8}{'sigma2':>8}{'sigma3':>8}"
    for variant, parts in rows.items():
        figures = (parts["all"][name] for name in ("rel", "rms", "sigma1", "sigma2", "sigma3"))
        yield f"{variant:12}" + "".join(f"{'-':>8}" if value is None else f"{value:8.4f}" for value in figures)
    for part, fall in falls.items():
        if fall:
            low, high = fall["interval"]
            what = f"REL of {part.replace('_', ' ')} falls by {fall['share']:.1%} from {baseline} to {whole}"
            yield f"{what}, 95 % interval {low:.1%} to {high:.1%}, {fall['clips']} clips"
