"""Prompts that people write are checked to the letter; ground is what lies on its plane, where the dots are."""

import json

import numpy as np
import pytest

from instance_depth_ros.config import CLASSES
from instance_depth_ros.datasets.annotation.ground_mask import dots_in, ground_mask
from instance_depth_ros.datasets.annotation.prompts import Box, Prompts, read_prompts
from instance_depth_ros.geometry import Intrinsics, rays

SIZE = HEIGHT, WIDTH = 240, 320
LENS = Intrinsics.from_fov(WIDTH, HEIGHT, 65)
BOX = {"box": [10, 20, 30, 40], "class": "person"}


def read(tmp_path, content):
    path = tmp_path / "prompts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_prompts(path, 10, SIZE)


def frame(**said):
    return {"frames": {"3": said}}


def test_prompts_are_read_as_they_were_written(tmp_path):
    said = {"3": {"boxes": [BOX | {"id": 7}, BOX], "ground": [[1, 2.5]]}, "4": {"boxes": []}, "5": {"ground": []}}
    person = CLASSES.index("person")
    assert read(tmp_path, {"frames": said}) == {
        3: Prompts((Box((10, 20, 30, 40), person, 7), Box((10, 20, 30, 40), person)), ((1, 2.5),)),
        4: Prompts(()),
        5: Prompts(None),
    }


@pytest.mark.parametrize(
    "content, said",
    [
        ("{", "prompts.json cannot be read as JSON"),
        ("[]", "the file must be an object"),
        ({"boxes": []}, "the file has 'boxes'; known are frames"),
        ({}, "frames must be an object, got None"),
        ({"frames": {"10": {}}}, "frame 10: frames are numbered from 0 to 9"),
        ({"frames": {"first": {}}}, "frame first: frames are numbered"),
        ('{"frames": {"1": {}, "1": {}}}', "'1' stands twice"),
        (frame(box=[]), "frame 3 has 'box'; known are boxes, ground"),
        (frame(boxes={}), "frame 3: boxes must be a list"),
        (frame(boxes=[[1, 2, 3, 4]]), "frame 3, box 0 must be an object"),
        (frame(boxes=[BOX, BOX | {"box": [1, 2, 3]}]), r"frame 3, box 1: box must be \[x, y, width, height\]"),
        (frame(boxes=[BOX | {"box": [1, 2, 3, "4"]}]), "finite numbers, got"),
        ('{"frames": {"3": {"boxes": [{"box": [1, 2, NaN, 4], "class": "ball"}]}}}', "finite numbers"),
        (frame(boxes=[BOX | {"box": [10, 20, 0, 5]}]), "has no pixel in the picture of 320x240"),
        (frame(boxes=[BOX | {"box": [400, 20, 5, 5]}]), "has no pixel in the picture"),
        (frame(boxes=[BOX | {"class": "dog"}]), "class must be one of person, animal, ball.*got 'dog'"),
        (frame(boxes=[{"box": [1, 2, 3, 4]}]), "class must be one of .* got None"),
        (frame(boxes=[BOX | {"id": 0}]), "id must be a whole number from 1 to 65535, got 0"),
        (frame(boxes=[BOX | {"id": True}]), "id must be a whole number"),
        (frame(boxes=[BOX | {"id": 4}, BOX | {"id": 4}]), "frame 3: two boxes have id 4"),
        (frame(ground=[[320, 10]]), r"the dot \[320, 10\] is outside the picture of 320x240"),
        (frame(ground=[3, 4]), r"a dot of the ground must be \[x, y\]"),
        (
            {"frames": {"3": {"boxes": [BOX | {"id": 4}]}, "5": {"boxes": [BOX | {"id": 4, "class": "ball"}]}}},
            "frame 5: id 4 is a ball here and a person before",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, content, said):
    with pytest.raises(ValueError, match=said) as raised:
        read(tmp_path, content)
    assert "prompts.json" in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.json is missing; docs/dataset.md"):
        read_prompts(tmp_path / "none.json", 10, SIZE)


def room(rng=None):
    """Depth of a floor 1.4 m below, pitched by 12 degrees, with a table of 0.7 m, a wall and a person on it."""
    pitch, ray = np.radians(12), rays(LENS).astype(np.float64)
    plane = np.array([0, np.cos(pitch), np.sin(pitch)]) / 1.4
    slope = ray @ plane[:2] + plane[2]
    floor_m = np.where(slope > 1e-3, 1 / np.maximum(slope, 1e-3), np.inf)
    wall_m = np.full(SIZE, 7.0)
    floor = floor_m < wall_m
    depth_m = np.where(floor, floor_m, wall_m)
    table = np.zeros(SIZE, bool)
    table[150:200, 30:90] = True
    depth_m[table], floor[table] = floor_m[table] / 2, False
    person = np.zeros(SIZE, bool)
    person[70:190, 200:230] = True
    depth_m[person], floor[person] = 3.0, False
    if rng is not None:
        depth_m *= 1 + 0.002 * depth_m * rng.normal(size=SIZE)
        depth_m[rng.random(SIZE) < 0.05] = np.nan
    return depth_m.astype(np.float32), person, floor


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_the_ground_is_what_is_walked_on():
    depth_m, person, floor = room(np.random.default_rng(0))
    mask, plane = ground_mask(depth_m, person, LENS)
    assert iou(mask, floor) > 0.95 and plane.height_m == pytest.approx(1.4, rel=0.02)
    assert not (mask & person).any()


def test_where_there_is_no_floor_there_is_no_ground():
    mask, plane = ground_mask(np.full(SIZE, 3.0, np.float32), np.zeros(SIZE, bool), LENS)
    assert plane is None and not mask.any() and mask.shape == SIZE


def test_dots_choose_between_patches_and_planes():
    depth_m, person, floor = room()
    depth_m[100:, 155:160] = 1.0  # a pillar from the floor's end to the picture's: two patches
    floor[100:, 155:160] = False
    left = floor.copy()
    left[:, 155:] = False
    mask, _ = ground_mask(depth_m, person, LENS, [(20, 230)])
    assert iou(mask, left) > 0.9
    on_table = [(35, 155), (85, 160), (60, 195), (50, 175)]
    mask, plane = ground_mask(depth_m, person, LENS, on_table)
    assert plane.height_m == pytest.approx(0.7, rel=0.05) and mask[175, 60] and not mask[230, 20]


def test_automatic_dots_lie_inside_and_apart():
    mask = np.zeros(SIZE, bool)
    mask[100:200, 50:250] = True
    dots = dots_in(mask, 4)
    assert len(dots) == 4 and all(mask[y, x] for x, y in dots)
    assert min(np.hypot(a - c, b - d) for a, b in dots for c, d in dots if (a, b) != (c, d)) > 20
    assert dots_in(np.zeros(SIZE, bool)) == []
