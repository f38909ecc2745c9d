"""Balls and shuttles: their ways through the loop, piece by piece, and their shapes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

import cv2
import numpy as np

from ..sets import textures
from ..sets.stage import Stage
from ..world import BALL
from .anatomy import unit

GRAVITY = 9.81
# radii, metres: FIBA size 7, FIVB, ITTF; of a shuttle the cork (BWF: 25 to 28 mm across)
RADIUS_M = {"basketball": 0.12, "volleyball": 0.105, "table_tennis": 0.02, "shuttle": 0.013}
# 1/s: a shuttle falls at 6.7 m/s in the end (Cohen et al., The physics of badminton, 2015)
SHUTTLE_DRAG = GRAVITY / 6.7


def flight(a, b, duration_s: float, elapsed_s, drag: float = 0.0) -> np.ndarray:
    """Where a thing is that flies from a to b (3,) in duration_s: a parabola, or with drag (1/s) a steeper fall.

    The drag grows with speed (dv/dt = g - drag v), which has a closed form. elapsed_s: (...,) -> (..., 3).
    """
    a, b, t = np.asarray(a, float), np.asarray(b, float), np.asarray(elapsed_s, float)[..., None]
    fall = np.array([0, 0, -GRAVITY])
    if not drag:
        return a + (b - a) * t / duration_s - fall * t * (duration_s - t) / 2
    start = (b - a - fall / drag * duration_s) / -np.expm1(-drag * duration_s)
    return a + fall / drag * t - start * np.expm1(-drag * t)


def duration_over(a, b, at_x: float, clear_m: float, drag: float = 0.0, least_s: float = 0.3) -> float:
    """The shortest flight from a to b, in seconds, that is clear_m high where it crosses x = at_x."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    for duration_s in np.arange(least_s, 3.0, 0.02):
        steps = np.linspace(0, duration_s, 60)
        way = flight(a, b, duration_s, steps, drag)
        if np.interp(at_x, *(way[:, (0, 2)] if b[0] > a[0] else way[::-1, (0, 2)]).T) >= clear_m:
            return float(duration_s)
    raise ValueError(f"no flight from {a} to {b} is {clear_m} m high at x = {at_x}: choose a lower height")


class Path:
    """The way of one ball from start_s once round the loop; each piece begins where the last one ended."""

    def __init__(self, period_s: float, start_s: float, place):
        self._period_s, self._start_s = period_s, start_s
        self.time_s, self.place = start_s, np.asarray(place, float)
        self._starts: list[float] = []
        self._pieces: list[Callable[[float], np.ndarray]] = []
        self._turns = [0.0]

    def _add(self, until_s: float, piece: Callable[[float], np.ndarray], place, spin: float) -> Path:
        if until_s <= self.time_s:
            raise ValueError(f"a ball's pieces follow one another: {until_s} s is not after {self.time_s} s")
        self._starts.append(self.time_s)
        self._pieces.append(piece)
        self._turns.append(self._turns[-1] + spin * (until_s - self.time_s))
        self.time_s, self.place = until_s, np.asarray(place, float)
        return self

    def fly(self, until_s: float, to, drag: float = 0.0, spin: float = 6.0) -> Path:
        """Fly to a place (3,); spin in radians per second."""
        a, start_s, duration_s = self.place, self.time_s, until_s - self.time_s
        return self._add(until_s, lambda t: flight(a, to, duration_s, t - start_s, drag), to, spin)

    def bounce(self, until_s: float, to, height_m: float, share: float = 0.6, along: float | None = None) -> Path:
        """Fly to a place by way of the floor, or of a table: its centre turns round at height_m.

        share: how much of the time passes before; along: how much of the way, by default as much.
        """
        to = np.asarray(to, float)
        floor = self.place + (share if along is None else along) * (to - self.place)
        floor[2] = height_m
        self.fly(self.time_s + share * (until_s - self.time_s), floor)
        return self.fly(until_s, to)

    def carry(self, until_s: float, where: Callable[[float], np.ndarray], ease_s: float = 0.25) -> Path:
        """Be held at where(time_s) (3,); a ball that comes from elsewhere is drawn in within ease_s."""
        start_s, gap = self.time_s, self.place - where(self.time_s)
        ease_s = min(ease_s, until_s - start_s)

        def held(time_s):
            left = 1 - min((time_s - start_s) / ease_s, 1.0)
            return where(time_s) + gap * (3 - 2 * left) * left**2

        return self._add(until_s, held, where(until_s), 0.0)

    @property
    def events_s(self) -> list[float]:
        """When one piece follows another: it is hit, caught, thrown, or bounces."""
        return list(self._starts)

    def at(self, time_s: float) -> np.ndarray:
        """The centre (3,) at any time."""
        return self._pieces[self._index(time_s)](self._within(time_s))

    def turn(self, time_s: float) -> float:
        """The angle that it has spun, radians; whole turns in a loop."""
        whole, index = self._turns[-1], self._index(time_s)
        ends = (*self._starts[1:], self.time_s)
        share = (self._within(time_s) - self._starts[index]) / (ends[index] - self._starts[index])
        spun = self._turns[index] + share * (self._turns[index + 1] - self._turns[index])
        return spun * 2 * np.pi * max(1, round(whole / 2 / np.pi)) / max(whole, 1e-9)

    def _within(self, time_s: float) -> float:
        return self._start_s + (time_s - self._start_s) % self._period_s

    def _index(self, time_s: float) -> int:
        return bisect_right(self._starts, self._within(time_s)) - 1

    def close(self) -> Path:
        """Check that the way leads back to where it began; raises ValueError if not."""
        gap = np.linalg.norm(self.place - self._pieces[0](self._starts[0]))
        if abs(self.time_s - self._start_s - self._period_s) > 1e-6 or gap > 1e-6:
            raise ValueError(f"a ball's way ends {gap} m from where it began, at {self.time_s} s")
        return self


