"""Badminton: singles or doubles on one court or two neighbouring ones; clears, smashes, drops, drives and lifts."""

from __future__ import annotations

import numpy as np

from ..actors import play
from ..actors.balls import SHUTTLE_DRAG, Balls, Path, duration_over
from ..actors.clothes import team
from ..actors.people import People
from ..actors.play import Touch, beside
from ..actors.rackets import Rackets
from ..sets import courts
from ..world import Filming, World

_HOLD_S, _APART_M = 3.0, 7.8
# what may follow a stroke: the next stroke, the least seconds until then, how far behind the net
_ANSWERS = {
    "overhead": [("overhead", 1.5, (3.2, 4.8)), ("lift", 0.5, (2.2, 3.6)), ("lift", 1.0, (1.5, 2.0))],
    "drive": [("drive", 0.6, (2.2, 3.6)), ("overhead", 1.4, (3.2, 4.8))],
    "lift": [("overhead", 1.5, (3.2, 4.8)), ("lift", 0.9, (1.5, 2.0)), ("drive", 0.8, (2.4, 3.4))],
    "serve": [("overhead", 1.5, (3.4, 4.8)), ("lift", 0.9, (2.2, 2.8)), ("drive", 0.8, (2.2, 3.0))],
}
# where the shuttle is met: metres ahead and to the left; its height is a share of stature and metres
_MEETS = {"overhead": (0.35, -0.25, 1.1, 0.38), "drive": (0.5, -0.7, 0.7, 0.1), "lift": (0.95, -0.25, 0.25, 0.1),
          "serve": (0.45, 0.0, 0.55, 0.0), "catch": (0.4, 0.15, 0.66, 0.0)}  # fmt: skip


def build(rng) -> World:
    """Courts of 13.4 x 6.1 m side by side, with those who wait between and beside them."""
    total = play.headcount(rng, 2)
    sides = _sides(rng, total)
    half_width = 7.1 if len(sides) == 1 else 11.0
    world = courts.venue(rng, (9.0, half_width), outdoors_share=0.25)
    middles = [0.0] if len(sides) == 1 else [-_APART_M / 2, _APART_M / 2]
    games, first = [], 0
    for middle, each in zip(middles, sides, strict=True):
        courts.court(world, rng, "badminton", (0, middle))
        courts.net(world.stage, rng, (0, middle), 3.05, courts.BADMINTON_NET_M, 0.76, 0.15)
        world.taken += [(0, middle - 3.05, 0.15), (0, middle + 3.05, 0.15)]
        games.append(_Game(rng, world, first, each, middle))
        first += 2 * each
    side = rng.choice([-1, 1])
    edge = middles[0] - 4.0 if side < 0 else middles[-1] + 4.0
    near, far = ((-4.0, edge), (4.0, edge)), ((-3.5, -edge), (3.5, -edge))
    lane = ((-3.5, edge + 0.75 * side), (3.5, edge + 0.75 * side))
    focus = np.array([0.0, rng.choice(middles) + side * 0.8])
    bench = np.array([rng.choice([-1, 1]) * 2.5, edge + 2.45 * side])
    world.seats += courts.bench(world.stage, rng, bench, -side * np.pi / 2)
    world.taken += courts.kept_for(bench, -side * np.pi / 2)
    others = play.Bystanders(rng, world, total - first, [near, near, far], lane, focus)
    world.script.settle(world.taken, world.half - 0.3)
    dress = [outfit for each in sides for _ in range(2) for outfit in team(rng, each)] + [None] * (total - first)
    people = People(rng, world.script, list(range(world.script.count)), dress=dress)
    others.act(people)
    balls, rackets = Balls(rng), Rackets("badminton", people, list(range(first)))
    for game in games:
        balls.add("shuttle", game.shuttle(people))
        game.strokes(people, rackets)
    play.watch(people, range(first, people.count), balls.paths[0])
    world.troupes += [people, balls, rackets]
    world.filming = Filming(distance_m=(4.2, 6.2), focus=lambda time_s: focus)
    return world


def _sides(rng, total: int) -> list[int]:
    """Players on a side, of each court: mostly doubles on one court."""
    fitting = [sides for sides in ([1], [2], [1, 1], [1, 2], [2, 2]) if 2 * sum(sides) <= total - 2]
    if total < 6 or rng.random() < 0.75:
        return fitting[min(1, len(fitting) - 1)] if fitting else [1]
    return fitting[rng.integers(len(fitting))]


