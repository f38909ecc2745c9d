"""Badminton rackets and table tennis bats, held in hands and swung at balls."""

from __future__ import annotations

import numpy as np

from ..sets import textures
from ..sets.stage import Stage
from ..world import RACKET
from .anatomy import unit
from .gestures import Targets
from .people import People
from .play import beside

# From the hand to the middle of the head. BWF: at most 0.68 m long, head 0.29 x 0.23 m. A usual bat: 0.26 m.
REACH_M = {"badminton": 0.44, "table_tennis": 0.13}
_BLEND_S = 0.3
_READY = np.array([0.7, 0.0, 0.7])  # ahead, out, up: how it is held between strokes

# Each stroke: (seconds before or after the hit, hand beside the shoulder, the racket's direction), as (ahead, out, up)
# in metres; out: to the side of the hand. At the hit itself, the hand is where the ball wants it.
_STROKES = {
    "badminton": {
        "overhead": ((-0.30, (-0.15, 0.25, 0.25), (-0.7, 0.2, -0.5)), (-0.12, (-0.05, 0.25, 0.4), (-0.7, 0.35, 0.5)),
                     (0.0, None, (0.25, 0.15, 0.95)), (0.22, (0.45, -0.15, -0.35), (0.6, -0.35, -0.6))),
        "drive": ((-0.28, (-0.2, 0.4, -0.05), (-0.5, 0.5, 0.6)), (0.0, None, (0.45, 0.75, 0.45)),
                  (0.2, (0.45, -0.15, 0.1), (0.5, -0.7, 0.5))),
        "lift": ((-0.28, (0.0, 0.4, -0.5), (-0.35, 0.7, -0.6)), (0.0, None, (0.75, 0.3, -0.55)),
                 (0.22, (0.4, -0.05, 0.2), (0.3, -0.35, 0.9))),
        "serve": ((-0.28, (0.15, 0.3, -0.45), (-0.3, 0.5, -0.8)), (0.0, None, (0.5, 0.15, -0.85)),
                  (0.22, (0.45, -0.05, 0.0), (0.6, -0.2, 0.75))),
    },
    "table_tennis": {
        "forehand": ((-0.24, (-0.1, 0.4, -0.35), (-0.3, 0.85, -0.3)), (0.0, None, (0.35, 0.9, 0.2)),
                     (0.18, (0.4, -0.2, 0.1), (0.5, -0.4, 0.75))),
        "backhand": ((-0.24, (0.2, -0.25, -0.3), (0.2, -0.9, 0.1)), (0.0, None, (0.5, -0.75, 0.45)),
                     (0.18, (0.5, 0.15, -0.1), (0.6, 0.5, 0.6))),
    },
}  # fmt: skip


