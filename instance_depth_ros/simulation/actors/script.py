"""Where everybody's feet go: a loop in time, so that any moment can be asked for, in any order."""

from __future__ import annotations

import numpy as np

LOOP_S, RATE_HZ = 48.0, 20
_STROLL_M_S, _RUN_M_S = 0.3, 2.0  # below: no direction of its own; above: nobody runs sideways


class Loop:
    """A periodic cubic spline (twice differentiable) through samples (..., steps, dimensions)."""

    def __init__(self, samples: np.ndarray, rate_hz: float = RATE_HZ):
        self.rate_hz = rate_hz
        steps = samples.shape[-2]
        weight = 3 / (2 + np.cos(2 * np.pi * np.fft.rfftfreq(steps)))[:, None]
        self.knots = np.fft.irfft(np.fft.rfft(samples, axis=-2) * weight, steps, axis=-2)

    def at(self, time_s: float) -> np.ndarray:
        u, near = self._near(time_s)
        weights = np.array([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, 1 + 3 * (u + u**2 - u**3), u**3]) / 6
        return np.einsum("...kd,k->...d", near, weights)

    def rate(self, time_s: float) -> np.ndarray:
        """The first derivative, a second."""
        u, near = self._near(time_s)
        weights = np.array([-((1 - u) ** 2), 3 * u**2 - 4 * u, 1 + 2 * u - 3 * u**2, u**2]) / 2
        return np.einsum("...kd,k->...d", near, weights) * self.rate_hz

    def _near(self, time_s):
        whole, u = divmod(time_s * self.rate_hz, 1.0)
        return u, self.knots[..., (int(whole) + np.arange(-1, 3)) % self.knots.shape[-2], :]


def smooth(samples: np.ndarray, sigma_s: float) -> np.ndarray:
    """Blurred over time, which is a circle: samples (..., steps, dimensions)."""
    steps = samples.shape[-2]
    keep = np.exp(-0.5 * (2 * np.pi * np.fft.rfftfreq(steps, 1 / RATE_HZ) * sigma_s) ** 2)[:, None]
    return np.fft.irfft(np.fft.rfft(samples, axis=-2) * keep, steps, axis=-2)


