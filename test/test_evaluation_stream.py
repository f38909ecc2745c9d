"""A made-up estimator through the whole evaluation: truth scores full, and it is shown what a robot would be."""

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import SMALL, lively

from instance_depth_ros import config
from instance_depth_ros.cli import main
from instance_depth_ros.datasets.sequence import SequenceWriter, camera_json
from instance_depth_ros.estimator import Estimator, State
from instance_depth_ros.evaluation import drift, evaluate, stream
from instance_depth_ros.frame import Estimate, Instance
from instance_depth_ros.geometry import Intrinsics
from instance_depth_ros.model import checkpoint

pytest.importorskip("pycocotools")
pytest.importorskip("trackeval.metrics")
SIZE = (96, 128)
LENS = Intrinsics.from_fov(SIZE[1], SIZE[0], 60)
WALL_M, PERSON_M, BALL_M = 8.0, 5.0, 2.5


class Parade:
    """A person walks before a wall; a ball at rest is before the person for a while. The camera goes sideways."""

    layers, intrinsics = ("color", "truth_m", "ids", "static"), LENS

    def __init__(self, name="parade", frames=20, layers=layers):
        self.about, self._frames, self.layers = {"name": name, "renderer": "numpy"}, frames, layers

    def __len__(self):
        return self._frames

    def read(self, index, layers):
        ids, truth = np.zeros(SIZE, np.uint16), np.full(SIZE, WALL_M, np.float32)
        rows = []
        for who, kind, x, y, w, h, depth_m in (
            (1, "person", 10 + 4 * index, 20, 16, 60, PERSON_M),
            (2, "ball", 60, 60, 24, 24, BALL_M),
        ):
            ids[y : y + h, x : x + w], truth[y : y + h, x : x + w] = who, depth_m
            rows.append({"id": who, "class": kind, "box": [x, y, w, h], "still": who == 2, "hides": []})
        for row in rows:
            row["area"] = int((ids == row["id"]).sum())
            row["visible"] = row["area"] / (row["box"][2] * row["box"][3])
            row["depth_m"] = PERSON_M if row["id"] == 1 else BALL_M
        if rows[0]["visible"] < 1:
            rows[1]["hides"] = [1]
        pose = np.eye(4)
        pose[0, 3] = 0.001 * index
        shot = {"color": np.full((*SIZE, 3), index, np.uint8), "truth_m": truth, "ids": ids, "static": ids != 1}
        return {name: shot[name] for name in layers} | {
            "stamp_ns": index * 100_000_000,
            "world_from_camera": pose,
            "instances": rows,
        }


@dataclass
class Told(State):
    """A state that says where it was forked."""

    index: int = 0

    def clone(self):
        return f"fork after {self.index}"


class Teller:
    """Says what is true of the frame whose number is its colour, and remembers how it was asked."""

    def __init__(self, clip, wrong=lambda estimate, index: estimate):
        self.clip, self.wrong, self.calls, self.instances = clip, wrong, [], "made up"
        self.settings = SimpleNamespace(instances="network", rectify=True)

    def index(self, frame):
        return int(frame.color[0, 0, 0])

    def step(self, frame, state=None):
        index = self.index(frame)
        self.calls.append((index, self.settings.rectify, state, frame))
        shot = self.clip.read(index, self.clip.layers)
        told = tuple(
            Instance(
                row["id"] + 40,
                row["id"],
                1 if row["class"] == "person" else 3,
                0.9,
                row["depth_m"],
                0.1,
                row["visible"],
                0,
                0.0,
                tuple(row["box"]),
                (0, 0, 1),
                (1, 1, 1),
            )  # fmt: skip
            for row in shot["instances"]
        )
        sure = np.full(SIZE, 255, np.uint8)
        estimate = Estimate(0, "", LENS, shot["truth_m"].copy(), sure, sure, ids=shot["ids"], instances=told)
        return self.wrong(estimate, index), Told(index=index)


def judged(teller, **options):
    evaluation = evaluate.Evaluation(teller, **options)
    evaluation.clip(teller.clip)
    return evaluation