class Balls:
    """A troupe of balls and shuttles, each with its path."""

    class_id = BALL

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self.kinds: list[str] = []
        self.paths: list[Path] = []
        self._axes: list[np.ndarray] = []

    def add(self, kind: str, path: Path) -> None:
        """kind: one of RADIUS_M."""
        self.kinds.append(kind)
        self.paths.append(path.close())
        self._axes.append(unit(self._rng.normal(size=3)))

    @property
    def geoms_each(self) -> list[int]:
        return [4 if kind == "shuttle" else 1 for kind in self.kinds]

    @property
    def still(self) -> list[bool]:
        return [False] * len(self.kinds)

    def dress(self, stage: Stage, rng) -> None:
        for kind in self.kinds:
            radius = RADIUS_M[kind]
            if kind == "shuttle":
                white = stage.material((250, 250, 245))
                stage.moving("sphere", (radius,), stage.material(textures.color(rng, value=(0.6, 1))))
                for skirt in (0.017, 0.025, 0.032):
                    stage.moving("cylinder", (skirt, 0.011), white)
            else:
                stage.moving("sphere", (radius,), stage.material(image=_skin(rng, kind), stretch=True, shine=0.2))

    def pose(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        centers, rotations = [], []
        for kind, path, axis in zip(self.kinds, self.paths, self._axes, strict=True):
            if kind == "shuttle":
                # the cork leads; over 0.06 s, so that it turns and does not snap when it is hit
                ahead = path.at(time_s + 0.03) - path.at(time_s - 0.03) + (0, 0, 1e-3)
                ahead = unit(ahead)
                side = unit(np.cross(ahead, (0.31, 0.86, 0.41)))
                rotation = np.stack([side, np.cross(ahead, side), ahead], -1)
                centers += [path.at(time_s) - back * ahead for back in (0.0, 0.02, 0.042, 0.064)]
                rotations += [rotation] * 4
            else:
                centers.append(path.at(time_s))
                rotations.append(cv2.Rodrigues(axis * path.turn(time_s))[0])
        return np.array(centers), np.array(rotations)

    def joints(self, time_s: float) -> None:
        return None


def _skin(rng, kind: str, size=64) -> np.ndarray:
    """The picture that is laid on a ball from one side: ribs, panels, or plain."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    if kind == "table_tennis":
        return np.full((8, 8, 3), (245, 245, 240) if rng.random() < 0.6 else (250, 150, 40), np.uint8)
    if kind == "basketball":
        image = textures.plain(rng, textures.color(rng, (0.03, 0.08), (0.65, 0.9), (0.55, 0.9)), size)[0]
        ribs = (np.abs(x) < 0.05) | (np.abs(y) < 0.05) | (np.abs(np.hypot(np.abs(x) - 1.1, y) - 0.7) < 0.05)
        image[ribs] = (25, 20, 20)
        return image
    colors = np.array([textures.color(rng, saturation=(0.6, 1), value=(0.5, 0.95)), (245, 245, 240)])
    if rng.random() < 0.5:
        colors[0], colors[1] = (250, 205, 40), (35, 75, 170)
    panel = (np.floor(2.2 * (x + 0.35 * y * y)) + np.floor(1.5 * y)).astype(int) % 2
    return colors[panel].astype(np.uint8)
