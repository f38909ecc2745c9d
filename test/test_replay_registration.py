"""Bags whose driver did not register depth: it is done where the bag tells how; and pairs are found by their rates."""

import numpy as np
import pytest
from bags import COLOR, STORE, depth_mm, header, image, info, stamp, write
from recordings import HEIGHT, WIDTH, camera, numbered, numbers, play

from instance_depth_ros.cameras import CameraError
from instance_depth_ros.datasets.bag_sequence import BagSequence
from instance_depth_ros.geometry import depth_from_millimetres
from instance_depth_ros.image_encodings import intrinsics_from_info
from instance_depth_ros.recording.bag import EXTRINSICS
from instance_depth_ros.registration import register

DEPTH, DEPTH_FRAME = "/camera/camera/depth/image_rect_raw", "camera_depth_optical_frame"
DEPTH_SIZE, DEPTH_FX = (HEIGHT // 2, WIDTH // 2), 60.0
# Colour looks a little down, 59 mm left of depth.
TURN = np.array([[1, 0, 0], [0, np.cos(0.02), -np.sin(0.02)], [0, np.sin(0.02), np.cos(0.02)]])
COLOR_FROM_DEPTH = np.eye(4)
COLOR_FROM_DEPTH[:3, :3], COLOR_FROM_DEPTH[:3, 3] = TURN, (0.059, 0.001, 0.002)
OPTICAL = (-0.5, 0.5, -0.5, 0.5)


def codes(number: int) -> np.ndarray:
    return depth_mm(number)[::2, ::2]


def transform(parent: str, child: str, position, quaternion):
    kinds = {name: STORE.types[f"geometry_msgs/msg/{name}"] for name in ("Vector3", "Quaternion", "Transform")}
    turned = kinds["Transform"](kinds["Vector3"](*position), kinds["Quaternion"](*quaternion))
    return STORE.types["geometry_msgs/msg/TransformStamped"](header(0, parent), child, turned)


def tf_static():
    """As realsense2_camera says it: link, camera frames, optical frames."""
    half = 0.01  # of TURN, about the link's y, left
    links = [
        transform("camera_link", "camera_depth_frame", (0, 0, 0), (0, 0, 0, 1)),
        transform("camera_depth_frame", DEPTH_FRAME, (0, 0, 0), OPTICAL),
        transform("camera_color_frame", "camera_color_optical_frame", (0, 0, 0), OPTICAL),
    ]
    x, y, z = np.linalg.inv(COLOR_FROM_DEPTH)[:3, 3]
    links.append(transform("camera_link", "camera_color_frame", (z, -x, -y), (0, np.sin(half), 0, np.cos(half))))
    return STORE.types["tf2_msgs/msg/TFMessage"](links)


def extrinsics():
    return STORE.types[EXTRINSICS](TURN.T.ravel(), COLOR_FROM_DEPTH[:3, 3].copy())


def rows(*more, depth_info: bool = True) -> list:
    """Three moments of a RealSense without align_depth, after these (topic, message)."""
    found = [(topic, message, stamp(0)) for topic, message in more]
    for number in range(3):
        at = stamp(number)
        pictures = [(COLOR, image(numbered(number), at)), ("/camera/color/camera_info", info(at))]
        pictures.append((DEPTH, image(codes(number), at, "16UC1", frame=DEPTH_FRAME)))
        if depth_info:
            lens = info(at, DEPTH_FX, DEPTH_SIZE, DEPTH_FRAME)
            pictures.append(("/camera/camera/depth/camera_info", lens))
        found += [(topic, message, at) for topic, message in pictures]
    return found


TELLERS = {
    "tf": ("/tf_static", tf_static),
    "/camera/camera/extrinsics/depth_to_color": ("/camera/camera/extrinsics/depth_to_color", extrinsics),
}


@pytest.mark.parametrize("told_by", TELLERS)
def test_depth_is_registered_by_what_the_bag_tells(tmp_path, told_by):
    topic, message = TELLERS[told_by]
    path = write(tmp_path / "bag", rows((topic, message())))
    lenses = [intrinsics_from_info(one) for one in (info(0, DEPTH_FX, DEPTH_SIZE), info(0))]
    for wanted in ("", DEPTH):
        opened = camera("replay", path, replay_depth_topic=wanted)
        frames = play(opened)
        assert numbers(frames) == [0, 1, 2]
        assert opened.describe()["camera_depth_topic"] == f"{DEPTH}, registered by {told_by}"
    expected = register(depth_from_millimetres(codes(2)), *lenses, COLOR_FROM_DEPTH)
    np.testing.assert_allclose(frames[2].depth_m, expected, rtol=1e-4)
    assert np.isfinite(expected).mean() > 0.2
    # the same for who reads it as a dataset, whose depth is in millimetres
    np.testing.assert_allclose(BagSequence(path).read(2, ["depth_m"])["depth_m"], frames[2].depth_m, atol=0.00051)


def test_what_the_bag_says_of_its_frames_is_told_again(tmp_path):
    opened = camera("replay", write(tmp_path / "bag", rows(("/tf_static", tf_static()))))
    play(opened)
    placed = {one.child: one for one in opened.placed}
    assert placed[DEPTH_FRAME].parent == "camera_depth_frame" and len(placed) == 4
    np.testing.assert_allclose(placed[DEPTH_FRAME].parent_from_child @ [0, 0, 1, 1], [1, 0, 0, 1], atol=1e-9)


@pytest.mark.parametrize(
    "why, more",
    (
        ("neither tf nor /camera/camera/extrinsics/depth_to_color in the bag", {}),
        ("its lens is unknown, as there is no camera_info", {"depth_info": False}),
    ),
)
def test_depth_of_which_the_bag_tells_too_little_is_left_out_or_refused(tmp_path, why, more):
    told = (("/tf_static", tf_static()),) if more else ()
    path = write(tmp_path / "bag", rows(*told, **more))
    opened = camera("replay", path)
    assert [frame.depth_m for frame in play(opened)] == [None] * 3
    assert why in opened.describe()["camera_depth_topic"]
    with pytest.raises(CameraError, match=why):
        camera("replay", path, replay_depth_topic=DEPTH).open()


def moments(hz: float, later_ns: int, without: int = -1) -> list:
    found = []
    for number in range(10):
        at = stamp(0) + round(number * 1e9 / hz)
        found.append((COLOR, image(numbered(number), at), at))
        if number != without:
            depth = image(depth_mm(number), at + later_ns, "16UC1")
            found.append(("/camera/aligned_depth_to_color/image_raw", depth, at + later_ns))
    return found


@pytest.mark.parametrize("hz, later_ns", ((90, 2_000_000), (10, 30_000_000)))
def test_a_picture_is_paired_with_the_depth_of_its_moment_at_any_rate(tmp_path, hz, later_ns):
    path = write(tmp_path / "bag", moments(hz, later_ns, without=5))
    opened = camera("replay", path)
    frames = play(opened)
    assert numbers(frames) == [0, 1, 2, 3, 4, 6, 7, 8, 9] and opened.unpaired == 1
    for number, frame in zip(numbers(frames), frames, strict=True):
        np.testing.assert_array_equal(frame.depth_m, depth_from_millimetres(depth_mm(number)))
    assert len(BagSequence(path)) == 9
