"""The losses agree with the released ones, and with arithmetic done by hand; holes in the truth do no harm."""

from math import log, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch

from instance_depth_ros.geometry import Intrinsics, rays
from instance_depth_ros.training import losses

GOLDEN = Path(__file__).parent / "goldens" / "vda_loss.npz"
METRIC = (losses.silog, losses.log_gradient, losses.log_temporal)
RELATIVE = (losses.vda_spatial, losses.vda_temporal, losses.vda_loss)


def confidence(prediction, truth, mask):
    return losses.confidence_loss(prediction - 2, prediction, truth, mask)


def clip(*frames):
    return torch.tensor(frames, dtype=torch.float32)[None]


def everywhere(x):
    return torch.ones_like(x, dtype=torch.bool)


def test_video_depth_anything_agrees_with_the_released_loss():
    golden = np.load(GOLDEN)
    prediction, target, mask = (torch.from_numpy(golden[name]) for name in ("prediction", "target", "mask"))
    assert losses.vda_spatial(prediction, target, mask).item() == pytest.approx(float(golden["spatial_loss"]), abs=1e-5)
    stable = 10 * losses.vda_temporal(prediction, target, mask).item()
    assert stable == pytest.approx(float(golden["stable_loss"]), abs=1e-5)
    assert losses.vda_loss(prediction, target, mask).item() == pytest.approx(float(golden["total_loss"]), abs=1e-5)


@pytest.mark.parametrize("loss", (*METRIC, *RELATIVE, confidence))
def test_holes_and_half_precision_are_harmless(loss):
    generator = torch.Generator().manual_seed(0)
    truth = 1 + 3 * torch.rand((2, 3, 16, 20), generator=generator)
    truth[:, 1:] = truth[:, :1] * 1.01
    mask = torch.rand(truth.shape, generator=generator) > 0.2
    prediction = (truth + 0.2 * torch.rand(truth.shape, generator=generator)).to(torch.bfloat16).requires_grad_()
    holed = truth.masked_fill(~mask, torch.nan)
    value = loss(prediction, holed, mask)
    value.backward()
    assert value.dtype == torch.float32 and value > 0
    assert value.item() == pytest.approx(loss(prediction.float(), truth, mask).item(), rel=1e-5)
    assert prediction.grad.isfinite().all() and prediction.grad.abs().sum() > 0

    nothing = prediction.detach().clone().requires_grad_()
    empty = loss(nothing, torch.full_like(truth, torch.nan), torch.zeros_like(mask))
    empty.backward()
    assert empty.item() == 0 and not nothing.grad.any()


def test_silog_by_hand():
    truth, prediction = clip([[1.0, 2.0]]), clip([[2.0, 2.0]])
    expected = 10 * sqrt(log(2) ** 2 / 2 - 0.85 * (log(2) / 2) ** 2)
    assert losses.silog(prediction, truth, everywhere(truth)).item() == pytest.approx(expected, rel=1e-5)


def test_log_gradient_ignores_scale_and_sees_a_missed_edge():
    truth = torch.ones(1, 1, 16, 16)
    truth[..., 8:] = 4.0
    assert losses.log_gradient(3 * truth, truth, everywhere(truth)).item() == pytest.approx(0, abs=1e-6)
    missed = losses.log_gradient(torch.ones_like(truth), truth, everywhere(truth)).item()
    # One step of log 4 in each row: a share of 1/16, 1/8, 1/4 and 1/2 of the pixels at the four strides.
    assert missed == pytest.approx(log(4) * (1 / 16 + 1 / 8 + 1 / 4 + 1 / 2) / 4, rel=1e-5)


def test_temporal_losses_see_flicker():
    truth = clip([[2.0, 3.0]], [[2.0, 3.0]], [[2.0, 30.0]])  # the last pixel uncovers a far wall
    mask = everywhere(truth)
    assert losses.log_temporal(2 * truth, truth, mask).item() == pytest.approx(0, abs=1e-6)
    flicker = clip([[2.0, 3.0]], [[2.2, 3.3]], [[2.2, 30.0]])
    assert losses.log_temporal(flicker, truth, mask).item() == pytest.approx(2 * log(1.1) / 3, rel=1e-5)
    metres = losses.temporal_gradient(flicker, truth, mask, limit=1.0).item()
    assert metres == pytest.approx((0.2 + 0.3 + 0.0) / 3, rel=1e-5)
    assert losses.log_temporal(flicker[:, :1], truth[:, :1], mask[:, :1]).item() == 0


def test_confidence_learns_where_depth_is_right():
    truth, prediction = clip([[1.0, 1.0]]), clip([[1.05, 1.2]]).requires_grad_()
    sure_of_first, sure_of_second = clip([[4.0, -4.0]]), clip([[-4.0, 4.0]])
    right = losses.confidence_loss(sure_of_first, prediction, truth, everywhere(truth)).item()
    wrong = losses.confidence_loss(sure_of_second, prediction, truth, everywhere(truth)).item()
    assert right == pytest.approx(log(1 + np.exp(-4)), rel=1e-4) and wrong == pytest.approx(right + 4, rel=1e-4)
    logit = torch.zeros_like(truth, requires_grad=True)
    losses.confidence_loss(logit, prediction, truth, everywhere(truth)).backward()
    assert prediction.grad is None and logit.grad.abs().sum() > 0


def test_two_lenses_agree_on_what_both_see():
    """A tilted plane through a wide lens and a narrow one that looks to the side; then the narrow one 10 % too far."""
    wide = Intrinsics.from_fov(96, 72, 90.0)
    narrow = Intrinsics(96, 72, 120.0, 120.0, 80.0, 30.0)
    lens = torch.stack([torch.from_numpy(rays(one).copy()).permute(2, 0, 1) for one in (wide, narrow)])
    depth_m = 4 / (1 - 0.3 * lens[:, 0] + 0.2 * lens[:, 1])[:, None]
    assert losses.lens_agreement(depth_m, lens, everywhere(depth_m)).item() < 1e-3
    farther = depth_m * torch.tensor([1.0, 1.1])[:, None, None, None]
    assert losses.lens_agreement(farther, lens, everywhere(depth_m)).item() == pytest.approx(log(1.1), abs=1e-3)
    apart = lens + torch.tensor([0.0, 9.0])[:, None, None, None]
    assert losses.lens_agreement(farther, apart, everywhere(depth_m)).item() == 0
