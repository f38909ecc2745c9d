"""A split is the same on every machine, keeps scenes together and activities in proportion; training and eval obey."""

import json
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from instance_depth_ros.cli import main
from instance_depth_ros.datasets.clips import open_clips
from instance_depth_ros.datasets.partition import PARTS, open_part, scenes
from instance_depth_ros.datasets.published import open_published
from instance_depth_ros.datasets.sequence import SequenceWriter, camera_json, open_folder
from instance_depth_ros.geometry import Intrinsics

LENS = Intrinsics.from_fov(4, 3, 60)
NOON_NS = 1_780_000_000 * 10**9


def write(folder, name, start_ns=0, frames=2, **about):
    about = {"name": name, "frames": frames, "activity": "dance", "source": "recorded"} | about
    with SequenceWriter(folder / name, about, camera_json(LENS, 1e-3, "sensor")) as writer:
        for index in range(frames):
            picture = np.zeros((3, 4, 3), np.uint8)
            shot = {"color": picture, "depth_m": np.ones((3, 4), np.float32)}
            writer.add({"stamp_ns": start_ns + index * 10**9, "instances": [], **shot})


def split(folder, *options) -> dict[str, list[str]]:
    assert main(["dataset", "split", str(folder), *options]) == 0
    said = json.loads((folder / "split.json").read_text())
    return {part: said[part] for part in PARTS}


@pytest.fixture(scope="module")
def games(tmp_path_factory):
    """Forty recordings: 20 of basketball, 10 of dance, 5 each of zoo and volleyball, an hour apart."""
    folder = tmp_path_factory.mktemp("games")
    for day, (activity, count) in enumerate((("basketball", 20), ("dance", 10), ("zoo", 5), ("volleyball", 5))):
        for number in range(count):
            hours = number + 24 * day
            write(folder, f"{activity}_{number}", NOON_NS + hours * 3600 * 10**9, activity=activity)
    return folder


def test_whole_videos_of_every_activity_in_proportion(games, capsys):
    parts = split(games, "--force")
    counted = {part: Counter(name.split("_")[0] for name in names) for part, names in parts.items()}
    assert counted["test"] == {"basketball": 4, "dance": 2, "zoo": 1, "volleyball": 1}
    assert counted["val"].total() == 4 and counted["val"]["basketball"] == 2
    assert counted["train"].total() == 28 and len({n for names in parts.values() for n in names}) == 40
    (line,) = (line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("basketball"))
    assert line == ["basketball", "14", "2", "4"]


def test_the_seed_decides_and_nothing_else(games):
    parts = split(games, "--force")
    # frozen: another machine, another year, another order of files
    drawn = "basketball_13 basketball_16 basketball_3 basketball_7 dance_2 dance_3 volleyball_0 zoo_0"
    assert parts["test"] == drawn.split()
    other = split(games, "--force", "--seed", "1")
    assert other["test"] != parts["test"] and len(other["test"]) == 8
    code = "from instance_depth_ros.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "dataset", "split", str(games), "--force"]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert json.loads((games / "split.json").read_text())["test"] == parts["test"]


def test_cameras_of_the_same_moment_fall_on_the_same_side(tmp_path):
    for number in range(6):
        start_ns = NOON_NS + number * 60 * 10**9
        # the rear camera begins while the front one records, the roof's while the rear one does
        for name, later_s in (("front", 0), ("rear", 4), ("roof", 8)):
            write(tmp_path, f"{name}_{number}", start_ns + later_s * 10**9, frames=6)
        write(tmp_path, f"sim_{number}_0", seed=number, source="simulated", split="train")
        write(tmp_path, f"sim_{number}_1", seed=number, source="simulated", split="train")
        write(tmp_path, f"phone_{number}_a", scene=f"court {number}")
        write(tmp_path, f"phone_{number}_b", scene=f"court {number}")
        write(tmp_path, f"photos_{number}")  # stamps from 0 say nothing
    part_of = {name: part for part, names in split(tmp_path).items() for name in names}
    assert Counter(part_of.values())["test"] >= 4
    for number in range(6):
        for group in (("front", "rear", "roof"), ("sim_{}_0", "sim_{}_1"), ("phone_{}_a", "phone_{}_b")):
            names = [name.format(number) if "{" in name else f"{name}_{number}" for name in group]
            assert len({part_of[name] for name in names}) == 1, names
    assert len(scenes(open_folder(tmp_path))) == 4 * 6, "photos stand alone"


def test_training_and_eval_keep_to_it(games):
    parts = split(games, "--force")
    names = {part: [one.about["name"] for one in open_part(games, part)] for part in PARTS}
    assert names == parts
    written = open_clips(games, ("color",))
    assert {written.cut(index, 1)["about"]["name"] for index in range(written.count)} == set(parts["train"])
    clips, _ = open_published("gid", games)
    assert [clip.about["name"] for clip in clips] == parts["test"]
    (games / "split.json").unlink()
    assert len(open_part(games, "train")) == len(open_published("gid", games)[0]) == 40, "not split: all for both"


def test_a_split_is_not_lost_by_mistake(games, capsys):
    parts = split(games, "--force")
    assert main(["dataset", "split", str(games), "--seed", "5"]) == 1
    assert "split.json is there already" in capsys.readouterr().err
    assert [one.about["name"] for one in open_part(games, "test")] == parts["test"]


def test_a_split_that_does_not_fit_its_folder_is_named(tmp_path, capsys):
    for number in range(4):
        write(tmp_path, f"video_{number}")
    split(tmp_path, "--val", "0")
    with pytest.raises(ValueError, match="no 'val'.* give --val a share.*--force"):
        open_part(tmp_path, "val")
    write(tmp_path, "late")
    with pytest.raises(ValueError, match="split.json does not name late; .*dataset split .*--force"):
        open_part(tmp_path, "train")
    (tmp_path / "late").rename(tmp_path / ".late")
    (tmp_path / "video_2").rename(tmp_path / ".gone")
    with pytest.raises(ValueError, match="names, though it is gone, video_2"):
        open_part(tmp_path, "train")
    (tmp_path / "split.json").write_text('{"train": ["video_0"], "val": ["video_0"], "test": []}')
    with pytest.raises(ValueError, match="names a sequence twice"):
        open_part(tmp_path, "train")
    (tmp_path / "split.json").write_text("[]")
    assert main(["dataset", "statistics", str(tmp_path)]) == 1
    assert "split.json: lacks or misspells" in capsys.readouterr().err


def test_too_few_scenes_are_said(tmp_path, capsys):
    write(tmp_path, "one", NOON_NS)
    write(tmp_path, "two", NOON_NS)
    assert main(["dataset", "split", str(tmp_path)]) == 1
    assert "1 scenes cannot give 1 for test and 1 for val" in capsys.readouterr().err
    assert not (tmp_path / "split.json").exists()
