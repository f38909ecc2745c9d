"""Truth at the size of what the network gives: picked from a batch, never averaged over a border."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Targets(NamedTuple):
    """Of F frames (clips one after the other), each with the M places of its clip's table of instances.

    depth_m, valid, ids: (F, h, w); ids: k is place k - 1, 0 background, -1 an instance without a place.
    classes: (F, M) long, 0 where nobody is to be found: absent, or ignored for being smaller than is fair to ask.
    area: (F, M) visible pixels, those of ignored ones too. center: (F, M, 2) x, y of their mean, 0..1 of the picture.
    layer_m: (F, M) mean depth of the visible pixels, NaN where unknown. clip: (F,) the clip of each frame.
    """

    depth_m: Tensor
    valid: Tensor
    ids: Tensor
    classes: Tensor
    area: Tensor
    center: Tensor
    layer_m: Tensor
    clip: Tensor

    @property
    def ignored(self) -> Tensor:
        """(F, h, w) pixels of instances that are neither asked for nor punished."""
        kept = torch.cat([self.classes.new_ones(len(self.ids), 1), self.classes, self.classes[:, :1] * 0], 1) > 0
        return ~kept.gather(1, self.ids.flatten(1) % kept.shape[1]).view_as(self.ids)

    def mask(self, frame: Tensor, place: Tensor) -> Tensor:
        """(G, h, w) visible masks of the instances at these places, counted from 0, of these frames."""
        return self.ids[frame] == place[:, None, None] + 1


def picked(x: Tensor, size: tuple[int, int], step: int) -> Tensor:
    """(..., H, W) -> (..., h, w): one pixel of each cell; which one changes with the step, on average its centre."""
    down, right = 0.25 + 0.5 * (step >> 1 & 1), 0.25 + 0.5 * (step >> 2 & 1)
    rows, columns = (
        ((torch.arange(new, device=x.device) + shift) * (old / new)).long()
        for new, old, shift in zip(size, x.shape[-2:], (down, right), strict=True)
    )
    return x.index_select(-2, rows).index_select(-1, columns)


def targets(
    batch: dict[str, Tensor], size: tuple[int, int], step: int, max_depth_m: float, least_pixels: int
) -> Targets:
    """Targets of a batch (data.Batches) at this size; instances of fewer pixels than least_pixels are ignored."""
    depth_m = picked(batch["depth_m"], size, step).flatten(0, 1)
    ids = picked(batch["ids"], size, step).flatten(0, 1).long()
    frames, places = batch["ids"].shape[1], batch["classes"].shape[1]
    valid = measured(depth_m, max_depth_m)
    ones = torch.ones_like(depth_m)
    area = per_instance(ones, ids, places)
    y, x = (
        ((torch.arange(length, device=ids.device) + 0.5) / length).view(shape).expand_as(depth_m)
        for length, shape in ((size[0], (-1, 1)), (size[1], (1, -1)))
    )
    center = torch.stack([per_instance(axis, ids, places) / area.clamp_min(1) for axis in (x, y)], -1)
    known = per_instance(valid.float(), ids, places)
    layer_m = per_instance(torch.where(valid, depth_m, 0), ids, places) / known.clamp_min(1)
    classes = batch["classes"].repeat_interleave(frames, 0) * (area >= least_pixels)
    clip = torch.arange(len(batch["ids"]), device=ids.device).repeat_interleave(frames)
    return Targets(depth_m, valid, ids, classes, area, center, layer_m.masked_fill(known == 0, torch.nan), clip)


def measured(depth_m: Tensor, max_depth_m: float) -> Tensor:
    """Where there is truth to learn from."""
    return torch.isfinite(depth_m) & (depth_m > 0.1) & (depth_m < max_depth_m)


def per_instance(values: Tensor, ids: Tensor, places: int) -> Tensor:
    """Sums of (F, h, w) values over the visible pixels of each instance: (F, places)."""
    sums = values.new_zeros(len(ids), places + 2)  # with one for the background, and one for who has no place
    return sums.scatter_add(1, ids.flatten(1) % (places + 2), values.flatten(1))[:, 1:-1]
