"""What people do beside walking: channels that move joints, hands that reach, jumps; gestures made of them."""

from __future__ import annotations

import numpy as np

from .script import RATE_HZ, Loop, slopes, smooth, through
from .steps import ease

CHANNELS = (
    "crouch_m hop_m sway_m lean side twist nod turn_head tilt_head lift_l lift_r spread_l spread_r elbow_l elbow_r "
    "roll_l roll_r raise_l raise_r ahead_l ahead_r"
).split()
GRAVITY = 9.81


class Channels:
    """(people, CHANNELS) over the loop: a resting value and gestures on top."""

    def __init__(self, count: int, period_s: float):
        self.period_s = period_s
        self.times_s = np.arange(round(period_s * RATE_HZ)) / RATE_HZ
        self._sum = np.zeros((count, len(self.times_s), len(CHANNELS)))
        self._loop = None

    def add(self, person: int, times_s, blend_s: float, **values) -> None:
        times_s = np.atleast_1d(np.asarray(times_s, float))
        for name, keys in values.items():
            if name not in CHANNELS:
                raise ValueError(f"a channel is one of {', '.join(CHANNELS)}, got '{name}'")
            keys = np.broadcast_to(np.asarray(keys, float), times_s.shape)
            at, key = list(times_s), list(keys)
            if key[0]:
                at, key = [at[0] - blend_s, *at], [0.0, *key]
            if key[-1]:
                at, key = [*at, at[-1] + blend_s], [*key, 0.0]
            now = (self.times_s - at[0]) % self.period_s + at[0]
            self._sum[person, :, CHANNELS.index(name)] += through(at, np.array(key)[:, None], now)[:, 0]
        self._loop = None

    def at(self, time_s: float) -> np.ndarray:
        """(people, CHANNELS)"""
        if self._loop is None:
            self._loop = Loop(smooth(self._sum, 0.03))
        return self._loop.at(time_s)


