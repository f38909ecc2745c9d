"""Basketball on one hoop, two to five a side: dribbles, passes, jump shots, layups, rebounds and marking."""

from __future__ import annotations

import numpy as np

from ..actors import play, possessions
from ..actors.balls import RADIUS_M, Balls, Path
from ..actors.clothes import team
from ..actors.people import People
from ..actors.play import beside
from ..actors.possessions import END_M, RING, Beat
from ..sets import courts
from ..world import Filming, World

_BALL_M = RADIUS_M["basketball"]
_CENTER = RING - (3.4, 0.0)
_ARMS_OUT = {"lift": 0.35, "spread": 0.8, "elbow": -0.5}


def build(rng) -> World:
    """A court of 28 x 15 m; the play is round the hoop at its end, with others beside it."""
    world = courts.venue(rng, (END_M + 2.6, 9.5))
    courts.court(world, rng, "basketball")
    for side in (-1, 1):
        courts.hoop(world.stage, rng, np.array([side * END_M, 0.0]), np.pi if side > 0 else 0.0)
        world.taken.append((side * (END_M + 1.0), 0.0, 0.35))
    total = play.headcount(rng, 4)
    each = int(np.clip((total - rng.integers(0, 5)) // 2, 2, 5))
    beats = possessions.plan(rng, each, world.script.period_s)
    times, places = np.array([beat.time_s for beat in beats]), np.array([beat.places for beat in beats])
    for player in range(2 * each):
        world.script.walk(times, places[:, player], 0.56, possessions.faces(world.script, beats, player))
    side = rng.choice([-1, 1])
    bench = np.array([_CENTER[0] + rng.uniform(-1, 1.5), side * 6.2])
    world.seats += courts.bench(world.stage, rng, bench, -side * np.pi / 2)
    world.taken += courts.kept_for(bench, -side * np.pi / 2)
    x, y = END_M + 0.8, 5.0
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
        player, start_s, jump_m = beat.player, beat.time_s, 0.45 if following.near else 0.3
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
        way = (beat.places[beat.player] - RING) / np.linalg.norm(beat.places[beat.player] - RING)
        rim = 0.25 * way if following.kind == "rim" else np.zeros(2)
        above = 0.12 if following.kind == "rim" else 0.0
        self.path.fly(end_s, (*(RING + rim), courts.RING_HEIGHT_M + above))

    def _drop(self, beat, following, end_s) -> None:
        self.path.fly(end_s, (RING[0] - 0.2, RING[1], _BALL_M))

    def _bounce(self, beat, following, end_s) -> None:
        self.path.fly(end_s, self._held(beat.player, end_s))

    def _rim(self, beat, following, end_s) -> None:
        self._people.jump(beat.player, end_s, 0.3)
        self.path.fly(end_s, self._high(beat.player, end_s, 0.3))


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
