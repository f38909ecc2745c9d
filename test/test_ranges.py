"""Holistic depth initialisation: what a range is, and that the cascade corrects by at most what eq. 3 and 4 allow."""

from dataclasses import replace

import pytest
import torch

from instance_depth_ros.model.presets import PRESETS
from instance_depth_ros.model.ranges import MIN_DEPTH_M, RangeBlock, RangeDecoder, Ranges

PAPER = Ranges("uniform", 5, (0.01, 10.0))
LOG = Ranges("log", 4, (0.5, 8.0))
SIZES = ((3, 4), (6, 8), (12, 16), (24, 32))


def test_uniform_ranges_are_two_metres_wide():
    assert PAPER.width == pytest.approx(1.998)
    depth_m = torch.tensor([0.0, 0.5, 2.0, 2.1, 9.9, 10.0, 50.0])
    assert PAPER.bin_of(depth_m).tolist() == [0, 0, 0, 1, 4, 4, 4]


def test_logarithmic_ranges_double():
    assert LOG.bin_of(torch.tensor([0.1, 0.5, 0.99, 1.01, 2.01, 4.01, 8.0, 100.0])).tolist() == [0, 0, 0, 1, 2, 3, 3, 3]


def test_a_correction_is_at_most_a_width_and_never_below_the_least_depth():
    depth_m, least, most = torch.full((3,), 3.0), torch.tensor([-1.0, 0.0, 1.0]), 1.0
    torch.testing.assert_close(PAPER.corrected(depth_m, least, most), torch.tensor([3 - 1.998, 3.0, 3 + 1.998]))
    torch.testing.assert_close(LOG.corrected(depth_m, least, most), torch.tensor([1.5, 3.0, 6.0]))
    torch.testing.assert_close(LOG.corrected(depth_m, least, 0.5)[2], torch.tensor(3 * 2**0.5))
    assert PAPER.corrected(torch.tensor([1.0]), torch.tensor([-1.0]), 1.0).item() == pytest.approx(MIN_DEPTH_M)


@pytest.mark.parametrize("bad", [("cubic", 5, (0.01, 10.0)), ("log", 1, (0.5, 8.0)), ("log", 4, (0.0, 8.0))])
def test_senseless_ranges_are_refused(bad):
    with pytest.raises(ValueError, match=f"got {bad[1]} '{bad[0]}' over"):
        Ranges(*bad)


def decoder(halving: bool, **more) -> RangeDecoder:
    torch.manual_seed(0)
    config = replace(PRESETS["tiny"], features=8, ranges="log", range_count=4, range_limits_m=(0.5, 8.0))
    return RangeDecoder(replace(config, range_halving=halving, **more))


def paths() -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, 8, *size) for size in SIZES]


def test_the_cascade_begins_as_identity():
    depth_m = torch.rand(2, 24, 32) * 8 + 0.5
    refined_m, segmentations = decoder(True)(paths(), depth_m, torch.zeros(2))
    torch.testing.assert_close(refined_m, depth_m)
    assert [tuple(s.shape) for s in segmentations] == [(2, 4, *size) for size in SIZES]


@pytest.mark.parametrize(("halving", "factor"), [(False, 2.0**4), (True, 2.0 ** (1 + 1 / 2 + 1 / 4 + 1 / 8))])
def test_full_confidence_corrects_by_a_width_at_every_level(halving, factor):
    cascade, depth_m = decoder(halving), torch.full((2, 24, 32), 3.0)
    for level in cascade.levels:
        level.confide[2].bias.data.fill_(50.0)  # C = 1, and S sums to one: R = 1, E = + a width
    refined_m, _ = cascade(paths(), depth_m, torch.zeros(2))
    torch.testing.assert_close(refined_m, depth_m * factor)


@pytest.mark.parametrize(
    ("bias", "factor"),
    [(50.0, 1.0), (0.0, 2.0**-4), (-50.0, 2.0**-8)],
    ids=["R = 1, E = 0", "R = 1/2, E = - a width", "R = 0, E = - two widths"],
)
def test_eq_3_as_printed_corrects_towards_the_camera_alone(bias, factor):
    cascade, depth_m = decoder(False, correction="literal"), torch.full((2, 24, 32), 3.0)
    for level in cascade.levels:
        level.confide[2].bias.data.fill_(bias)
    refined_m, _ = cascade(paths(), depth_m, torch.zeros(2))
    torch.testing.assert_close(refined_m, depth_m * factor)


def test_eq_3_as_printed_begins_near_identity_and_learns():
    cascade, depth_m = decoder(False, correction="literal"), torch.full((2, 24, 32), 3.0)
    refined_m, _ = cascade(paths(), depth_m, torch.zeros(2))
    # four levels, each 2 (1 - sigmoid(5)) = 0.0134 ranges nearer, and a range doubles
    torch.testing.assert_close(refined_m, torch.full_like(depth_m, 3 * 2 ** (-4 * 0.013386)), rtol=1e-4, atol=0)
    refined_m.sum().backward()
    assert all(level.confide[2].bias.grad.abs().sum() > 0 for level in cascade.levels)


def test_an_unknown_correction_is_refused():
    with pytest.raises(ValueError, match="one of relative, literal, got 'absolute'"):
        decoder(False, correction="absolute")


def test_the_lens_reaches_the_cascade():
    cascade, depth_m = decoder(True), torch.full((2, 24, 32), 3.0)
    for level in cascade.levels:
        torch.nn.init.normal_(level.confide[2].weight)
    short, long = (cascade(paths(), depth_m, torch.full((2,), focal))[0] for focal in (-1.0, 1.0))
    assert (short - long).abs().max() > 0.01


def test_patches_are_a_strided_convolution():
    block, x = RangeBlock(8, 4), torch.randn(2, 8, 13, 18, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block._patches(x, (3, 4)), block.patches(x).flatten(2).transpose(1, 2))


def test_the_error_depends_on_the_depth_that_is_corrected():
    cascade = decoder(True)
    for level in cascade.levels:
        torch.nn.init.normal_(level.confide[2].weight)
    near, far = (cascade(paths(), torch.full((2, 24, 32), depth_m), torch.zeros(2))[0] for depth_m in (2.0, 6.0))
    assert (near / 2 - far / 6).abs().max() > 0.01
