"""Truth at the size of the output, who answers for whom, and each loss of instances, against arithmetic by hand."""

from math import exp, log, sqrt

import numpy as np
import pytest
import torch

from instance_depth_ros.model.instances import Instances
from instance_depth_ros.model.ranges import Ranges
from instance_depth_ros.training import instance_losses, losses
from instance_depth_ros.training.matching import Costs, LayerScale, Matched, match, matching_cost
from instance_depth_ros.training.targets import picked, targets

METRES, LOG = LayerScale("metres", 10.0), LayerScale("log", 80.0)
PERSON, BALL = 1, 3
EVERYTHING = 10**6


def truth(ids, depth_m, classes, least_pixels=1, clips=1):
    """Targets of frames (F, h, w) at their own size; clips: how many clips they are of."""
    ids, depth_m = torch.tensor(ids, dtype=torch.int32), torch.tensor(depth_m, dtype=torch.float32)
    table = torch.zeros(clips, 4, dtype=torch.long)
    table[:, : len(classes)] = torch.tensor(classes)
    batch = {"ids": ids.unflatten(0, (clips, -1)), "depth_m": depth_m.unflatten(0, (clips, -1)), "classes": table}
    return targets(batch, tuple(ids.shape[-2:]), 0, 80.0, least_pixels)


def found(masks, classes=None, layer_m=None, embedding=None):
    """Instances of F frames from (F, N, h, w) logits."""
    masks = torch.as_tensor(masks, dtype=torch.float32)
    f, n = masks.shape[:2]
    none = torch.zeros(f, n)
    return Instances(
        torch.zeros(f, n, 7) if classes is None else classes,
        masks,
        none + 1 if layer_m is None else torch.tensor(layer_m, dtype=torch.float32),
        none,
        none[..., None] if embedding is None else embedding,
        none.long() - 1,
        torch.zeros(f, 1, 2, 2),
    )


def pairs(*triples):
    return Matched(*torch.tensor(triples, dtype=torch.long).reshape(-1, 3).T)


# two people side by side, 1 m and 3 m away; 2 x 2 pixels
COUPLE = truth([[[1, 2], [1, 2]]], [[[1.0, 3.0], [1.0, 3.0]]], [PERSON, PERSON])
ONE = truth([[[1, 0], [1, 0]]], [[[1.0, 9.0], [1.0, 9.0]]], [PERSON])


def test_range_cross_entropy_by_hand():
    ranges = Ranges("uniform", 2, (0.1, 10.1))
    fine = torch.tensor([0.0, log(3)])[None, None, :, None, None].expand(1, 1, 2, 1, 3)
    coarse = torch.zeros(1, 1, 2, 1, 1)
    fine_m, coarse_m = torch.tensor([[[[2.0, 7.0, torch.nan]]]]), torch.tensor([[[[2.0]]]])
    loss = losses.range_cross_entropy(
        (coarse, fine), ranges.bin_of, (coarse_m, fine_m), [m.isfinite() for m in (coarse_m, fine_m)]
    )
    # at the fine level 1/4 for the near range, 3/4 for the far one; at the coarse one, halves
    assert loss.item() == pytest.approx((log(2) + (log(4) + log(4 / 3)) / 2) / 2, rel=1e-5)


def test_what_is_picked_is_a_pixel_of_each_cell_and_in_the_middle_on_average():
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    for size, cell in (((3, 4), 2), ((6, 8), 1)):
        seen = torch.stack([torch.stack([picked(x, size, step) for x in (rows, columns)]) for step in range(8)])
        assert (seen == seen.round()).all()
        first = seen[:, :, 0, 0]
        assert first.mean().item() == (cell - 1) / 2 and first.max() < cell
        np.testing.assert_array_equal(seen[:, 1, 0] - seen[:, 1, 0, :1], [[k * cell for k in range(size[1])]] * 8)


def test_targets_by_hand():
    ids = [[[1, 1, 1, 0], [1, 2, 0, -1]]]
    depth_m = [[[2.0, 4.0, torch.nan, 9.0], [6.0, torch.nan, 9.0, 9.0]]]
    of = truth(ids, depth_m, [PERSON, BALL, PERSON], least_pixels=2)
    assert of.classes.tolist() == [[PERSON, 0, 0, 0]]  # the ball is too small, the other person is not there
    assert of.area.tolist() == [[4, 1, 0, 0]]
    assert of.layer_m[0, 0] == 4.0 and of.layer_m[0, 1:].isnan().all()
    np.testing.assert_allclose(
        of.center[0, :2], [[(0.5 + 1.5 + 2.5 + 0.5) / 4 / 4, (3 * 0.5 + 1.5) / 4 / 2], [1.5 / 4, 0.75]]
    )
    assert of.ignored.tolist() == [[[False] * 4, [False, True, False, True]]]
    assert of.mask(torch.tensor([0]), torch.tensor([0])).tolist() == [[[True, True, True, False], [True, *[False] * 3]]]


