"""Attention over time at each pixel, in the two ways it is used: one new frame against a memory, or a whole clip.

K and V are linear without bias, so K(x + p_slot) = K(x) + K(p_slot): frames are projected once, without position,
and the slot's share is added to scores and outputs. That is exact, and old frames cost nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .memory import SLOTS, Memory, remembered

HEADS = 8


def sinusoids(length: int, dim: int) -> Tensor:
    """(length, dim) the usual sinusoidal table, sines in even channels."""
    position = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * (-math.log(10000.0) / dim))
    table = torch.zeros(length, dim)
    table[:, 0::2], table[:, 1::2] = torch.sin(position * rate), torch.cos(position * rate)
    return table


def heads(x: Tensor) -> Tensor:
    """(..., C) -> (..., heads, C / heads)."""
    return x.unflatten(-1, (HEADS, -1))


@dataclass
class Streaming:
    """One new frame (B, 1, N, C) against the memory; collects the frame's own K and V in new_keys, new_values.

    slots: (31,) those of the memory's entries, where they are known as a tensor.
    """

    memory: Memory
    slots: Tensor | None = None
    new_keys: list[Tensor] = field(default_factory=list)
    new_values: list[Tensor] = field(default_factory=list)

    @property
    def query_slots(self) -> slice:
        """Frame 0 sits in slot 0, every later one in the last."""
        return slice(SLOTS - 1, SLOTS) if self.memory.frames else slice(0, 1)

    @cached_property
    def key_slots(self) -> Tensor:
        """(32,) the slot of each of the memory's entries and, last, of the current frame; the same for all layers."""
        past = self.memory.slots(self.memory.keys[0].device) if self.slots is None else self.slots
        return F.pad(past, (0, 1), value=SLOTS - 1)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, slot_k: Tensor, slot_v: Tensor) -> Tensor:
        layer = len(self.new_keys)
        q, k, v = (heads(x[:, 0]) for x in (q, k, v))  # (B, N, heads, d)
        self.new_keys.append(k)
        self.new_values.append(v)
        if self.memory.frames == 0:
            return (v + heads(slot_v[0])).flatten(-2)[:, None]
        slot_k, slot_v = heads(slot_k[self.key_slots]), heads(slot_v[self.key_slots])  # (S, heads, d)
        past = torch.matmul(self.memory.keys[layer], q.unsqueeze(-1)).squeeze(-1)
        scores = torch.cat([past, (k * q).sum(-1, keepdim=True)], -1) + torch.einsum("bnhd,shd->bnhs", q, slot_k)
        weights = F.softmax(scores.float(), -1).to(v.dtype)  # (B, N, heads, S), the current frame last
        out = torch.matmul(weights[..., None, :-1], self.memory.values[layer]).squeeze(-2) + weights[..., -1:] * v
        out = out + torch.einsum("bnhs,shd->bnhd", weights, slot_v)
        return out.flatten(-2)[:, None]

    def remember(self) -> None:
        """Push the frame into the memory."""
        self.memory.push(self.new_keys, self.new_values)


@dataclass
class Together:
    """A frame each of several streams (B, 1, N, C) that have all seen one: each against its own memory, where it is."""

    streams: list[Streaming]

    @property
    def query_slots(self) -> slice:
        return slice(SLOTS - 1, SLOTS)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, slot_k: Tensor, slot_v: Tensor) -> Tensor:
        # stream by stream: rings side by side in one array would be copied in every frame
        shares = zip(self.streams, q.split(1), k.split(1), v.split(1), strict=True)
        return torch.cat([stream.attend(*share, slot_k, slot_v) for stream, *share in shares])

    def remember(self) -> None:
        for stream in self.streams:
            stream.remember()


