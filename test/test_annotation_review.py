"""What is wrong in an annotation is found, and what is right is not suspect."""

import numpy as np
import pytest

from instance_depth_ros.datasets.annotation.review import review
from instance_depth_ros.datasets.sequence import Sequence, SequenceWriter, camera_json
from instance_depth_ros.geometry import Intrinsics

HEIGHT, WIDTH, FRAMES = 120, 160, 16
LENS = Intrinsics.from_fov(WIDTH, HEIGHT, 60)
COLOR = np.kron(np.random.default_rng(0).integers(0, 255, (15, 20, 3), np.uint8), np.ones((8, 8, 1), np.uint8))


def scene(index):
    """Two people who walk towards each other on both sides of a still one: ids, depth."""
    ids, depth_m = np.zeros((HEIGHT, WIDTH), np.uint16), np.full((HEIGHT, WIDTH), 8.0, np.float32)
    for number, x, layer_m in ((1, 25 + index, 3.0), (2, 135 - index, 4.0), (3, 80, 5.0)):
        part = np.s_[40:90, x - 8 : x + 8]
        ids[part], depth_m[part] = number, layer_m + np.linspace(-0.2, 0.2, 16)
    return ids, depth_m


def rows_of(ids, depth_m, kinds=None):
    rows = []
    for number in np.unique(ids)[1:].tolist():
        y, x = np.nonzero(ids == number)
        box = [int(v) for v in (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)]
        rows.append({"id": number, "class": (kinds or {}).get(number, "person"), "box": box, "area": len(x)})
    return rows


def written(folder, spoil=lambda index, ids, depth_m: None) -> Sequence:
    about = {"name": "a", "frames": FRAMES}
    with SequenceWriter(folder / "a", about, camera_json(LENS, 0.001, "truth")) as writer:
        for index in range(FRAMES):
            ids, depth_m = scene(index)
            spoil(index, ids, depth_m)
            rows = rows_of(ids, depth_m)
            frame = {"stamp_ns": index * 10**8, "instances": rows, "color": COLOR, "ids": ids, "depth_m": depth_m}
            writer.add(frame)
    return Sequence(folder / "a")


def test_a_right_annotation_is_not_suspect(tmp_path):
    assert review(written(tmp_path)) == []


def swapped(index, ids, depth_m):
    if index >= 7:
        one = ids == 1
        ids[ids == 3], ids[one] = 1, 3


def renamed(index, ids, depth_m):
    if index >= 7:
        ids[ids == 2] = 9


def returned(index, ids, depth_m):
    """Hidden for three frames, and then somebody else."""
    if index >= 7:
        ids[ids == 2] = 9 if index >= 10 else 0


def jumped(index, ids, depth_m):
    if index == 7:
        ids[ids == 3] = 0
        ids[2:30, 120:136] = 3
        depth_m[2:30, 120:136] = 5.0


def grown(index, ids, depth_m):
    if index == 7:
        ids[2:39, 68:92] = 3
        ids[91:118, 68:92] = 3
        depth_m[ids == 3] = 5.0


def two_depths(index, ids, depth_m):
    if index == 7:
        depth_m[40:60, 72:88] = 8.0


def only_once(index, ids, depth_m):
    if index == 7:
        ids[2:20, 70:90], depth_m[2:20, 70:90] = 50, 5.0


@pytest.mark.parametrize(
    "spoil, kind, frame, whose",
    [
        (swapped, "switch", 7, {1, 3}),
        (renamed, "switch", 7, {2, 9}),
        (returned, "switch", 10, {2, 9}),
        (jumped, "jump", 7, {3}),
        (grown, "jump", 7, {3}),
        (two_depths, "depth", 7, {3}),
        (only_once, "once", 7, {50}),
    ],
)
def test_what_is_wrong_is_found_where_it_is(tmp_path, spoil, kind, frame, whose):
    found = [suspect for suspect in review(written(tmp_path, spoil)) if suspect.kind == kind]
    assert (found[0].frame, set(found[0].ids)) == (frame, whose), found
    assert all(str(number) in found[0].what for number in whose) or kind != "switch"


def test_masks_that_a_camera_moves_are_not_suspect(tmp_path):
    """A pan moves all by more than the width of a person."""
    about, wide = {"name": "pan", "frames": 8}, np.tile(COLOR, (1, 3, 1))
    rng = np.random.default_rng(1)
    wide = rng.integers(0, 255, (HEIGHT, 3 * WIDTH, 3), np.uint8)
    ids = np.zeros((HEIGHT, 3 * WIDTH), np.uint16)
    for number in range(1, 12):
        ids[40:90, 38 * number : 38 * number + 16] = number
    with SequenceWriter(tmp_path / "pan", about, camera_json(LENS, 0.001, "truth")) as writer:
        for index in range(8):
            part = np.s_[:, 20 * index : 20 * index + WIDTH]
            rows = rows_of(ids[part], None)
            frame = {"stamp_ns": index * 10**8, "instances": rows, "color": wide[part], "ids": ids[part]}
            writer.add(frame)
    assert [s for s in review(Sequence(tmp_path / "pan")) if s.kind != "once"] == []
