"""Layered instance segmentation (InstanceDepth section 4.2.1): masks, classes and a depth layer for each query.

After Mask2Former, with plain attention on static shapes. Two sets of queries, for segmentation and for depth layers,
begin at the places where the picture shows something and are fused after the decoder.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import CLASSES
from .depth_head import Features
from .presets import ModelConfig
from .sizes import resize

EMBEDDING = 32
HEADS = 4
CLOSED = -1e4  # added to the score of what a query may not look at; finite in half precision
SURE_LOGIT = 8.0  # of masks that come from elsewhere


class Instances(NamedTuple):
    """N queries; h, w is the size of the depth. Of a clip, every field has T after B.

    classes: (B, N, 7) logits, 0 = no object, then as config.CLASSES. masks: (B, N, h, w) logits of visible masks.
    layer_m: (B, N) depth layer, the mean depth of the visible instance. spread: (B, N) log of the standard deviation
    of its relative error. embedding: (B, N, 32) unit length, alike for one instance in neighbouring frames.
    guest: (B, N) the query it is paired with, -1 without one. heat: (B, 1, h_8, w_8) logits of where queries begin.
    auxiliary: (classes, masks at stride 8) before each layer of the decoder, for training.
    """

    classes: Tensor
    masks: Tensor
    layer_m: Tensor
    spread: Tensor
    embedding: Tensor
    guest: Tensor
    heat: Tensor
    auxiliary: tuple[tuple[Tensor, Tensor], ...] = ()


class Attention(nn.Module):
    """Queries (B, N, C) look at memory (B, L, C); mask (B, 1, N, L) is added to the scores."""

    def __init__(self, dim: int):
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim) for _ in range(3))
        self.proj = nn.Linear(dim, dim)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
        split = [
            layer(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer, x in ((self.to_q, queries), (self.to_k, keys), (self.to_v, values))
        ]
        return self.proj(F.scaled_dot_product_attention(*split, attn_mask=mask).transpose(1, 2).flatten(2))


class DecoderLayer(nn.Module):
    """Masked attention to the picture, attention among the queries, feed-forward; each added behind a norm."""

    def __init__(self, dim: int):
        super().__init__()
        self.look, self.discuss = Attention(dim), Attention(dim)
        self.think = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))

    def forward(self, x: Tensor, where: Tensor, memory: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        """x, where: (B, N, C) queries and their positions; memory (B, L, C), places (1, L, C) its positions."""
        x = x + self.look(self.norms[0](x) + where, memory + places, memory, mask)
        y = self.norms[1](x)
        x = x + self.discuss(y + where, y + where, y)
        return x + self.think(self.norms[2](x))


class PixelDecoder(nn.Module):
    """Taps, paths and depth to maps for the masks (finest path) and for both sets of queries (strides 8 and 16)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        dim, fine, features = config.query_dim, config.query_dim // 2, config.features
        widths = (fine, dim, dim, dim)
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, width, 1), nn.GroupNorm(8, width))
            for c, width in zip(config.out_channels, widths, strict=True)
        )
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for width in widths[:3])
        self.narrow = nn.Conv2d(dim, fine, 1)
        self.depth = nn.Conv2d(1, dim, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(features + 1, dim, 1) for _ in range(2))  # for the depth-layer queries
        self.coarse = nn.Conv2d(fine, features, 1)
        self.mask = nn.Sequential(
            nn.Conv2d(features + 1, features, 3, padding=1), nn.ReLU(), nn.Conv2d(features, features, 1)
        )

    def forward(self, features: Features, log_depth: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """-> mask features (B, features, h, w); maps (B, dim, h_i, w_i) at strides 16 and 8, for each set."""
        sizes = [tuple(tap.shape[-2:]) for tap in features.taps]
        map4, map8, map16, x = (lateral(tap) for lateral, tap in zip(self.laterals, features.taps, strict=True))
        depth8, depth16 = (resize(log_depth, sizes[level]) for level in (1, 2))
        map16 = F.relu(self.smooth[2](map16 + resize(x, sizes[2])))
        map8 = F.relu(self.smooth[1](map8 + resize(map16, sizes[1]) + self.depth(depth8)))
        map4 = F.relu(self.smooth[0](map4 + self.narrow(resize(map8, sizes[0]))))
        finest = features.paths[3]
        fine = finest + self.coarse(resize(map4, finest.shape[-2:]))
        mask = self.mask(torch.cat([fine, resize(log_depth, finest.shape[-2:])], 1))
        layers = [
            layer(torch.cat([path, depth], 1))
            for layer, path, depth in zip(self.layers, features.paths, (depth16, depth8), strict=False)
        ]
        return mask, [map16, map8], layers


class Blob(nn.Module):
    """What a mask is like before its pixels are looked at: a bump around the place where its query began.

    b - a_x (x - c_x)^2 - a_y (y - c_y)^2, a matrix product with 1, x, y, x^2, y^2; two people who look alike differ
    by it, and convolutions know little of where they are.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.shape = nn.Linear(dim, 5)  # steepness along x and y, shift of the middle, height
        nn.init.zeros_(self.shape.weight)
        with torch.no_grad():
            self.shape.bias.copy_(torch.tensor([4.0, 3.0, 0.0, 0.0, 1.0]))

    def forward(self, queries: Tensor, place: Tensor, height: int, width: int) -> Tensor:
        """queries (B, N, C), place (B, N, 2) x, y in parts of the picture -> logits (B, N, height, width), fp32."""
        with torch.autocast(queries.device.type, enabled=False):
            shape = self.shape(queries.to(self.shape.weight.dtype)).float()
            steep = shape[..., :2].clamp(-2, 8).exp()
            middle = place.float() + 0.1 * shape[..., 2:4].tanh() - 0.5
            height_there = shape[..., 4:] - (steep * middle.square()).sum(-1, keepdim=True)
            factors = torch.cat([height_there, 2 * steep * middle, -steep], -1)
            x, y = (
                (torch.arange(length, device=place.device, dtype=torch.float32) + 0.5) / length - 0.5
                for length in (width, height)
            )
            x, y = x.expand(height, -1).flatten(), y[:, None].expand(-1, width).flatten()
            basis = torch.cat([z[None] for z in (torch.ones(height * width, device=x.device), x, y, x * x, y * y)])
            return (factors @ basis).unflatten(2, (height, width))


class InstanceDecoder(nn.Module):
    """Features and holistic depth -> Instances of one frame each (guest is left to the refinement)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        dim = config.query_dim
        self.queries = config.queries
        self.pixels = PixelDecoder(config)
        self.heat = nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1), nn.ReLU(), nn.Conv2d(dim, 1, 1))
        nn.init.constant_(self.heat[2].bias, -4.0)  # few places hold something
        self.begin = nn.Linear(dim, dim)
        self.sets = nn.Parameter(torch.randn(2, 1, 1, dim) * 0.02)
        self.layers = nn.ModuleList(DecoderLayer(dim) for _ in range(config.query_layers))
        self.norm = nn.LayerNorm(dim)
        self.fuse = nn.Sequential(nn.Linear(2 * dim, dim), nn.GELU(), nn.Linear(dim, dim))
        self.classify = nn.Linear(dim, len(CLASSES))
        self.mask = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, config.features))
        self.blob = Blob(dim)
        self.embed = nn.Linear(dim, EMBEDDING)
        self.layer = nn.Linear(dim, 2)  # correction of the layer and log of its relative error
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, features: Features, depth_m: Tensor) -> Instances:
        """features: of B frames; depth_m (B, h, w)."""
        log_depth = (depth_m.float().log() / 2 - 1)[:, None].to(features.paths[3].dtype)
        log_depth = log_depth.contiguous(memory_format=torch.channels_last)  # else all that is joined with it is not
        mask_map, maps, layer_maps = self.pixels(features, log_depth)
        heat = self.heat(maps[1])
        queries, where, place = self._begin(heat, maps[1])
        queries = (queries + self.sets).flatten(0, 1)  # both sets as one batch: the segmentation's first
        where = torch.cat([where, where])
        small = resize(mask_map, maps[1].shape[-2:])
        auxiliary = []
        for index, layer in enumerate(self.layers):
            scale = index % 2 if index + 1 < len(self.layers) else 1  # the last looks at the finer map
            memory = torch.cat([maps[scale], layer_maps[scale]])
            size = memory.shape[-2:]
            places = position(size[0], size[1], memory.shape[1], memory.device).to(memory.dtype)
            auxiliary.append(self._read(queries, place, small)[:2])
            closed = self._closed(auxiliary[-1][1], size)
            queries = layer(queries, where, memory.flatten(2).transpose(1, 2), places[None], closed)
        classes, masks, fused = self._read(queries, place, mask_map)
        correction, spread = self.layer(fused).float().unbind(-1)
        small = resize(masks, features.paths[2].shape[-2:])
        layer_m = (pooled(depth_m.float().log(), small) + correction.tanh()).exp()
        embedding = self.embed(fused).float()
        embedding = embedding * embedding.square().sum(-1, keepdim=True).clamp_min(1e-8).rsqrt()
        guest = torch.full(tuple(layer_m.shape), -1, dtype=torch.long, device=layer_m.device)
        spread = (spread - 2).clamp(-5.0, 2.0)
        return Instances(classes, masks, layer_m, spread, embedding, guest, heat.float(), tuple(auxiliary))

    def _begin(self, heat: Tensor, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, N, C) queries from the N hottest places that are hotter than their neighbours, and where those are.

        Where: as sinusoids (B, N, C) and as x, y in parts of the picture, (B, N, 2).
        """
        b, c, h, w = features.shape
        hot = heat.detach().float()
        hot = torch.where(hottest_around(hot) == hot, hot, hot - 20.0).flatten(1)
        place = hot.topk(min(self.queries, h * w), 1).indices  # (B, N)
        tokens = features.flatten(2).transpose(1, 2)
        queries = self.begin(tokens.gather(1, place[..., None].expand(-1, -1, c)))
        places = position(h, w, c, features.device).to(features.dtype)
        where = places[None].expand(b, -1, -1).gather(1, place[..., None].expand(-1, -1, c))
        row, column = torch.div(place, w, rounding_mode="floor"), place % w
        place = torch.cat([((column + 0.5) / w)[..., None], ((row + 0.5) / h)[..., None]], -1)
        return queries, where, place

    def _read(self, queries: Tensor, place: Tensor, mask_map: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both sets fused to class logits (B, N, 7), mask logits (B, N, h, w) and what they came from (B, N, C)."""
        segmentation, layer = self.norm(queries).chunk(2)
        fused = segmentation + self.fuse(torch.cat([segmentation, layer], -1))
        h, w = mask_map.shape[-2:]
        masks = (self.mask(fused) @ mask_map.flatten(2)).unflatten(2, (h, w)).float() + self.blob(fused, place, h, w)
        return self.classify(fused).float(), masks, fused

    def _closed(self, masks: Tensor, size: tuple[int, int]) -> Tensor:
        """(2 B, 1, N, L) what is added to the scores: a query looks at its mask, or, while that is empty, anywhere."""
        outside = resize(masks.detach(), size).flatten(2) < 0
        outside = outside & (outside.float().amin(-1, keepdim=True) < 0.5)
        closed = torch.where(outside, CLOSED, 0.0)[:, None].to(self.begin.weight.dtype)
        return torch.cat([closed, closed])


