"""Training sees true geometry, goes on exactly where it was killed, and ends in weights that run."""

import json
from dataclasses import asdict, replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from conftest import SMALL, lively

from instance_depth_ros import config
from instance_depth_ros.datasets.clips import Written, _some
from instance_depth_ros.datasets.sequence import SequenceWriter, camera_json
from instance_depth_ros.estimator import Estimator
from instance_depth_ros.frame import Frame
from instance_depth_ros.geometry import Intrinsics, rays, unproject
from instance_depth_ros.model import checkpoint
from instance_depth_ros.model.preprocess import lens_planes, normalise
from instance_depth_ros.model.temporal import Clip
from instance_depth_ros.training import data
from instance_depth_ros.training.data import Batches, colour_jitter, crop
from instance_depth_ros.training.loop import Trainer
from instance_depth_ros.training.phases import Phase, TrainConfig, only, trained_steps

LENS = replace(Intrinsics.from_fov(96, 72, 70), cy=30.0, fy=75.0)
NORMAL, OFFSET_M = np.array([0.3, 0.4, 0.87]), 5.0
FRAMES = 4
FIGURES = {"sigma1", "rel", "recall", "layer_rel"}
NETWORK = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(SMALL).items()}  # as a YAML file would
REFINED = {"encoder": 1e-4, "depth": 1e-4, "occlusion": 1e-3}


def plane_depth(lens: Intrinsics) -> np.ndarray:
    """(H, W) depth of the plane NORMAL . point = OFFSET_M."""
    ones = np.ones((lens.height, lens.width), np.float32)
    return (OFFSET_M / (unproject(ones, rays(lens)) @ NORMAL)).astype(np.float32)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    "zoom, corner, size", [(1.0, (0, 0), (72, 96)), (1.6, (0.9, 0.3), (72, 96)), (2.0, (0.2, 1), (80, 64))]
)
def test_a_plane_stays_that_plane_through_crop_zoom_and_mirror(zoom, corner, size, mirrored):
    depth_m = np.stack([plane_depth(LENS)] * 2)
    color, ids = np.zeros((2, 72, 96, 3), np.uint8), np.zeros((2, 72, 96), np.uint16)
    _, depths, _, lens = crop(color, depth_m, ids, LENS, size, zoom, np.array(corner), mirrored)
    lens.check(size)
    assert depths.shape == (2, *size)
    normal = NORMAL * (-1, 1, 1) if mirrored else NORMAL
    off_m = unproject(depths[0], rays(lens)) @ normal - OFFSET_M
    # Depth is picked from the nearest pixel: the ray is off by up to half a pixel of the source.
    allowed = 0.75 * depths.max() * (np.abs(normal[:2]) / (LENS.fx, LENS.fy)).sum()
    assert np.abs(off_m).max() < allowed
    assert abs(off_m.mean()) < 0.1 * allowed  # no shift to one side


def test_pictures_depth_and_ids_are_cut_alike():
    place = np.tile(np.arange(96, dtype=np.uint8), (1, 72, 1))
    color, depth, ids = np.stack([place] * 3, -1), place.astype(np.float32), place.astype(np.uint16) * 600
    for mirrored in (False, True):
        colors, depths, cut, _ = crop(color, depth, ids, LENS, (36, 48), 1.5, np.array([0.3, 0.7]), mirrored)
        assert np.abs(colors[..., 0] - depths).max() <= 1
        np.testing.assert_array_equal(cut, depths * 600)


def test_a_table_holds_who_is_seen():
    ids = np.array([[[0, 3, 3], [700, 700, 700]], [[9, 0, 3], [8, 8, 0]]], np.uint16)
    known = [[{"id": 700, "class": "ball"}, {"id": 5, "class": "other"}], [{"id": 3, "class": "person"}]]
    places, classes = data.table(ids, known)
    assert places.tolist() == [[[0, 1, 1], [2, 2, 2]], [[-1, 0, 1], [-1, -1, 0]]]  # of 8 and 9 nothing is known
    assert classes[:3].tolist() == [1, 3, 0] and classes.shape == (data.PLACES,)
    crowd = np.repeat(np.arange(data.PLACES + 2), 2)[1:-1].reshape(1, 1, -1)  # the last has a pixel less than others
    places, classes = data.table(crowd, [[{"id": n, "class": "person"} for n in range(1, data.PLACES + 2)]])
    assert places[0, 0, -1] == -1 and places[0, 0, -2] == data.PLACES and (classes > 0).all()


