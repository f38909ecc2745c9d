"""Instances that stand on visible ground agree with it, or are doubted."""

import numpy as np
import pytest

from instance_depth_ros.config import CLASSES
from instance_depth_ros.geometry import Intrinsics, rays
from instance_depth_ros.ground import LEAST_FACTOR, agreement, doubted, fit, stance
from instance_depth_ros.labels import boxes
from instance_depth_ros.sightings import Seen

LENS = Intrinsics.from_fov(176, 128, 60)
RAY = rays(LENS)
PERSON, BALL = CLASSES.index("person"), CLASSES.index("ball")
HEIGHT_M, WALL_M = 1.5, 14.0


def plane_of(pitch_deg: float = 10.0, roll_deg: float = 0.0, height_m: float = HEIGHT_M) -> np.ndarray:
    """The ground of a camera at a height that looks down by a pitch."""
    pitch, roll = np.radians([pitch_deg, roll_deg])
    down = np.array([np.sin(roll) * np.cos(pitch), np.cos(roll) * np.cos(pitch), np.sin(pitch)])
    return down / height_m


def ground_of(plane: np.ndarray) -> np.ndarray:
    """(h, w) depth of the ground and of a wall behind it."""
    inverse = RAY @ plane[:2] + plane[2]
    return np.minimum(1 / np.maximum(inverse, 1e-3), WALL_M).astype(np.float32)


def standing(plane: np.ndarray, foot_m: tuple[float, float], tall_m: float = 1.7, wide_m: float = 0.6):
    """Mask and depth (h, w) of an upright board whose foot is x, z on the ground in the camera's frame."""
    x, z = foot_m
    foot = np.array([x, (1 - plane[0] * x - plane[2] * z) / plane[1], z])
    up = -plane / np.linalg.norm(plane)
    along = np.cross(up, [0, 0, 1.0])
    along /= np.linalg.norm(along)
    normal = np.cross(along, up)
    direction = np.concatenate([RAY, np.ones((*RAY.shape[:2], 1))], -1)
    depth_m = (foot @ normal) / (direction @ normal)
    off = direction * depth_m[..., None] - foot
    mask = (np.abs(off @ along) < wide_m / 2) & (off @ up > 0) & (off @ up < tall_m)
    return mask, depth_m.astype(np.float32)


def scene(plane, mask, board_m, class_id=PERSON, layer_m=None):
    """What agreed() takes, with the ground behind one instance; layer_m: what the network believes."""
    labels, depth_m = mask.astype(np.uint16), np.where(mask, board_m, ground_of(plane)).astype(np.float32)
    layer_m = np.array([depth_m[mask].mean() if layer_m is None else layer_m], np.float32)
    return depth_m, labels, RAY, np.array([class_id]), layer_m, 0.05 * layer_m


def agreed(ground, depth_m, labels, ray, *others):
    return agreement(ground, stance(ground, depth_m, labels, ray, boxes(labels, labels.max())), labels, ray, *others)


def judged(plane, *args, **kwargs):
    found = scene(plane, *args, **kwargs)
    ground = fit(found[0], found[1], RAY)
    assert ground is not None
    factor, sigma_m = agreed(ground, *found)
    return factor[0], sigma_m[0], found[-2][0]


@pytest.mark.parametrize("pitch_deg, roll_deg", [(0, 0), (10, 0), (35, 0), (10, 12)])
def test_the_plane_is_found_among_other_things(pitch_deg, roll_deg):
    plane, rng = plane_of(pitch_deg, roll_deg), np.random.default_rng(0)
    depth_m = ground_of(plane) * rng.normal(1, 0.01, RAY.shape[:2]).astype(np.float32)
    depth_m[70:, 100:160] = 2.0  # a box, and what no sensor saw
    depth_m[100:110] = np.nan
    labels = np.zeros(depth_m.shape, np.uint16)
    ground = fit(depth_m, labels, RAY)
    np.testing.assert_allclose(ground.plane, plane, atol=0.02 / HEIGHT_M)
    assert 0.005 < ground.spread < 0.02
    np.testing.assert_array_equal(fit(depth_m, labels, RAY).plane, ground.plane)


