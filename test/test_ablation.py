"""The ablation compares equals, keeps what is finished, and its intervals follow from pairs of clips."""

import json
from argparse import Namespace
from pathlib import Path

import pytest
import yaml
from test_training import NETWORK, sequences  # noqa: F401, a fixture

from instance_depth_ros.datasets.sequence import open_folder
from instance_depth_ros.evaluation import ablation
from instance_depth_ros.model.preprocess import network_size

RECIPE = Path(__file__).parent.parent / "config/train/ablation.yaml"


def runs(**rels) -> dict:
    """{(variant, seed): result} of lists, one a seed, of REL by clip."""
    return {
        (variant, seed): {"clips": {f"clip{n}": {"instances": rel and {"rel": rel}} for n, rel in enumerate(clips)}}
        for variant, seeds in rels.items()
        for seed, clips in enumerate(seeds)
    }


def test_a_fall_is_of_pairs_of_clips():
    results = runs(baseline=[[0.2, 0.4, 0.9], [0.2, 0.4, 0.9]], full=[[0.08, 0.3, None], [0.12, 0.3, 0.1]])
    fall = ablation.compared(results, "baseline", "full", "instances")
    assert fall["share"] == pytest.approx(1 - 0.4 / 0.6) and fall["clips"] == 2
    assert fall["interval"] == pytest.approx([1 - 0.3 / 0.4, 1 - 0.1 / 0.2])  # one clip drawn twice, the other twice
    assert ablation.compared(runs(baseline=[[None]], full=[[0.1]]), "baseline", "full", "instances") is None


def test_the_recipe_compares_equals():
    shipped = ablation.Ablation.read(RECIPE)
    counts = shipped.parameters()
    assert list(counts) == ["baseline", "holistic", "full"] and len(shipped.seeds) >= 2
    baseline, holistic, full = (recipe.model_config for recipe in shipped.variants.values())
    assert not baseline.ranges and not baseline.queries and holistic.ranges and not holistic.queries and full.queries
    steps = [[phase.steps for phase in recipe.phases] for recipe in shipped.variants.values()]
    assert steps[0] == steps[1] == steps[2]
    assert not any(phase.with_instances for phase in shipped.variants["holistic"].phases)
    for recipe in shipped.variants.values():  # what one variant has and another lacks begins anew in all
        assert set(recipe.anew) == {"ranges", "instances", "occlusion"}
        sizes = {network_size(480, 640, recipe.model_config), *(phase.size for phase in recipe.phases)}
        assert sizes == {(128, 160)}  # trained at the size at which it is evaluated


def test_unequal_variants_are_refused(tmp_path):
    recipe = yaml.safe_load(RECIPE.read_text())
    recipe["variants"]["baseline"]["depths"] = [2, 3, 4, 2]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(ValueError, match="equal parameters within 10%, they have {'baseline': 7"):
        ablation.Ablation.read(tmp_path / "a.yaml").parameters()


def test_an_ablation_from_recipe_to_figures_and_again(sequences, tmp_path, monkeypatch, capsys):  # noqa: F811
    phase = {"steps": 1, "batch": 1, "frames": 1, "size": [64, 96], "zoom": [1.0, 1.0]}
    depth = {"encoder": 1e-3, "depth": 1e-3}
    train = {"name": "x", "model": "tiny", "data": str(sequences), "validation": str(sequences), "seed": 0}
    train |= {"network": NETWORK, "workers": 0}
    train["phases"] = [phase | {"name": "ranges", "rates": depth}]
    train["phases"] += [phase | {"name": "instances", "rates": {"instances": 1e-3}, "instead": depth}]
    variants = {"baseline": {"ranges": "", "queries": 0, "depths": [1, 1, 1, 3]}, "full": {}}
    recipe = {"split": "sim-val", "frames": 2, "seeds": [0, 1], "variants": variants, "train": train}
    file = tmp_path / "ablation.yaml"
    file.write_text(yaml.safe_dump(recipe))
    monkeypatch.setattr(ablation, "open_split", lambda *_: open_folder(sequences))  # that of the split takes minutes
    args = Namespace(config=str(file), out=str(tmp_path / "out"), threads=1)

    assert ablation.main(args) == 0
    result = json.loads((tmp_path / "out/eval/ablation.json").read_text())
    assert set(result["runs"]) == {"baseline-0", "baseline-1", "full-0", "full-1"} and result["steps"] == 2
    assert result["variants"]["full"]["instances"]["rel"] > 0 and result["falls"]["all"]["clips"] == 3
    low, high = result["falls"]["all"]["interval"]
    assert low <= result["falls"]["all"]["share"] <= high
    assert result["runs"]["full-0"]["all"] != result["runs"]["full-1"]["all"]  # another seed is another run
    assert "falls by" in capsys.readouterr().out

    monkeypatch.setattr(ablation, "Trainer", None)  # whatever is trained or evaluated again fails
    monkeypatch.setattr(ablation, "Evaluation", None)
    assert ablation.main(args) == 0
    assert json.loads((tmp_path / "out/eval/ablation.json").read_text())["runs"] == result["runs"]
    for other in ({"frames": 1}, {"folder": "elsewhere"}):  # figures of the same weights, but of other pictures
        file.write_text(yaml.safe_dump(recipe | other))
        with pytest.raises(TypeError, match="NoneType"):
            ablation.main(args)
    file.write_text(yaml.safe_dump(recipe | {"train": train | {"weight_decay": 0.5}}))
    with pytest.raises(ValueError, match="baseline-0 was trained by another recipe"):
        ablation.main(args)