def test_lens_planes_are_the_rays_and_the_focal_length():
    planes = lens_planes(LENS, 50.0)
    u, v = 80, 10
    expected = [(u - LENS.cx) / LENS.fx, (v - LENS.cy) / LENS.fy, np.log((LENS.fx * LENS.fy) ** 0.5 / 50)]
    np.testing.assert_allclose(planes[:, v, u], expected, rtol=1e-5)
    double = lens_planes(LENS.resized(192, 144), 50.0)
    np.testing.assert_allclose(double[2] - planes[2, 0, 0], np.log(2), rtol=1e-5)


def test_jitter_is_the_same_for_all_frames_of_a_clip():
    still = np.repeat(np.random.default_rng(0).integers(0, 255, (1, 24, 32, 3), np.uint8), 3, 0)
    for seed in range(8):
        out = colour_jitter(still, np.random.default_rng(seed)).astype(float)
        assert np.abs(out.mean((1, 2)) - out[0].mean((0, 1))).max() < 2


def known(number: int, name: str, ids: np.ndarray, truth_m: np.ndarray) -> dict:
    """What a line of frames.jsonl says of an instance."""
    mask = ids == number
    row = {"id": number, "class": name, "area": int(mask.sum()), "box": list(cv2.boundingRect(mask.view(np.uint8)))}
    return row | {"depth_m": float(truth_m[mask].mean()), "visible": None, "hides": None}


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    """Three clips of a textured plane that the camera comes closer to."""
    folder, rng = tmp_path_factory.mktemp("sequences"), np.random.default_rng(0)
    for number in range(3):
        about = {"name": f"plane_{number}", "frames": FRAMES + 1}
        with SequenceWriter(folder / about["name"], about, camera_json(LENS, 0.001, "truth")) as writer:
            for index, near in enumerate(np.linspace(1, 0.9, FRAMES + 1, dtype=np.float32)):
                color = rng.integers(0, 255, (72, 96, 3), np.uint8)
                truth_m = plane_depth(LENS) * near * (1 + number)
                ids = np.zeros((72, 96), np.uint16)
                ids[20:50, 10 + 2 * index : 40] = 7  # a person hides a part of an animal
                ids[30:60, 40:70] = 9
                instances = [known(7, "person", ids, truth_m), known(9, "animal", ids, truth_m)]
                frame = {"stamp_ns": index * 10**8, "instances": instances, "color": color, "truth_m": truth_m}
                writer.add(frame | {"ids": ids})
    return folder


def written(folder) -> Written:
    return Written(folder, data.layers)


def recipe(sequences, **changes) -> TrainConfig:
    phases = (
        Phase("ranges", 2, 2, 1, (64, 96), (1.0, 1.5), {"encoder": 1e-3, "depth": 1e-3}),
        Phase("instances", 2, 1, FRAMES, (64, 64), (1.0, 1.2), {"instances": 1e-3}),
        Phase("refinement", 2, 1, FRAMES, (64, 64), (1.0, 1.2), REFINED, frozen_norm=True),
    )
    fields = {"name": "little", "model": "tiny", "network": NETWORK}
    fields |= {"data": str(sequences), "validation": str(sequences)}
    fields |= {"seed": 5, "phases": phases, "workers": 0, "warm_up": 2, "save_every": 2, "validate_every": 100}
    return TrainConfig(**fields | changes)


class Watched(Trainer):
    """A trainer that keeps its losses."""

    def __init__(self, *args):
        self.curve = {}
        super().__init__(*args)

    def _train_step(self, batch, phase):
        terms = super()._train_step(batch, phase)
        self.curve[self.step] = terms
        return terms


def test_training_lowers_the_loss_and_its_weights_run(sequences, tmp_path):
    phases = (Phase("ranges", 40, 2, 1, (64, 96), (1.0, 1.0), {"encoder": 3e-3, "depth": 3e-3}),)
    trainer = Watched(recipe(sequences, phases=phases, save_every=100, validate_every=40), tmp_path / "run", False)
    trainer.run()
    path = tmp_path / "run/little.safetensors"
    error = [trainer.curve[step]["absolute"] for step in range(40)]
    assert np.mean(error[-8:]) < 0.5 * np.mean(error[:8])
    rows = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert {"step", "sigma1", "rel"} <= set(rows[-1]) and rows[-2]["phase"] == "ranges"

    _, metadata = checkpoint.read(path)
    assert metadata["name"] == "little" and metadata["steps"] == "40" and metadata["seed"] == "5"
    clip = written(sequences).cut(0, 1)
    estimator = Estimator(config.make("depth", weights=str(path)))
    estimate, _ = estimator.step(Frame(clip["color"][0], 0, intrinsics=LENS))
    assert estimate.depth_m.shape == (72, 96) and np.isfinite(estimate.depth_m).any()


