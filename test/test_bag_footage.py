"""A bag read as a sequence: any frame of it, bit for bit, and what is not there is said."""

import logging
import os

import numpy as np
import pytest
from bags import (
    COLOR,
    DEPTH,
    FRAME,
    INFO,
    STEP_NS,
    STORE,
    cloud,
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

from instance_depth_ros.datasets.bag_sequence import BagSequence
from instance_depth_ros.datasets.clips import Written, take
from instance_depth_ros.datasets.published import open_published
from instance_depth_ros.datasets.sequence import open_folder
from instance_depth_ros.datasets.statistics import count
from instance_depth_ros.geometry import depth_from_millimetres
from instance_depth_ros.recording.bag import BagError
from instance_depth_ros.recording.bag_writer import BagWriter, Topic
from instance_depth_ros.table import ROW

NAN = float("nan")


def moments(count: int, **options) -> list:
    return [row for number in range(count) for row in moment(number, **options)]


def ids(number: int) -> np.ndarray:
    """Two things; the second hides a part of the first."""
    picture = np.zeros((HEIGHT, WIDTH), np.uint16)
    picture[20:60, 10 + number : 50], picture[40:70, 40:80] = 7, 40000
    return picture


def table(number: int) -> np.ndarray:
    return np.array(
        [
            (0.1, 0.2, 3.0, 0.5, 1.7, 0.4, 100_007, 7, 1, 0.9, 3.1, 0.05, 0.8, 100_009, 1.5),
            (0.3, NAN, 2.0, NAN, NAN, NAN, 100_009, 40000, 3, 0.7, 2.0, NAN, 1.0, 0, 0.1 * number),
        ],
        ROW,
    )


def estimated(number: int) -> list:
    """What the depth node adds to a moment, a while later."""
    at, later = stamp(number), stamp(number) + 2 * STEP_NS
    return [
        ("/depth/instances", image(ids(number), at, "16UC1"), later),
        ("/depth/instances/table", cloud(table(number), at), later + 1),
        ("/depth/image", image(np.full((HEIGHT, WIDTH), 2.5 + number, np.float32), at, "32FC1"), later + 2),
    ]


def by_time(rows: list) -> list:
    return sorted(rows, key=lambda row: row[2])


def rewritten(source, path, compression: str):
    """The bag as the recorder's writer writes it."""
    from rosbags.rosbag2 import Reader

    with Reader(source) as reader:
        writer = BagWriter(path, {"activity": "dance"}, compression, chunk_bytes=100_000)
        for connection in reader.connections:
            definition, _ = STORE.generate_msgdef(connection.msgtype, ros_version=2)
            writer.add(Topic(connection.topic, connection.msgtype, definition))
        for connection, log_ns, data in reader.messages():
            writer.write(connection.topic, data, log_ns, log_ns)
        writer.close()
    return path


@pytest.mark.parametrize("kind", ("mcap", "sqlite3", "none", "zstd"))
def test_any_frame_of_a_bag_is_what_its_replay_gives(tmp_path, kind):
    path = write(tmp_path / "plain", moments(25), "sqlite3" if kind == "sqlite3" else "mcap")
    if kind in ("none", "zstd"):
        path = rewritten(path, tmp_path / "bag", kind)
    frames, bag = play(camera("replay", path)), BagSequence(path)
    assert len(bag) == len(frames) == 25 and bag.layers == ("color", "depth_m")
    for index in np.random.default_rng(0).permutation(25).tolist():
        row, frame = bag[index], frames[index]
        assert (row["index"], row["stamp_ns"], row["received_ns"]) == (index, frame.stamp_ns, frame.stamp_ns + 1)
        assert np.array_equal(row["color"], frame.color) and np.array_equal(
            row["depth_m"], frame.depth_m, equal_nan=True
        )
        assert row["world_from_camera"] is None and row["instances"] == []
    assert bag.intrinsics == frames[0].intrinsics and bag.camera["depth_source"] == f"sensor {DEPTH}"
    assert bag.about["fps"] == pytest.approx(30.3, abs=0.01) and bag.left_out == {}
    assert bag.about["activity"] == ("dance" if kind in ("none", "zstd") else None)
    with pytest.raises(IndexError, match="has 25 frames, asked for number 25"):
        bag[25]
    with pytest.raises(ValueError, match="no layer 'truth_m': the bag has no such topic; it has color, depth_m"):
        bag.read(0, ("truth_m",))
    bag.close()


def test_instances_come_from_the_id_image_and_the_table_of_its_stamp(tmp_path):
    rows = by_time([row for n in range(6) for row in (*moment(n), *(estimated(n) if n != 2 else []))])
    bag = BagSequence(write(tmp_path / "bag", rows))
    assert bag.layers == ("color", "depth_m", "ids", "classes", "static")
    assert [bag.frame(n)["stamp_ns"] for n in range(5)] == [stamp(n) for n in (0, 1, 3, 4, 5)]
    assert bag.left_out == {"without ids": 1} and bag.about["masks"] == "estimate"
    row = bag.read(2, ("color", "ids", "classes"))
    assert np.array_equal(row["ids"], ids(3)) and np.array_equal(row["color"], numbered(3))
    person, ball = row["instances"]
    assert (person["id"], person["class"], person["hides"], person["track"]) == (7, "person", [], 100_007)
    assert (ball["id"], ball["class"], ball["hides"], ball["place_m"][1]) == (40000, "ball", [7], None)
    assert ball["box"] == [40, 40, 40, 30] and ball["area"] == 1200 and person["depth_m"] == pytest.approx(3.1)
    assert (row["classes"][ids(3) == 40000] == 3).all() and (row["classes"][ids(3) == 0] == 0).all()
    # all frames, where masks are not asked for
    assert len(BagSequence(tmp_path / "bag", without=["ids"])) == 6
    counts = count(bag)
    assert (counts.frames, counts.objects, counts.classes) == (5, 10, {"person": 5, "ball": 5})


def test_an_estimate_never_stands_for_the_sensor(tmp_path):
    rows = by_time([row for n in range(3) for row in (*moment(n, depth=False), *estimated(n))])
    path = write(tmp_path / "bag", rows)
    bag = BagSequence(path)
    assert "depth_m" not in bag.layers and bag.camera["depth_source"] == "none"
    bag = BagSequence(path, depth="estimate")
    assert bag.camera["depth_source"] == "estimate /depth/image" and bag.camera["depth_unit_m"] == 1.0
    assert (bag[1]["depth_m"] == 3.5).all()


def test_truth_of_a_simulated_camera_and_its_pose(tmp_path):
    rows, pose = [], STORE.types["geometry_msgs/msg/PoseStamped"]
    for n in range(3):
        at, truth_m = stamp(n), np.full((HEIGHT, WIDTH), 4.0 + n, np.float32)
        truth_m[:4] = np.nan
        place = STORE.types["geometry_msgs/msg/Point"](1.0, 2.0, 3.0 + n)
        turn = STORE.types["geometry_msgs/msg/Quaternion"](0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5))
        stamped = pose(moment(n)[0][1].header, STORE.types["geometry_msgs/msg/Pose"](place, turn))
        rows += [*moment(n), *estimated(n), ("/simulation/camera_pose", stamped, at + 5)]
        rows += [("/simulation/depth/image", image(truth_m, at, "32FC1"), at + 6)]
        rows += [("/simulation/instances", image(ids(n) // 7, at, "16UC1"), at + 7)]
    path = write(tmp_path / "bag", by_time(rows))
    bag = BagSequence(path, masks="truth")
    row = bag.read(1, ("truth_m", "depth_m", "ids"))
    assert np.isnan(row["truth_m"][:4]).all() and (row["truth_m"][4:] == 5).all()
    np.testing.assert_allclose(
        row["world_from_camera"], [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 4], [0, 0, 0, 1]], atol=1e-12
    )
    assert np.array_equal(row["ids"], ids(1) // 7) and {r["class"] for r in row["instances"]} == {"other"}
    assert BagSequence(path).about["masks"] == "truth", "the best that there is"
    row = BagSequence(path, masks="estimate").read(1, ("ids",))
    assert np.array_equal(row["ids"], ids(1)) and [r["class"] for r in row["instances"]] == ["person", "ball"]


def test_poses_come_from_tf_where_something_stands_still(tmp_path):
    fixed = ("/tf_static", transforms(0, ("base", FRAME, shifted(0.25))), stamp(0))
    moving = [("/tf", transforms(stamp(n), ("odom", "base", shifted(n))), stamp(n) + 3) for n in range(0, 6, 2)]
    bag = BagSequence(write(tmp_path / "robot", by_time([fixed, *moving, *moments(6)])))
    poses = [bag.frame(n)["world_from_camera"] for n in range(6)]
    assert [pose if pose is None else round(pose[0, 3], 9) for pose in poses] == [0.25, 1.25, 2.25, 3.25, 4.25, None]
    item = take(bag, range(4, 6), ("color",))
    assert np.isnan(item["world_from_camera"][1]).all() and item["color"].shape == (2, HEIGHT, WIDTH, 3)
    hand_held = write(
        tmp_path / "hand", [("/tf_static", transforms(0, ("camera_link", FRAME, shifted(1))), 0), *moments(2)]
    )
    assert BagSequence(hand_held).frame(0)["world_from_camera"] is None, "a camera's own frames do not stand still"


REALSENSE = "/camera/camera"


def realsense(number: int, tf: bool = True) -> list:
    """What realsense2_camera publishes without align_depth."""
    at, lens = stamp(number), "camera_depth_optical_frame"
    rows = [
        (f"{REALSENSE}/color/camera_info", info(at), at),
        (f"{REALSENSE}/depth/camera_info", info(at, 90.0, frame=lens), at),
    ]
    rows += [(f"{REALSENSE}/color/image_raw", image(numbered(number), at, "bgr8"), at + 1)]
    depth = np.full((HEIGHT, WIDTH), 2000, np.uint16)
    rows += [(f"{REALSENSE}/depth/image_rect_raw", image(depth, at + 4_000_000, "16UC1", lens), at + 5_000_000)]
    links = ("camera_link", FRAME, shifted(0.015)), ("camera_link", lens, shifted(0))
    return rows + [("/tf_static", transforms(0, *links), at)] * (tf and number == 0)


def test_a_foreign_bag_is_registered_where_tf_says_how_and_else_not_used(tmp_path, caplog):
    bag = BagSequence(write(tmp_path / "bag", by_time([row for n in range(3) for row in realsense(n)])))
    row = bag[1]
    assert np.array_equal(row["color"], numbered(1)[..., ::-1]) and row["depth_stamp_ns"] == stamp(1) + 4_000_000
    seen = row["depth_m"][30:60, 40:80]
    assert (seen == 2.0).all() and np.array(bag.camera["color_from_depth"])[0, 3] == pytest.approx(-0.015)
    bag = BagSequence(write(tmp_path / "lost", by_time([row for n in range(3) for row in realsense(n, tf=False)])))
    assert bag.layers == ("color",) and "is not registered to" in bag.missing["depth_m"]
    with pytest.raises(BagError, match="lost: .*image_rect_raw is not registered"):
        BagSequence(tmp_path / "lost", depth_topic=f"{REALSENSE}/depth/image_rect_raw")


def test_compressed_topics_alone_are_enough(tmp_path):
    rows = []
    for n in range(4):
        at, head = stamp(n), bytes(12)
        rows += [
            (INFO, info(at), at),
            (COLOR + "/compressed", compressed(".jpg", numbered(n), at, "rgb8; jpeg compressed bgr8"), at),
        ]
        rows += [
            (DEPTH + "/compressedDepth", compressed(".png", depth_mm(n), at, "16UC1; compressedDepth png", head), at)
        ]
        name = "/depth/instances/compressedDepth"
        rows += [(name, compressed(".png", ids(n), at, "16UC1; compressedDepth png", head), at + 9)]
    bag = BagSequence(write(tmp_path / "bag", rows))
    row = bag[2]
    assert np.array_equal(row["depth_m"], depth_from_millimetres(depth_mm(2)), equal_nan=True)
    assert np.array_equal(row["ids"], ids(2)) and [r["id"] for r in row["instances"]] == [7, 40000]
    assert np.abs(row["color"][..., ::-1].astype(int) - numbered(2)).mean() < 3
    code = bag.coded(2, ("color", "depth_m", "ids"))
    assert code["color"] == bytes(rows[9][1].data) and code["depth_m"] == bytes(rows[10][1].data[12:])


@pytest.mark.parametrize("compression", ("none", "zstd"))
def test_a_cut_bag_is_read_as_far_as_it_goes(tmp_path, caplog, compression):
    path = rewritten(write(tmp_path / "plain", moments(40)), tmp_path / "bag", compression)
    whole = BagSequence(path)
    (path / "metadata.yaml").unlink()
    (file,) = path.glob("*.mcap")
    os.truncate(file, file.stat().st_size * 2 // 3)
    with caplog.at_level(logging.WARNING):
        cut = BagSequence(path)
    assert "it was cut" in caplog.text and "repair" in caplog.text and 15 < len(cut) < 40
    for index in (0, len(cut) - 1):
        assert np.array_equal(cut[index]["depth_m"], whole[index]["depth_m"], equal_nan=True)


def test_damaged_messages_are_left_out(tmp_path):
    rows = moments(8)
    places = {topic: [place for place, row in enumerate(rows) if row[0] == topic] for topic in (COLOR, DEPTH)}
    bag = BagSequence(write(tmp_path / "bag", rows, damaged=[places[COLOR][2], places[DEPTH][5]]))
    assert [bag.frame(n)["stamp_ns"] for n in range(6)] == [stamp(n) for n in (0, 1, 3, 4, 6, 7)]
    assert bag.left_out == {"damaged": 1, "without depth_m": 1}
    with pytest.raises(BagError, match="holds no moment of color, depth_m"):
        write(
            tmp_path / "apart",
            [(*row[:2], row[2]) for row in moments(1, depth=False)]
            + [(DEPTH, image(depth_mm(0), stamp(99), "16UC1"), stamp(99))],
        )
        BagSequence(tmp_path / "apart")


def test_split_bags_are_one_and_in_order(tmp_path):
    writer = BagWriter(tmp_path / "bag", {})
    definition, _ = STORE.generate_msgdef("sensor_msgs/msg/Image", ros_version=2)
    writer.add(Topic(COLOR, "sensor_msgs/msg/Image", definition))
    for n in range(12):
        message = image(numbered(n), stamp(n))
        writer.write(COLOR, bytes(STORE.serialize_cdr(message, message.__msgtype__)), stamp(n), stamp(n))
        writer.split()
    writer.close()
    bag = BagSequence(tmp_path / "bag")
    assert [bag.frame(n)["stamp_ns"] for n in range(12)] == [stamp(n) for n in range(12)]
    assert np.array_equal(bag.read(11, ("color",))["color"], numbered(11)) and bag.intrinsics.assumed


def test_a_folder_may_hold_bags_and_sequences(tmp_path):
    write(tmp_path / "data/b", moments(5))
    write(tmp_path / "data/a", moments(6))
    clips = Written(tmp_path / "data", ("color", "depth_m"))
    assert [len(sequence) for sequence in clips.sequences] == [6, 5]
    item = clips.draw(np.random.default_rng(1), 3)
    assert item["depth_m"].shape == (3, HEIGHT, WIDTH) and np.diff(item["stamps_s"]) == pytest.approx(0.033)
    judged, _ = open_published("gid", tmp_path / "data")
    assert len(judged) == 2 and np.nanmax(judged[0].read(0, ("depth_m",))["depth_m"]) <= 10.0
    with pytest.raises(ValueError, match="is a bag itself: name the folder that holds it"):
        open_folder(tmp_path / "data/a")
