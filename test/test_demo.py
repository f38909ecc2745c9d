"""The demo leaves pictures, a video and figures that agree with what went through the graph."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import DOMAIN

from instance_depth_ros.demo import main
from instance_depth_ros.demo.clip import fetch_demo_clip
from instance_depth_ros.demo.main import balance
from instance_depth_ros.demo.pictures import contact_sheet, depth_video
from instance_depth_ros.drawing import GAP, LINE, TILE
from instance_depth_ros.frame import Instance
from instance_depth_ros.geometry import Intrinsics
from instance_depth_ros.record import SAMPLES, Record, Sample, Small, depth_code, depth_from_code

ROOT = Path(__file__).resolve().parent.parent
LENS = Intrinsics.from_fov(160, 120, 60)
SUMMARY = (
    "frames_in frames_out fps latency_ms_p50 latency_ms_p99 lost first_output_s rss_mb engine precision clip commit "
    "machine date rel sigma1 instances_per_frame identities longest_identity_s".split()
)
DEPTH_SAID = {"frames_in": "98", "frames_out": "90", "frames_waiting": "0", "lost": "8"} | {
    f"lost_{reason}": count for reason, count in {"not_received": "5", "overwritten": "3", "invalid": "0"}.items()
}


def moment(stamp_ns, disk_m=4.0):
    """A floor that runs to a wall at 12 m, and a yellow disk."""
    y, x = np.mgrid[:120, :160]
    depth_m = np.clip(1.5 * LENS.fy / np.maximum(y - 60, 1), 1, 12).astype(np.float32)
    color = np.stack([x, 2 * y, 90 + 0 * x], -1).astype(np.uint8)
    disk = (x - 80) ** 2 + (y - 70) ** 2 < 15**2
    depth_m[disk], color[disk] = disk_m, (250, 220, 40)
    depth_m[:5] = np.nan
    return Sample(stamp_ns, color, depth_m, np.where(disk, 255, 100).astype(np.uint8))


def disk_instance(index, number=7):
    """The disk as an instance, seen for 0.1 s more in each frame."""
    return Instance(number, 40_000, 3, 0.9, 3.0, 0.1, 1.0, 0, 0.1 * index, (65, 55, 30, 30), (0, 0, 3), (1, 1, 1))


def with_disk(sample, *instances):
    """The moment with the disk in its id image."""
    ids = np.where(sample.confidence == 255, 40_000, 0).astype(np.uint16)
    return replace(sample, ids=ids, instances=instances)


def record(frames, every_ns=100_000_000):
    kept = Record(intrinsics=LENS)
    for index in range(frames):
        kept.add(moment(index * every_ns, disk_m=3 + index / frames))
    return kept


def test_small_depth_is_right_to_two_percent_and_keeps_what_is_invalid():
    depth_m = np.geomspace(0.11, 90, 480 * 360, dtype=np.float32).reshape(360, 480)
    depth_m[:10] = np.nan
    back = depth_from_code(depth_code(depth_m))
    assert np.isnan(back[:10]).all()
    assert np.abs(back[10:] / depth_m[10:] - 1).max() < 0.02


def test_samples_stay_even_over_time_however_long_it_takes():
    kept = record(203)
    gaps = np.diff([sample.stamp_ns for sample in kept.samples])
    assert SAMPLES / 2 <= len(kept.samples) <= SAMPLES
    assert gaps.max() <= 2 * gaps.min()
    assert kept.samples[0].stamp_ns == 0
    assert kept.samples[-1].stamp_ns > 0.8 * 203 * 100_000_000


def test_the_contact_sheet_shows_input_depth_confidence_and_cloud(tmp_path):
    contact_sheet(record(30), tmp_path / "sheet.png", "a floor and a disk")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1].astype(int)
    yellow = np.abs(sheet - (250, 220, 40)).max(-1) < 40
    columns = np.flatnonzero(yellow.any(0))
    assert columns.min() < 320, "the disk is in the input"
    assert columns.max() > sheet.shape[1] - 320, "the disk is in the cloud"


def test_the_truth_of_a_simulated_camera_stands_beside_the_estimate(tmp_path):
    kept = Record(intrinsics=LENS)
    for index in range(3):
        kept.add(replace(moment(index * 100_000_000), truth_m=np.full((120, 160), 12.0, np.float32)))
    contact_sheet(kept, tmp_path / "sheet.png", "with truth")
    contact_sheet(record(3), tmp_path / "without.png", "without")
    sheet, without = (cv2.imread(str(tmp_path / name))[..., ::-1] for name in ("sheet.png", "without.png"))
    assert sheet.shape[1] == without.shape[1] + TILE + GAP
    # of one depth all over, so of one colour, which the estimate has at its wall alone
    true = sheet[2 * LINE + 20 : 2 * LINE + 200, TILE + 2 * GAP + 10 : 2 * TILE]
    estimate = sheet[2 * LINE + 20 : 2 * LINE + 200, 2 * TILE + 3 * GAP + 10 : 3 * TILE]
    assert true.std((0, 1)).max() < 1 < 20 < estimate.std((0, 1)).max()
    depth_video(kept, tmp_path / "depth.mp4")
    depth_video(record(3), tmp_path / "without.mp4")
    widths = []
    for name in ("depth.mp4", "without.mp4"):
        with av.open(str(tmp_path / name)) as movie:
            widths.append(movie.streams.video[0].width)
    assert widths[0] > widths[1] + 400


def test_a_small_moment_keeps_its_ids_and_instances_as_they_are():
    one = disk_instance(0)
    sample = replace(with_disk(moment(5), one), true_ids=np.full((120, 160), 3, np.uint16))
    back = Small(sample).whole()
    assert (back.stamp_ns, back.instances) == (5, (one,)) and back.color.shape == (360, 480, 3)
    np.testing.assert_array_equal(back.ids, cv2.resize(sample.ids, (480, 360), interpolation=cv2.INTER_NEAREST))
    assert (back.true_ids == 3).all() and back.truth_m is None
    assert Small(moment(5)).whole().ids is None


def test_instances_stand_beside_the_input_and_in_the_video(tmp_path):
    kept, plain = Record(intrinsics=LENS), record(3)
    for index in range(3):
        truth = {"truth_m": np.full((120, 160), 12.0, np.float32), "true_ids": np.full((120, 160), 2, np.uint16)}
        kept.add(replace(with_disk(moment(index * 100_000_000), disk_instance(index)), **truth))
    contact_sheet(kept, tmp_path / "sheet.png", "with instances")
    contact_sheet(plain, tmp_path / "plain.png", "without")
    sheet, without = (cv2.imread(str(tmp_path / name))[..., ::-1].astype(int) for name in ("sheet.png", "plain.png"))
    assert sheet.shape[1] == without.shape[1] + 3 * (TILE + GAP), "instances, and the truth of them and of depth"
    top = 2 * LINE
    entrance, true, found = (sheet[top : top + 240, GAP + i * (TILE + GAP) :][:, :TILE] for i in range(3))
    changed = np.abs(entrance - found).max(-1) > 20
    # The disk is at (80, 70) with a radius of 15 in a picture of half a tile's width.
    assert changed[130:155, 145:175].all() and not changed[180:].any() and not changed[:, :100].any()
    assert (np.abs(entrance - true).max(-1) > 5).mean() > 0.9, "the truth has one instance all over"
    depth_video(kept, tmp_path / "with.mp4")
    depth_video(plain, tmp_path / "without.mp4")
    first = []
    for name in ("with.mp4", "without.mp4"):
        with av.open(str(tmp_path / name)) as movie:
            first.append(next(movie.decode(video=0)).to_ndarray(format="rgb24")[:, : GAP + 480].astype(int))
    changed = np.abs(first[0] - first[1]).max(-1) > 25
    assert changed[200:230, GAP + 225 : GAP + 255].mean() > 0.9 and changed[280:].mean() < 0.01


def test_figures_of_instances_count_identities_and_how_long_they_lasted():
    kept = Record(intrinsics=LENS)
    for index in range(4):
        seen = [disk_instance(index)] * (index < 3) + [disk_instance(0, number=8)] * (index == 1)
        kept.add(with_disk(moment(index * 100_000_000), *seen))
    figures = main.instance_figures(kept, {})
    assert figures == {"instances_per_frame": 1.0, "identities": 2, "longest_identity_s": 0.2}
    assert set(main.instance_figures(kept, {"instances": "none"}).values()) == {None}


def test_the_video_has_each_frame_at_its_time(tmp_path):
    av = pytest.importorskip("av")
    depth_video(record(20), tmp_path / "depth.mp4")
    with av.open(str(tmp_path / "depth.mp4")) as movie:
        stream = movie.streams.video[0]
        times = [float(frame.pts * stream.time_base) for frame in movie.decode(stream)]
        assert stream.codec_context.name == "vp9"
    assert times == pytest.approx([0.1 * index for index in range(20)], abs=1e-3)


def test_losses_are_those_that_the_nodes_counted():
    sent, out, lost = balance({"camera": {"frames_out": "100"}, "depth": DEPTH_SAID})
    assert (sent, out) == (100, 90)
    assert lost == {"not_received": 7, "overwritten": 3, "invalid": 0}, "two after the last one that arrived"


@pytest.mark.parametrize(
    "sent, said",
    [("97", {}), ("100", {"frames_waiting": "1"}), ("100", {"frames_out": "89"}), ("100", {"lost_invalid": "1"})],
    ids=["less sent than came", "one waits", "one vanished", "one too many lost"],
)
def test_counts_that_do_not_agree_are_no_figures(sent, said):
    with pytest.raises(ValueError, match="counts do not agree"):
        balance({"camera": {"frames_out": sent}, "depth": DEPTH_SAID | said})
    with pytest.raises(ValueError, match="no diagnostics came from: camera"):
        balance({"depth": DEPTH_SAID})


def test_a_file_camera_without_a_clip_becomes_the_simulated_one(monkeypatch):
    monkeypatch.setattr(main, "fetch_demo_clip", lambda log: None)
    for asked in ({}, {"camera": "file"}):
        chosen = main.choose_camera(asked, "")
        assert (chosen["camera"], chosen["frames"]) == ("simulated", main.ENDLESS_CAMERA_FRAMES)
    with pytest.raises(ValueError, match="got camera 'topic'"):
        main.choose_camera({"camera": "topic"}, "")


def test_time_counts_from_the_start_of_the_process_and_not_of_its_last_interpreter():
    code = """
