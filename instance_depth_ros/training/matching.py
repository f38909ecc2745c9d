"""Which query answers for which instance: the assignment of least cost (InstanceDepth eq. 5 to 7), frame by frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..model.ranges import MIN_DEPTH_M
from .targets import Targets


class Matched(NamedTuple):
    """G pairs: (G,) numbers of the frame, of its query, and of the place in its clip's table."""

    frame: Tensor
    query: Tensor
    place: Tensor


class LayerScale(NamedTuple):
    """How depth layers differ. 'metres': by (a - b) / max_depth_m, as the paper; 'log': by log(a / b)."""

    kind: str
    max_depth_m: float
    bend: float = 0.1  # below it the smooth L1 is a square

    def distance(self, layer_m: Tensor, truth_m: Tensor) -> Tensor:
        """Smooth L1; 0 where the truth is NaN."""
        known = torch.isfinite(truth_m)
        truth_m = torch.where(known, truth_m, 1.0)
        if self.kind == "log":
            difference = layer_m.float().clamp_min(MIN_DEPTH_M).log() - truth_m.log()
        else:
            difference = (layer_m.float() - truth_m) / self.max_depth_m
        distance = F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none", beta=self.bend)
        return torch.where(known, distance, 0.0)


class Costs(NamedTuple):
    """Weights of the terms of eq. 5 to 7, as in Mask2Former, whose mask term is cross-entropy and dice."""

    label: float = 2.0
    mask: float = 5.0
    dice: float = 5.0
    layer: float = 1.0


@torch.no_grad()
def match(instances, targets: Targets, costs: Costs, scale: LayerScale, points: int, step: int) -> Matched:
    """Each instance that is asked for gets a query of its own, as long as there are any.

    instances: model.instances.Instances of F frames. points: pixels at which masks are compared, by chance that
    follows from the step; all of them where the masks have no more.
    """
    there = (targets.classes > 0).any(0).nonzero()[:, 0]  # columns for those that some frame has
    cost = matching_cost(instances, targets, there, costs, scale, points, step)
    cost, asked = np.nan_to_num(cost.cpu().numpy(), nan=1e6), (targets.classes[:, there] > 0).cpu().numpy()
    triples = [np.zeros((3, 0), np.int64)]
    for frame, columns in enumerate(asked):
        columns = np.flatnonzero(columns)
        query, column = linear_sum_assignment(cost[frame][:, columns])
        triples.append(np.stack([np.full_like(query, frame), query, columns[column]]))
    frame, query, column = torch.from_numpy(np.concatenate(triples, 1)).to(there.device)
    return Matched(frame, query, there[column])


def matching_cost(
    instances, targets: Targets, places: Tensor, costs: Costs, scale: LayerScale, points: int, step: int
) -> Tensor:
    """(F, N, len(places)): eq. 5 to 7, with minus the probability of the class, as DETR, for its cross-entropy."""
    frames = len(targets.ids)
    labels = targets.classes[:, places][:, None].expand(-1, instances.classes.shape[1], -1)
    label = -instances.classes.float().softmax(-1).gather(2, labels)
    logits, ids = instances.masks.flatten(2), targets.ids.flatten(1)
    if logits.shape[-1] > points:
        generator = torch.Generator().manual_seed(step)
        some = torch.randint(logits.shape[-1], (points,), generator=generator).to(ids.device)
        logits, ids = logits[..., some], ids[:, some]
    logits = logits.float()
    truth = (ids[:, None] == places[None, :, None] + 1).float()
    chance = logits.sigmoid()
    common, size = truth.transpose(1, 2), truth.sum(-1)[:, None]
    # binary cross-entropy of logit x against t is softplus(x) - x t: for all pairs, one matrix product
    mask = (F.softplus(logits).sum(-1, keepdim=True) - logits @ common) / logits.shape[-1]
    dice = 1 - (2 * chance @ common + 1) / (chance.sum(-1, keepdim=True) + size + 1)
    layer = scale.distance(instances.layer_m[:, :, None], targets.layer_m[:, places].view(frames, 1, -1))
    return costs.label * label + costs.mask * mask + costs.dice * dice + costs.layer * layer
