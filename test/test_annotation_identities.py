"""Annotated objects keep one id: they vanish and return, cross, are missed, and people have the last word."""

import numpy as np
import pytest

from instance_depth_ros import config
from instance_depth_ros.config import CLASSES
from instance_depth_ros.datasets.annotation.identities import identify
from instance_depth_ros.datasets.annotation.observe import Observed
from instance_depth_ros.geometry import Intrinsics
from instance_depth_ros.sightings import Seen

HEIGHT, WIDTH, FPS = 96, 128, 10
LENS = Intrinsics.from_fov(WIDTH, HEIGHT, 60)
SETTINGS = config.make("depth")
GREY = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH), np.uint8)
PERSON, BALL = CLASSES.index("person"), CLASSES.index("ball")


def observed(index, things, given=(), people=False, cut=False) -> Observed:
    """A frame of (mask, class_id, depth_m), the nearest seen where they overlap."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint16)
    for k in sorted(range(len(things)), key=lambda k: -things[k][2]):
        labels[things[k][0]] = k + 1
    count, depth_m = len(things), np.array([depth_m for *_, depth_m in things], np.float32)
    class_id = np.array([class_id for _, class_id, _ in things], int)
    score, embedding = np.full(count, 0.9, np.float32), np.empty((count, 0), np.float32)
    seen = Seen(labels, class_id, score, depth_m, 0.07 * depth_m, np.full(count, -1), embedding)
    given = np.array(given or [0] * count, int)
    certain = np.full(count, people)
    return Observed(seen, [], given, certain, None, cut, index * 10**9 // FPS, GREY, None)


def box(x, depth_m=4.0, class_id=PERSON, half=7):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[30:66, max(x - half, 0) : max(x + half, 0)] = True
    return mask, class_id, depth_m


def ids_of(frames):
    return [ids.tolist() for ids in identify(frames, LENS, SETTINGS).ids]


def test_an_object_that_vanishes_and_returns_keeps_its_id():
    frames = [observed(t, [] if 10 <= t < 20 else [box(30 + t)]) for t in range(30)]
    assert ids_of(frames) == [[] if 10 <= t < 20 else [1] for t in range(30)]


def test_ids_hold_from_the_first_frame_on_in_which_something_is_seen():
    """Forwards, nobody has an id before the third frame."""
    assert ids_of([observed(t, [box(30 + t), box(90, class_id=BALL)]) for t in range(4)]) == [[1, 2]] * 4


@pytest.mark.parametrize("speed", [2, 5])
def test_two_that_cross_keep_their_ids(speed):
    """The nearer one hides the farther one in the middle."""
    frames, who = [], []
    for t in range(90 // speed):
        near, far = box(20 + speed * t, 3.0), box(110 - speed * t, 6.0)
        hidden = (far[0] & ~near[0]).sum() < 100
        frames.append(observed(t, [near] if hidden else [near, far]))
        who.append([1] if hidden else [1, 2])
    assert [1] in who and ids_of(frames) == who


def test_masks_that_are_missed_and_listed_in_any_order_do_not_break_an_id():
    rng, frames, who = np.random.default_rng(0), [], []
    for t in range(60):
        there = rng.permutation([n for n in range(3) if rng.random() > 0.15])
        frames.append(observed(t, [box(25 + 30 * n + int(8 * np.sin(t / 6 + n)), 3.0 + n) for n in there]))
        who.append(there)
    found = ids_of(frames)
    pairs = {(n, number) for there, ids in zip(who, found, strict=True) for n, number in zip(there, ids, strict=True)}
    assert len(pairs) == 3 == len({number for _, number in pairs})


def test_what_no_other_frame_confirms_is_left_out_unless_people_drew_it():
    for people, left_out in ((False, 1), (True, 0)):
        frames = [observed(t, [box(30), *([box(100)] if t == 3 else [])], people=people) for t in range(8)]
        found = identify(frames, LENS, SETTINGS)
        assert found.left_out == left_out and (found.ids[3] > 0).tolist() == [True, people]


def test_ids_of_people_are_kept_and_join_what_nobody_could_follow():
    frames = [observed(t, [box(20)]) for t in range(5)]
    frames += [observed(t, [box(110)]) for t in range(400, 405)]
    assert len({number for ids in ids_of(frames) for number in ids}) == 2
    for t in (2, 7):
        frames[t] = observed(t if t == 2 else 402, [box(20 if t == 2 else 110)], given=[77], people=True)
    assert ids_of(frames) == [[77]] * 10


def test_ids_of_people_part_what_overlaps():
    frames = [observed(t, [box(30 + t)]) for t in range(12)]
    frames[2] = observed(2, [box(32)], given=[5], people=True)
    frames[9] = observed(9, [box(39)], given=[6], people=True)
    found = ids_of(frames)
    assert found[2] == [5] and found[9] == [6] and {n for ids in found for n in ids} == {5, 6}


def test_people_decide_the_class_and_the_others_vote():
    balls = [observed(t, [box(30, class_id=BALL if t % 3 else PERSON)]) for t in range(9)]
    assert identify(balls, LENS, SETTINGS).classes == {1: BALL}
    balls[4] = observed(4, [box(30, class_id=PERSON)], people=True)
    assert identify(balls, LENS, SETTINGS).classes == {1: PERSON}


def test_after_a_cut_there_are_others():
    frames = [observed(t, [box(30)], cut=t == 6) for t in range(12)]
    assert ids_of(frames) == [[1]] * 6 + [[2]] * 6


def test_a_disagreement_of_the_directions_is_told():
    """Two change places out of sight: which is which depends on from where one looks."""
    frames = [observed(t, [box(40 + t, 4.0), box(60 + t, 4.0)]) for t in range(10)]
    frames += [observed(t, [box(50 + t, 4.0)]) for t in range(10, 18)]
    frames += [observed(t, [box(40 + t, 4.0), box(60 + t, 4.0)]) for t in range(18, 28)]
    found = identify(frames, LENS, SETTINGS)
    assert len(set(found.ids[0].tolist())) == 2
    assert all(a < b and 0 < frame < 28 for frame, a, b in found.disputed)


def test_nothing_is_nobody():
    found = identify([observed(t, []) for t in range(3)], LENS, SETTINGS)
    assert [ids.tolist() for ids in found.ids] == [[], [], []] and not found.classes
