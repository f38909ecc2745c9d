"""Losses of instances, of G matched pairs: segmentation, depth layers, identity, and the refinement of their depth.

`instances` is model.instances.Instances of F frames; every loss is fp32 and 0 where there is nothing to learn from.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.ranges import MIN_DEPTH_M
from .losses import mean_over, per, silog
from .matching import LayerScale, Matched
from .targets import Targets, per_instance

NO_OBJECT = 0.1  # weight of the class of queries that answer for nothing


def class_loss(classes: Tensor, targets: Tensor, matched: Matched, unpunished: Tensor) -> Tensor:
    """Cross-entropy of logits (F, N, C) against the class of the matched instance, or 0, no object, at weight 0.1.

    targets: (F, M) classes. unpunished: (F, N) bool, queries which, unmatched, are left alone.
    """
    labels = torch.zeros(classes.shape[:2], dtype=torch.long, device=classes.device)
    weights = torch.where(unpunished, 0.0, NO_OBJECT)
    labels[matched.frame, matched.query] = targets[matched.frame, matched.place]
    weights[matched.frame, matched.query] = 1.0
    return mean_over(F.cross_entropy(classes.float().movedim(2, 1), labels, reduction="none"), weights)


@torch.no_grad()
def on_ignored(masks: Tensor, ignored: Tensor) -> Tensor:
    """(F, N) queries most of whose mask, logits (F, N, h, w), lies on ignored pixels (F, h, w)."""
    if not ignored.any():
        return torch.zeros(masks.shape[:2], dtype=torch.bool, device=masks.device)
    inside = (masks > 0).flatten(2).float()
    return (inside @ ignored.flatten(1)[..., None].float())[..., 0] > 0.5 * inside.sum(-1).clamp_min(1)


def mask_losses(masks: Tensor, ids: Tensor, matched: Matched, points: int, step: int) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy and dice of the matched masks, logits (F, N, h, w), each a mean over pairs.

    ids: (F, h, w) as in Targets; who has no pixel at this size is left out. Where a mask has more than `points` pixels,
    3/4 of the points are the least sure of 3 times as many drawn, the others any (Mask2Former section 3.3).
    """
    logits = masks[matched.frame, matched.query].flatten(1).float()
    ids = ids[matched.frame].flatten(1)
    seen = (ids == matched.place[:, None] + 1).any(1)
    if logits.shape[1] > points:
        generator = torch.Generator().manual_seed(step)
        drawn = torch.randint(logits.shape[1], (len(logits), 4 * points), generator=generator).to(ids.device)
        unsure = -logits.detach().gather(1, drawn[:, : 3 * points]).abs()
        unsure = drawn.gather(1, unsure.topk(3 * points // 4, 1).indices)
        some = torch.cat([unsure, drawn[:, 3 * points : 4 * points - unsure.shape[1]]], 1)
        logits, ids = logits.gather(1, some), ids.gather(1, some)
    truth = (ids == matched.place[:, None] + 1).float()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1)
    chance = logits.sigmoid()
    dice = 1 - (2 * (chance * truth).sum(1) + 1) / (chance.sum(1) + truth.sum(1) + 1)
    return mean_over(entropy, seen), mean_over(dice, seen)


def layer_loss(layer_m: Tensor, targets: Targets, matched: Matched, scale: LayerScale) -> Tensor:
    """Smooth L1 of the depth layers (F, N) of matched queries."""
    truth_m = targets.layer_m[matched.frame, matched.place]
    return mean_over(scale.distance(layer_m[matched.frame, matched.query], truth_m), torch.isfinite(truth_m))


def spread_loss(spread: Tensor, layer_m: Tensor, targets: Targets, matched: Matched) -> Tensor:
    """Gaussian negative log likelihood of the layer's relative error, log deviation `spread`; the layer is not moved.

    An error of more than 2 layers counts as 2: it says enough.
    """
    layer_m, spread = (x[matched.frame, matched.query].float() for x in (layer_m.detach(), spread))
    truth_m = targets.layer_m[matched.frame, matched.place]
    known = torch.isfinite(truth_m)
    error = ((layer_m - torch.where(known, truth_m, 1.0)) / layer_m.clamp_min(MIN_DEPTH_M)).clamp(-2, 2)
    return mean_over(spread + 0.5 * (error * (-spread).exp()) ** 2, known)


def heat_loss(heat: Tensor, targets: Targets) -> Tensor:
    """Penalty-reduced focal loss (CenterNet) of logits (F, h, w): a peak in the cell nearest to each visible centre.

    Around a peak cells are punished less, by a Gaussian as wide as a quarter of the instance. Ignored instances have
    the Gaussian without the peak.
    """
    h, w = heat.shape[-2:]
    pixels = targets.ids.shape[-2] * targets.ids.shape[-1] / (h * w)  # of the masks in a cell
    x, y = ((targets.center[..., axis, None] * length - 0.5) for axis, length in ((0, w), (1, h)))
    width = (targets.area / pixels).sqrt().div(4).clamp_min(0.5)[..., None]
    place_x, place_y = (torch.arange(length, device=heat.device) for length in (w, h))
    seen = targets.area > 0
    near_x, near_y = (
        torch.exp(-((place - at.round()) ** 2) / (2 * width**2)) * seen[..., None]
        for place, at in ((place_x, x), (place_y, y))
    )
    near = (near_y[..., :, None] * near_x[..., None, :]).amax(1)  # (F, h, w)
    frame, place = (targets.classes > 0).nonzero(as_tuple=True)
    row, column = (at.round().long()[frame, place, 0] for at in (y, x))
    peak = torch.zeros_like(near, dtype=torch.bool)
    peak[frame, row.clamp(0, h - 1), column.clamp(0, w - 1)] = True
    logits = heat.float()
    chance = logits.sigmoid()
    at_peak = (1 - chance) ** 2 * F.softplus(-logits)
    elsewhere = (1 - near) ** 4 * chance**2 * F.softplus(logits)
    return per(torch.where(peak, at_peak, elsewhere).sum(), peak.sum())


def embedding_loss(embedding: Tensor, targets: Targets, matched: Matched, temperature: float = 0.1) -> Tensor:
    """Contrast of unit vectors (F, N, E): each is nearer to itself in the clip's other frames than to anybody else.

    For each pair of one instance in two frames, -log of its share among itself and all others of the clip (InfoNCE).
    """
    vectors = embedding[matched.frame, matched.query].float()
    alike = vectors @ vectors.T / temperature
    clip, place = targets.clip[matched.frame], matched.place
    same_clip = clip[:, None] == clip
    same = same_clip & (place[:, None] == place)
    others = alike.masked_fill(~(same_clip & ~same), -1e4).logsumexp(1, keepdim=True)
    other_frame = matched.frame[:, None] != matched.frame
    return mean_over(F.softplus(others - alike), same & other_frame)


def object_loss(depth_m: Tensor, targets: Targets, matched: Matched) -> Tensor:
    """L_obj (eq. 10): SigLog of depth (F, h, w) over the visible pixels of the matched instances."""
    chosen = torch.zeros(len(targets.ids), targets.classes.shape[1] + 2, dtype=torch.bool, device=depth_m.device)
    chosen[matched.frame, matched.place + 1] = True
    inside = chosen.gather(1, targets.ids.flatten(1) % chosen.shape[1]).view_as(targets.ids)
    return silog(depth_m[None], targets.depth_m[None], (inside & targets.valid)[None])


def distance_loss(depth_m: Tensor, targets: Targets, matched: Matched, scale: LayerScale) -> Tensor:
    """L_dist (eq. 11): |(D_i - D_j)^2 - (DT_i - DT_j)^2| / max^2, the mean over the pairs of matched instances.

    D_i: the mean of depth (F, h, w) over the visible mask, where the truth is known. On a logarithmic scale by
    DT_i DT_j instead, since against 80 m a metre between two people is nothing.
    """
    places = targets.classes.shape[1]
    valid = targets.valid
    count = per_instance(valid.float(), targets.ids, places)
    means = per_instance(torch.where(valid, depth_m.float(), 0), targets.ids, places) / count.clamp_min(1)
    chosen = torch.zeros_like(count, dtype=torch.bool)
    chosen[matched.frame, matched.place] = True
    chosen &= count > 0
    pairs = (chosen[:, :, None] & chosen[:, None]).triu(1)
    truth_m = targets.layer_m.masked_fill(~chosen, 1.0)
    apart, truly_apart = ((m[:, :, None] - m[:, None]) ** 2 for m in (means, truth_m))
    unit = truth_m[:, :, None] * truth_m[:, None] if scale.kind == "log" else scale.max_depth_m**2
    return mean_over((apart - truly_apart).abs() / unit, pairs)