def test_walls_ceilings_and_crowds_are_no_ground():
    labels = np.zeros(RAY.shape[:2], np.uint16)
    assert fit(np.full(labels.shape, 3.0, np.float32), labels, RAY) is None
    ceiling = ground_of(plane_of())[::-1]
    assert fit(np.ascontiguousarray(ceiling), labels, RAY) is None
    assert fit(ground_of(plane_of()), np.ones_like(labels), RAY) is None
    assert fit(np.full(labels.shape, np.nan, np.float32), labels, RAY) is None


@pytest.mark.parametrize("pitch_deg", [0, 10, 35])
@pytest.mark.parametrize("foot_m", [(0.0, 4.0), (-0.8, 3.2), (1.0, 6.0)])
def test_who_stands_where_it_seems_is_believed(pitch_deg, foot_m):
    plane = plane_of(pitch_deg, height_m=3.0 if pitch_deg > 20 else HEIGHT_M)
    factor, sigma_m, layer_m = judged(plane, *standing(plane, foot_m))
    assert factor == 1 and sigma_m == pytest.approx(0.05 * layer_m)


@pytest.mark.parametrize("wrong_m", [2.2, 7.5])
def test_who_cannot_stand_there_is_doubted(wrong_m):
    plane = plane_of()
    factor, sigma_m, _ = judged(plane, *standing(plane, (0.0, 4.0)), layer_m=wrong_m)
    assert LEAST_FACTOR <= factor < 0.8
    assert sigma_m == pytest.approx(abs(wrong_m - 4.0), rel=0.15)


def test_far_from_the_camera_a_cell_of_doubt_is_metres():
    """At 12 m a row of cells is 0.4 m of ground, at 4 m 0.05 m: the same error is believed there and doubted here."""
    plane = plane_of(5)
    assert judged(plane, *standing(plane, (0.0, 11.0)), layer_m=12.2)[0] == 1
    assert judged(plane, *standing(plane, (0.0, 4.0)), layer_m=5.2)[0] < 1


def test_no_judgement_of_balls_benches_and_what_is_cut():
    plane = plane_of()
    mask, board_m = standing(plane, (0.0, 4.0))
    assert judged(plane, mask, board_m, class_id=BALL, layer_m=7.5)[0] == 1
    # below the picture
    cut, near_m = standing(plane, (0.0, 1.5))
    assert cut[-1].any() and judged(plane, cut, near_m, layer_m=7.5)[0] == 1
    # on something that is not the ground
    depth_m, *others = scene(plane, mask, board_m, layer_m=7.5)
    ground = fit(depth_m, others[0], RAY)
    bottom = np.flatnonzero(mask.any(1))[-1]
    depth_m[bottom + 1 : bottom + 12] = 3.4
    assert agreed(ground, depth_m, *others)[0] == 1
    # behind somebody else
    labels = others[0].copy()
    labels[bottom - 6 : bottom + 12, 60:120] = 2
    others = [labels, RAY, np.array([PERSON, BALL]), np.float32([7.5, 3]), np.float32([0.4, 0.1])]
    np.testing.assert_array_equal(agreed(ground, depth_m, *others)[0], 1)


def test_doubt_reaches_score_sigma_and_the_confidence_image():
    plane = plane_of()
    one, board_m = standing(plane, (-0.8, 4.0))
    other, _ = standing(plane, (0.8, 4.0))
    labels = one + 2 * other.astype(np.uint16)
    depth_m = np.where(labels > 0, board_m, ground_of(plane)).astype(np.float32)
    seen = Seen(
        labels=labels.astype(np.uint16),
        class_id=np.array([PERSON, PERSON]),
        score=np.float32([0.9, 0.9]),
        depth_m=np.float32([4.0, 8.0]),
        sigma_m=np.float32([0.2, 0.4]),
        guest=np.array([-1, -1]),
        embedding=np.empty((2, 0), np.float32),
    )
    ground = fit(depth_m, seen.labels, RAY)
    how = stance(ground, depth_m, seen.labels, RAY, seen.boxes)
    after, confidence = doubted(seen, np.full(labels.shape, 200, np.uint8), LENS, ground, how)
    assert after.score[0] == np.float32(0.9) and after.sigma_m[0] == np.float32(0.2)
    assert after.score[1] < 0.7 and after.sigma_m[1] == pytest.approx(4, rel=0.1)
    assert (confidence[labels != 2] == 200).all() and (confidence[labels == 2] < 160).all()
