"""Still surfaces keep their depth while the camera goes, and nothing else is held back."""

import numpy as np
import pytest

from instance_depth_ros.geometry import Intrinsics
from instance_depth_ros.motion import STILL, pose_motion
from instance_depth_ros.steady import Still, steady

SIZE, STEP_NS = (48, 64), 100_000_000
LENS = Intrinsics.from_fov(SIZE[1], SIZE[0], 60)
NOBODY = np.zeros(SIZE, bool)


def walk(depths_m, motions, moving=NOBODY, average_s=0.45):
    """Averaged depths of frames 0.1 s apart; motions: the camera's before each but the first."""
    still, averaged = None, []
    for index, (depth_m, motion) in enumerate(zip(depths_m, [None, *motions], strict=True)):
        told, still = steady(depth_m.astype(np.float32), moving, index * STEP_NS, motion, still, average_s)
        averaged.append(told)
    return averaged


def floor(forward_m=0.0):
    """(48, 64) depth of a floor 1 m below the camera up to a wall 12 m before it, after it went forward."""
    v = (np.arange(SIZE[0])[:, None] - LENS.cy) / LENS.fy
    ahead = np.where(v > 0, 1 / np.maximum(v, 1e-3), np.inf)
    return np.minimum(ahead, 12.0 - forward_m) * np.ones(SIZE)


def test_trembling_is_averaged_and_the_mean_kept():
    random = np.random.default_rng(0)
    depths = [floor() * np.exp(random.normal(0, 0.03, SIZE)) for _ in range(40)]
    last = np.stack(walk(depths, [STILL] * 39)[20:])
    trembling = np.abs(np.diff(np.log(last), axis=0)).mean() / np.abs(np.diff(np.log(depths), axis=0)).mean()
    assert trembling < 0.3
    np.testing.assert_allclose(np.log(last).mean(), np.log(floor()).mean(), atol=5e-3)


def test_the_average_is_of_time_not_of_frames():
    first, then = np.full(SIZE, 4.0, np.float32), np.full(SIZE, 4.1, np.float32)
    _, still = steady(first, NOBODY, 0, None, None, 0.5)
    kept = [
        np.log(steady(then, NOBODY, after_ns, STILL, still, 0.5)[0] / then).mean()
        for after_ns in (10**8, 2 * 10**8)
    ]
    assert kept[1] / kept[0] == pytest.approx(np.exp(-0.2), rel=0.05)


def test_what_nears_or_uncovers_is_not_held_back():
    before, after = np.full(SIZE, 6.0), np.full(SIZE, 6.0)
    after[:, :20], after[:, 40:] = 2.0, 9.0
    told = walk([before, after], [STILL])[1]
    np.testing.assert_allclose(told[:, :20], 2.0, rtol=2e-3)
    np.testing.assert_allclose(told[:, 40:], 9.0, rtol=1e-2)


def test_instances_are_left_alone_now_and_where_they_were():
    moving = NOBODY.copy()
    moving[:, 10:20] = True
    before, now = np.full(SIZE, 5.0), np.full(SIZE, 5.2)
    _, still = steady(before, moving, 0, None, None, 0.45)
    told, _ = steady(now, np.roll(moving, 15, 1), STEP_NS, STILL, still, 0.45)
    np.testing.assert_allclose(told[:, 10:20], 5.2, rtol=1e-6)
    np.testing.assert_allclose(told[:, 25:35], 5.2, rtol=1e-6)
    assert (told[:, 40:] < 5.1).all()


@pytest.mark.parametrize("known", [True, False])
def test_a_wall_that_nears_is_told_in_time(known):
    """1 m/s forward for 3 s: with a pose it is exact; without one it is told as it was less than half a second ago."""
    depths, motions = [floor(0.1 * step) for step in range(30)], []
    for _ in range(29):
        forward = np.eye(4)
        forward[2, 3] = 0.1
        motions.append(pose_motion(np.eye(4), forward, LENS) if known else STILL)
    late_m = (walk(depths, motions)[-1] - depths[-1])[depths[-1] == depths[-1].max()]
    assert np.abs(late_m).max() < (0.03 if known else 0.45)


def test_a_camera_that_turns_carries_depth_with_the_picture():
    steps = np.where(np.arange(64) < 32, 3.0, 6.0) * np.ones(SIZE)
    aside = np.float32([[1, 0, 4], [0, 1, 0]])
    told = walk([steps, np.roll(steps, 4, 1)], [aside])[1]
    np.testing.assert_allclose(told[:, 4:], np.roll(steps, 4, 1)[:, 4:], rtol=1e-4)


def test_nothing_is_averaged_without_a_past_or_where_it_is_turned_off():
    a, b = np.full(SIZE, 4.0), np.full(SIZE, 4.2)
    assert (walk([a, b], [None])[1] == b.astype(np.float32)).all()
    assert (walk([a, b], [STILL], average_s=0.0)[1] == b.astype(np.float32)).all()
    other = Still(np.zeros((8, 8), np.float32), np.zeros((8, 8), bool), 0)
    assert (steady(b, NOBODY, STEP_NS, STILL, other, 0.45)[0] == b).all()
