"""Key-frame memory as data: the keys and values of past frames, and the rule that says who is remembered.

The streaming rule (`memory: vda`): at frame n the network sees 32 slots - 0: frame 0; 1: frame max(0, n-41);
2..30: frames max(0, n-29) .. n-1; 31: the current frame. Frame 0 stands in for every frame that does not exist yet;
frame 0 itself is alone in slot 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

SLOTS = 32
RECENT = 29  # frames n-29 .. n-1
GAP = 41  # slot 1 looks this far back
WAITING = GAP - RECENT  # frames that left the recent ones and are not yet in slot 1
PAST = SLOTS - 1


def remembered(n: int) -> list[int]:
    """The frame in each of the 32 slots at frame n >= 1: the rule itself, as a list."""
    return [0, max(0, n - GAP), *(max(0, n - back) for back in range(RECENT, 0, -1)), n]


@dataclass
class Memory:
    """What one stream remembers; a layer a list entry. Frames are projected to K and V once and never touched again.

    keys, values: (B, N, heads, 31, d), entry 0 = slot 0, entry 1 = slot 1, then a ring of the recent frames: attention
    is one batched matrix product over contiguous arrays, and nothing is rotated. waiting_*: (B, N, heads, 12, d), on
    their way to slot 1.
    frames: how many frames have been pushed.
    """

    waits: ClassVar[int] = WAITING
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    waiting_keys: list[Tensor] = field(default_factory=list)
    waiting_values: list[Tensor] = field(default_factory=list)
    frames: int = 0

    def slots(self, device: torch.device | str = "cpu") -> Tensor:
        """(31,) the slot of each entry at this frame. A tensor, so that a compiled network is not compiled again."""
        ring = (torch.arange(RECENT, device=device) - self.frames) % RECENT
        return torch.cat([torch.arange(2, device=device), 2 + ring])

    def expect(self, stamp_ns: int) -> bool:
        """Told of each frame before it is seen. True: it changes the key frames, and is to be seen twice, before and
        after; see adaptive.py. The official rule knows frames, not time."""
        return False

    def push(self, keys: list[Tensor], values: list[Tensor]) -> None:
        """Remember the frame just seen, keys and values (B, N, heads, d) a layer, in place of the oldest recent one."""
        if self.frames == 0:
            self._fill(keys, values)
        else:
            place = 2 + self.frames % RECENT
            for ring, waiting, new in self._rings(keys, values):
                waiting[..., (self.frames - RECENT) % WAITING, :] = ring[..., place, :]
                ring[..., place, :] = new
                ring[..., 1, :] = waiting[..., (self.frames + 1 - GAP) % WAITING, :]
        self.frames += 1

    def _fill(self, keys: list[Tensor], values: list[Tensor]) -> None:
        """Frame 0 stands in for all that does not exist yet. Arrays of a former stream are used again."""
        if not self.keys:
            self.keys, self.values = _empty(keys, PAST), _empty(values, PAST)
            self.waiting_keys, self.waiting_values = _empty(keys, self.waits), _empty(values, self.waits)
        for ring, waiting, new in self._rings(keys, values):
            ring.copy_(new.unsqueeze(-2).expand_as(ring))
            waiting.copy_(new.unsqueeze(-2).expand_as(waiting))

    def _rings(self, keys: list[Tensor], values: list[Tensor]):
        yield from zip(self.keys, self.waiting_keys, keys, strict=True)
        yield from zip(self.values, self.waiting_values, values, strict=True)

    def cast(self, dtype: torch.dtype) -> None:
        """Go on in another precision: arrays are made anew, once."""
        if self.keys and self.keys[0].dtype != dtype:
            for arrays in (self.keys, self.values, self.waiting_keys, self.waiting_values):
                arrays[:] = [array.to(dtype) for array in arrays]

    def reset(self) -> None:
        """Forget; the arrays stay."""
        self.frames = 0

    def clone(self) -> Memory:
        names = ("keys", "values", "waiting_keys", "waiting_values")
        return replace(self, **{name: [x.clone() for x in getattr(self, name)] for name in names})

    @property
    def megabytes(self) -> float:
        lists = (*self.keys, *self.values, *self.waiting_keys, *self.waiting_values)
        return sum(x.numel() * x.element_size() for x in lists) / 2**20


def _empty(like: list[Tensor], entries: int) -> list[Tensor]:
    return [x.new_empty(*x.shape[:-1], entries, x.shape[-1]) for x in like]
