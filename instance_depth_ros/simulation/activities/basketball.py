"""Basketball on one hoop, two to five a side: dribbles, passes, jump shots, layups, rebounds and marking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import courts, play
from ..balls import RADIUS_M, Balls, Path
from ..clothes import team
from ..people import People
from ..play import beside
from ..script import Script
from ..world import Filming, World

_BALL_M = RADIUS_M["basketball"]
_END_M = courts.SIZES_M["basketball"][0] / 2
_RING = np.array([_END_M - courts.RING_M, 0.0])
_CENTER = _RING - (3.4, 0.0)
# where attackers stand: metres before the ring, metres aside
_SPOTS = np.array([(5.6, 0.0), (4.0, -3.0), (4.0, 3.0), (1.5, 2.6), (1.7, -2.6)])
_LAYUP_M = 1.2  # from the ring, where one jumps
_ELASTIC = ("dribble", "hold")
_ARMS_OUT = {"lift": 0.35, "spread": 0.8, "elbow": -0.5}


@dataclass
class Beat:
    """What happens to the ball until the next beat, and by whom.

    places, looks: (players, 2) where everybody is when it begins, and the direction he looks in.
    """

    kind: str
    player: int
    duration_s: float
    places: np.ndarray
    looks: np.ndarray
    time_s: float = 0.0


def build(rng) -> World:
    """A court of 28 x 15 m; the play is round the hoop at its end, with others beside it."""
    world = courts.venue(rng, (_END_M + 2.6, 9.5))
    courts.court(world, rng, "basketball")
    for side in (-1, 1):
        courts.hoop(world.stage, rng, np.array([side * _END_M, 0.0]), np.pi if side > 0 else 0.0)
        world.taken.append((side * (_END_M + 1.0), 0.0, 0.35))
    total = play.headcount(rng, 4)
    each = int(np.clip((total - rng.integers(0, 5)) // 2, 2, 5))
    beats = _plan(rng, each, world.script.period_s)
    times, places = np.array([beat.time_s for beat in beats]), np.array([beat.places for beat in beats])
    for player in range(2 * each):
        world.script.walk(times, places[:, player], 0.43, _faces(world.script, beats, player))
    side = rng.choice([-1, 1])
    bench = np.array([_CENTER[0] + rng.uniform(-1, 1.5), side * 6.2])
    world.seats += courts.bench(world.stage, rng, bench, -side * np.pi / 2)
    world.taken += [(bench[0] + x, bench[1], 0.4) for x in (-0.6, 0.0, 0.6)]
    x, y = _END_M + 0.8, 5.0
    lines = [((x, -y), (x, -1.2)), ((x, 1.2), (x, y)), ((6.5, -side * 5.4), (11, -side * 5.4)), ((4.2, -3), (4.6, 3))]
    lane = ((x + 0.7, 1.6 * side), (x + 0.7, 6.0 * side))
    others = play.Bystanders(rng, world, total - 2 * each, lines, lane, _CENTER)
    world.script.settle(world.taken, world.half - 0.3)
    dress = team(rng, each) + team(rng, each) + [None] * (total - 2 * each)
    people = People(rng, world.script, list(range(world.script.count)), dress=dress)
    for player in range(2 * each):
        people.rest(player, "ready")
    balls = Balls(rng)
    balls.add("basketball", _Ball(people, beats).path)
    play.watch(people, range(people.count), balls.paths[0])
    _defend(people, beats)
    idle = [person for person in others.standing if world.script.fixed[person]]
    for person in idle[: rng.integers(0, 3)]:
        others.standing.remove(person)
        balls.add("basketball", _alone(people, person))
    others.act(people)
    world.troupes += [people, balls]
    world.filming = Filming(distance_m=(4.2, 7.0), focus=lambda time_s: _CENTER)
    return world


def _plan(rng, each: int, period_s: float) -> list[Beat]:
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
            places[player] = _RING + _SPOTS[spot] * (-1, 1) + rng.normal(0, 0.25, 2)
        self._mark(attackers, places)
        return attackers, places

    def _mark(self, attackers, places) -> None:
        """Each defender stands between his man and the ring, a little to the middle."""
        for attacker in attackers:
            way = _RING - places[attacker]
            far = np.linalg.norm(way)
            aside = np.array([-way[1], way[0]]) / far * np.sign(places[attacker, 1] + 1e-9)
            ahead = way / far * (min(1.3, 0.45 * far) if far > 2.0 else 0.0)
            places[(attacker + self._each) % (2 * self._each)] = (
                places[attacker] + ahead - aside * (0.2 if far > 2.0 else 1.0)
            )

    def _beat(self, kind: str, player: int, duration_s: float, ball=None) -> Beat:
        places, ring = self._places.copy(), _RING + (1.5, 0)
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
            place = _RING + np.clip(place - _RING, (-5.8, -3.6), (-1.0, 3.6))
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
            beat.looks[receiver] = _toward(self._places[receiver], _RING + (1.5, 0), self._places[holder])
            holder = receiver
            self._roam(holder)
        if rng.random() < 0.5:
            self._drive(holder)
        self._beat("rise", holder, 0.6)
        layup = np.linalg.norm(self._places[holder] - _RING) < 2.0
        self._beat("shot", holder, 0.65 if layup else rng.uniform(1.0, 1.15))

    def _drive(self, holder: int) -> None:
        """A dribble to the ring, as fast as 2.6 m/s on average."""
        way = self._places[holder] - _RING
        far = np.linalg.norm(way)
        self._beat("dribble", holder, max(1.1, (far - _LAYUP_M) / 2.6))
        self._places[holder] = _RING + way / far * _LAYUP_M
        self._mark(self._attackers, self._places)

    def _pass(self, holder: int, receiver: int, to) -> None:
        far = np.linalg.norm(to - self._places[holder])
        beat = self._beat("pass", holder, float(np.clip(far / 7.5, 0.45, 0.8)))
        beat.looks[holder] = _toward(self._places[holder], to, to, _RING + (1.5, 0))
        beat.looks[receiver] = _toward(to, self._places[holder])

    def _rebound(self, but: int | None) -> int:
        """The ball falls through, or springs off; one near the ring is on his way already, and gets it."""
        rng, shooter = self._rng, self.beats[-1].player
        able = [p for p in range(2 * self._each) if p not in (shooter, but)]
        rebounder = min(able, key=lambda p: np.linalg.norm(self._places[p] - _RING))
        start = self._places[rebounder].copy()
        goal = _RING + (-rng.uniform(0.5, 0.9), rng.choice([-1, 1]) * rng.uniform(0.6, 0.9))
        falls = (("drop", 0.62, 0.5), ("bounce", 0.6, 0.8)) if rng.random() < 0.55 else (("rim", 0.75, 0.55),)
        for kind, duration_s, share in falls:
            self._places[rebounder] = start + share * (goal - start)
            self._beat(kind, rebounder, duration_s, _RING)
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


def _faces(script: Script, beats, player: int) -> np.ndarray:
    """(steps, 2): points far off in the directions that the beats ask for."""
    times = [beat.time_s for beat in beats] + [script.period_s]
    looks = np.array([beat.looks[player] for beat in [*beats, beats[0]]])
    places = np.array([beat.places[player] for beat in [*beats, beats[0]]])
    angle = np.interp(script.times_s, times, np.unwrap(np.arctan2(looks[:, 1], looks[:, 0])))
    x, y = (np.interp(script.times_s, times, places[:, axis]) for axis in range(2))
    return np.stack([x + 20 * np.cos(angle), y + 20 * np.sin(angle)], -1)


class _Ball:
    """Its path through the beats, and the hands that go with it."""

    def __init__(self, people: People, beats: list[Beat]):
        self._people = people
        self.path = Path(people.script.period_s, 0.0, self._held(beats[0].player, 0.0))
        for beat, following in zip(beats, [*beats[1:], beats[0]], strict=True):
            end_s = beat.time_s + beat.duration_s if following.time_s else people.script.period_s
            getattr(self, f"_{beat.kind}")(beat, following, end_s)

    def _held(self, person: int, time_s: float) -> np.ndarray:
        return beside(self._people, person, time_s, 0.36, 0.0, 0.66 * self._people.stature_m[person])

    def _high(self, person: int, time_s: float, jump_m: float) -> np.ndarray:
        return beside(self._people, person, time_s, 0.22, -0.05, 1.06 * self._people.stature_m[person] + jump_m)

    def _carry(self, person: int, end_s: float, where, ease_s=0.25) -> None:
        start_s = self.path.time_s
        self.path.carry(end_s, where, ease_s)
        play.carried(self._people, person, self.path, start_s, end_s - 1e-6, _BALL_M)

    def _dribble(self, beat, following, end_s) -> None:
        play.dribble(self._people, beat.player, self.path, end_s - 0.35, _BALL_M)
        self._carry(beat.player, end_s, lambda time_s: self._held(beat.player, time_s))

    def _hold(self, beat, following, end_s) -> None:
        self._carry(beat.player, end_s, lambda time_s: self._held(beat.player, time_s), 0.45)

    def _pass(self, beat, following, end_s) -> None:
        self.path.fly(end_s, self._held(following.player, end_s))

    def _rise(self, beat, following, end_s) -> None:
        player, start_s, jump_m = beat.player, beat.time_s, _jump_m(following)
        self._people.jump(player, end_s, jump_m)

        def lifted(time_s):
            u = np.clip((time_s - start_s) / (end_s - start_s), 0, 1)
            share = u**2 * (3 - 2 * u)
            return (1 - share) * self._held(player, time_s) + share * self._high(player, time_s, jump_m)

        self._carry(player, end_s, lifted)

    def _shot(self, beat, following, end_s) -> None:
        hand = beside(
            self._people, beat.player, beat.time_s + 0.2, 0.45, -0.1, 1.1 * self._people.stature_m[beat.player]
        )
        self._people.reach(beat.player, 1, [beat.time_s + 0.12, beat.time_s + 0.35], [hand, hand], 0.2)
        way = (beat.places[beat.player] - _RING) / np.linalg.norm(beat.places[beat.player] - _RING)
        rim = 0.25 * way if following.kind == "rim" else np.zeros(2)
        above = 0.12 if following.kind == "rim" else 0.0
        self.path.fly(end_s, (*(_RING + rim), courts.RING_HEIGHT_M + above))

    def _drop(self, beat, following, end_s) -> None:
        self.path.fly(end_s, (_RING[0] - 0.2, _RING[1], _BALL_M))

    def _bounce(self, beat, following, end_s) -> None:
        self.path.fly(end_s, self._held(beat.player, end_s))

    def _rim(self, beat, following, end_s) -> None:
        self._people.jump(beat.player, end_s, 0.3)
        self.path.fly(end_s, self._high(beat.player, end_s, 0.3))


def _jump_m(shot: Beat) -> float:
    return 0.45 if np.linalg.norm(shot.places[shot.player] - _RING) < 2.0 else 0.3


def _defend(people: People, beats: list[Beat]) -> None:
    """Arms out before him who has the ball, and up before him who shoots."""
    each = len(beats[0].places) // 2
    for beat in beats:
        defender, start_s = (beat.player + each) % (2 * each), beat.time_s
        if beat.kind == "dribble":
            times = [start_s, start_s + 0.4, start_s + beat.duration_s - 0.2, start_s + beat.duration_s + 0.2]
            arms = {f"{name}_{side}": [0, value, value, 0] for side in "lr" for name, value in _ARMS_OUT.items()}
            people.act(defender, times, **arms)
        elif beat.kind == "shot" and np.linalg.norm(people.script.at(start_s)[2][defender]) < 1.0:
            people.jump(defender, start_s + 0.08, 0.25)
            hand = beside(people, defender, start_s + 0.08, 0.3, 0.1, 1.1 * people.stature_m[defender] + 0.25)
            people.reach(defender, 0, [start_s - 0.05, start_s + 0.15], [hand, hand], 0.3)


def _alone(people: People, person: int) -> Path:
    """Somebody beside the court bounces a ball on the spot."""
    start = beside(people, person, 0.0, 0.32, -0.3, 0.5 * people.stature_m[person])
    path = Path(people.script.period_s, 0.0, start)
    play.dribble(people, person, path, people.script.period_s, _BALL_M)
    people.rest(person, "ready")
    return path