def slopes(times_s: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slopes (k, d) at keys with which a cubic never overshoots; 0 at both ends (Fritsch and Butland 1984)."""
    chord = np.diff(values, axis=0) / np.diff(times_s)[:, None]
    mean = np.zeros_like(values)
    product, total = chord[:-1] * chord[1:], chord[:-1] + chord[1:]
    mean[1:-1] = np.where(product > 0, 2 * product / np.where(product > 0, total, 1), 0)
    return mean


def through(times_s, values, at_s) -> np.ndarray:
    """The smooth curve through keys (k,), (k, d), read at at_s; held before the first key and after the last."""
    times_s, values = np.asarray(times_s, float), np.asarray(values, float)
    if len(times_s) == 1:
        return np.broadcast_to(values, (len(at_s), values.shape[1])).copy()
    slope, at_s = slopes(times_s, values), np.clip(at_s, times_s[0], times_s[-1])
    k = np.clip(np.searchsorted(times_s, at_s, "right") - 1, 0, len(times_s) - 2)
    long = (times_s[k + 1] - times_s[k])[:, None]
    u = (at_s - times_s[k])[:, None] / long
    ease = u**2 * (3 - 2 * u)
    bend = long * u * (1 - u) * ((1 - u) * slope[k] - u * slope[k + 1])
    return values[k] + (values[k + 1] - values[k]) * ease + bend


class Script:
    """Where everybody goes: a loop, sampled at RATE_HZ; metres, radians."""

    def __init__(self, period_s: float = LOOP_S):
        self.times_s = np.arange(round(period_s * RATE_HZ)) / RATE_HZ
        self.period_s = len(self.times_s) / RATE_HZ
        self.radius_m: list[float] = []
        self.fixed: list[bool] = []
        self._paths: list[np.ndarray] = []  # (steps, 2) each
        self._faces: list = []
        self._ready = None

    @property
    def count(self) -> int:
        return len(self._paths)

    def walk(self, times_s, places, radius_m: float = 0.4, faces=None) -> int:
        """An actor who is at places[i] (2,) at times_s[i] (increasing, within the period), again and again.

        Stands where two neighbours are equal. faces: None looks where he goes; a point (2,), another actor's index, or
        points (steps, 2): looks there, and turns to where he goes only when he runs. Returns the actor's index.
        """
        times_s, places = np.asarray(times_s, float), np.asarray(places, float).reshape(-1, 2)
        if len(times_s) != len(places) or (np.diff(times_s) <= 0).any() or np.ptp(times_s) >= self.period_s:
            raise ValueError(
                f"times_s must increase within one period of {self.period_s} s, one a place; "
                f"got {len(times_s)} times from {times_s.min()} to {times_s.max()} for {len(places)} places"
            )
        around = [-self.period_s, 0, self.period_s]
        keys = np.concatenate([times_s + shift for shift in around])
        path = through(keys, np.tile(places, (3, 1)), self.times_s)
        return self._add(smooth(path, 0.15), radius_m, faces, fixed=False)

    def stand(self, place, facing_rad: float, radius_m: float = 0.3) -> int:
        """An actor who keeps his place and is never pushed. Returns the actor's index."""
        path = np.tile(np.asarray(place, float), (len(self.times_s), 1))
        ahead = path[0] + 10.0 * np.array([np.cos(facing_rad), np.sin(facing_rad)])
        return self._add(path, radius_m, ahead, fixed=True)

    def _add(self, path, radius_m, faces, fixed) -> int:
        self._paths.append(path)
        self.radius_m.append(float(radius_m))
        self._faces.append(faces)
        self.fixed.append(fixed)
        self._ready = None
        return len(self._paths) - 1

    def settle(self, obstacles=(), half=None, iterations: int = 40) -> float:
        """Push those who walk apart, off obstacles [(x, y, radius)] and within +-half (x, y), smoothly in time.

        Call it once, when all actors are there. Returns the deepest overlap that is left, in metres.
        """
        if not self.count:
            return 0.0
        crowd = _Crowd(np.stack(self._paths), self.radius_m, self.fixed, obstacles, half)
        for i in range(iterations):
            crowd.relax(slide=i < 0.7 * iterations)
        self._paths = list(crowd.places[: self.count])
        self._ready = None
        return crowd.deepest()

    def at(self, time_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places (n, 2), headings (n,) and velocities (n, 2); headings turn smoothly and do not jump at +-pi."""
        places, turns, rate = self._loops()
        headings = turns.at(time_s)[:, 0] + rate * time_s
        return places.at(time_s), headings, places.rate(time_s)

    def place(self, actor: int, time_s: float) -> np.ndarray:
        """(2,)"""
        return self.at(time_s)[0][actor]

    def gaze(self) -> np.ndarray:
        """(n, steps): the direction everybody would look in, however he runs."""
        paths = np.stack(self._paths)
        going = smooth(_velocity(paths), 0.2)
        return np.stack([self._looks(i, paths, going[i]) for i in range(self.count)])

    def _looks(self, i, paths, going) -> np.ndarray:
        faces = self._faces[i]
        if faces is None:
            return _held(np.arctan2(going[:, 1], going[:, 0]), np.linalg.norm(going, axis=-1) > _STROLL_M_S)
        there = paths[faces] if isinstance(faces, (int, np.integer)) else np.asarray(faces, float)
        aside = there - paths[i]
        return _held(np.arctan2(aside[:, 1], aside[:, 0]), np.linalg.norm(aside, axis=-1) > 0.2)

    def _loops(self):
        if self._ready is None:
            paths = np.stack(self._paths)
            going = smooth(_velocity(paths), 0.2)
            runs = np.linalg.norm(going, axis=-1) > _RUN_M_S
            angle = np.where(runs, np.arctan2(going[..., 1], going[..., 0]), self.gaze())
            angle = np.unwrap(np.concatenate([angle, angle[:, :1]], 1))
            rate = np.round((angle[:, -1] - angle[:, 0]) / (2 * np.pi)) * 2 * np.pi / self.period_s
            turns = angle[:, :-1, None] - (rate[:, None] * self.times_s)[..., None]
            self._ready = Loop(paths), Loop(smooth(turns, 0.25)), rate
        return self._ready


def _velocity(paths) -> np.ndarray:
    return (np.roll(paths, -1, -2) - np.roll(paths, 1, -2)) * (RATE_HZ / 2)


def _held(angle, sure) -> np.ndarray:
    """Where it is not sure, the last angle that was; 0 where none ever was."""
    if not sure.any():
        return np.zeros_like(angle)
    last = np.maximum.accumulate(np.where(sure, np.arange(len(angle)), -1))
    return angle[np.where(last < 0, np.flatnonzero(sure)[-1], last)]


class _Crowd:
    """Discs (actors, then obstacles) that are pushed apart; only pairs that ever come near are looked at."""

    def __init__(self, paths, radii, fixed, obstacles, half):
        walls = np.asarray(obstacles, float).reshape(-1, 3)
        still = np.broadcast_to(walls[:, None, :2], (len(walls), paths.shape[1], 2))
        self.places = np.concatenate([paths, still])
        self.radii = np.concatenate([radii, walls[:, 2]])
        self.moves = np.concatenate([~np.asarray(fixed, bool), np.zeros(len(walls), bool)])
        self.half = None if half is None else np.broadcast_to(np.asarray(half, float), 2)
        a, b = np.triu_indices(len(self.places), 1)
        seen = self.moves[a] | self.moves[b]
        self.a, self.b = a[seen], b[seen]
        self.rounds = 0

    def _gaps(self, a, b, t):
        apart = self.places[a, t] - self.places[b, t]
        distance = np.maximum(np.linalg.norm(apart, axis=-1), 1e-6)
        return apart, distance, self.radii[a] + self.radii[b] - distance

    def _close(self):
        """(pair, step) indices where discs are near enough to matter for some rounds."""
        steps = np.arange(self.places.shape[1])
        near = [np.zeros((0, 3), int)]
        for a in np.unique(self.a):
            b = self.b[self.a == a]
            found, t = np.nonzero(self._gaps(np.array([[a]]), b[:, None], steps[None])[2] > -0.4)
            near.append(np.stack([np.full_like(t, a), b[found], t], -1))
        return np.concatenate(near).T

    def relax(self, slide: bool) -> None:
        """One round. slide: those who pass one another give way sideways, to the side on which they pass."""
        if self.rounds % 8 == 0:
            self.near = self._close()
        self.rounds += 1
        a, b, t = self.near
        apart, distance, depth = self._gaps(a, b, t)
        out = apart / distance[:, None]
        if slide:
            velocity = np.zeros_like(self.places)
            velocity[self.moves] = smooth(_velocity(self.places[self.moves]), 0.2)
            relative = velocity[a, t] - velocity[b, t]
            speed = np.linalg.norm(relative, axis=-1)
            across = np.stack([-relative[:, 1], relative[:, 0]], -1) / np.maximum(speed, 1e-6)[:, None]
            miss = (apart * across).sum(-1)
            sure = np.clip(speed / 0.6, 0, 1)[:, None]
            # whoever would meet head-on passes on the left
            out = out * (1 - sure) + across * np.where(miss > -0.05, 1, -1)[:, None] * sure
        push = np.maximum(depth + 0.01, 0)[:, None] * out
        both = np.maximum(self.moves[a].astype(int) + self.moves[b], 1)
        total = np.zeros_like(self.places)
        people, steps, _ = total.shape
        for who, sign in ((a, 1), (b, -1)):
            share = sign * self.moves[who] / both
            for axis in range(2):
                sums = np.bincount(who * steps + t, push[:, axis] * share, people * steps)
                total[..., axis] += sums.reshape(people, steps)
        if self.half is not None:
            room = np.maximum(self.half - self.radii[:, None], 0.05)[:, None]
            total += np.clip(self.places, -room, room) - self.places
        self.places[self.moves] += smooth(1.5 * total[self.moves], 0.4)

    def deepest(self) -> float:
        a, b, t = self._close()
        return float(max(self._gaps(a, b, t)[2].max(initial=0.0), 0.0))
