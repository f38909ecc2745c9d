"""Who is paired with whom, and that corrections stay inside the masks they are meant for."""

from dataclasses import replace

import pytest
import torch

from instance_depth_ros.model.instances import from_masks
from instance_depth_ros.model.occlusion import ROI, Refinement, union
from instance_depth_ros.model.presets import PRESETS

CONFIG = replace(PRESETS["tiny"], features=8)
H, W = 32, 48
# rows and columns, from and to; the farthest first
BEHIND, FRONT, BALL, APART = (4, 28, 4, 20), (8, 30, 16, 30), (20, 24, 8, 12), (4, 20, 36, 46)


def scene(*boxes, layers_m, config=CONFIG, trained: bool = True):
    """Refinement of rectangles at these depths on a background of 10 m: (refined, depth, instances, masks)."""
    torch.manual_seed(0)
    refinement = Refinement(config)
    if trained:
        torch.nn.init.normal_(refinement.error[2].weight)
    masks = torch.full((1, len(boxes), H, W), -8.0)
    depth_m = torch.full((1, H, W), 10.0)
    for index, ((top, bottom, left, right), layer_m) in enumerate(zip(boxes, layers_m, strict=True)):
        masks[0, index, top:bottom, left:right] = 8.0
        depth_m[0, top:bottom, left:right] = layer_m  # the later are in front
    for index in range(len(boxes)):
        for nearer in range(index + 1, len(boxes)):
            masks[0, index][masks[0, nearer] > 0] = -8.0
    paths = [torch.randn(1, 8, H // scale, W // scale) for scale in (8, 4, 2, 1)]
    refined_m, instances = refinement(paths, depth_m, from_masks(masks, depth_m))
    return refined_m[0], depth_m[0], instances, masks[0]


def test_an_untrained_refinement_changes_nothing():
    refined_m, depth_m, instances, _ = scene(BEHIND, FRONT, layers_m=(5, 3), trained=False)
    torch.testing.assert_close(refined_m, depth_m)
    torch.testing.assert_close(instances.layer_m[0], torch.tensor([5.0, 3.0]), rtol=0.05, atol=0)


def test_nobody_without_a_neighbour_has_a_guest():
    assert scene(BEHIND, APART, layers_m=(5, 3))[2].guest.tolist() == [[-1, -1]]
    assert scene(BEHIND, layers_m=(5,))[2].guest.tolist() == [[-1]]


def test_several_pairs_at_once():
    other = (22, 30, 34, 44)
    assert scene(BEHIND, FRONT, APART, other, layers_m=(5, 3, 4, 2))[2].guest.tolist() == [[1, 0, -1, -1]]
    beside = (14, 28, 40, 47)
    assert scene(BEHIND, FRONT, APART, beside, layers_m=(5, 3, 4, 2))[2].guest.tolist() == [[1, 0, 3, 2]]


def test_one_hidden_by_two_looks_at_the_nearest_to_it():
    assert scene(BEHIND, FRONT, BALL, layers_m=(5, 4, 1))[2].guest.tolist() == [[1, 0, 0]]
    assert scene(BEHIND, FRONT, BALL, layers_m=(5, 1, 4))[2].guest.tolist() == [[2, 0, 0]]


def test_a_ball_before_a_person_is_a_pair_by_the_smaller_box_and_not_by_iou():
    assert scene(BEHIND, BALL, layers_m=(5, 3))[2].guest.tolist() == [[1, 0]]
    strict = replace(CONFIG, pair_by="union")
    assert scene(BEHIND, BALL, layers_m=(5, 3), config=strict)[2].guest.tolist() == [[-1, -1]]


def test_only_who_is_sure_is_refined():
    never = replace(CONFIG, candidate_score=1.0)
    refined_m, depth_m, instances, _ = scene(BEHIND, FRONT, layers_m=(5, 3), config=never)
    torch.testing.assert_close(refined_m, depth_m)
    assert instances.guest.tolist() == [[-1, -1]]


def test_corrections_stay_inside_masks_and_layers_follow():
    refined_m, depth_m, instances, masks = scene(BEHIND, FRONT, BALL, layers_m=(5, 3, 2))
    inside = (masks > 0).any(0)
    assert torch.equal(refined_m[~inside], depth_m[~inside])
    moved = (refined_m - depth_m)[inside]
    assert moved.abs().max() > 0.05 and (refined_m > 0).all()
    for mask, layer_m in zip(masks, instances.layer_m[0], strict=True):
        assert layer_m.item() == pytest.approx(refined_m[mask > 0].log().mean().exp().item(), rel=0.08)


def test_a_correction_lands_where_it_was_made_and_nobody_gets_that_of_another():
    refinement, (h, w) = Refinement(CONFIG), (28, 56)
    masks = torch.full((1, 2, h, w), -8.0)
    masks[0, 0, :, :28], masks[0, 1, :, 28:] = 8.0, 8.0
    regions = torch.tensor([[[0, 0, 0.5, 1.0], [0.5, 0, 1.0, 1.0]]])
    cells = torch.arange(ROI).float()
    rightwards, downwards = cells.expand(ROI, -1), cells[:, None].expand(-1, ROI)
    corrections = torch.stack([rightwards, 100 + downwards])[None]
    candidates, layers_m = torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 2)
    written = refinement._written(corrections, masks, layers_m, candidates, regions)[0]
    inside = (torch.arange(28).float() + 0.5) / 2 - 0.5  # a cell is two pixels, its value stands in its middle
    expected = inside.clamp(0, ROI - 1)
    torch.testing.assert_close(written[:, :28], expected.expand(28, -1))
    torch.testing.assert_close(written[:, 28:], 100 + expected[:, None].expand(-1, 28))


def test_a_pair_is_looked_at_over_the_union_of_both_boxes():
    a, b = torch.tensor([0.1, 0.2, 0.5, 0.6]), torch.tensor([0.3, 0.1, 0.9, 0.4])
    torch.testing.assert_close(union(a, b), torch.tensor([0.1, 0.1, 0.9, 0.6]))
    refinement, seen = Refinement(CONFIG), {}
    refinement._features = lambda *features: (
        seen.update(region=features[-1]) or Refinement._features(refinement, *features)
    )
    masks = torch.full((1, 3, H, W), -8.0)
    for index, (top, bottom, left, right) in enumerate((BEHIND, FRONT, APART)):
        masks[0, index, top:bottom, left:right] = 8.0
    depth_m = torch.full((1, H, W), 5.0)
    paths = [torch.randn(1, 8, H // scale, W // scale) for scale in (8, 4, 2, 1)]
    refinement(paths, depth_m, from_masks(masks, depth_m))
    both = torch.tensor([4 / W, 4 / H, 30 / W, 30 / H])
    alone = torch.tensor([36 / W, 4 / H, 46 / W, 20 / H])
    torch.testing.assert_close(seen["region"][0], torch.stack([both, both, alone]), atol=2 / H, rtol=0)


def test_the_guest_has_a_say_in_the_correction_of_the_main_instance():
    def corrected(guest_m: float) -> torch.Tensor:
        refined_m, depth_m, _, masks = scene(BEHIND, FRONT, layers_m=(5, guest_m))
        return (refined_m - depth_m)[masks[0] > 0]

    assert (corrected(3.0) - corrected(1.5)).abs().max() > 0.01


def test_of_many_masks_from_elsewhere_the_first_are_refined():
    config = replace(CONFIG, refined=2)
    far = (22, 30, 34, 44)
    refined_m, depth_m, _, masks = scene(APART, BEHIND, far, layers_m=(4, 5, 3), config=config)
    moved = [(refined_m - depth_m)[mask > 0].abs().max() > 0 for mask in masks]
    assert moved == [True, True, False]


def test_the_nearer_wins_where_masks_overlap():
    torch.manual_seed(0)
    refinement = Refinement(CONFIG)
    refinement.error[2].bias.data.fill_(50.0)  # E = 1: each pixel moves by its instance's layer
    masks = torch.full((1, 2, H, W), -8.0)
    masks[0, 0, 4:28, 4:24], masks[0, 1, 4:28, 16:40] = 8.0, 8.0
    depth_m = torch.full((1, H, W), 4.0)
    depth_m[0, :, 24:] = 2.0
    found = from_masks(masks, depth_m)._replace(layer_m=torch.tensor([[4.0, 2.0]]))
    paths = [torch.randn(1, 8, H // scale, W // scale) for scale in (8, 4, 2, 1)]
    refined_m, _ = refinement(paths, depth_m, found)
    torch.testing.assert_close(refined_m[0, 10, 8], torch.tensor(8.0))
    torch.testing.assert_close(refined_m[0, 10, 20], torch.tensor(6.0))  # in both: + 2 m of the nearer


def test_the_depth_below_an_instance_has_a_say():
    def corrected(ground_m: float, config) -> torch.Tensor:
        torch.manual_seed(0)
        refinement, masks = Refinement(config), torch.full((1, 1, H, W), -8.0)
        torch.nn.init.normal_(refinement.error[2].weight)
        masks[0, 0, 4:20, 8:24] = 8.0
        depth_m = torch.full((1, H, W), 5.0)
        depth_m[0, 20:] = ground_m
        paths = [torch.ones(1, 8, H // scale, W // scale) for scale in (8, 4, 2, 1)]
        return (refinement(paths, depth_m, from_masks(masks, depth_m))[0] - depth_m)[0, 6:16, 10:22]

    assert (corrected(5.0, CONFIG) - corrected(3.0, CONFIG)).abs().min() > 1e-4
    blind = replace(CONFIG, feet=False)
    torch.testing.assert_close(corrected(5.0, blind), corrected(3.0, blind))
    rows, box = torch.arange(float(H)).view(1, 1, H, 1).expand(1, 1, H, W), torch.tensor([[[0.25, 0.25, 0.5, 0.5]]])
    torch.testing.assert_close(Refinement(CONFIG)._below(rows, box), torch.full((1, 1, 3), 16.5))
