"""Bags become folders, and folders bags: bit for bit, resumed after a kill, in flat memory."""

import os
import signal
import subprocess
import sys
import time
import tracemalloc

import cv2
import numpy as np
import pytest
from bags import (
    COLOR,
    DEPTH,
    FRAME,
    INFO,
    STORE,
    compressed,
    depth_mm,
    image,
    info,
    moment,
    shifted,
    stamp,
    transforms,
    write,
)
from recordings import HEIGHT, WIDTH, camera, numbered, play
from test_bag_footage import by_time, estimated, ids, moments, rewritten

from instance_depth_ros import cli
from instance_depth_ros.datasets.bag_sequence import BagSequence
from instance_depth_ros.datasets.convert import How
from instance_depth_ros.datasets.convert import write as convert_one
from instance_depth_ros.datasets.images import Images
from instance_depth_ros.datasets.sequence import Sequence, SequenceWriter, camera_json
from instance_depth_ros.geometry import Intrinsics
from instance_depth_ros.recording.bag_writer import BagWriter, Topic
from instance_depth_ros.recording.cdr import write_image
from instance_depth_ros.recording.indexed import IndexedBag
from instance_depth_ros.table import ROW


def converted(source, target, as_: str, jpeg: bool = False, **bag):
    """In this process, which is quicker than the command."""
    assert convert_one(target.name, source, target.parent, How(as_, bag, jpeg=jpeg)) == {}
    return target


def messages(path, topic: str) -> list:
    bag = IndexedBag(path)
    found = [bag.message(topic, number) for number in range(len(bag.entries[topic]))]
    bag.close()
    return found


def same_messages(one, other, topic: str) -> bool:
    """Whether all messages are equal, but for the projection of a CameraInfo and the names of fields."""
    pairs = list(zip(messages(one, topic), messages(other, topic), strict=True))
    return (
        bool(pairs)
        and all(
            np.array_equal(getattr(a, name), getattr(b, name))
            for a, b in pairs
            for name in a.__dataclass_fields__
            if name not in ("header", "fields", "p", "__msgtype__")
        )
        and all(a.header == b.header for a, b in pairs if hasattr(a, "header"))
    )


def same_files(one, other) -> bool:
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_bag_folder_bag_is_bit_exact(tmp_path):
    tf = [("/tf", transforms(stamp(n), ("map", "camera_color_optical_frame", shifted(n))), stamp(n)) for n in range(5)]
    rows = by_time([*tf, *(row for n in range(5) for row in (*moment(n), *estimated(n)))])
    bag = write(tmp_path / "bag", rows)
    folder = converted(bag, tmp_path / "folder", "sequence")
    back = converted(folder, tmp_path / "back", "bag")
    for topic in (COLOR, DEPTH, INFO, "/depth/instances", "/depth/instances/table"):
        assert same_messages(bag, back, topic), topic
    for n, (one, other) in enumerate(zip(messages(bag, "/tf"), messages(back, "/tf"), strict=True)):
        assert one.transforms[0].transform == other.transforms[0].transform, n
    assert same_files(folder, converted(back, tmp_path / "again" / "folder", "sequence"))
    assert len(play(camera("replay", back))) == len(play(camera("replay", folder))) == 5
    hole = Sequence(folder).read(3, ("depth_m",))["depth_m"]
    assert np.isnan(hole[:8, :8]).all() and np.isnan(hole).sum() == 64


def test_depth_in_metres_keeps_each_bit_as_do_those_that_mean_nothing(tmp_path):
    depth_m = np.random.default_rng(0).uniform(0.1, 9, (HEIGHT, WIDTH)).astype(np.float32)
    depth_m[0, :4] = np.nan, np.inf, 0.0, -1.0
    rows = [row for n in range(2) for row in moment(n, depth=False)]
    rows += [(DEPTH, image(depth_m + n, stamp(n), "32FC1"), stamp(n) + 2) for n in range(2)]
    bag = write(tmp_path / "bag", by_time(rows))
    folder = converted(bag, tmp_path / "folder", "sequence")
    assert Sequence(folder).depth_unit_m == 1.0 and (folder / "depth/000000.tiff").is_file()
    assert Sequence(folder)[1]["depth_m"].tobytes() == (depth_m + 1).tobytes()
    assert same_messages(bag, converted(folder, tmp_path / "back", "bag"), DEPTH)


