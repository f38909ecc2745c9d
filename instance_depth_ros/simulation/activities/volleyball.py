"""Volleyball: two to six a side keep a rally going, dig, set and spike, with blocks at the net."""

from __future__ import annotations

import numpy as np

from ..actors import play
from ..actors.balls import RADIUS_M, Balls, Path, duration_over
from ..actors.clothes import team
from ..actors.people import People
from ..actors.play import Touch, beside, both_hands
from ..sets import courts
from ..world import Filming, World

_BALL_M = RADIUS_M["volleyball"]
_HOLD_S = 3.0
# where the players of a side stand: metres behind the net, metres aside
_FORMATIONS = {
    2: [(2.8, -1.5), (3.6, 1.5)],
    3: [(1.6, 0.3), (3.4, -1.8), (3.8, 1.8)],
    4: [(1.4, 0.4), (2.8, -2.2), (2.8, 2.2), (4.4, 0.0)],
    5: [(1.4, -1.6), (1.4, 1.6), (2.9, 0.0), (4.3, -2.0), (4.3, 2.0)],
    6: [(1.4, -2.4), (1.4, 0.0), (1.4, 2.4), (3.9, -2.3), (3.9, 2.3), (4.6, 0.0)],
}


def build(rng) -> World:
    """A court of 18 x 9 m with its net; the rally, a referee at the post, and others along the side lines."""
    world = courts.venue(rng, (10.5, 8.0))
    courts.court(world, rng, "volleyball")
    net_m = float(rng.choice([2.24, 2.43]))
    courts.net(world.stage, rng, (0, 0), 5.0, net_m, 1.0)
    world.taken += [(0, -5, 0.6), (0, 5, 0.6)]
    total = play.headcount(rng, 4)
    each = int(np.clip((total - rng.integers(0, 5)) // 2, 2, 6))
    bases = _formation(rng, each)
    rally = _Rally(rng, bases, net_m, world.script.period_s)
    touches, blocks = rally.touches, rally.blocks
    ball_y = play.ball_xy(world.script, touches)[:, 1]
    for player, base in enumerate(bases):
        stops = play.stops(player, touches + blocks, _stance, lambda at: play.over_net(np.sign(at[0]), at[1]))
        way = play.waypoints(rng, world.script.period_s, stops, base)
        world.script.walk(*way, 0.47, play.over_net(np.sign(base[0]), ball_y))
    side = rng.choice([-1, 1])
    bench = np.array([rng.choice([-1, 1]) * 2.5, side * 7.3])
    world.seats += courts.bench(world.stage, rng, bench, -side * np.pi / 2)
    world.taken += courts.kept_for(bench, -side * np.pi / 2)
    lines, lane = [((-4, side * 5.3), (4, side * 5.3))], ((-3.5, side * 6.0), (3.5, side * 6.0))
    focus = np.array([rng.uniform(-1.2, 1.2), side * 1.5])
    others = play.Bystanders(rng, world, total - 2 * each, lines, lane, focus)
    world.script.settle(world.taken, world.half - 0.3)
    dress = team(rng, each) + team(rng, each) + [None] * (total - 2 * each)
    people = People(rng, world.script, list(range(world.script.count)), dress=dress)
    others.act(people)
    for player in range(2 * each):
        people.rest(player, "ready")
    balls = Balls(rng)
    balls.add("volleyball", _ball(people, touches))
    _strokes(people, touches, blocks, net_m, balls.paths[0])
    play.watch(people, range(people.count), balls.paths[0])
    world.troupes += [people, balls]
    world.filming = Filming(distance_m=(4.2, 6.2), focus=lambda time_s: focus)
    return world


def _formation(rng, each: int) -> list[np.ndarray]:
    """Where each player stands, first those at x < 0; the last of a side stands far from the net."""
    slots = np.array(_FORMATIONS[each])
    return [np.array([side * x, side * y]) + rng.normal(0, 0.15, 2) for side in (-1, 1) for x, y in slots]


class _Rally:
    """The plan of the rally: touches from the serve until the server catches the ball again, and blocks."""

    def __init__(self, rng, bases, net_m: float, period_s: float):
        self._rng, self._bases, self._net_m, self._each = rng, bases, net_m, len(bases) // 2
        server = self._each - 1
        serve = Touch(0.0, server, np.array([-6.0, bases[server][1]]), "serve")
        self.touches, self.blocks = [serve], []
        self._last = {player: (-1.0, base) for player, base in enumerate(bases)}
        side = 1
        while side > 0 or self.touches[-1].time_s < period_s - _HOLD_S - 9.0:
            self._dig(side)
            self._pass(side)
            self._attack(side)
            side = -side
        self._dig(side, server)
        self._pass(side)
        self._touch(1.2, server, bases[server] + (0.3, 0), "catch")
        stretch = (period_s - _HOLD_S) / self.touches[-1].time_s
        for event in self.touches + self.blocks:
            event.time_s *= stretch

    def _side(self, side: int, without=()) -> list[int]:
        return [p for p in range(2 * self._each) if (p >= self._each) == (side > 0) and p not in without]

    def _nearest(self, players, place) -> int:
        return min(players, key=lambda p: np.linalg.norm(self._bases[p] - place))

    def _touch(self, after_s: float, player: int, place, style: str) -> None:
        """Where he can be in time, at 3 m/s."""
        now = self.touches[-1].time_s + after_s
        then, there = self._last[player]
        way = place - there
        place = there + way * min(1.0, 3.0 * max(now - then - 0.4, 0.1) / max(np.linalg.norm(way), 1e-6))
        self.touches.append(Touch(now, player, place, style))
        self._last[player] = now, place

    def _dig(self, side: int, digger: int | None = None) -> None:
        rng, last = self._rng, self.touches[-1]
        busy = [block.player for block in self.blocks if block.time_s > last.time_s - 0.1]
        digger = int(rng.choice(self._side(side, busy))) if digger is None else digger
        place = self._bases[digger] + rng.normal(0, 0.4, 2)
        place[0] = side * np.clip(abs(place[0]), 1.9, 6.0)
        high_m, least_s = {"serve": (2.0, 0.9), "spike": (2.5, 0.5), "set": (1.8, 1.1)}[last.style]
        over_s = duration_over((*last.place, high_m), (*place, 0.8), 0.0, self._net_m + 0.3, least_s=least_s)
        self._touch(over_s, digger, place, "dig")

    def _pass(self, side: int) -> None:
        rng = self._rng
        meet = np.array([side * rng.uniform(1.3, 1.9), rng.uniform(-1.2, 1.2)])
        setter = self._nearest(self._side(side, [self.touches[-1].player]), meet)
        self._touch(rng.uniform(1.15, 1.4), setter, meet, "set")

    def _attack(self, side: int) -> None:
        rng, y = self._rng, self.touches[-1].place[1]
        meet = np.array(
            [side * rng.uniform(0.75, 0.95), np.clip(y + rng.choice([-1, 1]) * rng.uniform(1.2, 2.3), -3.7, 3.7)]
        )
        hitter = self._nearest(self._side(side, [self.touches[-1].player]), meet)
        if rng.random() < 0.3:
            self._touch(rng.uniform(1.1, 1.3), hitter, meet + (side * 0.8, 0), "set")
            return
        self._touch(rng.uniform(1.1, 1.3), hitter, meet, "spike")
        spike = self.touches[-1]
        if rng.random() < 0.7 and abs(spike.place[0]) < 1.2:
            place = np.array([-side * 0.6, spike.place[1] + rng.choice([-0.45, 0.45])])
            blocker = self._nearest(self._side(-side), place)
            then, there = self._last[blocker]
            if np.linalg.norm(place - there) < 3.0 * (spike.time_s - then - 0.4):
                self.blocks.append(Touch(spike.time_s + 0.03, blocker, place, "block"))
                self._last[blocker] = spike.time_s, place


def _stance(style: str) -> tuple[float, float, float, float]:
    """Where the ball is when it is met, ahead and to the left, and how long one stands there before and after."""
    ahead, left, _ = _meets(style, 1.7)
    return ahead, left, *{"serve": (0.8, 0.15), "block": (0.15, 0.25)}.get(style, (0.1, 0.25))


def _meets(style: str, stature_m: float) -> tuple[float, float, float]:
    """Where a player meets the ball: metres ahead, to the left, and high."""
    return {
        "dig": (0.5, 0.0, 0.76),
        "set": (0.2, 0.0, 1.0 * stature_m + 0.14),
        "spike": (0.25, -0.15, 1.12 * stature_m + _jump(stature_m)),
        "serve": (0.25, -0.15, 1.12 * stature_m),
        "catch": (0.36, 0.0, 0.66 * stature_m),
        "block": (0.0, 0.0, 0.0),
    }[style]


def _jump(stature_m: float) -> float:
    """Short players jump higher, to hit over the net."""
    return float(np.clip(2.55 - 1.12 * stature_m, 0.35, 0.7))


def _contact(people: People, touch: Touch) -> np.ndarray:
    return beside(people, touch.player, touch.time_s, *_meets(touch.style, people.stature_m[touch.player]))


def _ball(people: People, touches) -> Path:
    """From the serve at time 0 to the catch and the next serve."""
    period_s, server = people.script.period_s, touches[0].player
    path = Path(period_s, 0.0, _contact(people, touches[0]))
    for touch in touches[1:]:
        path.fly(touch.time_s, _contact(people, touch))
    holds = _meets("catch", people.stature_m[server])
    path.carry(period_s - 0.65, lambda time_s: beside(people, server, time_s, *holds))
    return path.fly(period_s, _contact(people, touches[0]))


def _strokes(people: People, touches, blocks, net_m: float, path: Path) -> None:
    """Arms and legs to the ball."""
    for touch in touches[:-1]:
        _STROKES[touch.style](people, touch.player, touch.time_s, _contact(people, touch))
    catch = touches[-1]
    play.carried(people, catch.player, path, catch.time_s, people.script.period_s - 0.7, _BALL_M)
    for block in blocks:
        people.jump(block.player, block.time_s, 0.45)
        hands = beside(people, block.player, block.time_s, 0.3, 0.0, net_m + 0.25)
        times = block.time_s + np.array([-0.2, 0, 0.2])
        both_hands(people, block.player, times, [hands - (0, 0, 0.35), hands, hands], 0.14)


def _dig(people, player, time_s, ball) -> None:
    people.act(player, [time_s - 0.5, time_s - 0.05, time_s + 0.35], crouch_m=[0, 0.2, 0], lean=[0, 0.3, 0])
    points = ball + np.array([(0, 0, -0.3), (0, 0, 0), (0, 0, 0.2)])
    both_hands(people, player, [time_s - 0.4, time_s, time_s + 0.2], points, 0.05, _BALL_M + 0.01)


def _set(people, player, time_s, ball) -> None:
    people.act(player, [time_s - 0.45, time_s - 0.15, time_s + 0.1], crouch_m=[0, 0.14, 0])
    people.act(player, [time_s - 0.3, time_s, time_s + 0.4], crouch_m=[0, -0.09, 0], lean=[0, -0.3, 0])
    points = ball + np.array([(0, 0, -0.15), (0, 0, 0), (0, 0, 0.15)])
    both_hands(people, player, [time_s - 0.25, time_s, time_s + 0.15], points, 0.1, 0.04)


def _hit(people, player, time_s, ball) -> None:
    shoulder_m = 0.8 * people.stature_m[player] + ball[2] - 1.12 * people.stature_m[player]
    ahead = beside(people, player, time_s, 1.0, 0.0, 0.0) - beside(people, player, time_s, 0.0, 0.0, 0.0)
    back = beside(people, player, time_s, -0.2, -0.4, shoulder_m + 0.25)
    down = beside(people, player, time_s, 0.5, 0.05, shoulder_m - 0.35)
    people.reach(player, 1, [time_s - 0.28, time_s, time_s + 0.2], [back, ball - 0.1 * ahead - (0, 0, 0.03), down])
    high = beside(people, player, time_s, 0.35, 0.15, shoulder_m + 0.4)
    people.reach(player, 0, [time_s - 0.4, time_s - 0.2], [high, high])
    people.act(player, [time_s - 0.3, time_s, time_s + 0.4], twist=[-0.5, 0.3, 0], lean=[-0.4, -0.2, 0],
               crouch_m=[0, -0.09, 0])  # fmt: skip


def _spike(people, player, time_s, ball) -> None:
    people.jump(player, time_s, _jump(people.stature_m[player]))
    _hit(people, player, time_s, ball)


_STROKES = {"dig": _dig, "set": _set, "spike": _spike, "serve": _hit}