class Rackets:
    """A troupe of rackets of one sport, each in someone's right hand."""

    class_id = RACKET

    def __init__(self, sport: str, people: People, holders: list[int]):
        self.sport, self.holders, self._people = sport, holders, people
        self._shapes = _badminton() if sport == "badminton" else _bat()
        self._hits: list[tuple] = []
        self._aims: Targets | None = None

    def hit(self, person: int, time_s: float, ball: np.ndarray, style: str, toward_rad: float) -> None:
        """Swing so that the head meets the ball (3,) at time_s and faces along toward_rad."""
        ahead, out = _axes(toward_rad)
        axes = np.stack([ahead, out, [0, 0, 1]])
        shoulder = beside(self._people, person, time_s, 0.0, -0.19, 0.8 * self._people.stature_m[person])
        offsets_s, hands, directions = zip(*_STROKES[self.sport][style], strict=True)
        along = np.array([unit(np.array(direction) @ axes) for direction in directions])
        times = time_s + np.array(offsets_s)
        meets = ball - REACH_M[self.sport] * along[offsets_s.index(0.0)]
        points = [meets if hand is None else shoulder + np.array(hand) @ axes for hand in hands]
        self._people.reach(person, 1, times, points, _BLEND_S)
        self._hits.append((person, times, offsets_s.index(0.0), ball, along, ahead))
        self._aims = None

    def head(self, person: int, time_s: float) -> np.ndarray:
        """The middle (3,) of the head of someone's racket."""
        hands, frames = self._frames(time_s)
        index = self.holders.index(person)
        return hands[index] + REACH_M[self.sport] * frames[index, :, 2]

    def _aim(self) -> Targets:
        """Directions (even slots) and normals (odd slots) of the heads about each hit."""
        aims = Targets(2 * len(self.holders), self._people.script.period_s)
        for person, times, at, ball, along, ahead in self._hits:
            # the wrist does the rest: at the hit the racket points from where the hand is to the ball
            along = along.copy()
            along[at] = unit(ball - self._people.hand(person, 1, times[at]))
            normals = np.array([_frame(one, ahead)[:, 1] for one in along])
            slot = 2 * self.holders.index(person)
            aims.add(slot, times, along, _BLEND_S)
            aims.add(slot + 1, times, normals, _BLEND_S)
        return aims

    def _frames(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Of each racket the hand (n, 3), and the axes (n, 3, 3): across, out of the face, towards the head."""
        self._aims = self._aims or self._aim()
        aims, weights = self._aims.at(time_s)
        headings = self._people.script.at(time_s)[1]
        hands, frames = [], []
        for person, aim, weight in zip(self.holders, aims.reshape(-1, 2, 3), weights.reshape(-1, 2), strict=True):
            hand, turned = self._people.hand_frame(person, 1, time_s)
            ahead, out = _axes(headings[self._people.actors[person]])
            ready = unit(_READY @ np.stack([ahead, out, [0, 0, 1]]) + 0.5 * turned[:, 2])
            along = unit((1 - weight[0]) * ready + weight[0] * aim[0])
            hands.append(hand)
            frames.append(_frame(along, (1 - weight[1]) * _frame(ready, ahead)[:, 1] + weight[1] * aim[1]))
        return np.array(hands), np.array(frames)

    def pose(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        hands, frames = self._frames(time_s)
        centers, turns = (np.array([shape[i] for shape in self._shapes]) for i in (3, 4))
        where = hands[:, None] + np.einsum("nij,kj->nki", frames, centers)
        return where.reshape(-1, 3), (frames[:, None] @ turns).reshape(-1, 3, 3)

    def joints(self, time_s: float) -> None:
        return None

    @property
    def geoms_each(self) -> list[int]:
        return [len(self._shapes)] * len(self.holders)

    @property
    def still(self) -> list[bool]:
        return [False] * len(self.holders)

    def dress(self, stage: Stage, rng) -> None:
        for _ in self.holders:
            colors = {"frame": textures.color(rng, saturation=(0.3, 1)), "grip": textures.color(rng),
                      "string": (235, 235, 225), "red": (190, 25, 30), "black": (25, 25, 28)}  # fmt: skip
            looks = {name: stage.material(rgb, shine=0.2) for name, rgb in colors.items()}
            for kind, size, look, _, _ in self._shapes:
                stage.moving(kind, size, looks[look])


def _axes(yaw: float) -> tuple[np.ndarray, np.ndarray]:
    """Ahead, and out to the right."""
    return np.array([np.cos(yaw), np.sin(yaw), 0.0]), np.array([np.sin(yaw), -np.cos(yaw), 0.0])


def _frame(along, normal) -> np.ndarray:
    """Axes whose third is along, and whose second is as near to normal as can be."""
    across = np.cross(normal, along)
    # where both point the same way, any side will do
    across = unit(across + 1e-6 * np.cross((0.3, 0.5, 0.8), along))
    return np.stack([across, np.cross(along, across), along], -1)


def _bar(a, b, radius: float, look: str):
    """A capsule from a to b as a shape (kind, size, look, centre, rotation)."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    return "capsule", (radius, np.linalg.norm(b - a) / 2), look, (a + b) / 2, _frame(unit(b - a), (0, 1, 0))


def _badminton() -> list:
    middle = np.array([0, 0, REACH_M["badminton"]])
    around = np.linspace(0, 2 * np.pi, 11)
    rim = middle + np.stack([0.11 * np.sin(around), 0 * around, 0.14 * np.cos(around)], -1)
    shapes = [_bar((0, 0, -0.07), (0, 0, 0.1), 0.014, "grip"), _bar((0, 0, 0.1), (0, 0, 0.3), 0.005, "frame")]
    shapes += [_bar(a, b, 0.007, "frame") for a, b in zip(rim, rim[1:], strict=False)]
    for x in (-0.05, 0.0, 0.05):
        high = 0.14 * (1 - (x / 0.11) ** 2) ** 0.5
        shapes.append(_bar(middle + (x, 0, -high), middle + (x, 0, high), 0.0025, "string"))
    for z in (-0.08, 0.0, 0.08):
        wide = 0.11 * (1 - (z / 0.14) ** 2) ** 0.5
        shapes.append(_bar(middle + (-wide, 0, z), middle + (wide, 0, z), 0.0025, "string"))
    return shapes


def _bat() -> list:
    lies = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]).T  # the cylinder's axis out of the face
    middle = np.array([0, 0, REACH_M["table_tennis"]])
    return [
        ("box", (0.014, 0.011, 0.05), "grip", np.array([0, 0, 0.01]), np.eye(3)),
        ("cylinder", (0.077, 0.004), "red", middle + (0, 0.004, 0), lies),
        ("cylinder", (0.077, 0.004), "black", middle - (0, 0.004, 0), lies),
    ]