def test_truth_scores_full(tmp_path):
    evaluation = judged(Teller(Parade()), without_memory=True)
    result = evaluation.result()
    for part in ("all", "near", "instances", "static", "dynamic", "occlusion_bands", "uncovered"):
        assert (result[part]["rel"], result[part]["sigma1"]) == (0, 1), part
    assert (result["all"]["frames"], result["occlusion_bands"]["frames"]) == (20, 10)
    ones = "ap ap50 order_accuracy order_accuracy_unrefined idf1 hota boundary_f1 layer_within_sigma".split()
    assert [result[name] for name in ones] == pytest.approx(np.ones(len(ones)))
    zeros = "ece ause invented_at_borders missed_obstacles false_obstacles id_switches instance_rel layer_rel".split()
    assert [result[name] for name in zeros] == pytest.approx(np.zeros(len(zeros)))
    assert result["tae"] == result["tae_truth"] == result["tae_without_memory"]
    assert result["order_accuracy_heuristic"] == 1  # the ball reaches lower
    assert result["order_pairs"] == 2  # of the frames 9 and 14
    assert "invented_at_borders 0.000" in evaluate.table(result)
    evaluation.sheet(tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[1] > 7 * 320  # with both pictures of masks


def test_faults_show_where_they_are():
    def person_10_percent_off(estimate, index):
        depth_m = estimate.depth_m.copy()
        depth_m[estimate.ids == 1] *= 1.1
        return replace(estimate, depth_m=depth_m)

    def ball_unseen(estimate, index):
        depth_m = estimate.depth_m.copy()
        depth_m[estimate.ids == 2] = WALL_M
        return replace(estimate, depth_m=depth_m)

    def flicker(estimate, index):
        return replace(estimate, depth_m=estimate.depth_m * np.float32(1.02 if index % 2 else 1))

    result = judged(Teller(Parade(), person_10_percent_off)).result()
    assert result["dynamic"]["rel"] == pytest.approx(0.1) and result["static"]["rel"] == 0
    assert 0 < result["instances"]["rel"] < 0.1 and result["instance_rel"] == pytest.approx(0.05, abs=0.01)
    result = judged(Teller(Parade(), ball_unseen)).result()
    assert result["missed_obstacles"] == 1 and result["order_accuracy"] == 0
    result = judged(Teller(Parade(), flicker)).result()
    # both ways: 2 % over 1.02 and over 1
    assert result["tae"] - result["tae_truth"] == pytest.approx(100 * 0.02 * (1 + 1 / 1.02) / 2, rel=0.05)


def test_depth_between_two_instances_is_invented_at_their_borders():
    def smeared_ball(estimate, index):
        depth_m = estimate.depth_m.copy()
        rim = (estimate.ids == 2).astype(np.uint8)
        depth_m[(rim > 0) & (cv2.erode(rim, np.ones((5, 5), np.uint8)) == 0)] = 3.5  # the person is at 5 m, it at 2.5
        return replace(estimate, depth_m=depth_m)

    def nothing_found(estimate, index):
        return replace(estimate, ids=np.zeros(SIZE, np.uint16), instances=())

    # Borders are the ball's pixels within 2 px of the person, which are wrong, and the person's within 2 px of it.
    # Frame 9: a corner, 2 x 22 and 2 x 2 of the ball, 2 x 20 and 2 x 4 of the person; 14: a line, 2 x 20 and 2 x 16.
    result = judged(Teller(Parade(), smeared_ball)).result()
    assert result["invented_at_borders"] == pytest.approx((48 / 96 + 40 / 72) / 2)
    assert judged(Teller(Parade(), nothing_found)).result()["invented_at_borders"] is None


def test_the_unrefined_and_memoryless_are_asked_for_beside_the_stream():
    teller = Teller(Parade(frames=11))
    judged(teller, without_memory=True)
    stream = [call for call in teller.calls if call[1] and call[2] is not None]
    assert [index for index, *_ in stream] == list(range(1, 11))
    assert all(not isinstance(state, str) for _, _, state, _ in stream)
    unrefined = [(index, state) for index, rectify, state, _ in teller.calls if not rectify]
    assert unrefined == [(4, "fork after 3"), (9, "fork after 8")]
    alone = [index for index, rectify, state, _ in teller.calls if rectify and state is None]
    assert alone == [0, 3, 4, 8, 9]
    assert teller.settings.rectify
    assert all(frame.world_from_camera is None and frame.ids is None for *_, frame in teller.calls)
    teller = Teller(Parade(frames=11))
    teller.settings.rectify = False
    assert judged(teller).result()["order_accuracy_unrefined"] is None and len(teller.calls) == 11


def test_of_a_clip_shorter_than_five_frames_the_last_is_sampled():
    teller = Teller(Parade(frames=2))
    result = judged(teller, without_memory=True).result()
    assert [(index, state) for index, rectify, state, _ in teller.calls if not rectify] == [(1, "fork after 0")]
    assert result["unrefined"]["rel"] == result["memory_none"]["rel"] == 0 and result["tae"] == result["tae_truth"]
    assert judged(Teller(Parade(frames=1))).result()["unrefined"]["rel"] == 0


def test_true_ids_are_given_to_instances_topic_alone():
    teller = Teller(Parade(frames=2))
    teller.settings.instances = "topic"
    judged(teller)
    assert all((frame.ids == teller.clip.read(index, ("ids",))["ids"]).all() for index, *_, frame in teller.calls)
    teller.clip = Parade(frames=2, layers=("color", "truth_m"))
    with pytest.raises(ValueError, match="needs true ids, which parade lacks"):
        judged(teller)


def test_long_clips_are_judged_every_fifth_frame(monkeypatch):
    monkeypatch.setattr(evaluate, "LONG", 12)
    assert judged(Teller(Parade(frames=13))).result()["frames"] == 2
    assert judged(Teller(Parade(frames=12))).result()["frames"] == 12


def test_depth_is_clipped_to_the_limits_of_a_protocol():
    def doubled(estimate, index):
        return replace(estimate, depth_m=estimate.depth_m * 2)

    result = judged(Teller(Parade(frames=1), doubled), limits_m=(0.1, WALL_M)).result()
    truth = Parade().read(0, ("truth_m",))["truth_m"]
    assert result["all"]["rel"] == pytest.approx(np.mean(np.minimum(2 * truth, WALL_M) / truth - 1), rel=1e-5)


def test_a_published_dataset_is_judged_by_its_protocol(tmp_path, monkeypatch, capsys):
    clip = Parade(frames=3)
    folder = tmp_path / "data" / "parade"
    with SequenceWriter(folder, clip.about | {"frames": 3}, camera_json(LENS, 0.001, "truth")) as writer:
        for index in range(3):
            shot = clip.read(index, clip.layers)
            writer.add(shot | {"depth_m": shot.pop("truth_m")})

    def half_as_far_again(estimate, index):
        return replace(estimate, depth_m=estimate.depth_m * 1.5)

    teller = Teller(clip, half_as_far_again)
    teller.relative, teller.engine = False, SimpleNamespace(info={"engine": "eager", "precision": "fp32"})
    # colours come from JPEG: the frame's number is that of its stamp
    teller.index = lambda frame: round(frame.stamp_ns / 1e8)
    monkeypatch.setattr(evaluate, "Estimator", lambda settings: teller)
    options = ["--weights", "random:tiny", "--instance-weights", "a/model", "--out", str(tmp_path)]
    assert main(["eval", "--data", f"gid:{tmp_path / 'data'}", *options]) == 0
    result = json.loads((tmp_path / "gid.json").read_text())
    truth = [clip.read(index, ("truth_m",))["truth_m"] for index in range(3)]
    # the wall at 8 m is said to be 12 m away, and clipped to the 10 m where GID ends
    expected = np.mean(np.where(np.array(truth) == WALL_M, 0.25, 0.5))
    assert result["published"]["rel"] == pytest.approx(expected, rel=1e-3)
    assert result["idf1"] == 1 and result["by_clip"]["parade"]["all"]["rel"] == pytest.approx(expected, rel=1e-3)
    assert result["settings"] == {"instance_weights": "a/model"}
    assert "GID test set" in capsys.readouterr().out


@pytest.mark.parametrize("data", ["sim-train", "nyu:", ":here", "moon"])
def test_data_are_a_held_out_split_or_a_named_folder(data, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["eval", "--data", data])
    assert "must be sim-val, sim-test, sim-long or NAME:DIR" in capsys.readouterr().err


class Noise:
    """A new random picture each frame."""

    layers, intrinsics, about = ("color", "truth_m"), Intrinsics.from_fov(64, 32, 60), {"name": "noise"}

    def __len__(self):
        return 400

    def read(self, index, layers):
        color = np.random.default_rng(index).integers(0, 256, (32, 64, 3), np.uint8)
        return {"color": color, "truth_m": np.ones((32, 64), np.float32), "stamp_ns": index * 10**8, "instances": []}


def test_drift_follows_from_two_stretches(tmp_path, monkeypatch):
    """What is left out before the late stretch cannot be felt there; with much less before it, it can."""
    monkeypatch.setattr(drift, "EARLY", (5, 20))
    monkeypatch.setattr(drift, "LATE", (390, 400))
    bare = tmp_path / "bare.safetensors"  # depth alone, in half of the time
    checkpoint.save(lively(replace(SMALL, queries=0, ranges="")), bare, {"name": "bare"}, exact=True)
    small = {"weights": str(bare), "precision": "fp32", "cut_threshold": 1.0, "network_short_side": 32}
    estimator = Estimator(config.make("depth", **small, threads=1, instances="none"))

    def late(indices):
        streamed = stream.moments(estimator, Noise(), indices)
        return np.stack([moment.estimate.depth_m for moment in streamed if moment.index >= 390])

    indices = drift.stretches(400)
    assert len(indices) == 20 + 338 and indices[20] == 62
    whole = late(range(400))
    assert late(indices) == pytest.approx(whole, rel=1e-4, nan_ok=True)
    assert np.nanmax(np.abs(late([*range(20), *range(370, 400)]) / whole - 1)) > 1e-3


def test_drift_alone_is_of_the_frames_it_follows_from(monkeypatch):
    monkeypatch.setattr(drift, "EARLY", (1, 10))
    monkeypatch.setattr(drift, "LATE", (35, 40))
    monkeypatch.setattr(drift, "FELT", 8)
    teller = Teller(
        Parade(frames=45), lambda estimate, index: replace(estimate, depth_m=estimate.depth_m * (1 + (index > 30)))
    )
    result = judged(teller, drift_only=True, without_memory=True).result()
    assert result["drift"] == result["drift_without_memory"] == -1
    assert sorted({index for index, *_ in teller.calls}) == [*range(10), *range(27, 40)]
