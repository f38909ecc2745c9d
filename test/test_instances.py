"""The instance decoder: shapes, where queries begin, what layers are, and masks that come from elsewhere."""

import math

import pytest
import torch
from conftest import SMALL, lively

from instance_depth_ros.model.instances import Blob, from_masks, hottest_around, pooled, position
from instance_depth_ros.model.memory import Memory
from instance_depth_ros.model.temporal import Clip

IMAGES = torch.randn(1, 3, 3, 64, 96, generator=torch.Generator().manual_seed(0))
LENS = torch.zeros(1, 3, 3, 64, 96)


def test_a_stream_and_a_clip_see_the_same_instances():
    network, memory = lively(), Memory()
    with torch.inference_mode():
        clip = network.clip(IMAGES, LENS, Clip.causal(3))
        for index in range(3):
            frame = network(IMAGES[:, index], LENS[:, index], memory)
            for name in ("classes", "masks", "layer_m", "spread", "embedding", "guest"):
                torch.testing.assert_close(
                    getattr(frame.instances, name), getattr(clip.instances, name)[:, index], rtol=1e-3, atol=1e-3
                )
            torch.testing.assert_close(frame.depth, clip.depth[:, index], rtol=1e-3, atol=1e-3)


def test_shapes_and_ranges():
    network = lively()
    with torch.inference_mode():
        seen = network(IMAGES[:, 0], LENS[:, 0], None)
    found, n = seen.instances, SMALL.queries
    assert found.classes.shape == (1, n, 7) and found.masks.shape == (1, n, *seen.depth.shape[-2:]) == (1, n, 32, 48)
    assert found.layer_m.shape == found.spread.shape == found.guest.shape == (1, n)
    torch.testing.assert_close(found.embedding.norm(dim=-1), torch.ones(1, n))
    assert (found.layer_m > 0).all() and found.heat.shape == (1, 1, 8, 12)
    assert len(found.auxiliary) == SMALL.query_layers


def test_nothing_is_looked_for_when_nobody_asks():
    network = lively()
    with torch.inference_mode():
        seen = network(IMAGES[:, 0], LENS[:, 0], None, instances=False)
        full = network(IMAGES[:, 0], LENS[:, 0], None)
    assert seen.instances is None and seen.depth is seen.holistic
    torch.testing.assert_close(seen.depth, full.holistic)


def test_masks_from_elsewhere_are_refined_in_place_of_our_own():
    network = lively()
    masks = torch.full((1, 4, 32, 48), -8.0)
    masks[0, 0, 4:20, 4:20], masks[0, 1, 8:24, 16:30] = 8.0, 8.0
    with torch.inference_mode():
        seen = network(IMAGES[:, 0], LENS[:, 0], None, masks)
    probability = seen.instances.classes.softmax(-1)
    assert (probability[0, :2, 0] < 0.01).all() and (probability[0, 2:, 0] > 0.99).all()
    assert seen.instances.guest[0].tolist() == [1, 0, -1, -1]
    outside = (masks[0] < 0).all(0)
    assert torch.equal(seen.depth[0][outside], seen.holistic[0][outside])
    assert (seen.depth[0][~outside] != seen.holistic[0][~outside]).any()


def test_pooled_is_the_mean_over_the_mask():
    values = torch.arange(16.0).view(1, 4, 4)
    masks = torch.full((1, 2, 4, 4), -20.0)
    masks[0, 0, 0, :], masks[0, 1, 1:3, 1] = 20.0, 20.0
    torch.testing.assert_close(pooled(values, masks), torch.tensor([[1.5, 7.0]]))


def test_the_hottest_around_is_the_maximum_of_nine():
    heat = torch.randn(2, 1, 5, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(hottest_around(heat), torch.nn.functional.max_pool2d(heat, 3, 1, 1))


def test_layers_of_given_masks_are_geometric_means_of_their_depth():
    masks = torch.full((1, 1, 4, 4), -20.0)
    masks[0, 0, :2] = 20.0
    depth_m = torch.full((1, 4, 4), 9.0)
    depth_m[0, 0], depth_m[0, 1] = 2.0, 8.0
    found = from_masks(masks, depth_m)
    assert found.layer_m.item() == pytest.approx(4.0, rel=1e-4) and found.spread.item() == pytest.approx(math.log(0.1))


def test_no_two_places_share_a_position():
    places = position(8, 11, 96, torch.device("cpu"))
    assert places.shape == (88, 96)
    assert torch.cdist(places, places).fill_diagonal_(9).min() > 0.1


def test_a_blob_is_a_bump_around_its_place():
    blob, place = Blob(8), torch.tensor([[[0.25, 0.5], [0.75, 0.25]]])
    with torch.no_grad():
        logits = blob(torch.zeros(1, 2, 8), place, 20, 40)[0]
    for bump, (x, y) in zip(logits, ((9.5, 9.5), (29.5, 4.5)), strict=True):
        row, column = divmod(int(bump.argmax()), 40)
        assert abs(column - x) <= 0.5 and abs(row - y) <= 0.5
        assert bump.max() == pytest.approx(1.0, abs=0.05) and bump.min() < -2


def test_a_query_looks_at_its_mask_and_anywhere_while_that_is_empty():
    decoder, masks = lively().instances, torch.full((1, 2, 8, 12), -5.0)
    masks[0, 0, 2:4, 3:6] = 5.0
    closed = decoder._closed(masks, (8, 12))
    assert closed.shape == (2, 1, 2, 96)
    torch.testing.assert_close(closed[0, 0, 0].view(8, 12) < 0, masks[0, 0] < 0)
    assert (closed[:, 0, 1] == 0).all() and torch.equal(closed[0], closed[1])


def test_both_sets_of_queries_have_a_say():
    decoder = lively().instances
    queries, place, pixels = torch.randn(2, 3, 32), torch.rand(1, 3, 2), torch.randn(1, 32, 8, 12)
    with torch.no_grad():
        before = decoder._read(queries, place, pixels)
        for which in (0, 1):
            changed = queries.clone()
            changed[which] += torch.randn(3, 32)
            after = decoder._read(changed, place, pixels)
            assert all((x - y).abs().max() > 1e-3 for x, y in zip(before, after, strict=True)), which
