"""From what the network says of instances to label images and to what is told of each."""

import cv2
import numpy as np
import pytest
import torch

from instance_depth_ros.describe import describe, extents, hiding
from instance_depth_ros.geometry import Intrinsics
from instance_depth_ros.model.instances import Instances
from instance_depth_ros.sightings import (
    SURE_LOGIT,
    UNKNOWN_SPREAD,
    candidates,
    completed,
    from_ids,
    from_network,
    from_segments,
    mask_logits,
    with_layers,
)
from instance_depth_ros.tracking import Identity

CELLS, SIZE, QUERIES = (24, 32), (96, 128), 8
LENS = Intrinsics.from_fov(SIZE[1], SIZE[0], 60)
PERSON, BALL = 1, 3
SURE, LIKELY, OFF = 4.0, 1.0, -4.0  # logits of masks: 0.98, 0.73, 0.02


def rectangle(top, left, bottom, right, inside=SURE) -> np.ndarray:
    mask = np.full(CELLS, OFF, np.float32)
    mask[top:bottom, left:right] = inside
    return mask


def told(*things: dict) -> Instances:
    """What a network says; things: mask, class_id, certain (of the class), layer_m, guest; the rest are no objects."""
    classes = np.full((QUERIES, 7), 1e-6, np.float32)
    classes[:, 0] = 1
    masks, layer_m = np.full((QUERIES, *CELLS), OFF, np.float32), np.full(QUERIES, 5.0, np.float32)
    guest = np.full(QUERIES, -1)
    for query, thing in enumerate(things):
        certain, class_id = thing.get("certain", 0.99), thing.get("class_id", PERSON)
        classes[query] = 1e-6
        classes[query, [0, class_id]] = 1 - certain, certain
        masks[query], layer_m[query] = thing["mask"], thing.get("layer_m", 5.0)
        guest[query] = thing.get("guest", -1)
    embedding = np.eye(QUERIES, dtype=np.float32)
    spread = np.full(QUERIES, np.log(0.05), np.float32)
    arrays = (np.log(classes), masks, layer_m, spread, embedding, guest, np.zeros(0, np.float32))
    return Instances(*(torch.from_numpy(array)[None] for array in arrays), ())


def test_certain_are_those_of_a_sure_class_and_a_sure_mask():
    instances = told(
        {"mask": rectangle(2, 2, 20, 8), "layer_m": 6.0},
        {"mask": rectangle(2, 12, 20, 18), "certain": 0.6, "class_id": BALL, "layer_m": 4.0},
        {"mask": rectangle(2, 22, 20, 28, inside=LIKELY), "certain": 0.9},
    )
    seen = from_network(instances, 0.5)
    np.testing.assert_allclose(seen.score, [0.6 * 0.982, 0.9 * 0.731, 0.99 * 0.982], atol=1e-3)  # the nearest first
    np.testing.assert_array_equal(seen.class_id, [BALL, PERSON, PERSON])
    np.testing.assert_allclose(seen.depth_m, [4, 5, 6])
    np.testing.assert_allclose(seen.sigma_m, [0.2, 0.25, 0.3], rtol=1e-5)
    np.testing.assert_array_equal(seen.embedding, np.eye(QUERIES)[[1, 2, 0]])
    assert len(from_network(instances, 0.62)) == 2 and len(from_network(instances, 0.7)) == 1
    assert seen.labels.dtype == np.uint16 and (seen.labels[2:20, 2:8] == 3).all() and seen.labels[0, 0] == 0
    sighting = seen.sightings()[1]
    assert sighting.mask.dtype == bool and sighting.mask.sum() == 18 * 6 and sighting.depth_m == 5


def test_candidates_are_all_by_their_scores_and_may_overlap():
    weak, sure = {"mask": rectangle(2, 8, 20, 16), "certain": 0.1}, {"mask": rectangle(2, 4, 20, 12), "class_id": BALL}
    first, second = candidates(told(weak, sure), 0.05, SIZE)
    assert (first[1], second[1]) == (BALL, PERSON)
    assert first[2] > second[2] == pytest.approx(0.098, abs=1e-3)
    assert first[0].shape == SIZE and (first[0] & second[0]).sum() > 16 * 18 * 3
    assert len(candidates(told(weak, sure), 0.2, SIZE)) == 1


def test_nothing_is_seen_where_nothing_is():
    seen = from_network(told(), 0.0)
    assert len(seen) == 0 and not seen.labels.any() and seen.sightings() == []
    assert not seen.at_full_size(SIZE).any() and seen.labels.shape == CELLS
    visible, front = hiding(seen)
    assert len(visible) == len(front) == 0