def test_a_jpeg_that_was_recorded_is_the_file_and_the_message_again(tmp_path):
    rows = []
    for n in range(3):
        at = stamp(n)
        rows += [
            (INFO, info(at), at),
            (COLOR + "/compressed", compressed(".jpg", numbered(n), at, "rgb8; jpeg compressed bgr8"), at),
        ]
        depth = compressed(".png", depth_mm(n), at, "16UC1; compressedDepth png", bytes(12))
        rows += [(DEPTH + "/compressedDepth", depth, at)]
    bag = write(tmp_path / "bag", rows)
    folder = converted(bag, tmp_path / "folder", "sequence")
    assert (folder / "rgb/000001.jpg").read_bytes() == bytes(rows[4][1].data)
    assert (folder / "depth/000001.png").read_bytes() == bytes(rows[5][1].data[12:])
    back = converted(folder, tmp_path / "back", "bag")
    assert same_messages(bag, back, COLOR + "/compressed") and COLOR not in IndexedBag(back).topics
    (depth, *_) = messages(back, DEPTH)
    assert np.array_equal(depth.data.view(np.uint16).reshape(HEIGHT, WIDTH), depth_mm(0))


def test_raw_colour_may_become_jpeg(tmp_path):
    bag = write(tmp_path / "bag", moments(2))
    color = Sequence(converted(bag, tmp_path / "folder", "sequence", jpeg=True))[1]["color"]
    assert (tmp_path / "folder/rgb/000001.jpg").is_file() and np.abs(color.astype(int) - numbered(1)).mean() < 2


LENS = Intrinsics(
    WIDTH, HEIGHT, 90.5, 91.5, 63.0, 47.0, "rational_polynomial", (0.1, -0.2, 0.0, 0.01, 0.5, 0.3, 0.2, 0.1)
)