@pytest.mark.parametrize("scale, layer", [(METRES, 0.2 - 0.05), (LOG, log(3) - 0.05)])
def test_the_cost_of_a_match_by_hand(scale, layer):
    instances = found(torch.zeros(1, 2, 2, 2), layer_m=[[3.0, 1.0]])
    cost = matching_cost(instances, ONE, torch.tensor([0]), Costs(), scale, EVERYTHING, 0)
    common = -2 / 7 + 5 * log(2) + 5 * (1 - (2 * 1 + 1) / (2 + 2 + 1))
    np.testing.assert_allclose(cost[0, :, 0], [common + layer, common], rtol=1e-5)


def test_everybody_is_matched_to_who_sees_them():
    masks = torch.tensor([[[[-9.0, -9], [-9, -9]], [[-9, 9], [-9, 9]], [[9, -9], [9, -9]]]])
    for points in (EVERYTHING, 3):
        matched = match(found(masks), COUPLE, Costs(), LOG, points, 0)
        assert sorted(zip(*(x.tolist() for x in matched), strict=True)) == [(0, 1, 1), (0, 2, 0)]
    few = match(found(masks[:, 1:2]), COUPLE, Costs(), LOG, EVERYTHING, 0)
    assert [x.tolist() for x in few] == [[0], [0], [1]]  # one query cannot answer for both
    tiny = truth([[[1, 2], [1, 0]]], [[[1.0, 3.0], [1.0, 9.0]]], [PERSON, BALL], least_pixels=2)
    assert match(found(masks), tiny, Costs(), LOG, EVERYTHING, 0).place.tolist() == [0]
    nobody = match(found(masks), truth([[[0]]], [[[1.0]]], []), Costs(), LOG, 1, 0)
    assert all(len(x) == 0 for x in nobody)


def test_a_layer_decides_between_two_who_see_the_same():
    masks = torch.tensor([[[[9.0, -9], [9, -9]]] * 2])
    matched = match(found(masks, layer_m=[[4.0, 1.1]]), ONE, Costs(), LOG, EVERYTHING, 0)
    assert matched.query.tolist() == [1]


def test_class_loss_by_hand():
    classes = torch.zeros(1, 2, 7)
    classes[0, 1, PERSON] = log(6)
    punished = torch.tensor([[False, False]])
    loss = instance_losses.class_loss(classes, ONE.classes, pairs((0, 1, 0)), punished)
    assert loss.item() == pytest.approx((log(2) + 0.1 * log(7)) / 1.1, rel=1e-5)
    alone = instance_losses.class_loss(classes, ONE.classes, pairs((0, 1, 0)), ~punished)
    assert alone.item() == pytest.approx(log(2), rel=1e-5)


def test_queries_on_ignored_instances_are_left_alone():
    masks = torch.tensor([[[[9.0, -9], [9, -9]], [[-9, 9], [-9, -9]], [[-9, -9], [-9, -9]]]])
    ignored = torch.tensor([[[False, True], [True, False]]])
    assert instance_losses.on_ignored(masks, ignored).tolist() == [[False, True, False]]  # half of it is not most


def test_mask_losses_by_hand():
    logits = torch.tensor([[[[log(3), 0.0], [log(3), 0.0]]]])
    expected = (2 * log(4 / 3) + 2 * log(2)) / 4, 1 - (2 * 1.5 + 1) / (2.5 + 2 + 1)
    loss = instance_losses.mask_losses(logits, ONE.ids, pairs((0, 0, 0)), EVERYTHING, 0)
    np.testing.assert_allclose([x.item() for x in loss], expected, rtol=1e-5)
    with_absent = instance_losses.mask_losses(logits, ONE.ids, pairs((0, 0, 0), (0, 0, 1)), EVERYTHING, 0)
    assert with_absent == loss
    nothing = instance_losses.mask_losses(logits, ONE.ids, pairs(), EVERYTHING, 0)
    assert [x.item() for x in nothing] == [0, 0]


def test_points_are_where_the_mask_is_unsure_and_follow_from_the_step():
    logits = torch.full((1, 1, 16, 16), 9.0)
    logits[..., 8:] = -0.1  # unsure of the right half, which is wrong
    everyone = truth(np.ones((1, 16, 16), int), np.ones((1, 16, 16)), [PERSON])
    one, same, other = (
        instance_losses.mask_losses(logits, everyone.ids, pairs((0, 0, 0)), 64, s)[0] for s in (0, 0, 1)
    )
    full = instance_losses.mask_losses(logits, everyone.ids, pairs((0, 0, 0)), 256, 0)[0]
    assert one == same and one != other
    assert one > 1.5 * full  # at least three quarters of the points are from that half