def test_the_same_thing_twice_is_one_and_its_part_is_none():
    whole = {"mask": rectangle(2, 2, 20, 12), "certain": 0.9}
    again = {"mask": rectangle(3, 2, 20, 12), "certain": 0.95}
    arm = {"mask": rectangle(4, 3, 8, 8)}
    seen = from_network(told(whole, again), 0.5)
    np.testing.assert_allclose(seen.score, [0.95 * 0.982], atol=1e-3)
    assert len(from_network(told(again, {**arm, "certain": 0.8}), 0.5)) == 1
    child = {**arm, "layer_m": 3.0}
    assert len(from_network(told(again, child), 0.5)) == 2
    assert len(from_network(told(again, {**arm, "class_id": BALL}), 0.5)) == 2


def test_the_nearer_of_two_clear_claims_wins_and_of_others_the_surer():
    far = {"mask": rectangle(2, 2, 20, 16, inside=5.0), "layer_m": 8.0}
    near = {"mask": rectangle(2, 12, 20, 26, inside=3.0), "layer_m": 4.0}
    seen = from_network(told(far, near), 0.5)
    assert (seen.labels[2:20, 12:26] == 1).all() and (seen.labels[2:20, 2:12] == 2).all()
    likely = {"mask": rectangle(2, 12, 20, 26, inside=LIKELY), "layer_m": 4.0}
    seen = from_network(told(far, likely), 0.5)
    assert (seen.labels[2:20, 2:16] == 2).all() and (seen.labels[2:20, 16:26] == 1).all()


def test_next_to_nothing_of_a_mask_is_nothing():
    front = {"mask": rectangle(2, 2, 20, 16), "layer_m": 3.0}
    hidden = {"mask": rectangle(4, 2, 14, 16), "class_id": BALL, "layer_m": 6.0, "certain": 0.9}
    hidden["mask"][10, 16:20] = SURE  # 4 of 144 cells look out
    seen = from_network(told(front, hidden), 0.5)
    assert len(seen) == 1 and seen.depth_m[0] == 3 and set(np.unique(seen.labels)) == {0, 1}
    speck = {"mask": rectangle(2, 2, 3, 4)}
    assert len(from_network(told(speck), 0.0)) == 0


def test_guests_are_told_as_those_that_are_left():
    instances = told(
        {"mask": rectangle(2, 2, 20, 8), "layer_m": 9.0, "guest": 2},
        {"mask": rectangle(2, 10, 20, 16), "certain": 0.1, "guest": 0},
        {"mask": rectangle(2, 8, 20, 10), "layer_m": 4.0, "guest": 1},
    )
    seen = from_network(instances, 0.5)
    np.testing.assert_allclose(seen.depth_m, [4, 9])
    np.testing.assert_array_equal(seen.guest, [-1, 0])  # the second of them was left out


def test_the_full_size_is_where_the_bilinear_logit_is_largest():
    rng = np.random.default_rng(0)
    things = []
    for k in range(6):
        top, left = rng.integers(0, 12), rng.integers(0, 22)
        mask = rectangle(top, left, top + rng.integers(6, 12), left + rng.integers(5, 10), inside=2 + k / 2)
        things.append({"mask": cv2.GaussianBlur(mask, (3, 3), 0), "layer_m": 3.0 + k})
    seen = from_network(told(*things), 0.5)
    full = seen.at_full_size(SIZE)
    logits = np.stack([np.zeros(SIZE), *(cv2.resize(logit, SIZE[::-1]) for logit in seen.evidence)])
    assert len(seen) >= 4 and full.dtype == np.uint8
    # the one step of a warp is 1/32 of a cell
    assert (full == logits.argmax(0)).mean() > 0.995
    # a wide picture, not a multiple of the cells
    assert seen.at_full_size((50, 333)).shape == (50, 333)


def test_masks_from_elsewhere():
    person, ball = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    person[10:80, 20:60], ball[40:50, 30:42] = True, True
    seen = from_segments([(ball, BALL, 0.7), (person, PERSON, 0.9)], SIZE, CELLS)
    np.testing.assert_array_equal(seen.at_full_size(SIZE), np.where(ball, 2, person))  # the ball is in front
    np.testing.assert_array_equal(seen.labels, seen.at_full_size(SIZE)[2::4, 2::4])
    np.testing.assert_array_equal(seen.class_id, [PERSON, BALL])
    logits = mask_logits(seen.labels, QUERIES)
    assert logits.shape == (1, QUERIES, *CELLS) and logits.dtype == torch.float32
    np.testing.assert_array_equal(logits[0, 1] == SURE_LOGIT, seen.labels == 2)
    assert (logits[0, 2:] == -SURE_LOGIT).all()

    depth_m = np.where(seen.labels == 2, 3, 5).astype(np.float32)
    seen = completed(seen, depth_m, None)
    np.testing.assert_allclose(seen.depth_m, [5, 3])
    np.testing.assert_allclose(seen.sigma_m, [5 * UNKNOWN_SPREAD, 3 * UNKNOWN_SPREAD])
    said = told({"mask": rectangle(0, 0, 9, 9), "guest": 1}, {"mask": rectangle(0, 0, 9, 9), "guest": 7})
    seen = completed(seen, depth_m, said)
    np.testing.assert_allclose(seen.sigma_m, [0.25, 0.15], rtol=1e-5)
    np.testing.assert_array_equal(seen.guest, [1, -1])
    np.testing.assert_allclose(with_layers(seen, 2 * depth_m).sigma_m, [0.5, 0.3], rtol=1e-5)


