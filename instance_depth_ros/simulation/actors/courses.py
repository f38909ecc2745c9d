"""How long bodies follow a point: drawn along their way as a trailer is, so that wheels and hind feet never slip."""

from __future__ import annotations

import numpy as np

from .script import Loop, Script


class Course:
    """Places, headings and metres gone of bodies that follow actors of a settled script.

    trail_m: (n,) from an actor's point back to the wheels or feet that never slip sideways (their way is a tractrix);
    0: the heading is the script's own. still: (n,) whether it never moves. round_m: (n,) metres of one loop.
    """

    def __init__(self, script: Script, actors: list[int], trail_m):
        self._script, self._actors = script, np.asarray(actors, int)
        states = [self._state(time_s) for time_s in script.times_s]
        self.places, self.headings = (np.stack(values, 1) for values in zip(*states, strict=True))
        steps = np.roll(self.places, -1, axis=1) - self.places
        self.still = np.asarray(script.fixed)[self._actors]
        trail_m = np.broadcast_to(trail_m, self.still.shape)
        drawn = (trail_m > 0) & ~self.still
        self.headings[drawn] = _tractrix(steps[drawn], trail_m[drawn])
        turning = np.unwrap(np.concatenate([self.headings, self.headings[:, :1]], 1))
        middle = (turning[:, 1:] + turning[:, :-1]) / 2
        ahead = steps[..., 0] * np.cos(middle) + steps[..., 1] * np.sin(middle)
        self.round_m = ahead.sum(1)
        self.headings, gone_m = turning[:, :-1], np.cumsum(ahead, 1) - ahead
        self._rates = np.stack([turning[:, -1] - turning[:, 0], self.round_m], -1) / script.period_s
        both = np.stack([self.headings, gone_m], -1)
        self._loop = Loop(both - self._rates[:, None] * script.times_s[:, None])

    def at(self, time_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places (n, 2), headings (n,), and metres gone ahead (n,) since time 0."""
        headings, gone_m = (self._loop.at(time_s) + self._rates * time_s).T
        return self._state(time_s)[0], headings, gone_m

    def _state(self, time_s):
        places, headings, _ = self._script.at(time_s)
        return places[self._actors], headings[self._actors]


def _tractrix(steps: np.ndarray, trail_m: np.ndarray) -> np.ndarray:
    """Headings (n, steps) of links of length trail_m whose front goes by steps (n, steps, 2), round and round."""
    headings = np.zeros(steps.shape[:2])
    if not headings.size:
        return headings
    began = np.argmax(np.linalg.norm(steps, axis=-1) > 0.005, axis=1)
    link = steps[np.arange(len(steps)), began]
    for _ in range(4):  # rounds: what the first began with is forgotten
        for index in range(steps.shape[1]):
            link = link * (trail_m / np.maximum(np.linalg.norm(link, axis=-1), 1e-9))[:, None]
            headings[:, index] = np.arctan2(link[:, 1], link[:, 0])
            link = link + steps[:, index]
    return headings