def hottest_around(heat: Tensor) -> Tensor:
    """The maximum of each 3 x 3 neighbourhood, (B, 1, h, w) -> the same; TensorRT has no pooling that torch exports."""
    x = F.pad(heat, (1, 1, 1, 1), value=-1e4)
    x = torch.maximum(torch.maximum(x[..., :-2], x[..., 1:-1]), x[..., 2:])
    return torch.maximum(torch.maximum(x[..., :-2, :], x[..., 1:-1, :]), x[..., 2:, :])


def pooled(values: Tensor, masks: Tensor) -> Tensor:
    """(B, H, W) values and (B, N, h, w) mask logits -> (B, N) the mean over each mask, soft at its border."""
    values = resize(values[:, None], masks.shape[-2:])
    weights = masks.detach().sigmoid().square().flatten(2)
    return (weights @ values.flatten(1)[..., None]).squeeze(-1) / weights.sum(-1).clamp_min(1e-3)


def position(height: int, width: int, dim: int, device: torch.device) -> Tensor:
    """(height * width, dim) sinusoids of row and column, in parts of the picture's size."""
    rates = 2 * math.pi * 2.0 ** torch.arange(dim // 4, device=device, dtype=torch.float32).mul(8.0 / (dim // 4))
    angles = []
    for length in (height, width):
        places = (torch.arange(length, device=device, dtype=torch.float32) + 0.5) / length
        turned = places[:, None] * rates / 4
        angles.append(torch.cat([turned.sin(), turned.cos()], -1))
    rows, columns = angles
    return torch.cat([rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)], -1).reshape(
        height * width, -1
    )


def from_masks(masks: Tensor, depth_m: Tensor) -> Instances:
    """Instances of masks from elsewhere, (B, N, h, w) logits: an empty one is no object, the others `other`.

    The first count as the surest.
    """
    b, n = masks.shape[:2]
    there = masks.flatten(2).amax(-1) > 0
    classes = masks.new_zeros(b, n, len(CLASSES), dtype=torch.float32)
    classes[..., 0] = torch.where(there, 0.0, SURE_LOGIT)
    earlier = 1e-2 * torch.arange(n, device=masks.device)  # where not all can be refined, the first are
    classes[..., -1] = torch.where(there, SURE_LOGIT - earlier, 0.0)
    layer_m = pooled(depth_m.float().log(), masks).exp()
    spread = torch.full_like(layer_m, math.log(0.1))
    guest = torch.full_like(layer_m, -1, dtype=torch.long)
    return Instances(classes, masks.float(), layer_m, spread, layer_m.new_zeros(b, n, 0), guest, layer_m.new_zeros(0))