def moved(before: dict, after: dict) -> set[str]:
    """The parts of which some tensor, be it a statistic, changed."""
    homes = {"pretrained": "encoder", "head": "depth", "ranges": "depth"}
    changed = {key.split(".")[0] for key in after if not torch.equal(before[key], after[key])}
    return {homes.get(name, name) for name in changed}


def test_each_phase_trains_its_parts_and_leaves_the_others_as_they_are(sequences, tmp_path):
    trainer = Trainer(recipe(sequences, validate_every=2), tmp_path / "run", False)
    states = [{key: value.clone() for key, value in trainer.network.state_dict().items()}]
    for phase, begin in zip(trainer.config.phases, (0, 2, 4), strict=True):
        trainer._phase(phase, begin)
        states.append({key: value.clone() for key, value in trainer.network.state_dict().items()})
    trained = [moved(*pair) for pair in pairwise(states)]
    assert trained == [{"encoder", "depth"}, {"instances"}, {"encoder", "depth", "occlusion"}]

    rows = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [set(row) - {"step"} for row in rows] == [{"sigma1", "rel"}, FIGURES, FIGURES]


def test_the_average_of_a_part_forgets_how_it_began(sequences, tmp_path):
    """By the time that instances are trained, depth has been for long: each has its own pace."""
    phases = recipe(sequences).phases
    assert [trained_steps(phases, "depth", step) for step in (0, 1, 2, 3, 4, 5, 6)] == [0, 1, 2, 2, 2, 3, 4]
    assert [trained_steps(phases, "instances", step) for step in (1, 2, 3, 6)] == [0, 0, 1, 2]
    long_ago = (replace(phases[0], steps=5000), replace(phases[1], steps=4))
    trainer = Trainer(recipe(sequences, phases=long_ago), tmp_path / "run", False)
    first = {key: value.clone() for key, value in trainer.average.items()}
    trainer.step = 5000
    for value in trainer.network.state_dict().values():
        value.add_(1)
    trainer._follow()
    kept = {
        key: 1 - (trainer.average[key] - first[key]).mean().item()
        for key in ("instances.sets", "head.scratch.output_conv1.bias")
    }
    assert list(kept.values()) == pytest.approx([1 / 20, 5001 / 5020], abs=1e-4)
    assert set(trainer.average) == {key for key in trainer.network.state_dict()}


def test_the_losses_follow_from_what_trains(sequences, tmp_path):
    trainer = Watched(recipe(sequences), tmp_path / "run", False)
    trainer.run()
    depth = {"silog", "absolute", "gradient", "foreground", "confidence", "ranges"}
    instances = {"label", "mask", "dice", "layer", "spread", "heat", "embedding"}
    assert set(trainer.curve[0]) == depth and set(trainer.curve[2]) == instances
    assert set(trainer.curve[4]) == depth | {"temporal", "object", "distance"}
    assert all(np.isfinite(list(terms.values())).all() for terms in trainer.curve.values())
    assert trainer.curve[4]["temporal"] > 0 and trainer.curve[4]["object"] > 0


def test_nothing_is_kept_for_a_backward_pass_through_what_is_frozen(sequences):
    network, batch = lively(), Batches(written(sequences), 1, 1, 2, (64, 64), (1.0, 1.0), 64.0, (0,))[0]
    lens = batch["lens"][:, None].expand(-1, 2, -1, -1, -1)
    wanted = {}
    for phase in recipe(sequences).phases[1:]:
        with only(phase, network):
            seen = network.clip(normalise(batch["color"]), lens, Clip.causal(2))
        wanted[phase.name] = (seen.depth.requires_grad, seen.instances.masks.requires_grad)
    assert wanted == {"instances": (False, True), "refinement": (True, False)}


