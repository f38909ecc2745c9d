"""Sequences are read as they were written, whole or not at all; splits share nothing; statistics count."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest

from instance_depth_ros import config
from instance_depth_ros.cli import main
from instance_depth_ros.datasets import clips
from instance_depth_ros.datasets.layers import LAYERS
from instance_depth_ros.datasets.sequence import Sequence, SequenceWriter, camera_json, open_folder
from instance_depth_ros.datasets.splits import endless_clips, split_clips
from instance_depth_ros.geometry import Intrinsics

SIZE = HEIGHT, WIDTH = 36, 48
LENS = Intrinsics(WIDTH, HEIGHT, 41.5, 40.25, 23.1, 17.9, "plumb_bob", (0.1, -0.05, 0.001, 0.0))


def frame(index: int, unit_m: float = 0.001) -> dict:
    """Every layer, of random numbers that the formats can hold."""
    rng = np.random.default_rng(index)
    ids = np.kron(rng.integers(0, 4, (6, 8)), np.ones((6, 6), int)).astype(np.uint16) * 300
    truth_m = rng.uniform(0.1, 80, SIZE).astype(np.float32)
    truth_m[:4] = np.nan
    flow = (rng.integers(-2000, 2000, (2, *SIZE, 2)) / 64).astype(np.float32)
    flow[:, 5:9] = np.nan
    return {
        "stamp_ns": index * 100_000_000 + 7,
        "world_from_camera": rng.normal(0, 1, (4, 4)),
        "checksum": f"{index:064x}",
        "instances": [
            {
                "id": 300,
                "class": "person",
                "box": [1, 2, 3, 4],
                "area": 12,
                "visible": 0.5,
                "depth_m": 3.0,
                "still": False,
            },
            {
                "id": 600,
                "class": "vehicle",
                "box": [1, 2, 3, 4],
                "area": 12,
                "visible": 1.0,
                "depth_m": 9.0,
                "still": True,
            },
            {"id": 900, "class": "ball", "box": None, "area": 0, "visible": 0.0, "depth_m": None, "still": False},
        ],
        "color": cv2.resize(rng.integers(0, 255, (3, 4, 3), np.uint8), SIZE[::-1]),
        "depth_m": (rng.integers(0, 65536, SIZE) * np.float32(unit_m)).astype(np.float32),
        "truth_m": truth_m,
        "ids": ids,
        "ground": ids == 0,
        "amodal": {300: ids > 0, 600: ids == 600, 900: np.zeros(SIZE, bool)},
        "flow_next": flow[0],
        "flow_previous": flow[1],
    }


def write(folder, frames=3, unit_m=0.001, **about) -> Sequence:
    about = {"name": folder.name, "frames": frames, "activity": "dance", "fps": 10} | about
    with SequenceWriter(folder, about, camera_json(LENS, unit_m, "truth")) as writer:
        for index in range(writer.done, frames):
            writer.add(frame(index, unit_m))
    return Sequence(folder)


@pytest.mark.parametrize("unit_m", (0.001, 0.00125))
def test_what_is_written_is_what_is_read(tmp_path, unit_m):
    sequence = write(tmp_path / "a", unit_m=unit_m)
    assert len(sequence) == 3 and sequence.intrinsics == LENS and sequence.about["activity"] == "dance"
    assert set(sequence.layers) == {*LAYERS, "classes", "static"}
    for index in range(3):
        read, put = sequence.read(index, sequence.layers), frame(index, unit_m)
        for name in ("ids", "ground", "truth_m", "stamp_ns", "checksum", "instances", "world_from_camera"):
            np.testing.assert_array_equal(read[name], put[name], name)
            assert np.asarray(read[name]).dtype == np.asarray(put[name]).dtype
        np.testing.assert_array_equal(read["depth_m"], np.where(put["depth_m"] == 0, np.nan, put["depth_m"]))
        assert read["depth_m"].dtype == read["truth_m"].dtype == read["flow_next"].dtype == np.float32
        assert np.abs(read["color"].astype(int) - put["color"]).mean() < 4
        for name, end in (("flow_next", 2), ("flow_previous", 0)):
            np.testing.assert_array_equal(read[name], put[name] if index != end else np.full((*SIZE, 2), np.nan))
        assert list(read["amodal"]) == [300, 600, 900]
        assert all((read["amodal"][who] == mask).all() for who, mask in put["amodal"].items())
        np.testing.assert_array_equal(
            read["classes"], np.select([read["ids"] == 300, read["ids"] == 600, read["ids"] == 900], [1, 5, 3])
        )
        np.testing.assert_array_equal(read["static"], np.isin(read["ids"], (0, 600)))
    assert set(sequence[-1]) >= {"color", "depth_m", "ids"} and sequence[-1]["index"] == 2
    for beyond in (lambda: sequence[3], lambda: sequence[-4], lambda: sequence.read(-1), lambda: sequence.read(3)):
        with pytest.raises(IndexError, match="a has 3 frames, asked for number"):
            beyond()


def test_depth_beyond_what_the_unit_reaches_is_invalid_not_wrapped(tmp_path):
    with SequenceWriter(tmp_path / "a", {"name": "a", "frames": 1}, camera_json(LENS, 0.001, "truth")) as writer:
        depth_m = np.full(SIZE, 65.535, np.float32)
        depth_m[0] = 65.6
        writer.add({"stamp_ns": 0, "instances": [], "depth_m": depth_m})
    read = Sequence(tmp_path / "a").read(0, ["depth_m"])["depth_m"]
    assert np.isnan(read[0]).all() and np.allclose(read[1:], 65.535)


def test_a_sequence_that_was_stopped_is_absent_and_goes_on_where_it_was(tmp_path):
    about, camera = {"name": "a", "frames": 3}, camera_json(LENS, 0.001, "truth")
    with pytest.raises(KeyboardInterrupt), SequenceWriter(tmp_path / "a", about, camera) as writer:
        writer.add(frame(0))
        writer.add(frame(1))
        raise KeyboardInterrupt
    assert not (tmp_path / "a").exists()
    with pytest.raises(FileNotFoundError, match="no sequences"):
        open_folder(tmp_path)
    with open(tmp_path / ".a.part/frames.jsonl", "a") as file:
        file.write('{"index": 2, "sta')  # killed in the middle of a line
    with SequenceWriter(tmp_path / "a", about, camera) as writer:
        assert writer.done == 2
        writer.add(frame(2))
    assert [Sequence(tmp_path / "a").frame(i)["checksum"] for i in range(3)] == [frame(i)["checksum"] for i in range(3)]
    assert not (tmp_path / ".a.part").exists()
    with pytest.raises(FileExistsError, match="a is there already"):
        SequenceWriter(tmp_path / "a", about, camera)


def test_a_part_of_something_else_is_not_continued(tmp_path):
    camera = camera_json(LENS, 0.001, "truth")
    SequenceWriter(tmp_path / "a", {"name": "a", "frames": 3}, camera).add(frame(0))
    assert SequenceWriter(tmp_path / "a", {"name": "a", "frames": 4}, camera).done == 0
    with pytest.raises(ValueError, match="should have 3 frames, 0 were added"):
        SequenceWriter(tmp_path / "a", {"name": "a", "frames": 3}, camera).finish()


def test_a_sequence_has_one_writer(tmp_path):
    about, camera = {"name": "a", "frames": 2}, camera_json(LENS, 0.001, "truth")
    with SequenceWriter(tmp_path / "a", about, camera) as writer:
        writer.add(frame(0))
        with pytest.raises(BlockingIOError, match="a: another command is writing it"):
            SequenceWriter(tmp_path / "a", about, camera)
        writer.add(frame(1))
    assert [Sequence(tmp_path / "a").read(i)["index"] for i in range(2)] == [0, 1]
    assert not {"lock", ".lock"} & {path.name for path in (tmp_path / "a").iterdir()}


@pytest.mark.parametrize("gone", ["rgb/000001.jpg", "flow/000001_next.png", "truth/000002.tiff", "frames.jsonl"])
def test_what_is_missing_of_a_finished_sequence_is_found(tmp_path, gone):
    sequence = write(tmp_path / "a")
    sequence.check(LAYERS)
    (tmp_path / "a" / gone).unlink()
    with pytest.raises(FileNotFoundError, match=f"{gone} is missing"):
        Sequence(tmp_path / "a").check(LAYERS)


def damaged(tmp_path, damage) -> Sequence:
    write(tmp_path / "a")
    damage(tmp_path / "a")
    return Sequence(tmp_path / "a")


@pytest.mark.parametrize(
    "damage, names",
    [
        (lambda a: (a / "sequence.json").unlink(), ["no sequence in", "simulate"]),
        (lambda a: (a / "sequence.json").write_text("{"), ["sequence.json", "delete it"]),
        (lambda a: (a / "camera.json").unlink(), ["camera.json", "missing"]),
        (lambda a: (a / "camera.json").write_text('{"K": 3}'), ["camera.json", "delete it"]),
        (lambda a: (a / "frames.jsonl").write_text("{}\n"), ["1 lines", "3 frames"]),
        (lambda a: (a / "frames.jsonl").write_text("{}\n{]\n{}\n"), ["frames.jsonl, line 2"]),
        (lambda a: (a / "depth/000001.png").unlink(), ["depth/000001.png", "missing"]),
        (lambda a: (a / "depth/000001.png").write_bytes(b"\x89PNG"), ["depth/000001.png", "only the beginning"]),
        (lambda a: (a / "depth/000001.png").write_bytes((a / "ground/000001.png").read_bytes()), ["16", "uint8"]),
        (lambda a: (a / "amodal/000001.npz").write_bytes(b"PK"), ["amodal/000001.npz"]),
        (
            lambda a: (a / "camera.json").write_text((a / "camera.json").read_text().replace("48", "49")),
            ["48x36", "49x36"],
        ),
    ],
)
def test_a_damaged_folder_is_named_with_the_way_out(tmp_path, damage, names):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        damaged(tmp_path, damage).read(1, LAYERS)
    assert all(name in str(error.value) for name in names), error.value


def test_a_layer_that_was_not_written_is_named(tmp_path):
    with SequenceWriter(tmp_path / "a", {"name": "a", "frames": 1}, camera_json(LENS, 0.001, "truth")) as writer:
        writer.add({k: v for k, v in frame(0).items() if k not in ("amodal", "flow_next", "flow_previous")})
    with pytest.raises(ValueError, match="no layer 'amodal'; it has color, depth_m"):
        Sequence(tmp_path / "a").read(0, ["amodal"])


def test_splits_are_disjoint_and_as_large_as_promised():
    six = {"basketball", "badminton", "volleyball", "dance", "table_tennis", "zoo"}
    lists = {name: split_clips(name) for name in config.SPLITS}
    scenes = {name: {clip.scene for clip in listed} for name, listed in lists.items()}
    for one in config.SPLITS:
        assert len({clip.name for clip in lists[one]}) == len(lists[one])
        for other in config.SPLITS:
            assert one == other or not scenes[one] & scenes[other]
    assert [lists[name][0].split for name in config.SPLITS] == ["train", "val", "test", "test"]
    every = {activity for activity in config.ACTIVITIES if activity != "tour"}
    assert all({clip.activity for clip in lists[name]} == every > six for name in ("sim-train", "sim-val", "sim-test"))
    assert len(lists["sim-val"]) >= 12 and {clip.frames for clip in lists["sim-val"]} == {60}
    assert len(lists["sim-test"]) >= 24 and {clip.frames for clip in lists["sim-test"]} == {100}
    assert len(lists["sim-long"]) == 6 and {clip.frames for clip in lists["sim-long"]} == {3000}
    assert all((clip.width, clip.height, clip.fps) == (640, 480, 10) for clip in lists["sim-test"] + lists["sim-val"])
    with pytest.raises(ValueError, match="sim-train.*got 'sim-nothing'"):
        split_clips("sim-nothing")


def test_an_endless_split_begins_as_the_list_and_goes_on(monkeypatch):
    listed = split_clips("sim-train")
    stream = endless_clips("sim-train")
    assert [next(stream) for _ in listed] == listed
    assert next(stream).seed == listed[-1].seed + 1


@pytest.mark.parametrize("step", range(1, 13))
def test_every_worker_has_all_activities_in_turn_and_scenes_of_its_own(step):
    seeds, all_of_two_seeds = 2 * step, 2 * 9 * 3
    streams = [endless_clips("sim-train", first, step) for first in range(step)]
    drawn = [[next(stream) for _ in range(all_of_two_seeds)] for stream in streams]
    for clips_of_worker in drawn:
        for turn in (clips_of_worker[:27], clips_of_worker[27:]):
            assert Counter(clip.activity for clip in turn) == dict.fromkeys(config.ACTIVITIES[:9], 3)
    assert len({part[0].activity for part in drawn}) == min(step, 9), (
        "no two begin with the same, while there are others"
    )
    listed = split_clips("sim-train")[: seeds * 27]
    assert sorted(c.name for part in drawn for c in part) == sorted(c.name for c in listed)


def test_an_open_split_is_written_or_drawn(tmp_path):
    drawn = clips.open_split("sim-val")
    assert [film.clip for film in drawn] == split_clips("sim-val") and len(drawn[0]) == 60
    with pytest.raises(FileNotFoundError, match="lacks 18 of the 18 .*--split sim-val --out"):
        clips.open_split("sim-val", tmp_path)
    for clip in split_clips("sim-val"):
        write(tmp_path / clip.name, frames=1)
    assert [s.folder.name for s in clips.open_split("sim-val", tmp_path)] == [f.clip.name for f in drawn]


def said(who: int, kind: str, depth_m: float | None, visible: float | None, area: int | None = 9) -> dict:
    return {"id": who, "class": kind, "depth_m": depth_m, "visible": visible, "area": area}


@pytest.fixture
def counted(tmp_path):
    """Two sequences of which everything can be counted by hand."""
    near = [
        said(1, "person", 1.5, 1.0),
        said(2, "person", 5.0, 0.5, area=None),
        said(3, "ball", 7.0, 0.1),
        said(4, "person", 3, 0, 0),
    ]
    far = [said(1, "person", 4.0, 0.94), said(2, "vehicle", 30.0, 0.96)]
    for name, activity, frames in (("a", "dance", [near, near, far]), ("b", "yard", [far])):
        about = {"name": name, "activity": activity, "frames": len(frames)}
        with SequenceWriter(tmp_path / name, about, camera_json(LENS, 0.001, "truth")) as writer:
            for index, instances in enumerate(frames):
                writer.add({"stamp_ns": index, "instances": instances})
    return tmp_path


def test_statistics_are_those_counted_by_hand(counted, tmp_path, capsys):
    assert main(["dataset", "statistics", str(counted), "--out", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out/statistics.json").read_text())
    every = result["all"]
    assert (every["videos"], every["frames"], every["average_length"]) == (2, 4, 2.0)
    assert every["average_objects"] == pytest.approx(((3 + 3 + 2) / 3 + 2) / 2), "what is not seen does not count"
    assert every["average_actors"] == pytest.approx(2), "balls are none"
    assert list(every["objects_by_depth"].values()) == [2, 0, 2 + 2, 2, 0, 2]
    assert list(every["people_by_depth"].values()) == [2, 0, 4, 0, 0, 0]
    assert every["partly_hidden"] == pytest.approx(4 / 8) and sum(every["visible_histogram"]) == 8
    assert every["objects_by_class"] == {"ball": 2, "person": 6, "vehicle": 2}
    assert result["gid_activities"]["videos"] == 1 and set(result["activities"]) == {"dance", "yard"}
    said_by = capsys.readouterr().out
    assert "objects  actors" in said_by
    assert "112" in said_by and "625.9" in said_by and "8.7" in said_by
    (sports,) = (line for line in said_by.splitlines() if line.startswith("GID's sports"))
    assert sports.split()[2:] == ["2", "0", "3", "0", "0", "0"], "Figure 3a: people, by depth"
    assert (tmp_path / "out/statistics.png").stat().st_size > 5000


def test_statistics_say_what_a_recording_cannot_tell(tmp_path, capsys):
    camera, ids = camera_json(LENS, 0.001, "sensor"), np.zeros(SIZE, np.uint16)
    ids[:9], ids[9:18] = 7, 8
    depth_m = np.full(SIZE, 3.0, np.float32)
    depth_m[9:18] = np.nan
    bare = {"depth_m": depth_m, "instances": []}
    for name, layers in (("bare", {}), ("masks", {"ids": ids}), ("empty", {"ids": 0 * ids})):
        about = {"name": name, "frames": 2, "left_out": {"no mask": 3}}
        with SequenceWriter(tmp_path / name, about, camera) as writer:
            for index in range(2):
                writer.add({"stamp_ns": index, **bare, **layers})
    assert main(["dataset", "statistics", str(tmp_path)]) == 0
    result, said_by = json.loads((tmp_path / "statistics.json").read_text()), capsys.readouterr().out
    every = result["all"]
    assert (every["videos"], every["frames"], every["objects_unknown_videos"]) == (3, 6, 1)
    assert every["average_objects"] == 1, "two of masks, none of the empty one; the bare one does not count"
    assert every["average_actors"] == 0 and every["partly_hidden"] is None
    assert list(every["objects_by_depth"].values()) == [0, 2, 0, 0, 0, 0] and every["depth_unknown"] == 0.5
    assert {video["name"]: video["average_objects"] for video in result["videos"]} == {
        "bare": None,
        "empty": 0,
        "masks": 2,
    }
    for what in ("objects: 1 of 3 videos", "classes: 1 videos", "activity: 3 videos", "depth: 50.0 % of the objects"):
        assert f"unknown {what}" in said_by
    assert "left out: 9 frames of bags: no mask" in said_by
    assert (tmp_path / "statistics.csv").read_text().splitlines()[1:] == [
        "bare,unknown,2,,,,,,,",
        "empty,unknown,2,0.0,0,0,0,0,0,0",
        "masks,unknown,2,2.0,,,,,,",
    ]


def test_statistics_of_recordings_without_any_masks(tmp_path, capsys):
    with SequenceWriter(tmp_path / "a", {"name": "a", "frames": 1}, camera_json(LENS, 0.001, "sensor")) as writer:
        writer.add({"stamp_ns": 0, "instances": []})
    assert main(["dataset", "statistics", str(tmp_path)]) == 0
    line, people = (line for line in capsys.readouterr().out.splitlines() if line.startswith("all"))
    assert people.split() == ["all", *"------"] and line.split() == ["all", "1", "1.0", *"---------"]
    assert json.loads((tmp_path / "statistics.json").read_text())["all"]["average_objects"] is None


def test_statistics_of_nothing_say_where_sequences_come_from(tmp_path, capsys):
    assert main(["dataset", "statistics", str(tmp_path)]) == 1
    assert f"no sequences in {tmp_path}: write some: instance-depth simulate" in capsys.readouterr().err
    assert main(["dataset", "statistics", str(tmp_path / "none"), "--verbose"]) == 1
    said_by = capsys.readouterr().err
    assert "Traceback" in said_by and f"there is no folder {tmp_path / 'none'}: write some" in said_by
    write(tmp_path / "a", frames=1)
    assert main(["dataset", "--verbose", "statistics", str(tmp_path / "a")]) == 1
    said_by = capsys.readouterr().err
    assert "Traceback" in said_by and "a is a sequence itself: name the folder that holds it" in said_by
