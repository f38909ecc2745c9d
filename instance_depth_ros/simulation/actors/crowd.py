"""Ordinary people of a place: they sit, stand, talk, walk about, meet, run and handle things."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..world import World
from .people import People

Act = Callable[[People, int], None]


def heading(angle: float) -> np.ndarray:
    """(2,) of length 1."""
    return np.array([np.cos(angle), np.sin(angle)])


def passes(world: World, a, b, margin: float) -> bool:
    """Whether the straight way from a to b keeps margin from all that stands on the floor."""
    a, along = np.asarray(a, float), np.subtract(b, a)
    for x, y, radius in world.taken:
        share = np.clip(((x, y) - a) @ along / max(along @ along, 1e-9), 0, 1)
        if np.linalg.norm(a + share * along - (x, y)) < radius + margin:
            return False
    return True


def _shifted(times_s, places, shift_s: float, period_s: float):
    times_s = (times_s + shift_s) % period_s
    order = np.argsort(times_s)
    return times_s[order], places[order]


def _sampled(times_s, places, period_s: float) -> np.ndarray:
    """(steps, 2): where someone is every half second, about."""
    at = np.arange(0, period_s, 0.5)
    return np.stack([np.interp(at, times_s, places[:, i], period=period_s) for i in range(2)], -1)


class Crowd:
    """Who will be in a world and what each does; perform() settles the script and brings the People.

    middle, half: where they are, (2,) each.
    """

    def __init__(self, world: World, rng: np.random.Generator, middle=(0, 0), half=None):
        self.world, self.rng = world, rng
        self.middle = np.asarray(middle, float)
        self.half = world.half if half is None else np.asarray(half, float)
        self.actors: list[int] = []
        self._acts: list[Act] = []
        self._outfits: list[dict | None] = []
        self._ways: list[np.ndarray] = []  # of those who walk, every half second

    def add(self, actor: int, act: Act = lambda people, person: None, outfit: dict | None = None) -> None:
        """An actor of the script, what is done once its person exists, and what it wears (as People.dress)."""
        self.actors.append(actor)
        self._acts.append(act)
        self._outfits.append(outfit)

    def perform(self, child_share: float = 0.0) -> People:
        """Settle everybody and let them act; adds the People to the world."""
        world = self.world
        world.script.settle(world.taken, world.half - 0.2)
        people = People(self.rng, world.script, self.actors, child_share, self._outfits)
        for person, act in enumerate(self._acts):
            act(people, person)
        world.troupes.append(people)
        return people

    def sit(self, count: int) -> None:
        """On seats that are free, talking with their hands now and then."""
        seats = self.world.seats
        for _ in range(min(count, len(seats))):
            x, y, facing = seats.pop(self.rng.integers(len(seats)))
            actor = self.world.script.stand((x, y), facing, 0.3)
            self.add(actor, lambda people, person: (people.sit(person), self._talk(people, person, 0.7)))

    def stand(self, place, facing: float, act: Act | None = None) -> None:
        """Someone who stays, and talks unless something else is to be done."""
        self.world.taken.append((*place, 0.35))
        self.add(self.world.script.stand(place, facing), act or self._idle)

    def talk(self, count: int) -> int:
        """A ring of two to five who face one another, where there is room; returns how many found it."""
        ring_m = 0.42 + 0.11 * count
        place = self._spot(ring_m + 0.3)
        if place is None:
            return 0
        turn = self.rng.uniform(0, 2 * np.pi)
        for angle in turn + 2 * np.pi * (np.arange(count) + self.rng.uniform(-0.1, 0.1, count)) / count:
            self.stand(place + ring_m * heading(angle), angle + np.pi + self.rng.normal(0, 0.15))
        return count

    def work(self, reach_m: float = 0.5) -> bool:
        """Someone who stands at a thing and reaches for what is on it; False where there is none."""
        for x, y, radius in (self.world.taken[i] for i in self.rng.permutation(len(self.world.taken))):
            angle = self.rng.uniform(0, 2 * np.pi)
            # an arm's length off, so that hands reach the thing and not into it
            place = np.array([x, y]) + (radius + 0.55) * heading(angle)
            if radius > 0.4 and self._inside(place) and self.world.free(place, 0.35):
                self.stand(place, angle + np.pi, self._handle(place, angle + np.pi, reach_m))
                return True
        return False

    def stroll(self, stops: int = 3, speed_m_s: float | None = None) -> bool:
        """Someone who walks from stop to stop and lingers there; False where no way is free."""
        speed_m_s = speed_m_s or self.rng.uniform(0.8, 1.4)
        way = self._way(stops)
        if way is None:
            return False
        return self._walk([way], speed_m_s, 0.45)

    def meet(self) -> bool:
        """Two who come from different sides, stop, talk and go on."""
        rng, period = self.rng, self.world.script.period_s
        place, angle, talk_s = self._spot(0.9), rng.uniform(0, 2 * np.pi), rng.uniform(6, 14)
        if place is None:
            return False
        ends = [place + side * rng.uniform(4, 9) * heading(angle + rng.uniform(-0.5, 0.5)) for side in (-1, 1)]
        if not all(self._inside(end) and passes(self.world, end, place, 0.3) for end in ends):
            return False
        start, keys = rng.uniform(10, period - talk_s - 12), []
        for side, end in zip((-1, 1), ends, strict=True):
            here = place + side * 0.45 * heading(angle)
            walk_s = np.linalg.norm(end - here) / rng.uniform(0.9, 1.2)
            times = np.array([start - walk_s, start, start + talk_s, start + talk_s + walk_s])
            keys.append((times, np.array([end, here, here, end])))
        return self._join(keys, 0.4, self._talk)

    def run(self, radius_m: float) -> bool:
        """A runner who goes round, where there is room."""
        count, angles = 24, self.rng.choice([-1, 1]) * 2 * np.pi * np.arange(24) / 24
        axes = radius_m * self.rng.uniform(0.75, 1.1, 2)
        places = self.middle + axes * np.stack([np.cos(angles), np.sin(angles)], -1)
        clear = (np.abs(places - self.middle) < self.half - 0.5).all()
        if not clear or not all(
            passes(self.world, a, b, 0.3) for a, b in zip(places, np.roll(places, -1, 0), strict=True)
        ):
            return False
        return self._join([(np.arange(count) * self.world.script.period_s / count, places)], 0.45)

    def go(self, ways, speed_m_s: float) -> bool:
        """People in company who walk along ways (k, 2) and back, within the place; False if things stand there."""
        ends = 0.4 - self.half, self.half - 0.4
        ways = [self.middle + np.clip(way - self.middle, *ends) for way in ways]
        if not all(passes(self.world, a, b, 0.25) for way in ways for a, b in zip(way, way[1:], strict=False)):
            return False
        return self._walk([np.concatenate([way, way[-2:0:-1]]) for way in ways], speed_m_s, 0.35)

    def _walk(self, ways, speed_m_s: float, radius_m: float) -> bool:
        pauses = self.rng.dirichlet(np.full(len(ways[0]), 0.7))
        return self._join([self._timed(way, speed_m_s, pauses) for way in ways], radius_m, self._glance)

    def _join(self, keys, radius_m: float, act: Act = lambda people, person: None) -> bool:
        """Those who walk together, at a time when they come near nobody else's way; False if there is none."""
        period = self.world.script.period_s
        best, widest = None, 0.6
        for shift in self.rng.uniform(0, period, 12):
            moved = [_shifted(times, places, shift, period) for times, places in keys]
            ways = [_sampled(*key, period) for key in moved]
            gap = min((np.linalg.norm(a - b, axis=-1).min() for a in ways for b in self._ways), default=np.inf)
            if gap > widest:
                best, widest = (moved, ways), gap
            if gap > 1.2:
                break
        if best is None:
            return False
        for key in best[0]:
            self.add(self.world.script.walk(*key, radius_m), act)
        self._ways += best[1]
        return True

    def _inside(self, place) -> bool:
        return bool((np.abs(place - self.middle) < self.half - 0.35).all())

    def _spot(self, radius: float):
        return self.world.spot(self.rng, radius, self.half, self.middle, 60)

    def _way(self, stops: int):
        for attempt in range(60):
            # fewer stops where many do not fit
            way = [self._spot(0.4) for _ in range(max(2, stops - attempt // 15))]
            if any(stop is None for stop in way):
                return None
            legs = list(zip(way, way[1:] + way[:1], strict=True))
            if all(np.linalg.norm(np.subtract(a, b)) > 0.8 and passes(self.world, a, b, 0.3) for a, b in legs):
                return np.array(way)
        return None

    def _timed(self, way: np.ndarray, speed_m_s: float, pauses: np.ndarray):
        """times_s and places of a closed way: what walking leaves of the period is spent at the stops, in shares."""
        period = self.world.script.period_s
        # a walk from rest to rest is half again as fast in its middle
        legs_s = np.maximum(1.35 * np.linalg.norm(np.roll(way, -1, 0) - way, axis=-1) / speed_m_s, 0.8)
        legs_s *= min(1.0, 0.95 * period / legs_s.sum())
        pauses_s = pauses * (period - legs_s.sum())
        ends = np.cumsum(pauses_s + legs_s)
        times = np.stack([ends - legs_s - pauses_s, ends - legs_s], -1)
        # keys that fall together are one
        times[:, 1] = np.maximum(times[:, 1], times[:, 0] + 0.1)
        times, places = times.reshape(-1), np.repeat(way, 2, 0)
        keep = np.diff(times, append=period) > 0.05
        return times[keep], places[keep]

    def _idle(self, people: People, person: int) -> None:
        styles = ["relaxed", "folded", "hands_together", "hands_on_hips"]
        people.rest(person, str(self.rng.choice(styles, p=[0.5, 0.15, 0.2, 0.15])))
        self._talk(people, person)

    def _talk(self, people: People, person: int, least=0.35) -> None:
        """Hands that go with the words, a head that turns."""
        rng, time_s = self.rng, self.rng.uniform(0, 4)
        while time_s < self.world.script.period_s - 4:
            long_s = rng.uniform(1.2, 3.0)
            keys, side = time_s + long_s * np.array([0, 0.3, 0.6, 1.0]), rng.choice(["l", "r"])
            height = rng.uniform(least, least + 0.6)
            people.act(person, keys, **{
                f"lift_{side}": [0, height, 0.7 * height, 0], f"elbow_{side}": [0, 1.2, 0.8, 0],
                "turn_head": [0, *rng.normal(0, 0.25, 2), 0], "nod": [0, *rng.uniform(-0.1, 0.25, 2), 0],
            })  # fmt: skip
            time_s += long_s + rng.exponential(4.0)

    def _glance(self, people: People, person: int) -> None:
        rng, period = self.rng, self.world.script.period_s
        for time_s in rng.uniform(0, period - 3, rng.integers(1, 5)):
            turn = rng.choice([-1, 1]) * rng.uniform(0.3, 0.8)
            people.act(person, time_s + np.array([0, 0.6, 1.5, 2.2]), turn_head=[0, turn, turn, 0])

    def _handle(self, place, facing: float, reach_m: float) -> Act:
        """Reaching for things in front, and bending down now and then."""
        rng = self.rng

        def act(people: People, person: int) -> None:
            time_s = rng.uniform(0, 4)
            while time_s < self.world.script.period_s - 6:
                keys = time_s + np.array([0, 0.7, 1.8, 2.5])
                if rng.random() < 0.3:
                    people.act(person, keys, lean=[0, 0.7, 0.65, 0], crouch_m=[0, 0.25, 0.2, 0], nod=[0, 0.2, 0.2, 0],
                               lift_l=[0, 0.6, 0.55, 0], lift_r=[0, 0.55, 0.6, 0])  # fmt: skip
                else:
                    there = place + reach_m * heading(facing + rng.uniform(-0.5, 0.5))
                    points = np.array([[*there, rng.uniform(0.8, 1.5)]] * 2) + rng.normal(0, 0.06, (2, 3))
                    people.reach(person, int(rng.integers(2)), keys[1:3], points)
                time_s += rng.uniform(3.5, 8)

        return act