@pytest.mark.parametrize("scale, expected", [(METRES, 0.2 - 0.05), (LOG, log(3) - 0.05)])
def test_layer_loss_by_hand(scale, expected):
    layer_m = torch.tensor([[3.0, 77.0]])
    assert instance_losses.layer_loss(layer_m, ONE, pairs((0, 0, 0)), scale).item() == pytest.approx(expected, rel=1e-5)
    unknown = truth([[[1]]], [[[torch.nan]]], [PERSON])
    assert instance_losses.layer_loss(layer_m, unknown, pairs((0, 0, 0)), scale).item() == 0


def test_spread_is_a_likelihood_that_does_not_move_the_layer():
    layer_m = torch.tensor([[2.0]], requires_grad=True)
    spread = torch.tensor([[log(0.25)]], requires_grad=True)
    loss = instance_losses.spread_loss(spread, layer_m, ONE, pairs((0, 0, 0)))
    assert loss.item() == pytest.approx(log(0.25) + 0.5 * (0.5 / 0.25) ** 2, rel=1e-5)
    loss.backward()
    assert layer_m.grad is None and spread.grad.item() == pytest.approx(1 - (0.5 / 0.25) ** 2, rel=1e-5)


def test_heat_by_hand():
    ids = np.zeros((1, 8, 8), int)
    ids[0, 2:4, 2:4], ids[0, 7, 7] = 1, 2
    of = truth(ids, np.ones((1, 8, 8)), [PERSON, BALL], least_pixels=2)
    expected = 0.0
    for y in range(4):
        for x in range(4):
            # of one cell each, so half a cell wide; the ball's centre is nearest to the last cell
            near = max(exp(-((x - 1) ** 2 + (y - 1) ** 2) / 0.5), exp(-((x - 3) ** 2 + (y - 3) ** 2) / 0.5))
            expected += log(2) / 4 * (1 if (x, y) == (1, 1) else (1 - near) ** 4)
    loss = instance_losses.heat_loss(torch.zeros(1, 4, 4), of)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    hit, missed = torch.full((1, 4, 4), -9.0), torch.full((1, 4, 4), -9.0)
    hit[0, 1, 1] = missed[0, 0, 3] = 9.0
    assert instance_losses.heat_loss(hit, of) < 0.01 < 9 < instance_losses.heat_loss(missed, of)
    empty = truth([[[0]]], [[[1.0]]], [])
    assert instance_losses.heat_loss(torch.zeros(1, 1, 1), empty).item() == pytest.approx(log(2) / 4)


def test_embeddings_of_one_person_attract_and_of_others_repel():
    east, north = (1.0, 0.0), (0.0, 1.0)
    two = truth([[[1, 2]], [[1, 2]]], [[[1.0, 3.0]]] * 2, [PERSON, PERSON])
    matched = pairs((0, 0, 0), (0, 1, 1), (1, 0, 0), (1, 1, 1))
    told = torch.tensor([[east, north], [east, north]])
    mixed = torch.tensor([[east, north], [north, east]])
    # of each: itself in the other frame against the other person in both
    loss = instance_losses.embedding_loss(told, two, matched, temperature=1.0)
    assert loss.item() == pytest.approx(log(1 + 2 / exp(1)), rel=1e-5)
    swapped = instance_losses.embedding_loss(mixed, two, matched, temperature=1.0)
    assert swapped.item() == pytest.approx(log(1 + (1 + exp(1)) / 1), rel=1e-5)
    apart = truth([[[1, 2]], [[1, 2]]], [[[1.0, 3.0]]] * 2, [PERSON, PERSON], clips=2)
    assert instance_losses.embedding_loss(told, apart, matched).item() == 0  # two clips: other people


def test_object_loss_is_of_matched_instances_alone():
    depth_m = torch.tensor([[[2.0, 3.0], [1.0, 3.0]]])
    loss = instance_losses.object_loss(depth_m, COUPLE, pairs((0, 0, 0)))
    assert loss.item() == pytest.approx(10 * sqrt(log(2) ** 2 / 2 - 0.85 * (log(2) / 2) ** 2), rel=1e-5)
    assert instance_losses.object_loss(depth_m, COUPLE, pairs((0, 0, 1))).item() < 1e-4


def test_distance_loss_by_hand():
    depth_m = torch.tensor([[[1.0, 3.5], [1.0, 4.5]]])
    both = pairs((0, 0, 0), (0, 1, 1))
    assert instance_losses.distance_loss(depth_m, COUPLE, both, METRES).item() == pytest.approx((9 - 4) / 100, rel=1e-5)
    assert instance_losses.distance_loss(depth_m, COUPLE, both, LOG).item() == pytest.approx((9 - 4) / 3, rel=1e-5)
    assert instance_losses.distance_loss(depth_m, COUPLE, pairs((0, 0, 0)), METRES).item() == 0