def test_ids_of_a_topic_are_kept_the_largest_first():
    ids = np.zeros(SIZE, np.uint16)
    ids[0:20, 0:20], ids[30:90, 40:80], ids[50, 100] = 40000, 7, 500
    seen = from_ids(ids, SIZE, CELLS)
    np.testing.assert_array_equal(seen.ids, [7, 40000, 500])
    np.testing.assert_array_equal(np.append(0, seen.ids)[seen.at_full_size(SIZE)], ids)
    seen = completed(seen, np.full(CELLS, 4, np.float32), None)
    np.testing.assert_allclose(seen.depth_m, [4, 4, np.nan])  # the pixel is in no cell
    assert len(from_ids(None, SIZE, CELLS)) == 0 and not from_ids(None, SIZE, CELLS).labels.any()


def test_who_is_in_front_and_how_much_is_seen():
    """A ball before a person, a person beside, one far ahead that touches nobody."""
    instances = told(
        {"mask": rectangle(4, 4, 20, 12), "layer_m": 6.0},
        {"mask": rectangle(8, 8, 12, 12), "class_id": BALL, "layer_m": 3.0},
        {"mask": rectangle(4, 12, 20, 16), "layer_m": 9.0},
        {"mask": rectangle(2, 24, 20, 30), "layer_m": 2.0},
    )
    seen = from_network(instances, 0.5)
    np.testing.assert_allclose(seen.depth_m, [2, 3, 6, 9])
    visible, front = hiding(seen)
    np.testing.assert_array_equal(front, [-1, -1, 1, 2])
    assert visible[0] == visible[1] == 1
    assert visible[2] == pytest.approx(1 - 16 / (18 * 10))  # of its box and a cell around
    # the network knows better, where the guest is nearer
    said = told(
        {"mask": rectangle(4, 4, 20, 12), "layer_m": 6.0, "guest": 1},
        {"mask": rectangle(4, 14, 20, 20), "layer_m": 3.0},
    )
    np.testing.assert_array_equal(hiding(from_network(said, 0.5))[1], [-1, 0])


def test_extents_by_hand():
    labels = np.zeros(SIZE, np.uint16)
    labels[40:61, 50:71] = 2
    depth_m = np.full(SIZE, 4.0, np.float32)
    depth_m[40:61, 50] = 9.0  # less than 5 % of its points are elsewhere
    depth_m[45, 60] = np.nan
    center, size = extents(depth_m, labels, 2, LENS)
    assert np.isnan(center[0]).all() and np.isnan(size[0]).all()
    x = lambda u: (u - LENS.cx) / LENS.fx * 4  # noqa: E731
    y = lambda v: (v - LENS.cy) / LENS.fy * 4  # noqa: E731
    np.testing.assert_allclose(center[1], [x(60), y(50), 4], atol=0.04)
    np.testing.assert_allclose(size[1], [x(69) - x(51), y(59) - y(41), 0], atol=0.09)


def test_describe_tells_of_those_with_an_identity():
    person, ball, far = (np.zeros(SIZE, bool) for _ in range(3))
    person[10:80, 20:60], ball[41:43, 49:51], far[20:30, 90:100] = True, True, True
    seen = from_segments([(person, PERSON, 0.9), (far, PERSON, 0.8), (ball, BALL, 0.7)], SIZE, CELLS)
    depth_m = np.full(SIZE, 5, np.float32)
    seen = completed(seen, np.full(CELLS, 5, np.float32), None)
    depth_m[ball] = np.nan
    identities = [Identity(70_000, 3, 1.5, PERSON), None, Identity(70_001, 4, 0.5, BALL)]
    one, other = describe(seen, seen.full, identities, depth_m, LENS)
    assert (one.id, one.pixel, one.class_id, one.age_s, one.box_px) == (70_000, 3, PERSON, 1.5, (20, 10, 40, 70))
    assert one.depth_m == 5 and one.hidden_by == 0 and one.center_m[2] == 5
    # no depth of its own: from its box
    assert other.box_px == (49, 41, 2, 2)
    np.testing.assert_allclose(other.center_m[0], (50 - LENS.cx) / LENS.fx * other.depth_m, rtol=1e-5)
    np.testing.assert_allclose(other.size_m[0], 2 / LENS.fx * other.depth_m)
    assert all(
        isinstance(value, float) for value in (one.score, one.sigma_m, one.visible, *one.center_m, *other.size_m)
    )
