"""Memory by time and view (`memory: adaptive`): the last seconds, and key frames that change as the camera moves on.

The official rule counts frames, and frame 0 stays for ever. Here the recent entries hold what was seen at ticks of a
clock, whatever the frame rate, and a frame that grows too old for them becomes a key frame where it shows another view
than the last key frame; the oldest key frame goes. Slots stay in the order of time, as the weights have learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .memory import PAST, Memory

KEYS = 2
RECENT = PAST - KEYS
TICK_NS = 100_000_000  # the closest frames in training; the recent entries reach RECENT ticks back
MOVED = 0.5  # of moved(): 0 the same view, 1 another place
PAUSE = 10  # ticks between exchanges at least: each takes a second run of the network


@dataclass
class AdaptiveMemory(Memory):
    """Entries 0 .. KEYS-1 are a ring of key frames, the others one of ticks: each holds the last frame up to its end.

    first_ns: where the clock begins. now_ns: stamp of the frame that comes. tick: of the newest frame. passed: ticks
    since the first frame. exchanged: key frames since then; last: ticks at the last of them. due: a key frame is to be
    exchanged before the next frame.
    """

    waits: ClassVar[int] = 0
    first_ns: int = 0
    now_ns: int = 0
    tick: int = 0
    passed: int = 0
    exchanged: int = 0
    last: int = 0
    due: bool = False

    def slots(self, device: torch.device | str = "cpu") -> Tensor:
        keys = (torch.arange(KEYS, device=device) - self.exchanged) % KEYS
        recent = (torch.arange(RECENT, device=device) - self.passed - 1) % RECENT
        return torch.cat([keys, KEYS + recent])

    def expect(self, stamp_ns: int) -> bool:
        self.now_ns = stamp_ns
        rested = self.frames > 0 and self.passed - self.last >= PAUSE
        self.due = rested and self.moved() > MOVED
        return self.due

    def moved(self) -> float:
        """How another view the oldest recent frame is than the last key frame, from 0 to about 1.

        Squared distance of their keys at each place, in parts of that of keys at any two places. The first of the
        coarsest layers sees nothing but the frame itself.
        """
        coarsest = min(self.keys, key=lambda keys: keys.shape[1])
        oldest, last = (coarsest[..., place, :].float().flatten(2) for place in (self._oldest, self._last_key))
        apart = (oldest - last).square().sum((1, 2))
        spread = sum((keys - keys.mean(1, keepdim=True)).square().sum((1, 2)) for keys in (oldest, last))
        return float((apart / spread.clamp_min(1e-9)).amax())

    @property
    def _oldest(self) -> int:
        """Entry of the oldest recent frame."""
        return KEYS + (self.passed + 1) % RECENT

    @property
    def _last_key(self) -> int:
        return (self.exchanged - 1) % KEYS

    def push(self, keys: list[Tensor], values: list[Tensor]) -> None:
        """Remember the frame just seen. Where an exchange is due, only this is done: the frame is seen once more."""
        if self.due:
            self._exchange()
        elif self.frames == 0:
            self._fill(keys, values)
            self.first_ns, self.frames = self.now_ns, 1
            self.tick = self.passed = self.exchanged = self.last = 0
        else:
            self._advance()
            place = KEYS + self.passed % RECENT
            for ring, _, new in self._rings(keys, values):
                ring[..., place, :] = new
            self.frames += 1

    def _exchange(self) -> None:
        """The oldest recent frame takes the place of the oldest key frame, and is the last one now."""
        for ring in (*self.keys, *self.values):
            ring[..., self.exchanged % KEYS, :] = ring[..., self._oldest, :]
        self.exchanged, self.last, self.due = self.exchanged + 1, self.passed, False

    def _advance(self) -> None:
        """The clock goes on to the frame that comes; ticks without a frame hold the one before them."""
        # from the middle of a tick, so that frames a tick apart have one each
        tick = (self.now_ns - self.first_ns + TICK_NS // 2) // TICK_NS
        for missed in reversed(range(min(tick - self.tick, RECENT))):
            before = KEYS + self.passed % RECENT
            self.passed += 1
            if missed:
                for ring in (*self.keys, *self.values):
                    ring[..., KEYS + self.passed % RECENT, :] = ring[..., before, :]
        self.tick = tick