@pytest.fixture
def simulated(tmp_path):
    """A sequence of which no topic says all: steps of 1.25 mm, poses, rows of a simulation."""
    about = {"name": "clip", "activity": "dance", "source": "simulated", "split": "val", "fps": 10.0, "frames": 3}
    turn = cv2.Rodrigues(np.array([0.3, -0.2, 0.5]))[0]
    with SequenceWriter(tmp_path / "clip", about, camera_json(LENS, 0.00125, "truth", note="kept")) as writer:
        for n in range(3):
            pose = shifted(n / 3)
            pose[:3, :3] = turn
            depth_m = np.linspace(0.5, 79, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
            depth_m[:3] = np.nan
            row = {"class": "person", "box": [1, 2, 3, 4], "area": 9, "depth_m": 2.25, "visible": 0.5, "still": False}
            instances = [
                row | {"id": 7, "hides": [40000], "joints_m": [[0.1, 0.2, 0.3]]},
                row | {"id": 40000, "hides": []},
            ]
            frame = {"stamp_ns": n * 10**8, "world_from_camera": pose, "checksum": f"c{n}", "instances": instances}
            writer.add(frame | {"color": numbered(n), "depth_m": depth_m, "truth_m": depth_m * 1.0001, "ids": ids(n)})
    return tmp_path / "clip"


def test_folder_bag_folder_is_bit_exact(simulated, tmp_path):
    bag = converted(simulated, tmp_path / "bag", "bag")
    back = converted(bag, tmp_path / "back", "sequence")
    for name in ("rgb", "mask", "truth"):
        assert same_files(simulated / name, back / name)
    one, other = Sequence(simulated), Sequence(back)
    for n in range(3):
        a, b = one.read(n, one.layers), other.read(n, one.layers)
        assert all(np.array_equal(a[name], b[name], equal_nan=name.endswith("_m")) for name in one.layers)
        assert np.array_equal(a["world_from_camera"], b["world_from_camera"]) and a["instances"] == b["instances"]
        assert (b["checksum"], b["stamp_ns"]) == (f"c{n}", n * 10**8)
    assert other.intrinsics == LENS and other.camera["note"] == "kept" and other.camera["depth_source"] == "truth"
    assert {k: other.about[k] for k in ("activity", "source", "split")} == {
        k: one.about[k] for k in ("activity", "source", "split")
    }
    told = np.frombuffer(messages(bag, "/simulation/instances/table")[0].data, ROW)
    assert told[["pixel", "class_id", "hidden_by"]].tolist() == [(7, 1, 0), (40000, 1, 7)]


def test_pictures_keep_their_stamps(tmp_path):
    bag = write(tmp_path / "bag", [row for n in range(3) for row in (*moment(n), *estimated(n)[:2])])
    images = converted(bag, tmp_path / "images", "images")
    assert sorted(path.name for path in (images / "rgb").iterdir()) == [f"{stamp(n)}.png" for n in range(3)]
    read = Images(images)
    assert read.intrinsics == BagSequence(bag).intrinsics and read.read(1, ("ids",))["instances"][0]["id"] == 7
    again = Sequence(converted(images, tmp_path / "sequence", "sequence"))
    whole = BagSequence(bag)
    for n in range(3):
        a, b = whole[n], again[n]
        assert a["stamp_ns"] == b["stamp_ns"] and np.array_equal(a["color"], b["color"])
        assert np.array_equal(a["depth_m"], b["depth_m"], equal_nan=True) and np.array_equal(a["ids"], b["ids"])
    assert same_messages(bag, converted(images, tmp_path / "back", "bag"), DEPTH)

    plain = tmp_path / "plain"
    plain.mkdir()
    for n in (1, 2, 10):
        cv2.imwrite(str(plain / f"{n}.bmp"), numbered(n)[..., ::-1])
    read = Sequence(converted(plain, tmp_path / "from_plain", "sequence"))
    assert [read[n]["stamp_ns"] for n in range(3)] == [0, 33333333, 66666667] and read.intrinsics.assumed
    assert np.array_equal(read[2]["color"], numbered(10)) and read.layers == ("color",)


def command(*words) -> list[str]:
    return [sys.executable, "-m", "instance_depth_ros.cli", "dataset", *map(str, words)]


def test_an_export_that_was_killed_goes_on_from_its_last_frame(tmp_path):
    bag = write(tmp_path / "bags/long", [row for n in range(150) for row in moment(n)])
    reference = converted(bag, tmp_path / "reference" / "long", "sequence")
    words = command("export", tmp_path / "bags", tmp_path / "out", "--workers", "1")
    process = subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL)
    rows, end = tmp_path / "out/.long.part/frames.jsonl", time.monotonic() + 100
    while time.monotonic() < end and not (rows.exists() and rows.read_bytes().count(b"\n") > 5):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    written = rows.read_bytes().count(b"\n")
    assert 5 < written < 150 and not (tmp_path / "out/long").exists()
    first = (tmp_path / "out/.long.part/rgb/000000.png").stat()
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 0 and "150/150 frames" in result.stdout, result.stderr
    assert same_files(reference, tmp_path / "out/long")
    assert (tmp_path / "out/long/rgb/000000.png").stat().st_mtime_ns == first.st_mtime_ns, "it was not written again"
    assert not list((tmp_path / "out").glob(".*"))


