"""Training losses, computed in fp32 whatever comes in; empty masks give 0 with a gradient, NaN truth is masked.

Shapes: depth, disparity and logits (B, T, H, W); mask the same, bool, True where the truth holds.
Under torchrun every mean is over the batches of all processes, so that the mean of their gradients is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from ..frame import CONFIDENT_ERROR
from ..model.ranges import MIN_DEPTH_M

SCALES = (1, 2, 4, 8)


def silog(prediction_m: Tensor, truth_m: Tensor, mask: Tensor, focus: float = 0.85) -> Tensor:
    """10 sqrt(mean d^2 - focus mean(d)^2), d = log(prediction / truth), over the mask (InstanceDepth eq. 10)."""
    difference = _log(prediction_m) - _log(_known(truth_m, mask, 1.0))
    spread = mean_over(difference**2, mask) - focus * mean_over(difference, mask) ** 2
    # The slope of the root at 0 is infinite; a spread below 1e-12 is left alone.
    return 10 * spread.clamp_min(1e-12).sqrt() * (_over_processes(mask.sum()) > 0)


def log_absolute(prediction_m: Tensor, truth_m: Tensor, mask: Tensor) -> Tensor:
    """Mean |log prediction - log truth|: what sigma1 and REL ask for, unmoved by a few wild pixels."""
    return mean_over((_log(prediction_m) - _log(_known(truth_m, mask, 1.0))).abs(), mask)


def log_gradient(prediction_m: Tensor, truth_m: Tensor, mask: Tensor) -> Tensor:
    """Sharp edges, flat floors: multi-scale spatial gradients of log prediction - log truth, mean over scales."""
    difference = _log(prediction_m) - _log(_known(truth_m, mask, 1.0))
    return _multi_scale_gradient(difference, mask) / len(SCALES)


def lens_agreement(prediction_m: Tensor, lens: Tensor, mask: Tensor) -> Tensor:
    """Mean |log difference| between two views from one place: items 2k and 2k + 1 of the batch, each through its lens.

    lens (B, 2, H, W): x/z and y/z of the rays of a pinhole. Where the second looks past the first's picture, nothing.
    """
    log_depth, first, second = _log(prediction_m), lens[0::2].float(), lens[1::2].float()
    corners = first[:, :, 0, 0], first[:, :, -1, -1]
    low, high = (corner[:, :, None, None] for corner in corners)
    grid = (2 * (second - low) / (high - low) - 1).permute(0, 2, 3, 1)
    seen_by_first = F.grid_sample(log_depth[0::2], grid, padding_mode="border", align_corners=True)
    common = mask[1::2] & (grid.abs() <= 1).all(-1)[:, None]
    return mean_over((seen_by_first - log_depth[1::2]).abs(), common)


def log_temporal(prediction_m: Tensor, truth_m: Tensor, mask: Tensor, limit: float = 0.05) -> Tensor:
    """Temporal gradient matching of metric clips: in log depth, unaligned, so a breathing scale is seen too."""
    return temporal_gradient(_log(prediction_m), _log(_known(truth_m, mask, 1.0)), mask, limit)


def temporal_gradient(prediction: Tensor, truth: Tensor, mask: Tensor, limit: float | Tensor) -> Tensor:
    """Mean |change of prediction - change of truth| between neighbouring frames, without alignment.

    Takes metres, logs or disparity. Truth that changes by limit or more (same unit) uncovers another surface and is
    left out. Signed, as the released code of Video Depth Anything; its paper writes absolute values of each change.
    """
    change = _known(truth, mask, 0.0).diff(dim=1)
    still = mask[:, 1:] & mask[:, :-1] & (change.abs() < limit)
    return mean_over((prediction.float().diff(dim=1) - change).abs(), still)


def confidence_loss(logit: Tensor, prediction_m: Tensor, truth_m: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of the confidence against |prediction - truth| / truth < 0.1; the depth is not moved."""
    truth = _known(truth_m, mask, 1.0)
    right = ((prediction_m.detach().float() - truth).abs() < CONFIDENT_ERROR * truth).float()
    return mean_over(F.binary_cross_entropy_with_logits(logit.float(), right, reduction="none"), mask)


def range_cross_entropy(
    segmentations: Iterable[Tensor],
    bin_of: Callable[[Tensor], Tensor],
    depth_m: Iterable[Tensor],
    masks: Iterable[Tensor],
) -> Tensor:
    """Cross-entropy of each S_i, logits (B, T, K, h_i, w_i), against the range of the truth; the mean over levels.

    bin_of: metres -> the number of the range. depth_m, masks: of each level, (B, T, h_i, w_i), picked, not averaged.
    """
    terms = []
    for logits, truth_m, mask in zip(segmentations, depth_m, masks, strict=True):
        bins = bin_of(_known(truth_m, mask, 1.0))
        terms.append(mean_over(F.cross_entropy(logits.float().movedim(2, 1), bins, reduction="none"), mask))
    return torch.stack(terms).mean()