@dataclass
class Clip:
    """All frames of a clip (B, T, N, C) at once. frame_of_slot: (T, S) the frame in each slot of each query,
    -1 for an empty slot; query_slots: (T,) the slot of the query itself."""

    frame_of_slot: Tensor
    query_slots: Tensor

    @classmethod
    def window(cls, frames: int) -> Clip:
        """Every frame sees every frame: the offline network."""
        return cls(torch.arange(frames).expand(frames, -1), torch.arange(frames))

    @classmethod
    def causal(cls, frames: int) -> Clip:
        """What streaming would see, frame by frame: used in training."""
        first = torch.tensor([[0] + [-1] * (SLOTS - 1)])
        later = torch.tensor([remembered(n) for n in range(1, frames)], dtype=torch.long).reshape(-1, SLOTS)
        return cls(torch.cat([first, later]), torch.tensor([0] + [SLOTS - 1] * (frames - 1)))

    @classmethod
    def causal_late(cls, frames: int) -> Clip:
        """As causal, with the frames of a short clip spread over all slots: what a stream sees after a while."""
        clip = cls.causal(frames)
        for n in range(1, frames):
            clip.frame_of_slot[n, 1 : SLOTS - 1] = torch.arange(SLOTS - 2) * n // (SLOTS - 2)
        return clip

    def attend(self, q: Tensor, k: Tensor, v: Tensor, slot_k: Tensor, slot_v: Tensor) -> Tensor:
        table = self.frame_of_slot.to(q.device)
        frames, slots = table.shape
        if frames == 1:
            return v + slot_v[:1]
        where = F.one_hot(table.clamp(min=0), frames).to(v.dtype)  # (T, S, frames)
        q, k, v = (heads(x).permute(0, 2, 3, 1, 4) for x in (q, k, v))  # (B, N, heads, T, d)
        slot_k, slot_v = heads(slot_k[:slots]), heads(slot_v[:slots])
        # As products with `where` rather than indexing: large matrix products forwards and backwards.
        scores = torch.einsum("bnhtf,tsf->bnhts", q @ k.transpose(-1, -2), where)
        scores = scores + torch.einsum("bnhtd,shd->bnhts", q, slot_k)
        weights = F.softmax(scores.float().masked_fill(table < 0, -math.inf), -1).to(v.dtype)
        out = torch.einsum("bnhts,tsf->bnhtf", weights, where) @ v
        out = out + torch.einsum("bnhts,shd->bnhtd", weights, slot_v)
        return out.permute(0, 3, 1, 2, 4).flatten(-2)


class PositionEncoder(nn.Module):
    """The sinusoidal table; computed, never loaded."""

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("pe", sinusoids(SLOTS, dim)[None], persistent=False)


class TemporalAttention(nn.Module):
    """One attention layer over time, (B, T, N, C) -> the same."""

    def __init__(self, dim: int):
        super().__init__()
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(dim, dim, bias=False)
        self.to_v = nn.Linear(dim, dim, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])
        self.pos_encoder = PositionEncoder(dim)
        self.scale = (dim // HEADS) ** -0.5

    def forward(self, x: Tensor, context: Streaming | Together | Clip) -> Tensor:
        table = self.pos_encoder.pe[0].to(x.dtype)
        q = self.to_q(x + table[context.query_slots][:, None]) * self.scale
        out = context.attend(q, self.to_k(x), self.to_v(x), self.to_k(table), self.to_v(table))
        return self.to_out[0](out)


class GatedLinear(nn.Module):
    """GEGLU: half of the projection gates the other half."""

    def __init__(self, dim: int, inner: int):
        super().__init__()
        self.proj = nn.Linear(dim, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, -1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.net = nn.ModuleList([GatedLinear(dim, 4 * dim), nn.Identity(), nn.Linear(4 * dim, dim)])

    def forward(self, x: Tensor) -> Tensor:
        return self.net[2](self.net[0](x))


class TemporalBlock(nn.Module):
    """Two attention layers over time and a feed-forward, each behind a norm and added."""

    def __init__(self, dim: int):
        super().__init__()
        self.attention_blocks = nn.ModuleList(TemporalAttention(dim) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.ff = FeedForward(dim)
        self.ff_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, context: Streaming | Together | Clip) -> Tensor:
        for attention, norm in zip(self.attention_blocks, self.norms, strict=True):
            x = x + attention(norm(x), context)
        return x + self.ff(self.ff_norm(x))


class TemporalTransformer(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(channels)])
        self.proj_out = nn.Linear(channels, channels)
        # Starts as identity, so that a network trained on images is not disturbed when time comes in.
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: Tensor, batch: int, context: Streaming | Together | Clip) -> Tensor:
        h, w = x.shape[-2:]
        tokens = self.proj_in(self.norm(x).flatten(2).transpose(1, 2)).unflatten(0, (batch, -1))
        tokens = self.transformer_blocks[0](tokens, context).flatten(0, 1)
        return x + self.proj_out(tokens).transpose(1, 2).unflatten(2, (h, w))


class TemporalModule(nn.Module):
    """(B*T, C, H, W) -> the same, each pixel having looked at itself in other frames."""

    def __init__(self, channels: int):
        super().__init__()
        self.temporal_transformer = TemporalTransformer(channels)

    def forward(self, x: Tensor, batch: int, context: Streaming | Together | Clip) -> Tensor:
        return self.temporal_transformer(x, batch, context)
