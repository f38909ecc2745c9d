"""Bags and sequence folders as cameras: what was recorded comes back bit for bit, or it is said why not."""

import logging
import threading
import tracemalloc

import cv2
import numpy as np
import pytest
from bags import (
    COLOR,
    DEPTH,
    INFO,
    STEP_NS,
    compressed,
    depth_mm,
    image,
    info,
    moment,
    stamp,
    write,
)
from recordings import HEIGHT, WIDTH, camera, numbered, numbers, play

from instance_depth_ros.cameras import CameraError
from instance_depth_ros.datasets.sequence import SequenceWriter, camera_json
from instance_depth_ros.geometry import Intrinsics, depth_from_millimetres

STORAGES = ("mcap", "sqlite3")


def moments(count: int, **options) -> list:
    return [row for number in range(count) for row in moment(number, **options)]


def same(one, other) -> bool:
    """Whether two lists of frames are equal bit for bit, but for when they were received."""
    return len(one) == len(other) and all(
        (a.stamp_ns, a.frame_id, a.intrinsics) == (b.stamp_ns, b.frame_id, b.intrinsics)
        and np.array_equal(a.color, b.color)
        and (a.depth_m is None) == (b.depth_m is None)
        and (a.depth_m is None or np.array_equal(a.depth_m, b.depth_m, equal_nan=True))
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("bare", (False, True), ids=("folder", "file"))
def test_a_bag_gives_its_frames_bit_for_bit_with_their_stamps_twice(tmp_path, storage, bare):
    path = write(tmp_path / "bag", moments(6), storage)
    if bare:
        (path,) = [*path.glob("*.mcap"), *path.glob("*.db3")]
    opened = camera("replay", path)
    frames = play(opened)
    assert numbers(frames) == list(range(6)) and [frame.stamp_ns for frame in frames] == [stamp(n) for n in range(6)]
    for number, frame in enumerate(frames):
        assert np.array_equal(frame.color, numbered(number))
        assert np.array_equal(frame.depth_m, depth_from_millimetres(depth_mm(number)), equal_nan=True)
        assert frame.intrinsics == Intrinsics(WIDTH, HEIGHT, 100.0, 100.0, 64.0, 48.0, distortion=(0.0,) * 5)
    assert (opened.skipped, opened.unpaired) == (0, 0) and not opened.at_now
    assert same(frames, play(opened)), "opened again, it gives the same"


@pytest.mark.parametrize("storage", STORAGES)
def test_memory_does_not_grow_with_the_bag(tmp_path, storage):
    peaks = []
    for count in (30, 30, 150):  # the first imports what it needs
        opened = camera("replay", write(tmp_path / str(len(peaks)), moments(count), storage))
        tracemalloc.start()
        with opened:
            while opened.read() is not None:
                pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 1_000_000 < 150 * numbered(0).nbytes


def test_a_folder_without_metadata_is_read_file_by_file(tmp_path):
    path = write(tmp_path / "bag", moments(4))
    (path / "metadata.yaml").unlink()
    assert numbers(play(camera("replay", path))) == [0, 1, 2, 3]


def test_a_bag_that_was_cut_is_read_as_far_as_it_goes(tmp_path, caplog):
    path = write(tmp_path / "bag", moments(40))
    whole = play(camera("replay", path))
    (file,) = path.glob("*.mcap")
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    for cut in (path, file):
        with caplog.at_level(logging.WARNING):
            frames = play(camera("replay", cut))
        assert "no index" in caplog.text and file.name in caplog.text
        assert 10 < len(frames) < 40 and same(frames, whole[: len(frames)])
    with pytest.raises(CameraError, match=file.name):
        file.write_bytes(file.read_bytes()[:200])
        camera("replay", file).open()


@pytest.mark.parametrize("storage", STORAGES)
def test_a_bag_that_is_none_is_refused_by_name(tmp_path, storage):
    path = write(tmp_path / "bag", moments(3), storage)
    (file,) = [*path.glob("*.mcap"), *path.glob("*.db3")]
    file.write_bytes(np.random.default_rng(0).bytes(3000))
    for broken in (path, file):
        with pytest.raises(CameraError, match=file.name):
            camera("replay", broken).open()
    (tmp_path / "empty").mkdir()
    with pytest.raises(CameraError, match="empty is no bag"):
        camera("replay", tmp_path / "empty").open()
    with pytest.raises(CameraError, match="no bag or folder"):
        camera("replay", tmp_path / "absent").open()


def test_damage_in_the_middle_ends_the_replay_and_names_the_file(tmp_path):
    (file,) = write(tmp_path / "bag", moments(60)).glob("*.mcap")
    data, middle = bytearray(file.read_bytes()), file.stat().st_size // 2
    data[middle : middle + 80_000] = np.random.default_rng(0).bytes(80_000)
    file.write_bytes(data)
    frames = []
    with camera("replay", file) as opened, pytest.raises(CameraError, match=f"{file.name} broke off: "):
        while (frame := opened.read()) is not None:
            frames.append(frame)
    assert len(frames) >= 10 and numbers(frames) == list(range(len(frames)))


def test_damaged_messages_are_skipped_and_counted_and_half_a_pair_is_none(tmp_path):
    rows = moments(8)
    color, depth = ([place for place, row in enumerate(rows) if row[0] == topic] for topic in (COLOR, DEPTH))
    path = write(tmp_path / "bag", [row for place, row in enumerate(rows) if place != depth[6]], damaged=[color[2]])
    opened = camera("replay", path)
    assert numbers(play(opened)) == [0, 1, 3, 4, 5, 7]
    assert (opened.skipped, opened.unpaired) == (1, 1)


def test_colour_alone_where_there_is_no_depth(tmp_path):
    opened = camera("replay", write(tmp_path / "bag", moments(3, depth=False)))
    frames = play(opened)
    assert numbers(frames) == [0, 1, 2] and frames[0].depth_m is None
    assert opened.describe()["camera_depth_topic"] == "none"
    assert len(play(camera("replay", tmp_path / "bag", replay_depth_topic="none"))) == 3


def test_other_encodings_come_back_too(tmp_path):
    rows, depth_m = [], np.full((HEIGHT, WIDTH), 2.0, np.float32)
    depth_m[0, :3] = np.nan, 0.5, 4.0
    # What compressed_depth_image_transport makes of 32FC1: codes of A / metres + B.
    a, b = 1000.0, -50.0
    codes = np.where(np.isnan(depth_m), 0, np.rint(a / np.nan_to_num(depth_m, nan=1.0) + b)).astype(np.uint16)
    head = np.array([0], np.int32).tobytes() + np.array([a, b], np.float32).tobytes()
    for number in range(3):
        at, bgr = stamp(number), cv2.cvtColor(numbered(number), cv2.COLOR_RGB2BGR)
        rows.append(("/cam/rgb/image_raw/compressed", compressed(".png", bgr, at, "bgr8; png compressed bgr8"), at))
        depth = compressed(".png", codes, at, "32FC1; compressedDepth png", head)
        rows.append(("/cam/depth_registered/image_raw/compressedDepth", depth, at))
        rows.append(("/cam/rgb/image_raw/theora", compressed(".png", bgr, at, "theora"), at))
    frames = play(camera("replay", write(tmp_path / "bag", rows)))
    assert len(frames) == 3 and np.array_equal(frames[2].color, numbered(2)) and frames[0].intrinsics is None
    np.testing.assert_allclose(frames[1].depth_m, depth_m, rtol=0.002)

    at, codes = stamp(0), depth_mm(0)
    rows = [(f"{DEPTH}/compressedDepth", compressed(".png", codes, at, "16UC1; compressedDepth png", bytes(12)), at)]
    rows += [(f"{COLOR}/compressed", compressed(".png", numbered(3), at, "png"), at), (INFO, info(at), at)]
    frames = play(camera("replay", write(tmp_path / "ours", rows)))
    assert np.array_equal(frames[0].depth_m, depth_from_millimetres(codes), equal_nan=True)
    assert frames[0].intrinsics.fx == 100

    rows = [("/d", image(depth_m, stamp(0), "32FC1"), stamp(0)), ("/c", image(numbered(1), stamp(0)), stamp(0))]
    frames = play(camera("replay", write(tmp_path / "plain", rows), replay_depth_topic="d"))
    assert np.array_equal(frames[0].depth_m, depth_m, equal_nan=True)


def test_known_names_go_first_then_the_only_topic_and_several_are_listed(tmp_path):
    def bag(name, *topics, encoding="rgb8"):
        picture = numbered(1) if encoding == "rgb8" else numbered(1)[..., 0]
        rows = [(topic, image(picture, stamp(0), encoding), stamp(0)) for topic in topics]
        return camera("replay", write(tmp_path / name, rows))

    for name, topics, found in (
        ("ours", ["/other/color/image_raw", "/camera/camera/color/image_raw", COLOR], COLOR),
        ("realsense", ["/usb/image", "/camera/camera/color/image_raw"], "/camera/camera/color/image_raw"),
        ("kinect", ["/rgb_to_depth/image_raw", "/rgb/image_raw"], "/rgb/image_raw"),
        ("only", ["/usb/image"], "/usb/image"),
    ):
        opened = bag(name, *topics)
        assert len(play(opened)) == 1 and opened.describe()["camera_color_topic"] == found
    assert len(play(bag("grey", "/left/image", encoding="mono8"))) == 1
    for name, topics in (
        ("two", ["/a", "/b"]),
        ("cameras", ["/a/camera/color/image_raw", "/b/camera/color/image_raw"]),
    ):
        with pytest.raises(CameraError, match=f"{topics[0]}, {topics[1]}; choose with replay_color_topic"):
            bag(name, *topics).open()
        chosen = camera("replay", tmp_path / name, replay_color_topic=topics[1])
        assert len(play(chosen)) == 1
    with pytest.raises(CameraError, match="replay_color_topic must be .* got '/c'; it has /a, /b"):
        camera("replay", tmp_path / "two", replay_color_topic="c").open()
    with pytest.raises(CameraError, match="no colour pictures; its topics: /camera_info"):
        camera("replay", write(tmp_path / "none", [("/camera_info", info(0), 0)])).open()


@pytest.mark.parametrize(
    "why, depth, lens",
    (
        ("in frame 'depth_lens'", image(depth_mm(0), stamp(0), "16UC1", frame="depth_lens"), None),
        ("64x48", image(depth_mm(0)[:48, :64], stamp(0), "16UC1"), None),
        ("another lens", image(depth_mm(0), stamp(0), "16UC1"), info(stamp(0), fx=80.0)),
    ),
)
def test_depth_that_is_not_registered_is_left_out_or_refused(tmp_path, caplog, why, depth, lens):
    topic, at = "/camera/depth/image_raw", stamp(0)
    rows = [*moment(0, depth=False), (topic, depth, at)] + [("/camera/depth/camera_info", lens, at)] * (
        lens is not None
    )
    opened = camera("replay", write(tmp_path / "bag", rows))
    frames = play(opened)
    assert len(frames) == 1 and frames[0].depth_m is None
    assert why in opened.describe()["camera_depth_topic"] and why in caplog.text
    with pytest.raises(CameraError, match=f"{topic} .*not registered to {COLOR}: .*{why}"):
        camera("replay", tmp_path / "bag", replay_depth_topic=topic).open()


def test_nothing_that_can_be_decoded_says_the_reason(tmp_path):
    rows = [(COLOR, image(numbered(0), stamp(0), "bayer_rggb8"), stamp(0))]
    with pytest.raises(CameraError, match="1 cannot be decoded.*bayer_rggb8"):
        camera("replay", write(tmp_path / "bayer", rows)).open()
    late = [(DEPTH, image(depth_mm(0), stamp(5), "16UC1"), stamp(5)), *moment(0, depth=False)]
    with pytest.raises(CameraError, match="1 are without depth of their moment"):
        camera("replay", write(tmp_path / "late", late)).open()


def test_a_loop_goes_on_with_stamps_that_rise(tmp_path):
    path = write(tmp_path / "bag", moments(4))
    frames = play(camera("replay", path, loop=True, frames=10))
    assert numbers(frames) == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert np.diff([frame.stamp_ns for frame in frames]).tolist() == [STEP_NS] * 9


def test_an_uncalibrated_camera_info_leaves_the_lens_to_camera_info(tmp_path):
    rows = [(INFO, info(stamp(0), fx=0.0), stamp(0)), (COLOR, image(numbered(0), stamp(0)), stamp(0))]
    assert play(camera("replay", write(tmp_path / "bag", rows)))[0].intrinsics is None
    yaml = tmp_path / "lens.yaml"
    yaml.write_text(
        f"image_width: {WIDTH}\nimage_height: {HEIGHT}\ncamera_matrix: {{data: [90, 0, 64, 0, 90, 48, 0, 0, 1]}}\n"
    )
    assert play(camera("replay", tmp_path / "bag", camera_info=str(yaml)))[0].intrinsics.fx == 90


@pytest.mark.parametrize("settings, steps_s", (({}, [0.033, 0.5]), ({"rate": "2.0"}, [0.0165, 0.25])))
def test_the_pace_is_that_of_the_stamps_or_a_factor_of_it(tmp_path, monkeypatch, settings, steps_s):
    import time

    pauses, clock = [], [100.0]

    def wait(event, seconds):
        pauses.append(seconds)
        clock[0] += seconds

    rows = [(COLOR, image(numbered(n), at), at) for n, at in enumerate((stamp(0), stamp(1), stamp(900)))]
    opened = camera("replay", write(tmp_path / "bag", rows), **{"rate": "real", "timeout_s": 0.5} | settings)
    monkeypatch.setattr(threading.Event, "wait", wait)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    assert len(play(opened)) == 3
    assert np.allclose(pauses, steps_s), "a gap in the recording is waited for timeout_s at most"


def test_a_sequence_folder_gives_all_that_a_frame_holds(tmp_path):
    lens, pose = Intrinsics(WIDTH, HEIGHT, 90.0, 90.0, 64.0, 48.0), np.eye(4)
    pose[:3, 3] = 1, 2, 3
    with SequenceWriter(tmp_path / "clip", {"name": "clip", "frames": 4}, camera_json(lens, 0.001, "sensor")) as writer:
        for number in range(4):
            writer.add(
                {
                    "stamp_ns": stamp(number),
                    "world_from_camera": pose if number else None,
                    "instances": [],
                    "color": numbered(number),
                    "depth_m": depth_from_millimetres(depth_mm(number)),
                    "ids": np.full((HEIGHT, WIDTH), number, np.uint16),
                }
            )
    opened = camera("replay", tmp_path / "clip")
    frames = play(opened)
    assert numbers(frames) == [0, 1, 2, 3] and [f.stamp_ns for f in frames] == [stamp(n) for n in range(4)]
    assert frames[0].world_from_camera is None and np.array_equal(frames[1].world_from_camera, pose)
    assert frames[2].intrinsics == lens and (frames[2].ids == 2).all()
    assert np.array_equal(frames[3].depth_m, depth_from_millimetres(depth_mm(3)), equal_nan=True)
    (tmp_path / "clip/depth/000001.png").write_bytes(b"no picture")
    assert numbers(play(opened)) == [0, 2, 3] and opened.skipped == 1
    (tmp_path / "clip/camera.json").unlink()
    with pytest.raises(CameraError, match="camera.json"):
        opened.open()