import os, sys, time
if len(sys.argv) < 3:
    time.sleep(0.5)
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], sys.argv[1], "again"])
from instance_depth_ros.demo.main import process_started
print(time.monotonic() - process_started())
"""
    before = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert 0.5 < float(done.stdout) < time.monotonic() - before + 0.1


def demo(tmp_path, *options):
    command = [sys.executable, "-m", "instance_depth_ros.cli", "demo", "--out", str(tmp_path / "out"), *options]
    env = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=180)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 120))
    for index in range(25):
        writer.write(moment(index).color[..., ::-1])
    writer.release()
    return path


def test_a_video_through_the_graph(clip, tmp_path):
    options = ["--clip", str(clip), "--rate", "max", "--window", "none", "--weights", "random:tiny"]
    done = demo(tmp_path, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert list(summary) == SUMMARY
    assert summary["frames_in"] == 25 == summary["frames_out"] + sum(summary["lost"].values())
    assert min(summary["lost"].values()) >= 0
    assert summary["frames_out"] >= 20
    assert summary["clip"] == "clip.avi"
    assert summary["rel"] is None
    assert summary["instances_per_frame"] >= 0 and summary["identities"] >= 0
    for name in ("contact_sheet.png", "depth.mp4", "demo.rrd"):
        assert (tmp_path / "out" / name).stat().st_size > 1000


def test_weights_that_do_not_exist_fail_the_demo_with_their_name(clip, tmp_path):
    done = demo(tmp_path, "--clip", str(clip), "--weights", "no_such_weights", "--window", "none")
    assert done.returncode == 1
    assert "no_such_weights" in done.stderr
    assert not (tmp_path / "out" / "summary.json").exists()


def test_the_clip_comes_from_the_cache_and_its_makers_are_named(tmp_path, monkeypatch, video):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = tmp_path / "instance_depth_ros" / "vtest.avi"
    cached.parent.mkdir()
    cached.write_bytes(video.read_bytes())
    lines = []
    assert fetch_demo_clip(lines.append) == cached
    assert any("University of Reading" in line for line in lines)


def test_without_apt_there_is_no_clip_but_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    lines = []
    assert fetch_demo_clip(lines.append) is None
    assert len(lines) == 1 and "apt-get is not here" in lines[0]
    assert list((tmp_path / "instance_depth_ros").iterdir()) == []
