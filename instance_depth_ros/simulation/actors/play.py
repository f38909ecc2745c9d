"""What the ball games share: how many come, who looks on, where players wait, and hands on balls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..world import World
from . import gestures
from .anatomy import unit
from .balls import GRAVITY, Path
from .people import People
from .script import Script


@dataclass
class Touch:
    """A player meets the ball: when, where on the floor the ball is then (2,), and how."""

    time_s: float
    player: int
    place: np.ndarray
    style: str


def headcount(rng, least: int) -> int:
    """2 to 15 people, 8 to 9 on average."""
    return int(np.clip(np.rint(rng.normal(8.6, 2.6)), least, 15))


def waypoints(rng, period_s: float, stops, base, roam_m=0.5, pause_s=2.5) -> tuple[np.ndarray, np.ndarray]:
    """Times and places for script.walk: the stops [(time_s, place)], and about base in between.

    Stops are at least 0.1 s apart, on the circle of the period.
    """
    keys = sorted((time_s % period_s, tuple(place)) for time_s, place in stops)
    base = np.asarray(base, float)
    if not keys:
        keys = [(rng.uniform(0, pause_s), tuple(base))]
    filled = []
    for (time_s, place), (following_s, _) in zip(keys, [*keys[1:], (keys[0][0] + period_s, None)], strict=True):
        filled.append((time_s, place))
        gap = following_s - time_s
        between = int(gap // pause_s) if gap > 1.6 * pause_s else 0
        for index in range(between):
            later = time_s + gap * (index + 1) / (between + 1)
            filled.append((later % period_s, tuple(base + rng.normal(0, roam_m, 2).clip(-1.5 * roam_m, 1.5 * roam_m))))
    filled.sort()
    return np.array([time_s for time_s, _ in filled]), np.array([place for _, place in filled])


def stops(player: int, touches: list[Touch], meets, looks_at) -> list[tuple[float, np.ndarray]]:
    """When and where a player must stand still to meet the ball.

    meets: style -> (metres ahead, metres left, seconds before, seconds after); looks_at: place (2,) -> point (2,).
    """
    found = []
    for touch in touches:
        if touch.player == player:
            ahead, left, before_s, after_s = meets(touch.style)
            c, s = unit(looks_at(touch.place) - touch.place)
            place = touch.place - [c * ahead - s * left, s * ahead + c * left]
            found += [(touch.time_s - before_s, place), (touch.time_s + after_s, place)]
    return found


def over_net(side, ball_y, net=(0.0, 0.0)) -> np.ndarray:
    """Where (..., 2) one looks who plays on a side (-1, 1) of a net along y: beyond it, towards the ball."""
    x = np.broadcast_to(net[0] - 2.0 * side, np.shape(ball_y))
    return np.stack([x, net[1] + 0.7 * (np.asarray(ball_y) - net[1])], -1)


def ball_xy(script: Script, touches: list[Touch]) -> np.ndarray:
    """(steps, 2): about where the ball will be, straight from touch to touch."""
    times = [touch.time_s % script.period_s for touch in touches]
    return np.stack([np.interp(script.times_s, *_sorted(times, [touch.place[i] for touch in touches]),
                               period=script.period_s) for i in range(2)], -1)  # fmt: skip


def _sorted(times, values):
    order = np.argsort(times)
    return np.asarray(times)[order], np.asarray(values)[order]


def beside(people: People, person: int, time_s: float, ahead: float, left: float, height_m: float) -> np.ndarray:
    """The point (3,) so far ahead and to the left of where someone stands, at a height above the floor."""
    places, headings, _ = people.script.at(time_s)
    actor = people.actors[person]
    c, s = np.cos(headings[actor]), np.sin(headings[actor])
    x, y = places[actor]
    return np.array([x + c * ahead - s * left, y + s * ahead + c * left, height_m])


def both_hands(people: People, person: int, times_s, points, apart_m: float, under_m=0.0, blend_s=0.3) -> None:
    """Bring both hands to the sides of a ball at points (k, 3), apart_m from its centre, under_m below it."""
    places, headings, _ = zip(*(people.script.at(t) for t in times_s), strict=True)
    turn = np.array([h[people.actors[person]] for h in headings])
    left = np.stack([-np.sin(turn), np.cos(turn), np.zeros(len(turn))], -1)
    for hand, side in ((0, 1), (1, -1)):
        at = np.asarray(points) + side * apart_m * left - [0, 0, under_m]
        people.reach(person, hand, times_s, at, blend_s)


def carried(people: People, person: int, path: Path, start_s: float, end_s: float, radius_m: float) -> None:
    """Both hands go with a ball that a path carries from start_s to end_s."""
    times = np.linspace(start_s, end_s, max(3, round((end_s - start_s) * 12)))
    both_hands(people, person, times, [path.at(t) for t in times], radius_m + 0.02, 0.02)


def watch(people: People, persons, path: Path) -> None:
    """Heads follow a ball."""
    times = np.arange(0, people.script.period_s - 0.3, 0.3)
    points = [path.at(time_s) for time_s in times]
    for person in persons:
        people.look(person, times, points)


_DOWN_S, _UP_S = 0.2, 0.236  # of a dribble: pushed down, and back up at 0.8 of the speed


def dribble(people: People, person: int, path: Path, until_s: float, radius_m: float) -> None:
    """Bounce a ball beside the right foot, one bounce in about 0.6 s, at least 0.56 s, under the right hand."""
    start_s, high_m = path.time_s, 0.5 * people.stature_m[person]
    bounces = max(1, int((until_s - start_s) / 0.56))
    every_s = (until_s - start_s) / bounces
    push_s = every_s - _DOWN_S - _UP_S
    fall = high_m - radius_m
    up, down = fall / _UP_S - GRAVITY * _UP_S / 2, fall / _DOWN_S - GRAVITY * _DOWN_S / 2
    times, hands = [], []
    for begin_s in start_s + np.arange(bounces) * every_s:

        def pushed(time_s, begin_s=begin_s):
            u = np.clip((time_s - begin_s) / push_s, 0, 1)
            rise = push_s * (up * u * (1 - u) ** 2 + down * u**2 * (1 - u))
            return beside(people, person, time_s, 0.32, -0.3, high_m + rise)

        path.carry(begin_s + push_s, pushed)
        following = beside(people, person, begin_s + every_s, 0.32, -0.3, high_m)
        path.bounce(begin_s + every_s, following, radius_m, _DOWN_S / (_DOWN_S + _UP_S))
        for share in (0.0, 0.5, 1.0):
            times.append(begin_s + share * push_s)
            hands.append(path.at(times[-1]) + (0, 0, radius_m + 0.02))
    people.reach(person, 1, times, hands, 0.2)


class Bystanders:
    """Those who do not play: on benches, standing by, or strolling along a line; they watch, clap and cheer."""

    def __init__(self, rng, world: World, count: int, lines, lane, focus):
        """Lines [(a, b)] (2,) each, on which they stand; a lane (a, b) on which they stroll; focus: (2,)."""
        self._rng, script, most = rng, world.script, min(len(world.seats), count // 2)
        taken = [world.seats[i] for i in rng.permutation(len(world.seats))[: rng.integers(0, most + 1)]]
        self._seated = [script.stand((x, y), facing) for x, y, facing in taken]
        places, first, (start, end) = [], script.count, np.asarray(lane, float)
        strollers = min(int(rng.binomial(count - len(taken), 0.25)), 2)
        for share in np.arange(strollers) / max(strollers, 1):
            # each has a part of the lane, where he meets nobody
            part = start + np.array([[share], [share + 1 / strollers]]) * (end - start)
            script.walk(*self._stroll(part, script.period_s), 0.38)
        for _ in range(count - len(taken) - strollers):
            places.append(self._free_place(world, lines, places))
            ahead = focus - places[-1]
            script.stand(places[-1], np.arctan2(ahead[1], ahead[0]) + rng.normal(0, 0.2))
        self.standing = list(range(first, script.count))

    def _free_place(self, world: World, lines, taken) -> np.ndarray:
        """One 0.95 m from the others, or after many tries the one farthest from them."""
        best, widest = None, -1.0
        for _ in range(200):
            a, b = (np.asarray(end, float) for end in lines[self._rng.integers(len(lines))])
            place = a + self._rng.uniform(0, 1) * (b - a) + self._rng.normal(0, 0.1, 2)
            gap = min((np.linalg.norm(place - other) for other in taken), default=9.0)
            if gap > widest and world.free(place, 0.3):
                best, widest = place, gap
            if widest > 0.95:
                break
        return best

    def _stroll(self, lane, period_s: float):
        """Twice to and fro, with rests."""
        ends = self._rng.permutation(self._rng.uniform((0, 0.6), (0.4, 1)))
        place, goal = lane[0] + ends[:, None] * (lane[1] - lane[0])
        walk_s = np.linalg.norm(goal - place) / self._rng.uniform(0.8, 1.3)
        leave = np.arange(4) * period_s / 4 + self._rng.uniform(0, 0.9 * (period_s / 4 - walk_s))
        times = np.stack([leave, leave + walk_s], -1).ravel() % period_s
        places = np.array([place, goal, goal, place] * 2)
        order = np.argsort(times)
        return times[order], places[order]

    def act(self, people: People) -> None:
        """Their gestures; people were made of all actors of the script."""
        rng, period_s = self._rng, people.script.period_s
        for person in self._seated:
            people.sit(person)
        for person in self.standing:
            people.rest(person, str(rng.choice(["relaxed", "relaxed", "folded", "hands_on_hips", "hands_together"])))
            for time_s in np.arange(rng.uniform(0, 6), period_s - 4, rng.uniform(6, 12)):
                gesture = (gestures.clap, gestures.cheer, gestures.point, gestures.look_around)[rng.integers(4)]
                gesture(people, person, time_s)