class Targets:
    """Points in the world that hands or heads are told to go to.

    Kept as cubic pieces: slot, start, length, point, point, slope, slope, weight, weight.
    """

    def __init__(self, slots: int, period_s: float):
        self.slots, self.period_s, self._rows, self._table = slots, period_s, [], None

    def add(self, slot: int, times_s, points, blend_s: float) -> None:
        times_s, points = np.atleast_1d(np.asarray(times_s, float)), np.asarray(points, float).reshape(-1, 3)
        if len(times_s) != len(points) or (np.diff(times_s) <= 0).any():
            raise ValueError(f"a target needs increasing times_s, one a point; got {times_s} for {len(points)} points")
        slope = slopes(times_s, points) if len(points) > 1 else np.zeros((1, 3))
        ends = np.concatenate([[times_s[0] - blend_s], times_s, [times_s[-1] + blend_s]])
        index = np.clip(np.arange(-1, len(points) + 1), 0, len(points) - 1)
        points, slope = points[index], slope[index]
        weight = np.ones(len(index))
        weight[[0, -1]] = 0
        for i in range(len(index) - 1):
            self._rows.append((slot, ends[i], ends[i + 1] - ends[i], *points[i], *points[i + 1],
                               *slope[i], *slope[i + 1], weight[i], weight[i + 1]))  # fmt: skip
        self._table = None

    def at(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Points (slots, 3) and weights (slots,) from 0, free, to 1."""
        points, weights = np.zeros((self.slots, 3)), np.zeros(self.slots)
        if self._rows:
            if self._table is None:
                self._table = np.array(self._rows)
            since = (time_s - self._table[:, 1]) % self.period_s
            now = since < self._table[:, 2]
            rows, long = self._table[now], self._table[now, 2:3]
            u = since[now, None] / long
            a, b, slope_a, slope_b = rows[:, 3:6], rows[:, 6:9], rows[:, 9:12], rows[:, 12:15]
            where = a + (b - a) * u**2 * (3 - 2 * u) + long * u * (1 - u) * ((1 - u) * slope_a - u * slope_b)
            weight = rows[:, 15] + (rows[:, 16] - rows[:, 15]) * ease(u[:, 0])
            slot = rows[:, 0].astype(int)
            np.add.at(points, slot, where * weight[:, None])
            np.add.at(weights, slot, weight)
            points /= np.maximum(weights, 1e-9)[:, None]
        return points, np.minimum(weights, 1)


class Jumps:
    """Flights as parabolas; before and after them the knees bend as far as the speed asks for, and time allows."""

    def __init__(self, stature_m: np.ndarray, period_s: float):
        self.stature_m, self.period_s, self._rows, self._table = stature_m, period_s, [], None

    def add(self, person: int, time_s: float, height_m: float) -> None:
        self._rows.append((person, time_s, np.sqrt(2 * GRAVITY * height_m)))
        self._table = None

    def flights(self, person: int) -> list[tuple[float, float]]:
        """[(take-off, landing)] in seconds, in the order of time."""
        return sorted((top - v / GRAVITY, top + v / GRAVITY) for who, top, v in self._rows if who == person)

    def _bends_s(self, who, top, speed) -> np.ndarray:
        """How long the knees bend: 0.148 of speed and time is the depth of the curve below."""
        deepest = 0.13 * self.stature_m[who] / (0.148 * speed)
        apart = self._since(top[:, None] - top) - (speed[:, None] + speed) / GRAVITY
        apart[(who[:, None] != who) | np.eye(len(who), dtype=bool)] = np.inf
        return np.minimum(np.minimum(0.25 + 0.08 * speed, deepest), np.maximum(apart.min(1) / 2, 0.1))

    def _since(self, later_s):
        return np.abs((later_s + self.period_s / 2) % self.period_s - self.period_s / 2)

    def at(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Heights (people,) that the pelvis (crouching is negative) and the feet have over their usual ones."""
        if not self._rows:
            return np.zeros_like(self.stature_m), np.zeros_like(self.stature_m)
        if self._table is None:
            who, top, speed = np.array(self._rows).T
            who = who.astype(int)
            self._table = who, top, speed, self._bends_s(who, top, speed)
        who, top, speed, bend_s = self._table
        since, flight = self._since(time_s - top), speed / GRAVITY
        s = np.clip(1 - (since - flight) / bend_s, 0, 1)
        height = (flight**2 - since**2) * GRAVITY / 2
        body = np.where(since < flight, height, speed * bend_s * (s**3 - s**2))
        count = len(self.stature_m)
        return np.bincount(who, body, count), np.bincount(who, np.maximum(height, 0), count)


def wave(people, person: int, time_s: float, hand: int = 1, seconds: float = 2.0) -> None:
    """A raised hand goes to and fro."""
    s = "lr"[hand]
    times = time_s + np.linspace(0, seconds, 2 * max(round(2 * seconds), 2) + 1)
    swing = np.where(np.arange(len(times)) % 2, 1.7, 0.8)
    people.act(person, times, **{f"lift_{s}": 0.4, f"spread_{s}": 1.25, f"elbow_{s}": swing, f"roll_{s}": -1.2})


def clap(people, person: int, time_s: float, times: int = 6, every_s: float = 0.4) -> None:
    """Both hands before the chest, together and apart."""
    at = time_s + np.arange(2 * times + 1) * every_s / 2
    roll = np.where(np.arange(len(at)) % 2, 0.25, 0.75)
    both = {f"{name}_{s}": value for s in "lr" for name, value in (("lift", 0.5), ("elbow", 1.3), ("roll", roll))}
    people.act(person, at, **both)


def point(people, person: int, time_s: float, hand: int = 1, seconds: float = 1.5) -> None:
    """An arm stretched forward."""
    s = "lr"[hand]
    people.act(person, [time_s, time_s + seconds], **{f"lift_{s}": 1.45, f"elbow_{s}": -0.2})


def bend(people, person: int, time_s: float, seconds: float = 1.5, depth: float = 1.0) -> None:
    """Bows down to the floor, as if to pick something up."""
    at = [time_s - 0.7, time_s, time_s + seconds, time_s + seconds + 0.7]
    keys = {"lean": 1.1 * depth, "crouch_m": 0.22 * depth, "lift_l": 0.5 * depth, "lift_r": 0.8 * depth}
    people.act(person, at, **{name: [0, value, value, 0] for name, value in keys.items()})


def look_around(people, person: int, time_s: float, seconds: float = 3.0) -> None:
    """The head goes to one side and to the other."""
    people.act(person, time_s + np.array([0, 0.2, 0.45, 0.6, 0.85, 1]) * seconds,
               turn_head=[0, 0.9, 0.9, -0.8, -0.8, 0], twist=[0, 0.2, 0.2, -0.2, -0.2, 0])  # fmt: skip


def cheer(people, person: int, time_s: float, seconds: float = 1.8, jump_m: float = 0.2) -> None:
    """Both arms up, and a jump."""
    at = [time_s - 0.4, time_s, time_s + seconds, time_s + seconds + 0.5]
    keys = {f"{name}_{s}": value for s in "lr" for name, value in (("lift", 2.6), ("spread", 0.35), ("elbow", 0.3))}
    people.act(person, at, **{name: [0, value, value, 0] for name, value in keys.items()})
    if jump_m > 0:
        people.jump(person, time_s + 0.3, jump_m)