def test_the_command_names_what_failed_and_writes_the_rest(tmp_path, capsys):
    write(tmp_path / "bags/good", moments(2))
    write(tmp_path / "bags/blind", [(INFO, info(stamp(0)), stamp(0))])
    assert cli.main(["dataset", "export", str(tmp_path / "bags"), str(tmp_path / "out"), "--activity", "dance"]) == 1
    assert Sequence(tmp_path / "out/good").about["activity"] == "dance"
    assert cli.main(["dataset", "import", str(tmp_path / "out"), str(tmp_path / "back")]) == 0
    assert BagSequence(tmp_path / "back/good").about["activity"] == "dance"
    for words, why in (
        (["import", tmp_path / "out", tmp_path / "x", "--as", "sequence"], "holds sequences already"),
        (["export", tmp_path / "nothing", tmp_path / "x"], "there is no"),
        (["export", tmp_path / "out/good", tmp_path / "x"], "holds no bags"),
    ):
        assert cli.main(["dataset", *map(str, words)]) in (1, 2)
        assert why in capsys.readouterr().err


def long_bag(path, frames: int):
    """Of a D455's size, at 30 Hz, of which little changes."""
    writer, kind = BagWriter(path, {}, "zstd"), "sensor_msgs/msg/Image"
    definition, _ = STORE.generate_msgdef(kind, ros_version=2)
    for topic in (COLOR, DEPTH):
        writer.add(Topic(topic, kind, definition))
    color, depth = np.full((480, 848, 3), 90, np.uint8), np.full((480, 848), 2000, np.uint16)
    for n in range(frames):
        color[n % 480], depth[n % 480] = n % 255, n % 9000
        for topic, encoding, pixels in ((COLOR, "rgb8", color), (DEPTH, "16UC1", depth)):
            writer.write(topic, write_image(stamp(n), FRAME, encoding, pixels), stamp(n), stamp(n))
    writer.close()
    return path


def test_a_long_bag_is_exported_in_500_mb(tmp_path):
    """Ten minutes of it: LONG_BAG_FRAMES=18000 pytest -s test/test_bag_export.py -k long_bag"""
    bag, peaks_mb = long_bag(tmp_path / "bag", int(os.environ.get("LONG_BAG_FRAMES", "90"))), []
    for source, name, as_ in ((bag, "folder", "sequence"), (tmp_path / "folder", "back", "bag")):
        code = (
            "import sys; from pathlib import Path; from instance_depth_ros.datasets.convert import How, write\n"
            f"assert not write({name!r}, Path({str(source)!r}), Path({str(tmp_path)!r}), How({as_!r}, {{}}))\n"
            "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        peaks_mb.append(int(ran.stdout.split()[-1]) / 1000)
    print(f"export {peaks_mb[0]:.0f} MB, import {peaks_mb[1]:.0f} MB")
    assert max(peaks_mb) < 500
    assert len(Sequence(tmp_path / "folder")) == len(BagSequence(tmp_path / "back"))


def test_memory_does_not_grow_with_the_bag(tmp_path):
    peaks = []
    for n, frames in enumerate((20, 20, 120)):  # the first imports what it needs
        bag = rewritten(write(tmp_path / f"plain{n}", moments(frames)), tmp_path / f"bag{n}", "zstd")
        tracemalloc.start()
        converted(bag, tmp_path / f"folder{n}", "sequence")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 300_000


def test_training_takes_steps_from_a_bag(tmp_path):
    from test_training import Watched, recipe

    rows, rng = [row for n in range(6) for row in (*moment(n), *estimated(n)[:2])], np.random.default_rng(0)
    for row in (row for row in rows if row[0] == COLOR):
        row[1].data = rng.integers(0, 255, HEIGHT * WIDTH * 3, np.uint8)
    write(tmp_path / "bags/one", by_time(rows))
    phases = recipe("").phases[:2]
    trainer = Watched(recipe(tmp_path / "bags", phases=phases), tmp_path / "run", False)
    trainer.run()
    assert len(trainer.curve) == 4 and all(np.isfinite(list(terms.values())).all() for terms in trainer.curve.values())
    assert (tmp_path / "run/little.safetensors").is_file()
