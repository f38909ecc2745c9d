"""Sequences are read as they were written, whole or not at all; splits share nothing; live and written clips agree."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from instance_depth_ros import config
from instance_depth_ros.cli import main
from instance_depth_ros.datasets import clips, generate
from instance_depth_ros.datasets.film import Film
from instance_depth_ros.datasets.layers import LAYERS
from instance_depth_ros.datasets.sequence import Sequence, SequenceWriter, camera_json, open_folder
from instance_depth_ros.datasets.splits import Clip, endless_clips, split_clips
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
    with pytest.raises(IndexError, match="3 frames, asked for number 3"):
        sequence[3]


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
    two = [[next(part) for _ in range(6)] for part in (endless_clips("sim-train", i, 2) for i in (0, 1))]
    assert sorted(c.name for part in two for c in part) == sorted(c.name for c in listed[:12])


@pytest.fixture(scope="module")
def rendering():
    try:
        film = Film(CLIP)
        film.read(0)
        film.close()
    except RuntimeError as error:
        pytest.skip(str(error))


ROOMS = (8, 9)  # the ninth of nine activities
CLIP = Clip("room", 3, "val", 1, 3, 5.0, 64, 48)
EVERY = (*LAYERS, "classes", "static")


@pytest.fixture(scope="module")
def simulated(rendering, tmp_path_factory):
    """Where three clips were asked for, of which one could not be written; and what was said of that."""
    folder = tmp_path_factory.mktemp("simulated")
    bad, other = replace(CLIP, seed=4), replace(CLIP, view=0, frames=2)
    (folder / f".{bad.name}.part").write_text("a file where a folder is wanted")
    return folder, generate.write([bad, other, CLIP], folder, tuple(LAYERS), workers=1)


def test_a_clip_that_fails_is_named_and_the_others_are_written(simulated):
    folder, failed = simulated
    assert list(failed) == ["room_0004_1"] and failed["room_0004_1"].endswith("Error)")
    assert [len(sequence) for sequence in open_folder(folder)] == [2, 3]


def test_live_and_written_clips_agree(simulated):
    written, film = Sequence(simulated[0] / CLIP.name), Film(CLIP)
    assert written.about == film.about and written.camera == film.camera
    assert written.about["renderer"].startswith("MuJoCo") and written.intrinsics == film.intrinsics
    # a film's frames can be drawn in any order
    order = [2, 0, 1]
    live, read = clips.take(film, order, EVERY), clips.take(written, order, EVERY)
    film.close()
    assert live["instances"] == json.loads(json.dumps(live["instances"])) == read["instances"]
    for name in ("ids", "ground", "truth_m", "classes", "static", "stamps_s", "world_from_camera"):
        np.testing.assert_array_equal(live[name], read[name], name)
    np.testing.assert_allclose(live["depth_m"], read["depth_m"], atol=written.depth_unit_m * 0.51)
    np.testing.assert_allclose(live["flow_next"], read["flow_next"], atol=0.51 / 64)
    np.testing.assert_allclose(live["flow_previous"], read["flow_previous"], atol=0.51 / 64)
    assert np.abs(live["color"].astype(int) - read["color"]).mean() < 6
    for one, two in zip(live["amodal"], read["amodal"], strict=True):
        assert one.keys() == two.keys() and all((one[who] == two[who]).all() for who in one)
    assert live["ids"].any() and read["intrinsics"] == live["intrinsics"]


def test_workers_stream_clips_without_end_and_end_when_told(rendering):
    with clips.Live("sim-train", ("color", "truth_m"), workers=1, share=ROOMS) as live:
        items = [live.draw(np.random.default_rng(0), 2) for _ in range(2)]
    assert all(item["color"].shape[0] == item["truth_m"].shape[0] == len(item["stamps_s"]) == 2 for item in items)
    assert [item["about"]["name"] for item in items] == ["room_0000_0", "room_0000_1"] and live.count == 2
    assert not any(worker.is_alive() for worker in live._workers)
    with pytest.raises(RuntimeError, match="closed"):
        live.draw(np.random.default_rng(0), 2)


def test_an_error_in_a_worker_reaches_who_asks(rendering):
    with (
        clips.Live("sim-train", ("no such layer",), 1, ROOMS) as live,
        pytest.raises(RuntimeError, match="no such layer"),
    ):
        next(iter(live))


def test_an_open_split_is_written_or_drawn(tmp_path):
    drawn = clips.open_split("sim-val")
    assert [film.clip for film in drawn] == split_clips("sim-val") and len(drawn[0]) == 60
    with pytest.raises(FileNotFoundError, match="lacks 18 of the 18 .*--split sim-val --out"):
        clips.open_split("sim-val", tmp_path)
    for clip in split_clips("sim-val"):
        write(tmp_path / clip.name, frames=1)
    assert [s.folder.name for s in clips.open_split("sim-val", tmp_path)] == [f.clip.name for f in drawn]


ASKED = ["simulate", "--activity", "room", "--seed", "3", "--frames", "3", "--width", "64", "--height", "48", "--out"]


def test_simulate_writes_shows_and_keeps(rendering, tmp_path, capsys):
    asked = [*ASKED, str(tmp_path), "--preview", "--without", "amodal,ground", "--workers", "1"]
    assert main(asked) == 0
    (sequence,) = open_folder(tmp_path)
    assert {"color", "depth_m", "ids", "flow_next"} <= set(sequence.layers) and not {"amodal", "ground"} & set(
        sequence.layers
    )
    with av.open(str(tmp_path / f"{sequence.about['name']}.mp4")) as movie:
        shown = [picture.to_ndarray(format="rgb24") for picture in movie.decode(video=0)]
    assert len(shown) == 3 and shown[0].shape[1] > 4 * 300
    assert "3/3 frames" in capsys.readouterr().out
    before = os.stat(sequence.folder / "frames.jsonl").st_mtime_ns
    assert main(asked) == 0 and os.stat(sequence.folder / "frames.jsonl").st_mtime_ns == before
    assert main([*asked[:6], "4", *asked[7:]]) == 1
    assert "frames 3 instead of 4" in capsys.readouterr().err


def test_ctrl_c_ends_it_and_the_same_command_goes_on(rendering, tmp_path):
    command = [sys.executable, "-m", "instance_depth_ros.cli", *ASKED, str(tmp_path)]
    command[command.index("--frames") + 1] = "400"
    part = tmp_path / ".room_0003_0.part" / "frames.jsonl"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as running:
        until = time.monotonic() + 60
        while time.monotonic() < until and not (part.exists() and part.stat().st_size):
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130 and b"Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == [".room_0003_0.part"]
    done = part.read_text().count("\n")
    clip = Clip("room", 3, "train", 0, 400, 10.0, 64, 48)
    film = Film(clip)
    assert SequenceWriter(tmp_path / clip.name, film.about, film.camera).done == done
    film.close()
    assert done and all((part.parent / f"rgb/{index:06d}.jpg").stat().st_size for index in range(done))


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "--split sim-val --activity room",
        "--split sim-nothing",
        "--activity room --frames 0",
        "--activity room --clips 3",
        "--activity room --without rgb",
        "--split sim-val --seed 3",
    ],
)
def test_options_that_make_no_sense_together_are_wrong_usage(wrong, tmp_path, capsys):
    try:
        status = main(["simulate", "--out", str(tmp_path), *wrong.split()])
    except SystemExit as usage:
        status = usage.code
    assert status == 2 and "usage" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def said(who: int, kind: str, depth_m: float | None, visible: float | None, area: int = 9) -> dict:
    return {"id": who, "class": kind, "depth_m": depth_m, "visible": visible, "area": area}


@pytest.fixture
def counted(tmp_path):
    """Two sequences of which everything can be counted by hand."""
    near = [
        said(1, "person", 1.5, 1.0),
        said(2, "person", 5.0, 0.5),
        said(3, "ball", 7.0, None),
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
    assert list(every["objects_by_depth"].values()) == [2, 0, 2 + 2, 2, 0, 2]
    assert list(every["people_by_depth"].values()) == [2, 0, 4, 0, 0, 0]
    assert every["partly_hidden"] == pytest.approx(4 / 8) and sum(every["visible_histogram"]) == 8
    assert every["objects_by_class"] == {"ball": 2, "person": 6, "vehicle": 2}
    assert result["gid_activities"]["videos"] == 1 and set(result["activities"]) == {"dance", "yard"}
    said_by = capsys.readouterr().out
    assert "112" in said_by and "625.9" in said_by and "8.7" in said_by
    assert (tmp_path / "out/statistics.png").stat().st_size > 5000


def test_statistics_of_nothing_say_where_sequences_come_from(tmp_path, capsys):
    assert main(["dataset", "statistics", str(tmp_path)]) == 1
    assert "instance-depth simulate" in capsys.readouterr().err
