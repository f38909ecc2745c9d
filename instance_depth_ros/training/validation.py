"""Quick figures while training, at the size of the network's output: of depth, and, without average precision, of
instances. What is reported comes from evaluation/."""

from __future__ import annotations

import torch
from torch import Tensor

from .objective import frames_of
from .phases import TrainConfig
from .targets import Targets, measured, picked, targets


class Score:
    """Sums over clips. sigma1, rel: means over clips. recall: share of the instances that are asked for of which some
    query, no matter its class, has an IoU of 0.5; layer_rel: mean relative error of the depth layers of those."""

    def __init__(self, config: TrainConfig):
        self.config, self.clips = config, 0
        self.sigma1 = self.rel = self.layer_error = 0.0
        self.asked = self.found = self.measured = 0

    def add(self, prediction, batch: dict[str, Tensor]) -> None:
        size = tuple(prediction.depth.shape[-2:])
        truth_m = picked(batch["depth_m"], size, 0)
        mask = measured(truth_m, self.config.max_depth_m)
        if mask.any():
            p, g = prediction.depth[mask].float(), truth_m[mask]
            self.clips += 1
            self.sigma1 += (torch.maximum(p / g, g / p) < 1.25).float().mean().item()
            self.rel += ((p - g).abs() / g).mean().item()
        if prediction.instances is not None:
            truth = targets(batch, size, 0, self.config.max_depth_m, self.config.least_pixels)
            self._add_instances(frames_of(prediction.instances), truth)

    def _add_instances(self, instances, truth: Targets) -> None:
        some = instances.classes.softmax(-1)[..., 0] < 0.5
        masks = ((instances.masks > 0) & some[..., None, None]).flatten(2).float()
        frame, place = (truth.classes > 0).nonzero(as_tuple=True)
        for number in frame.unique().tolist():
            places = place[frame == number]
            real = truth.mask(torch.full_like(places, number), places).flatten(1).float()
            common = real @ masks[number].T
            overlap, query = (common / (real.sum(1)[:, None] + masks[number].sum(1) - common)).max(1)
            layer_m, known_m = instances.layer_m[number, query], truth.layer_m[number, places]
            good = overlap >= 0.5
            error = ((layer_m - known_m).abs() / known_m)[good & known_m.isfinite()]
            self.asked, self.found = self.asked + len(places), self.found + int(good.sum())
            self.layer_error, self.measured = self.layer_error + error.sum().item(), self.measured + len(error)

    def figures(self) -> dict[str, float]:
        clips = max(self.clips, 1)
        figures = {"sigma1": self.sigma1 / clips, "rel": self.rel / clips}
        if self.asked:
            figures |= {"recall": self.found / self.asked, "layer_rel": self.layer_error / max(self.measured, 1)}
        return figures
