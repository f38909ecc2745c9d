"""A plan of basketball on one hoop: whose ball it is, what he does with it, and where everybody is meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..sets import courts
from .script import Script

END_M = courts.SIZES_M["basketball"][0] / 2
RING = np.array([END_M - courts.RING_M, 0.0])
# where attackers stand: metres before the ring, metres aside
_SPOTS = np.array([(5.6, 0.0), (4.0, -3.0), (4.0, 3.0), (1.5, 2.6), (1.7, -2.6)])
_LAYUP_M = 1.2  # from the ring, where one jumps
_ELASTIC = ("dribble", "hold")


@dataclass
class Beat:
    """What happens to the ball until the next beat, and by whom.

    kind: dribble, hold, pass, rise (to a shot), shot, and after it drop and bounce, or rim.
    places, looks: (players, 2) where everybody is when it begins, and the direction he looks in.
    """

    kind: str
    player: int
    duration_s: float
    places: np.ndarray
    looks: np.ndarray
    time_s: float = 0.0

    @property
    def near(self) -> bool:
        """Whether the ball is played from under the ring: a layup."""
        return bool(np.linalg.norm(self.places[self.player] - RING) < 2.0)


def plan(rng, each: int, period_s: float) -> list[Beat]:
    """A plan whose dribbles and holds can be stretched a little to fill the loop."""
    while True:
        beats = _Plan(rng, each).beats
        elastic = sum(beat.duration_s for beat in beats if beat.kind in _ELASTIC)
        stretch = 1 + (period_s - sum(beat.duration_s for beat in beats)) / elastic
        if 0.85 < stretch < 1.5:
            break
    now = 0.0
    for beat in beats:
        beat.time_s = now
        beat.duration_s *= stretch if beat.kind in _ELASTIC else 1.0
        now += beat.duration_s
    return beats


class _Plan:
    """Four possessions, the teams taking turns, each from a dribble at the top to the pass after a rebound."""

    def __init__(self, rng, each: int):
        self._rng, self._each, self.beats = rng, each, []
        first = self._formation(0)
        self._attackers, self._places = first[0], first[1].copy()
        for possession in range(4):
            self._attack()
            after = first if possession == 3 else None
            rebounder = self._rebound(but=first[0][0] if after else None)
            self._give_back(rebounder, after or self._formation(self._attackers[0] < each, rebounder))

    def _formation(self, side: int, but: int | None = None) -> tuple[list[int], np.ndarray]:
        """The attackers of a side, the one at the top first, but not this one; and places (players, 2) for all."""
        rng, each = self._rng, self._each
        attackers = [int(p) for p in side * each + rng.permutation(each)]
        attackers.sort(key=lambda p: p == but)
        spots = [0, *(1 + rng.permutation(max(each, 3) - 1))]
        places = np.zeros((2 * each, 2))
        for player, spot in zip(attackers, spots, strict=False):
            places[player] = RING + _SPOTS[spot] * (-1, 1) + rng.normal(0, 0.25, 2)
        self._mark(attackers, places)
        return attackers, places

    def _mark(self, attackers, places) -> None:
        """Each defender stands between his man and the ring, a little to the middle."""
        for attacker in attackers:
            way = RING - places[attacker]
            far = np.linalg.norm(way)
            aside = np.array([-way[1], way[0]]) / far * np.sign(places[attacker, 1] + 1e-9)
            ahead = way / far * (min(1.3, 0.45 * far) if far > 2.0 else 0.0)
            places[(attacker + self._each) % (2 * self._each)] = (
                places[attacker] + ahead - aside * (0.2 if far > 2.0 else 1.0)
            )

    def _beat(self, kind: str, player: int, duration_s: float, ball=None) -> Beat:
        places, ring = self._places.copy(), RING + (1.5, 0)
        ball = places[player] if ball is None else np.asarray(ball)
        looks = np.array(
            [_toward(place, ball, ring if p in self._attackers else ball) for p, place in enumerate(places)]
        )
        looks[player] = _toward(places[player], ring)
        self.beats.append(Beat(kind, player, duration_s, places, looks))
        return self.beats[-1]

    def _roam(self, holder: int) -> None:
        """Attackers cut to places near by, who has the ball less far; their defenders follow."""
        for player in self._attackers:
            place = self._places[player] + self._rng.normal(0, 0.35 if player == holder else 0.7, 2)
            place = RING + np.clip(place - RING, (-5.8, -3.6), (-1.0, 3.6))
            others = [p for p in self._attackers if p != player]
            if (np.linalg.norm(self._places[others] - place, axis=1) > 1.5).all():
                self._places[player] = place
        self._mark(self._attackers, self._places)

    def _attack(self) -> None:
        rng, holder = self._rng, self._attackers[0]
        self._beat("dribble", holder, rng.uniform(1.8, 2.6))
        self._roam(holder)
        for _ in range(rng.integers(1, 3)):
            receiver = int(rng.choice([p for p in self._attackers if p != holder]))
            self._pass(holder, receiver, self._places[receiver])
            beat = self._beat(str(rng.choice(_ELASTIC)), receiver, rng.uniform(1.3, 1.9))
            beat.looks[receiver] = _toward(self._places[receiver], RING + (1.5, 0), self._places[holder])
            holder = receiver
            self._roam(holder)
        if rng.random() < 0.5:
            self._drive(holder)
        layup = self._beat("rise", holder, 0.6).near
        self._beat("shot", holder, 0.65 if layup else rng.uniform(1.0, 1.15))

    def _drive(self, holder: int) -> None:
        """A dribble to the ring, as fast as 2.6 m/s on average."""
        way = self._places[holder] - RING
        far = np.linalg.norm(way)
        self._beat("dribble", holder, max(1.1, (far - _LAYUP_M) / 2.6))
        self._places[holder] = RING + way / far * _LAYUP_M
        self._mark(self._attackers, self._places)

    def _pass(self, holder: int, receiver: int, to) -> None:
        far = np.linalg.norm(to - self._places[holder])
        beat = self._beat("pass", holder, float(np.clip(far / 7.5, 0.45, 0.8)))
        beat.looks[holder] = _toward(self._places[holder], to, to, RING + (1.5, 0))
        beat.looks[receiver] = _toward(to, self._places[holder])

    def _rebound(self, but: int | None) -> int:
        """The ball falls through, or springs off; one near the ring is on his way already, and gets it."""
        rng, shooter = self._rng, self.beats[-1].player
        able = [p for p in range(2 * self._each) if p not in (shooter, but)]
        rebounder = min(able, key=lambda p: np.linalg.norm(self._places[p] - RING))
        start = self._places[rebounder].copy()
        goal = RING + (-rng.uniform(0.5, 0.9), rng.choice([-1, 1]) * rng.uniform(0.6, 0.9))
        falls = (("drop", 0.62, 0.5), ("bounce", 0.6, 0.8)) if rng.random() < 0.55 else (("rim", 0.75, 0.55),)
        for kind, duration_s, share in falls:
            self._places[rebounder] = start + share * (goal - start)
            self._beat(kind, rebounder, duration_s, RING)
        self._places[rebounder] = goal
        return rebounder

    def _give_back(self, rebounder: int, after) -> None:
        """Everybody goes to the next formation, while the rebounder keeps the ball and then passes it to the top."""
        start, (self._attackers, goal) = self._places.copy(), after
        beat = self._beat("hold", rebounder, self._rng.uniform(1.8, 2.3))
        beat.looks[rebounder] = _toward(start[rebounder], goal[self._attackers[0]])
        self._places = start + 0.7 * (goal - start)
        self._pass(rebounder, self._attackers[0], goal[self._attackers[0]])
        self._places = goal.copy()


def _toward(place, *points) -> np.ndarray:
    """The mean direction from a place to points."""
    ways = np.array(points) - place
    ways = ways / np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 0.3)
    return ways.sum(0)


def faces(script: Script, beats, player: int) -> np.ndarray:
    """(steps, 2): points far off in the directions that the beats ask for."""
    times = [beat.time_s for beat in beats] + [script.period_s]
    looks = np.array([beat.looks[player] for beat in [*beats, beats[0]]])
    places = np.array([beat.places[player] for beat in [*beats, beats[0]]])
    angle = np.interp(script.times_s, times, np.unwrap(np.arctan2(looks[:, 1], looks[:, 0])))
    x, y = (np.interp(script.times_s, times, places[:, axis]) for axis in range(2))
    return np.stack([x + 20 * np.cos(angle), y + 20 * np.sin(angle)], -1)
