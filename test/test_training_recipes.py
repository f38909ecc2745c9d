"""The recipes that come with the package: each is read, and each trains."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from test_training import NETWORK, Watched, recipe, sequences  # noqa: F401, a fixture

from instance_depth_ros.evaluation.evaluate import weights_sha256
from instance_depth_ros.model.network import DepthNetwork
from instance_depth_ros.training.card import card
from instance_depth_ros.training.curves import Curves
from instance_depth_ros.training.loop import Trainer
from instance_depth_ros.training.phases import Phase, TrainConfig, parts_of
from instance_depth_ros.training.teacher import Teacher, frame

RECIPES = Path(__file__).parent.parent / "config/train"
DEPTH = {"encoder": 1e-3, "depth": 1e-3}


@pytest.mark.parametrize("name", ["tiny", "gid_small", "gid_base", "gid_large"])
def test_a_recipe_has_the_three_phases_of_the_paper(name):
    config = TrainConfig.read(RECIPES / f"{name}.yaml")
    assert config.model_config.queries and config.model_config.ranges
    trained = [tuple(part for part, rate in phase.rates.items() if rate) for phase in config.phases]
    order = [("encoder", "depth"), ("instances",), ("encoder", "depth", "occlusion")]
    # ours goes on with phases in which all learn together, and ends as the paper does
    assert sorted(set(trained), key=trained.index)[:3] == order and trained[-1] == order[-1]
    if name.startswith("gid"):
        assert [phase.steps for phase in config.phases] == [55000, 25000, 25000]
        assert [max(phase.rates.values()) for phase in config.phases] == [1e-5, 1e-5, 1e-4]
        assert config.phases[2].rates["depth"] == 1e-6
        assert {phase.size[0] for phase in config.phases} == {config.model_config.short_side}
        model = config.model_config
        assert model.ranges == "uniform" and model.range_limits_m[1] / model.range_count == 2


def test_the_paper_s_recipe_trains_from_dinov2_on_a_folder_of_gid(sequences, tmp_path, capsys):  # noqa: F811
    config = TrainConfig.read(RECIPES / "gid_small.yaml")
    encoder = DepthNetwork(config.model_config).pretrained.state_dict()
    torch.save({key: torch.randn_like(value) * 0.02 for key, value in encoder.items()}, tmp_path / "dinov2.pth")
    phases = tuple(replace(phase, steps=1, batch=1, frames=2, size=(56, 70)) for phase in config.phases)
    folder = {"data": str(sequences), "validation": str(sequences), "start": str(tmp_path / "dinov2.pth"), "workers": 0}
    trainer = Watched(replace(config, phases=phases, warm_up=1, **folder), tmp_path / "run", False)
    said = capsys.readouterr().out
    assert "pretrained" not in said.split("anew")[1] and "head.scratch" in said
    before = trainer.network.pretrained.cls_token.detach().clone()
    for begin, phase in enumerate(phases):
        trainer._phase(phase, begin)
    assert all(np.isfinite(list(terms.values())).all() for terms in trainer.curve.values())
    assert "ranges" in trainer.curve[0] and "dice" in trainer.curve[1] and "object" in trainer.curve[2]
    assert 0 < (trainer.network.pretrained.cls_token - before).abs().max() < 1e-4
    assert set(parts_of(trainer.network)) == {"encoder", "depth", "instances", "occlusion"}


def test_the_card_tells_what_was_trained_and_how_well(sequences, tmp_path):  # noqa: F811
    config = recipe(sequences, validate_every=10)
    trainer = Trainer(config, tmp_path / "run", False)
    for row in (
        {"phase": "ranges", "step": 10, "silog": 2.0, "ranges": 1.5, "frames_per_s": 9.0, "left_s": 3.0},
        {"step": 10, "sigma1": 0.61, "rel": 0.25},
        {"step": 20, "sigma1": 0.62, "rel": 0.2, "recall": 0.5},
    ):
        trainer.curves.add(row)
    trainer.step = 20
    weights = trainer._export()
    (tmp_path / "little.yaml").write_text(
        "{name: little, model: tiny, data: x, validation: y, seed: 5, start: a.pt, phases: [{name: ranges, steps: 20, "
        "batch: 2, frames: 4, size: [64, 96], zoom: [1, 2], strides: [1, 6], rates: {depth: 5.0e-4, instances: 0}}]}"
    )
    figures = {metric: 0.125 for metric in ("rel", "sigma1", "rms")}
    result = {"all": figures, "near": figures, "dynamic": None, "ap50": 0.5, "idf1": None, "clips": 3, "frames": 30}
    result |= {"machine": "M", "date": "D", "commit": "C", "weights_sha256": weights_sha256(str(weights))}
    fall = {"share": 0.25, "interval": [0.125, 0.5], "clips": 9}
    compared = {"split": "sim-val", "seeds": [0, 1], "steps": 7, "falls": {"instances": fall, "all": None}}
    text = card(tmp_path / "little.yaml", tmp_path / "run", {"sim-test": result, "ablation": compared})
    for said in (
        "| ranges | 20 | 2 | 4 | 64x96 | 1 to 6 | depth 0.0005 |",
        "| 10 | ranges | 3.50 | 0.610 | 0.250 | - | - |",
        "| 20 | ranges | 3.50 | 0.620 | 0.200 | 0.500 | - |",
        "| near | 0.125 | - | - | 0.125 |",
        "| ap50 | 0.500 |",
        "| idf1 | - |",
        "| begins with | a.pt |",
        "| instances | falls by 25.0%, 95 % interval 12.5% to 50.0%, 9 clips |",
    ):
        assert said in text, said
    with pytest.raises(ValueError, match="sim-test was evaluated with other weights, 00"):
        card(tmp_path / "little.yaml", tmp_path / "run", {"sim-test": result | {"weights_sha256": "00"}})


def test_a_student_learns_from_a_teacher_on_pictures_and_videos(sequences, lively_weights, tmp_path):  # noqa: F811
    pictures = tmp_path / "pictures"
    (pictures / "deeper").mkdir(parents=True)
    rng = np.random.default_rng(0)
    cv2.imwrite(str(pictures / "a.png"), rng.integers(0, 255, (90, 200, 3), np.uint8))
    video = cv2.VideoWriter(str(pictures / "deeper/b.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 72))
    for grey in (40, 200):
        video.write(np.full((72, 96, 3), grey, np.uint8))
    video.release()
    assert [round(frame(pictures / "deeper/b.avi", when).mean(), -1) for when in (0.0, 0.9)] == [40, 200]

    phases = (Phase("ranges", 12, 1, 1, (64, 96), (1.0, 1.0), DEPTH, distilled=3),)
    weights = replace(recipe(sequences).weights, absolute=0, silog=0, gradient=0, ranges=0, distilled=1.0)
    taught = {"teacher": str(lively_weights), "unlabelled": str(pictures)}
    config = recipe(sequences, phases=phases, weights=weights, **taught)
    trainer = Watched(config, tmp_path / "run", False)
    trainer._phase(phases[0], 0)
    error = [trainer.curve[step]["distilled"] for step in range(12)]
    assert np.mean(error[-3:]) < 0.9 * np.mean(error[:3])

    dark, light = (torch.full((1, 64, 96, 3), grey, dtype=torch.uint8) for grey in (0, 250))
    teacher = Teacher(str(lively_weights), torch.device("cpu"))
    assert not teacher.disparity(dark).allclose(teacher.disparity(light))
    with pytest.raises(FileNotFoundError, match="unlabelled: no .jpg"):
        Trainer(replace(config, unlabelled=str(lively_weights)), tmp_path / "none", False)._loader(phases[0], 0)
    with pytest.raises(ValueError, match="needs teacher: WEIGHTS and unlabelled: DIR"):
        recipe(sequences, phases=phases)


def test_curves_go_on_where_a_killed_run_was_saved(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as if it were not installed
    first = Curves(tmp_path, 0)
    for step in (10, 20, 30):
        first.add({"step": step, "phase": "ranges", "silog": 1 / 3})
    assert "pip install tensorboard" in capsys.readouterr().out
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 40, "ph')
    Curves(tmp_path, 20).add({"step": 30, "silog": 2.0})
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(row["step"], row["silog"]) for row in rows] == [(10, 0.3333), (20, 0.3333), (30, 2.0)]
    Curves(tmp_path, 0)
    assert not (tmp_path / "log.jsonl").read_text()  # a new run in an old folder


def test_curves_are_on_tensorboard(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    curves = Curves(tmp_path, 0)
    curves.add({"step": 10, "phase": "ranges", "silog": 0.5})
    curves.close()
    board = events.EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(event.step, event.value) for event in board.Scalars("silog")] == [(10, 0.5)]
