"""Simulated clips are written in parallel, resumed and streamed, and are the same written and live."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import av
import numpy as np
import pytest

from instance_depth_ros.cli import main
from instance_depth_ros.datasets import clips, generate
from instance_depth_ros.datasets.film import Film, films
from instance_depth_ros.datasets.layers import LAYERS
from instance_depth_ros.datasets.sequence import Sequence, SequenceWriter, open_folder
from instance_depth_ros.datasets.splits import Clip
from instance_depth_ros.training.data import Batches


@pytest.fixture(scope="module")
def rendering():
    try:
        film = Film(CLIP)
        film.read(0)
        film.close()
    except RuntimeError as error:
        pytest.skip(str(error))


ROOMS = (8, 9)  # begins with the ninth of nine activities
CLIP = Clip("room", 3, "val", 1, 3, 5.0, 64, 48)
EVERY = (*LAYERS, "classes", "static")


@pytest.fixture(scope="module")
def simulated(rendering, tmp_path_factory):
    """Where three clips were asked for, of which one could not be written; and the reason."""
    folder = tmp_path_factory.mktemp("simulated")
    bad, other = replace(CLIP, seed=4), replace(CLIP, view=0, frames=2)
    (folder / f".{bad.name}.part").write_text("a file where a folder is wanted")
    return folder, generate.write([bad, other, CLIP], folder, tuple(LAYERS), workers=1)


def test_a_clip_that_fails_is_named_and_the_others_are_written(simulated):
    folder, failed = simulated
    assert list(failed) == ["room_0004_1"] and failed["room_0004_1"].endswith("Error)")
    assert [len(sequence) for sequence in open_folder(folder)] == [2, 3]


def test_the_reason_is_said_when_a_clip_fails(rendering, tmp_path, capfd):
    (tmp_path / ".room_0003_0.part").write_text("a file where a folder is wanted")
    assert main([*ASKED, str(tmp_path), "--workers", "1"]) == 1
    (said,) = capfd.readouterr().err.splitlines()
    assert said.startswith("error: room_0003_0: ") and said.endswith("(FileExistsError)")


@pytest.fixture
def written(simulated, tmp_path):
    """A folder of its own with the two clips of the same scene."""
    return shutil.copytree(simulated[0], tmp_path / "written", ignore=shutil.ignore_patterns(".*"))


@pytest.mark.parametrize("gone", ["depth/000002.png", "rgb/000001.jpg", "frames.jsonl"])
def test_a_damaged_sequence_is_not_taken_for_finished(written, gone):
    (written / CLIP.name / gone).unlink()
    with pytest.raises(FileNotFoundError, match=f"{gone} is missing( or empty)?; the folder is damaged: delete it"):
        generate.write([CLIP], written, tuple(LAYERS), workers=1)


def test_an_empty_file_is_damage_too(written):
    (written / CLIP.name / "truth/000001.tiff").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="truth/000001.tiff is missing or empty"):
        generate.write([CLIP], written, tuple(LAYERS), workers=1)


def test_a_sequence_of_one_frame_can_be_damaged_too(rendering, tmp_path):
    clip = replace(CLIP, frames=1)
    assert not generate.write([clip], tmp_path, tuple(LAYERS), workers=1)
    assert not generate.write([clip], tmp_path, tuple(LAYERS), workers=1)
    (tmp_path / clip.name / "amodal/000000.npz").unlink()
    with pytest.raises(FileNotFoundError, match="amodal/000000.npz is missing"):
        generate.write([clip], tmp_path, tuple(LAYERS), workers=1)


def test_scenes_that_have_changed_are_not_kept_silently(written, capfd):
    kept = written / CLIP.name
    about = json.loads((kept / "sequence.json").read_text())
    del about["shutter_s"]  # as it was written before there was one
    (kept / "sequence.json").write_text(json.dumps(about | {"tool_version": "an older one"}))
    assert not generate.write([CLIP], written, tuple(LAYERS), workers=1)
    assert f"warning: 1 sequences in {written}, such as {CLIP.name}, are kept" in capfd.readouterr().err
    rows = (kept / "frames.jsonl").read_text()
    (kept / "frames.jsonl").write_text(rows.replace(json.loads(rows.split("\n")[0])["checksum"], "0" * 64))
    third = replace(CLIP, view=2, frames=1)
    assert list(generate.write([CLIP, third], written, tuple(LAYERS), workers=1)) == [CLIP.name]
    assert "shows another scene than this version draws" in capfd.readouterr().err
    assert len(Sequence(written / third.name)) == 1


def test_a_shutter_blurs_the_clip_and_is_kept_with_it(rendering, tmp_path):
    sharp, blurred = (replace(CLIP, sensor="none", frames=1, shutter_s=s) for s in (0.0, 0.5))
    colors = [film.read(0, ("color",))["color"] for film in films([sharp, blurred])]
    assert np.abs(colors[0].astype(int) - colors[1]).mean() > 0.5
    asked = [*ASKED, str(tmp_path), "--workers", "1"]
    assert main([*asked, "--shutter", "0.02"]) == 0
    assert open_folder(tmp_path)[0].about["shutter_s"] == 0.02
    assert main(asked) == 1 and main([*asked, "--shutter", "0.02"]) == 0


def test_frames_beyond_the_clip_are_an_error(rendering):
    film = Film(CLIP)
    for beyond in (lambda: film.read(3), lambda: film.read(-1), lambda: film[3], lambda: film[-4]):
        with pytest.raises(IndexError, match="room_0003_1 has 3 frames"):
            beyond()
    film.close()


def test_a_frame_in_which_everybody_is_hidden_has_its_amodal_masks(rendering):
    film = Film(Clip("tour", 3005, "test", 0, 3000, 10.0, 64, 48))
    frame = film.read(1500, ("ids", "amodal"))
    film.close()
    assert frame["amodal"] and not frame["ids"].any()
    assert all(type(who) is int and mask.any() for who, mask in frame["amodal"].items())
    assert {row["visible"] for row in frame["instances"]} == {0.0}


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


def test_a_lens_without_a_depth_sensor_has_the_truth_in_steps_that_reach_its_end(rendering):
    film = Film(replace(CLIP, sensor="none"))
    frame, camera = film.read(1, ("depth_m", "truth_m")), film.camera
    film.close()
    assert camera["depth_source"] == "truth" and 65535 * camera["depth_unit_m"] > 80
    np.testing.assert_array_equal(frame["depth_m"], frame["truth_m"])


def test_workers_stream_clips_without_end_and_end_when_told(rendering):
    with clips.Live("sim-train", ("color", "truth_m"), workers=1, share=ROOMS) as live:
        items = [live.draw(np.random.default_rng(0), 2) for _ in range(2)]
        batch = Batches(live, 1, 1, 3, (48, 64), (1.0, 1.5), 64.0, (0,))[0]
    assert batch["color"].shape == (1, 3, 48, 64, 3) and batch["depth_m"].isfinite().any()
    assert all(item["color"].shape[0] == item["truth_m"].shape[0] == len(item["stamps_s"]) == 2 for item in items)
    assert [item["about"]["name"] for item in items] == ["room_0008_0", "room_0008_1"] and live.count == 3
    assert not any(worker.is_alive() for worker in live._workers)
    with pytest.raises(RuntimeError, match="closed"):
        live.draw(np.random.default_rng(0), 2)


def test_an_error_in_a_worker_reaches_who_asks(rendering):
    with (
        clips.Live("sim-train", ("no such layer",), 1, ROOMS) as live,
        pytest.raises(RuntimeError, match="no such layer"),
    ):
        next(iter(live))


def test_a_worker_that_died_is_noticed_though_clips_are_left(rendering):
    with clips.Live("sim-train", ("color",), 1, ROOMS) as live:
        next(iter(live))
        while live._items.empty():
            time.sleep(0.05)
        live._workers[0].kill()
        live._workers[0].join()
        with pytest.raises(RuntimeError, match="died, status -9"):
            next(iter(live))


def test_workers_that_do_not_answer_are_ended(rendering):
    live = clips.Live("sim-train", ("color",), 1, ROOMS)
    next(iter(live))
    os.kill(live._workers[0].pid, signal.SIGSTOP)
    live.close()
    assert live._workers[0].exitcode == -signal.SIGKILL


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
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    # a suite that was started in the background ignores Ctrl-C, and so would what it starts
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, **pipes, preexec_fn=heard) as running:
        until = time.monotonic() + 60
        while time.monotonic() < until and not (part.exists() and part.stat().st_size):
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        said, errors = running.communicate(timeout=60)
    assert running.returncode == 130 and not errors and b"stopped" in said.splitlines()[-1]
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
        "--split sim-val --shutter 0.01",
        "--activity room --shutter 2",
        "--activity room --fps nan",
        "--activity room --fps 0",
        "--activity room --fps 241",
        "--activity room --width 15",
        "--activity room --height 7681",
        "--activity room --seed -1",
        "--activity room --seed 2147483648",
        "--activity room --workers -1",
        "--activity room --workers two",
        "--sheet --frames 3",
        "--sheet --fps 5",
        "--sheet --clips 3",
        "--sheet --preview",
        "--sheet --without flow",
        "--sheet --workers 2",
    ],
)
def test_options_that_make_no_sense_together_are_wrong_usage(wrong, tmp_path, capsys):
    try:
        status = main(["simulate", "--out", str(tmp_path), *wrong.split()])
    except SystemExit as usage:
        status = usage.code
    said = capsys.readouterr().err
    assert status == 2 and "usage" in said
    assert "must be" not in said or wrong.split()[-1] in said.splitlines()[-1]
    assert not list(tmp_path.iterdir())
