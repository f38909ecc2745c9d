"""Occlusion-aware refinement (InstanceDepth section 4.2.2): overlapping instances correct each other's depth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .instances import Instances, pooled
from .presets import ModelConfig
from .ranges import MIN_DEPTH_M
from .sizes import resize

ROI = 14  # cells along a side of the region that a pair is looked at in
ABSENT_LOGIT = -8.0  # the mask of a guest that does not exist
NOWHERE = 1e6
FEET = (0.25, 0.5, 0.75)  # parts of a box's width at which the depth below it is looked at
SIDES = 4  # of a box


class Refinement(nn.Module):
    """Phi_o of eq. 8: for each pair, the relative error of the main instance's depth over the union of both boxes."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        channels, width = 2 * config.features + 8 + 2 * (len(FEET) + SIDES) * config.feet, 2 * config.features
        self.enter = nn.Conv2d(channels, width, 1)
        self.around = nn.Linear(width, width)  # each cell hears what the main instance is like as a whole
        self.error = nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, 1, 1))
        nn.init.zeros_(self.error[2].weight)  # E_obj = 1/2: nothing is corrected at first
        nn.init.zeros_(self.error[2].bias)

    def forward(self, paths: list[Tensor], depth_m: Tensor, instances: Instances) -> tuple[Tensor, Instances]:
        """paths of the head, depth_m (B, h, w) -> refined depth, and the instances with guests and refined layers."""
        score = instances.classes.detach().softmax(-1)[..., 1:].amax(-1)
        surest = score.topk(min(self.config.refined, score.shape[1]), 1)
        masks, layer_m = take(instances.masks, surest.indices), take(instances.layer_m, surest.indices)
        small = resize(masks, paths[2].shape[-2:]).detach()
        boxes, candidate = self._boxes(small), self._candidates(surest.values, small)
        guest = self._guests(boxes, candidate, layer_m)
        region = torch.where((guest >= 0)[..., None], union(boxes, take(boxes, guest)), boxes)
        features = self._features(paths, depth_m, small, layer_m, guest, boxes, region)
        error = 2 * self._error(*features).float().sigmoid().unflatten(0, guest.shape) - 1  # (B, P, ROI, ROI)
        correction = error * layer_m.detach()[..., None, None]  # eq. 9
        written = self._written(correction, masks.detach(), layer_m.detach(), candidate, region)
        refined = (depth_m + written).clamp_min(MIN_DEPTH_M)
        layer_m = layer_m * pooled(refined.log() - depth_m.log(), small).exp()
        guest = torch.where(guest >= 0, take(surest.indices, guest), -1)
        return refined, instances._replace(
            guest=instances.guest.scatter(1, surest.indices, guest),
            layer_m=instances.layer_m.scatter(1, surest.indices, layer_m),
        )

    def _candidates(self, score: Tensor, masks: Tensor) -> Tensor:
        """(B, P) bool: sure of the class and of the mask."""
        chance = masks.sigmoid().flatten(2)
        inside = (chance > 0.5).float()
        sure = (chance * inside).sum(-1) / inside.sum(-1).clamp_min(1)
        return (score > self.config.candidate_score) & (sure > self.config.candidate_mask)

    def _boxes(self, masks: Tensor) -> Tensor:
        """(B, N, 4) left, top, right, bottom of each mask in parts of the picture; an empty one has no area."""
        inside, sides = (masks > 0).float(), []
        for along, length in ((-2, masks.shape[-1]), (-1, masks.shape[-2])):
            there = inside.amax(along) > 0
            at = torch.arange(length, device=masks.device, dtype=torch.float32)
            sides.append(torch.where(there, at, float(length)).amin(-1) / length)
            sides.append(torch.where(there, at + 1, 0.0).amax(-1) / length)
        left, right, top, bottom = sides
        right, bottom = torch.maximum(left, right), torch.maximum(top, bottom)
        return torch.cat([side[..., None] for side in (left, top, right, bottom)], -1)

    def _guests(self, boxes: Tensor, candidate: Tensor, layer_m: Tensor) -> Tensor:
        """(B, N) of each main instance: the overlapping one nearest to it in depth, -1 where there is none."""
        a, b = boxes[:, :, None], boxes[:, None]
        size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp_min(0)
        common = size[..., 0] * size[..., 1]
        area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
        one, other = area[:, :, None], area[:, None]
        whole = one + other - common if self.config.pair_by == "union" else torch.minimum(one, other)
        pair = (common > self.config.pair_overlap * whole.clamp_min(1e-6)) & candidate[:, :, None] & candidate[:, None]
        index = torch.arange(boxes.shape[1], device=boxes.device)
        pair = pair & (index[:, None] != index)
        apart = (layer_m[:, :, None] - layer_m[:, None]).detach().abs()
        nearest = torch.where(pair, apart, NOWHERE)
        return torch.where(nearest.amin(-1) < NOWHERE, nearest.argmin(-1), -1)

    def _features(self, paths, depth_m, masks, layer_m, guest, boxes, region) -> tuple[Tensor, Tensor]:
        """[F_obj, G_obj] as (B * N, C, ROI, ROI), and the main instance's mask there (B * N, 1, ROI, ROI)."""
        b, n = layer_m.shape
        step = (torch.arange(ROI, device=region.device, dtype=torch.float32) + 0.5) / ROI
        low, size = region[..., :2], region[..., 2:] - region[..., :2]
        x = (low[..., :1] + step * size[..., :1])[:, :, None].expand(-1, -1, ROI, -1)
        y = (low[..., 1:] + step * size[..., 1:])[..., None].expand(-1, -1, -1, ROI)
        grid = 2 * torch.cat([x[..., None], y[..., None]], -1) - 1  # (B, N, ROI, ROI, 2)
        everywhere = grid.flatten(1, 2)  # all regions of a picture at once
        maps = (paths[2].float(), paths[3].float(), depth_m.detach().log()[:, None])
        seen = [_sample(x, everywhere).unflatten(2, (n, ROI)).transpose(1, 2).flatten(0, 1) for x in maps]
        masks = masks.clamp(ABSENT_LOGIT, -ABSENT_LOGIT)
        main = _sample(masks.flatten(0, 1)[:, None], grid.flatten(0, 1))
        beside = _sample(take(masks, guest).flatten(0, 1)[:, None], grid.flatten(0, 1))
        alone = (guest < 0).flatten()[:, None, None, None]
        beside = torch.where(alone, ABSENT_LOGIT, beside)
        log_layer = layer_m.detach().log()
        log_guest = torch.where(guest >= 0, take(log_layer, guest), log_layer)
        log_layer, log_guest = (x.flatten()[:, None, None, None].expand_as(main) for x in (log_layer, log_guest))
        log_depth, where = seen[2], grid.flatten(0, 1).movedim(-1, 1)
        relative = [log_depth - log_layer, log_guest - log_layer, log_depth / 2 - 1, log_layer / 2 - 1]
        if self.config.feet:
            below = self._below(maps[2], boxes) - layer_m.detach().log()[..., None]  # (B, N, 3)
            stands = torch.cat([below, 2 * boxes - 1], -1)  # on which ground, and where in the picture
            beside_it = torch.where((guest >= 0)[..., None], take(stands, guest), stands)
            both = torch.cat([stands, beside_it], -1).flatten(0, 1)
            relative.append(both[..., None, None].expand(-1, -1, ROI, ROI))
        return torch.cat([*seen[:2], main / 4, beside / 4, where, *relative], 1), main

    def _below(self, log_depth: Tensor, boxes: Tensor) -> Tensor:
        """(B, N, 3) log depth just below each box, (B, N, 4): the ground, where the instance stands on it."""
        h = log_depth.shape[-2]
        parts = torch.tensor(FEET, device=boxes.device)
        x = boxes[..., :1] + parts * (boxes[..., 2:3] - boxes[..., :1])
        y = (boxes[..., 3:] + 1.0 / h).expand_as(x)
        return _sample(log_depth, 2 * torch.cat([x[..., None], y[..., None]], -1) - 1)[:, 0]

    def _error(self, features: Tensor, main: Tensor) -> Tensor:
        """(B * N, ROI, ROI) logits of E_obj."""
        x = F.relu(self.enter(features.to(self.enter.weight.dtype)))
        weight = main.sigmoid().to(x.dtype)
        whole = (x * weight).sum((2, 3)) / weight.sum((2, 3)).clamp_min(1e-3)
        x = x + self.around(whole)[..., None, None]
        return self.error(F.relu(x))[:, 0]

    def _written(self, correction: Tensor, masks: Tensor, layer_m: Tensor, candidate: Tensor, region: Tensor) -> Tensor:
        """(B, h, w) metres to add: of each pixel's instance, the nearer where masks overlap; nothing outside of all."""
        n = candidate.shape[1]
        h, w = masks.shape[-2:]
        mine = (masks > 0) & candidate[..., None, None]
        nearest, owner = torch.where(mine, layer_m[..., None, None], NOWHERE).min(1)  # (B, h, w)
        logit = masks.gather(1, owner[:, None])[:, 0]
        weight = torch.where(nearest < NOWHERE, logit.clamp(0, 1), 0.0)  # fades inside the mask, never across
        box = region.gather(1, owner.flatten(1)[..., None].expand(-1, -1, 4)).unflatten(1, (h, w))
        y = ((torch.arange(h, device=box.device, dtype=torch.float32) + 0.5) / h)[:, None]
        x = (torch.arange(w, device=box.device, dtype=torch.float32) + 0.5) / w
        size = (box[..., 2:] - box[..., :2]).clamp_min(1e-6)
        u, v = (x - box[..., 0]) / size[..., 0], (y - box[..., 1]) / size[..., 1]
        # the regions lie in a column: half a cell from an edge, so that no other region is mixed in
        edge = 0.5 / ROI
        v = (owner + v.clamp(edge, 1 - edge)) / n
        grid = 2 * torch.cat([u.clamp(edge, 1 - edge)[..., None], v[..., None]], -1) - 1
        return weight * _sample(correction.flatten(1, 2)[:, None].float(), grid)[:, 0]


def union(a: Tensor, b: Tensor) -> Tensor:
    """The box around two boxes, (..., 4)."""
    return torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], -1)


def take(x: Tensor, index: Tensor) -> Tensor:
    """x (B, N, ...) of the instances numbered (B, N); -1 takes the first."""
    index = index.clamp_min(0).reshape(*index.shape, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
    return x.gather(1, index)


def _sample(x: Tensor, grid: Tensor) -> Tensor:
    """(B, C, h, w) at (B, H, W, 2), -1..1 from edge to edge."""
    return F.grid_sample(x, grid.to(x.dtype), mode="bilinear", padding_mode="border", align_corners=False)