def test_a_run_starts_with_what_fits(sequences, tmp_path, capsys):
    first = Trainer(recipe(sequences), tmp_path / "first", False)
    first._save()
    fewer = recipe(sequences, start=str(tmp_path / "first/last.pt"), network=NETWORK | {"range_count": 5}, seed=6)
    capsys.readouterr()
    second = Trainer(fewer, tmp_path / "second", False)
    assert "anew: ranges.levels" in (said := capsys.readouterr().out) and "head" not in said
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if not key.startswith("ranges."))

    plain = replace(fewer, network=NETWORK, anew=("ranges", "occlusion"))
    theirs = Trainer(plain, tmp_path / "anew", False).network.state_dict()
    other = {key.split(".")[0] for key in ours if not torch.equal(ours[key], theirs[key])}
    assert other == {"ranges", "occlusion"}
    torch.save({"what": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="other.pth has no tensor of the 'tiny' network"):
        Trainer(recipe(sequences, start=str(tmp_path / "other.pth")), tmp_path / "third", False)


def test_strides_spread_the_frames_of_a_clip():
    rng = np.random.default_rng(0)
    drawn = [list(_some(16, 4, rng, (1, 6))) for _ in range(200)]
    assert {frames[1] - frames[0] for frames in drawn} == {1, 2, 3, 4, 5}  # 6 would need 19 frames
    assert all(np.ptp(np.diff(frames)) == 0 and 0 <= frames[0] and frames[-1] < 16 for frames in drawn)
    assert {frames[0] for frames in drawn} == set(range(13)) and list(_some(16, 16, rng, (2, 6))) == list(range(16))
    assert len(_some(3, 1, rng, (1, 6))) == 1


def test_a_step_draws_the_same_whenever_it_is_asked(sequences):
    made = [Batches(written(sequences), 9, 2, 3, (64, 96), (1.0, 1.5), 64.0, (1, 0)) for _ in range(2)]
    made[1][3]
    one, other, next_one = made[0][7], made[1][7], made[0][8]
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not torch.equal(one["color"], next_one["color"])
    assert one["color"].shape == (2, 3, 64, 96, 3) and one["depth_m"].shape == (2, 3, 64, 96)
    lens = one["lens"][0]
    np.testing.assert_allclose(lens[2, 0, 0].exp() * 64, one["focal_px"][0], rtol=1e-5)


def test_clips_shorter_than_a_phase_wants_are_named(sequences):
    with pytest.raises(ValueError, match="clips of 9 frames are asked for, the data has some of 5"):
        Batches(written(sequences), 1, 1, 9, (64, 96), (1.0, 1.0), 64.0, (1, 0))[0]


def test_a_batch_is_divided_evenly_or_refused(sequences, tmp_path):
    phase = Phase("pairs", 1, 12, 1, (64, 64), (1.0, 1.0), REFINED, views=2)
    assert [phase.share(processes) for processes in (1, 2, 3, 6)] == [12, 6, 4, 2]
    with pytest.raises(ValueError, match="'pairs': a batch of 12 .* 4 processes x 2 views; make it 16, or"):
        phase.share(4)
    with pytest.raises(ValueError, match="a batch of 3 .* 1 processes x 2 views; make it 4"):
        Trainer(recipe(sequences, phases=(replace(phase, batch=3),)), tmp_path / "run", False)


def test_a_recipe_with_a_misspelt_word_names_file_and_word(tmp_path):
    good = "name: x\nmodel: tiny\ndata: a\nvalidation: b\nseed: 1\n"
    phase = "phases: [{name: p, steps: 1, batch: 1, frames: 1, size: [8, 8], zoom: [1, 1], rates: {RATES}}]\n"
    for text, said in (
        (good.replace("seed", "sede") + "phases: []", "sede"),
        (good + "weights: {lense: 1}\nphases: []", "lense"),
        (good + phase.replace("RATES", "encoders: 1"), "of encoder, depth, .* phase 'p' has encoders"),
        (good + phase.replace("RATES", "depth: 0"), "phase 'p' trains nothing"),
        (good + "anew: depth\nphases: []", "anew: a list of pretrained, head, .* got 'depth'"),
        (
            good + "network: {queries: 0}\n" + phase.replace("RATES", "instances: 1"),
            "phase 'p' has rates for instances or occlusion, but the network has queries: 0",
        ),
        (good + "layer_scale: feet\nphases: []", "layer_scale must be log or metres, got 'feet'"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(ValueError, match=f"bad.yaml.*{said}"):
            TrainConfig.read(tmp_path / "bad.yaml")
    with pytest.raises(ValueError, match="a model has no query"):
        _ = recipe("data", network={"query": 3}).model_config