class _Game:
    """A court's rally, from a serve at time 0 until the server catches the shuttle before the next."""

    def __init__(self, rng, world: World, first: int, each: int, middle: float):
        self._rng, self._each, self._net = rng, each, np.array([0.0, middle])
        self._period_s = world.script.period_s
        ways = [(2.9, 0.0)] if each == 1 else [(2.9, -1.4), (2.9, 1.4)]
        self._bases = [self._net + (side * x, side * y) for side in (-1, 1) for x, y in ways]
        self._first = first
        self.touches: list[Touch] = self._rally()
        ball_y = play.ball_xy(world.script, self.touches)[:, 1]
        for player, base in enumerate(self._bases):
            stops = play.stops(first + player, self.touches, _stance,
                               lambda at: play.over_net(np.sign(at[0]), at[1], self._net))  # fmt: skip
            way = play.waypoints(rng, self._period_s, stops, base, 0.35, 1.6)
            world.script.walk(*way, 0.42, play.over_net(np.sign(base[0]), ball_y, self._net))

    def _rally(self) -> list[Touch]:
        serve, side = self._net + (-2.1, -0.6), -1
        self.touches = [Touch(0.0, self._first, serve, "serve")]
        self._last = {player: (-1.0, base) for player, base in enumerate(self._bases)}
        self._last[0] = 0.0, serve
        while self.touches[-1].style != "catch":
            side = -side
            self._stroke(side, side < 0 and self.touches[-1].time_s > self._period_s - _HOLD_S - 5.0)
        stretch = (self._period_s - _HOLD_S) / self.touches[-1].time_s
        return [Touch(t.time_s * stretch, t.player, t.place, t.style) for t in self.touches]

    def _stroke(self, side: int, last: bool) -> None:
        """What follows the last stroke, by whom, where he can be in time at 3.2 m/s."""
        rng, before = self._rng, self.touches[-1]
        answers = _ANSWERS[before.style]
        style, least_s, depth = ("catch", 1.2, (2.6, 3.2)) if last else answers[rng.integers(len(answers))]
        place = self._net + (side * rng.uniform(*depth), rng.choice([-1, 1]) * rng.uniform(0.4, 2.2))
        mine = [0] if last else range(self._each) if side < 0 else range(self._each, 2 * self._each)
        player = min(mine, key=lambda p: np.linalg.norm(self._bases[p] - place))
        a, b = (*before.place, _high(before.style)), (*place, _high(style))
        over_s = duration_over(a, b, 0.0, courts.BADMINTON_NET_M + 0.2, SHUTTLE_DRAG, least_s) + rng.uniform(0, 0.1)
        now, (then, there) = before.time_s + over_s, self._last[player]
        way = place - there
        place = there + way * min(1.0, 3.2 * max(now - then - 0.3, 0.1) / max(np.linalg.norm(way), 1e-6))
        self.touches.append(Touch(now, self._first + player, place, style))
        self._last[player] = now, place

    def _contact(self, people: People, touch: Touch) -> np.ndarray:
        ahead, left, share, more_m = _MEETS[touch.style]
        return beside(people, touch.player, touch.time_s, ahead, left, share * people.stature_m[touch.player] + more_m)

    def shuttle(self, people: People) -> Path:
        serve = self.touches[0]
        path = Path(self._period_s, 0.0, self._contact(people, serve))
        for touch in self.touches[1:]:
            path.fly(touch.time_s, self._contact(people, touch), SHUTTLE_DRAG)
        holds = self._contact(people, serve)[2]
        ahead, left, *_ = _MEETS["serve"]
        self.path = path.carry(self._period_s, lambda time_s: beside(people, serve.player, time_s, ahead, left, holds))
        return path

    def strokes(self, people: People, rackets: Rackets) -> None:
        for player in range(2 * self._each):
            people.rest(self._first + player, "ready")
        play.watch(people, range(self._first, self._first + 2 * self._each), self.path)
        for touch, answer in zip(self.touches, self.touches[1:], strict=False):
            person, time_s, ball = touch.player, touch.time_s, self._contact(people, touch)
            toward = np.arctan2(*(answer.place - touch.place)[::-1])
            rackets.hit(person, time_s, ball, touch.style, toward)
            _lean(people, person, time_s, touch.style)
        caught = self.touches[-1].time_s
        times = np.linspace(caught, self._period_s, 12)
        people.reach(self._first, 0, times, [self.path.at(t) for t in times[:-1]] + [self.path.place])


def _high(style: str) -> float:
    share, more_m = _MEETS[style][2:]
    return 1.7 * share + more_m


def _stance(style: str) -> tuple[float, float, float, float]:
    ahead, left, *_ = _MEETS[style]
    return ahead, left, *((0.8, 0.2) if style in ("serve", "catch") else (0.1, 0.2))


def _lean(people: People, person: int, time_s: float, style: str) -> None:
    """The body goes with the racket."""
    times = time_s + np.array([-0.35, 0.0, 0.45])
    if style == "overhead":
        people.act(person, times, twist=[-0.6, 0.3, 0], lean=[-0.4, -0.25, 0], crouch_m=[0, -0.09, 0])
    elif style == "lift":
        people.act(person, times, crouch_m=[0, 0.22, 0], lean=[0, 0.4, 0])
    elif style == "drive":
        people.act(person, times, twist=[-0.5, 0.1, 0])
