"""The loss of a step: which terms there are follows from the parts that train."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.network import Prediction
from ..model.ranges import Ranges
from . import instance_losses, losses
from .matching import match
from .phases import Phase, TrainConfig
from .targets import Targets, measured, picked, targets

NOWHERE_M = 1e6


def terms(
    prediction: Prediction, batch: dict[str, Tensor], phase: Phase, config: TrainConfig, step: int
) -> dict[str, Tensor]:
    """Weighted terms by name. prediction: of the clips of a batch (data.Batches), both on one device."""
    found = {}
    if phase.trains("depth"):
        found |= depth_terms(prediction, batch, phase, config, step)
    if phase.with_instances:
        truth = targets(batch, tuple(prediction.depth.shape[-2:]), step, config.max_depth_m, config.least_pixels)
        found |= instance_terms(prediction, truth, phase, config, step)
    return {name: getattr(config.weights, name) * term for name, term in found.items()}


def depth_terms(prediction, batch, phase: Phase, config: TrainConfig, step: int) -> dict[str, Tensor]:
    """Of depth, confidence and range segmentation."""
    depth_m, size = prediction.depth, tuple(prediction.depth.shape[-2:])
    truth_m = picked(batch["depth_m"], size, step)
    mask = measured(truth_m, config.max_depth_m)
    found = {
        "silog": losses.silog(depth_m, truth_m, mask),
        "absolute": losses.log_absolute(depth_m, truth_m, mask),
        "gradient": losses.log_gradient(depth_m, truth_m, mask),
        # people are few of the pixels, and most of what matters
        "foreground": losses.log_absolute(depth_m, truth_m, mask & (picked(batch["ids"], size, step) != 0)),
    }
    if prediction.logit is not None:
        # nothing said about the sky is right
        judged = mask | batch["complete"][:, None, None, None]
        sky_m = torch.where(mask, truth_m, NOWHERE_M)
        found["confidence"] = losses.confidence_loss(prediction.logit, depth_m, sky_m, judged)
    if phase.views == 2:
        rays = F.adaptive_avg_pool2d(batch["lens"][:, :2], size)
        found["lens"] = losses.lens_agreement(depth_m, rays, mask)
    if depth_m.shape[1] > 1:
        found["temporal"] = losses.log_temporal(depth_m, truth_m, mask)
    if prediction.ranges:
        model = config.model_config
        ranges = Ranges(model.ranges, model.range_count, model.range_limits_m)
        levels = [picked(batch["depth_m"], tuple(logits.shape[-2:]), step) for logits in prediction.ranges]
        masks = [measured(level_m, config.max_depth_m) for level_m in levels]
        found["ranges"] = losses.range_cross_entropy(prediction.ranges, ranges.bin_of, levels, masks)
    return found


def instance_terms(prediction, truth: Targets, phase: Phase, config: TrainConfig, step: int) -> dict[str, Tensor]:
    """Of segmentation and layers where the decoder trains, of refined depth where the refinement does."""
    instances = frames_of(prediction.instances)
    matched = match(instances, truth, config.costs, config.scale, config.points, step)
    found = {}
    if phase.trains("instances"):
        # every layer of the decoder answers for the same instances as the last
        segmentation, ignored = [], truth.ignored
        for classes, masks in (*instances.auxiliary, (instances.classes, instances.masks)):
            size = tuple(masks.shape[-2:])
            ids, alone = picked(truth.ids, size, step), picked(ignored, size, step)
            unpunished = instance_losses.on_ignored(masks, alone)
            label = instance_losses.class_loss(classes, truth.classes, matched, unpunished)
            segmentation.append((label, *instance_losses.mask_losses(masks, ids, matched, config.points, step)))
        means = (torch.stack(term).mean() for term in zip(*segmentation, strict=True))
        found |= dict(zip(("label", "mask", "dice"), means, strict=True))
        found |= {
            "layer": instance_losses.layer_loss(instances.layer_m, truth, matched, config.scale),
            "spread": instance_losses.spread_loss(instances.spread, instances.layer_m, truth, matched),
            "heat": instance_losses.heat_loss(instances.heat[:, 0], truth),
        }
        if prediction.depth.shape[1] > 1:
            found["embedding"] = instance_losses.embedding_loss(instances.embedding, truth, matched)
    if phase.trains("occlusion"):
        depth_m = prediction.depth.flatten(0, 1)
        found["object"] = instance_losses.object_loss(depth_m, truth, matched)
        found["distance"] = instance_losses.distance_loss(depth_m, truth, matched, config.scale)
    return found


def frames_of(instances):
    """Instances of clips, (B, T, ...), as those of B * T frames."""
    flat = {name: getattr(instances, name).flatten(0, 1) for name in instances._fields if name != "auxiliary"}
    auxiliary = tuple(tuple(x.flatten(0, 1) for x in output) for output in instances.auxiliary)
    return instances._replace(**flat, auxiliary=auxiliary)
