"""How long bodies follow a point: drawn along their way as a trailer is, so that wheels and hind feet never slip."""

from __future__ import annotations

import numpy as np


def cubic(table: np.ndarray, gain: np.ndarray, step: float) -> np.ndarray:
    """Values (n,) between the rows of table (steps, n) of one loop, smooth; each round adds gain (n,)."""
    rounds, at = divmod(int(np.floor(step)), len(table))
    indices = np.arange(at - 1, at + 3)
    a, b, c, d = table[indices % len(table)] + gain * (indices // len(table))[:, None]
    s = step - np.floor(step)
    return b + gain * rounds + s / 2 * (c - a + s * (2 * a - 5 * b + 4 * c - d + s * (3 * (b - c) + d - a)))


class Course:
    """Places, headings and metres gone of bodies that follow actors of a settled script.

    trail_m: (n,) from an actor's point back to the wheels or feet that never slip sideways (their way is a tractrix);
    0: the heading is the script's own. still: (n,) whether it never moves. round_m: (n,) metres of one loop.
    """

    def __init__(self, script, actors, trail_m):
        self._script, self._actors = script, np.asarray(actors, int)
        self._rate_hz = len(script.times_s) / script.period_s
        states = [self._state(time_s) for time_s in script.times_s]
        self.places, headings = (np.stack(values) for values in zip(*states, strict=True))
        steps = np.roll(self.places, -1, axis=0) - self.places
        self.still = np.ptp(self.places, axis=0).max(-1) < 1e-4
        trail_m = np.broadcast_to(trail_m, self.still.shape)
        self._drawn = (trail_m > 0) & ~self.still
        headings[:, self._drawn] = _tractrix(steps[:, self._drawn], trail_m[self._drawn])
        self.headings = np.unwrap(headings, axis=0)
        closing = np.angle(np.exp(1j * (headings[0] - headings[-1])))
        self._turned = self.headings[-1] + closing - self.headings[0]
        middle = self.headings + np.append(np.diff(self.headings, axis=0), closing[None], 0) / 2
        ahead = steps[..., 0] * np.cos(middle) + steps[..., 1] * np.sin(middle)
        self.gone_m = np.cumsum(ahead, 0) - ahead
        self.round_m = ahead.sum(0)

    def at(self, time_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places (n, 2), headings (n,), and metres gone ahead (n,) since time 0."""
        places, headings = self._state(time_s)
        step = time_s * self._rate_hz
        headings = np.where(self._drawn, cubic(self.headings, self._turned, step), headings)
        return places, headings, cubic(self.gone_m, self.round_m, step)

    def _state(self, time_s):
        places, headings, _ = self._script.at(time_s)
        return places[self._actors], headings[self._actors]


def _tractrix(steps: np.ndarray, trail_m: np.ndarray) -> np.ndarray:
    """Headings (steps, n) of links of length trail_m whose front goes by steps (steps, n, 2) round and round."""
    began = np.argmax(np.linalg.norm(steps, axis=-1) > 0.005, axis=0)
    link = steps[began, np.arange(len(trail_m))]
    headings = np.zeros(steps.shape[:2])
    for _ in range(3):  # rounds: what the first began with is forgotten
        for index, step in enumerate(steps):
            link = link * (trail_m / np.maximum(np.linalg.norm(link, axis=-1), 1e-9))[:, None]
            headings[index] = np.arctan2(link[:, 1], link[:, 0])
            link = link + step
    return headings