def vda_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The loss of Video Depth Anything for affine-invariant disparity: spatial + 10 x temporal.

    For clips of relative truth; our recipes are metric, and of it use vda_spatial alone, on a teacher's pictures.
    """
    return vda_spatial(prediction, target, mask) + 10 * vda_temporal(prediction, target, mask)


def vda_spatial(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Scale- and shift-invariant difference per frame plus 0.5 x its multi-scale gradients."""
    difference = _normalised(prediction.float(), mask) - _normalised(_known(target, mask, 0.0), mask)
    return mean_over(difference.abs(), mask) + 0.5 * _multi_scale_gradient(difference, mask)


def vda_temporal(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Temporal gradient matching after one least-squares scale and shift per clip; limit: 5 % of the frame's span."""
    target = _known(target, mask, 0.0)
    scale, shift = _least_squares(prediction.float(), target, mask)
    highest = target.masked_fill(~mask, -torch.inf).amax((2, 3), keepdim=True)
    lowest = target.masked_fill(~mask, torch.inf).amin((2, 3), keepdim=True)
    return temporal_gradient(prediction.float() * scale + shift, target, mask, 0.05 * (highest - lowest)[:, :-1])


def _multi_scale_gradient(difference: Tensor, mask: Tensor) -> Tensor:
    """Sum over scales of masked |d/dx| + |d/dy| of a difference, each per valid pixel at that stride."""
    total = difference.new_zeros(())
    for stride in SCALES:
        d, m = difference[..., ::stride, ::stride], mask[..., ::stride, ::stride]
        pixels = m.sum()
        for axis in (-1, -2):
            length = d.shape[axis] - 1
            both = m.narrow(axis, 1, length) & m.narrow(axis, 0, length)
            total = total + per(torch.where(both, d.diff(dim=axis).abs(), 0).sum(), pixels)
    return total


def _normalised(x: Tensor, mask: Tensor) -> Tensor:
    """(x - median) / mean |x - median| per frame; the median is that of mask * x, zeros included, as released."""
    frames, m = x.flatten(2), mask.flatten(2)
    centred = frames - torch.where(m, frames, 0).median(-1, keepdim=True).values
    size = torch.where(m, centred.abs(), 0).sum(-1, keepdim=True) / m.sum(-1, keepdim=True).clamp_min(1)
    return (centred / size.clamp_min(1e-6)).view_as(x)


def _least_squares(x: Tensor, y: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift (B, 1, 1, 1) that bring x nearest to y over the mask of each clip."""
    pixels = mask.sum((1, 2, 3), keepdim=True).clamp_min(1)
    mean_x, mean_y = (torch.where(mask, v, 0).sum((1, 2, 3), keepdim=True) / pixels for v in (x, y))
    dx, dy = torch.where(mask, x - mean_x, 0), torch.where(mask, y - mean_y, 0)
    scale = (dx * dy).sum((1, 2, 3), keepdim=True) / (dx * dx).sum((1, 2, 3), keepdim=True).clamp_min(1e-6)
    return scale, mean_y - scale * mean_x


def mean_over(x: Tensor, weight: Tensor) -> Tensor:
    """Mean over a mask, or weighted by what is no mask; 0 where nothing has weight."""
    kept = torch.where(weight, x, 0) if weight.dtype == torch.bool else x * weight
    return per(kept.sum(), weight.sum())


def per(total: Tensor, count: Tensor) -> Tensor:
    """total / count, or total where that is 0; under torchrun that of all processes, with this one's share of its
    gradient."""
    count = _over_processes(count)
    mine = total / torch.where(count > 0, count, 1)
    return mine + (_over_processes(mine) - mine).detach()


def _over_processes(x: Tensor) -> Tensor:
    """The mean of a number over all processes, without a gradient where there are several."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return x
    x = x.detach().double()
    dist.all_reduce(x)
    return (x / dist.get_world_size()).float()


def _known(truth: Tensor, mask: Tensor, filler: float) -> Tensor:
    """fp32 truth without the NaN that a gradient would carry through a mask."""
    return torch.where(mask, truth.float(), filler)


def _log(depth_m: Tensor) -> Tensor:
    return depth_m.float().clamp_min(MIN_DEPTH_M).log()
