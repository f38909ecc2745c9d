"""Rigid movers of true size: cars, vans, carts, lifts and mobile robots. Their wheels turn as far as they have gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..sets import textures
from ..sets.stage import Stage
from ..world import VEHICLE
from .courses import Course

_UPRIGHT_WHEEL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # a cylinder's axis across the vehicle


@dataclass
class _Body:
    """The parts of one vehicle in its own frame: x ahead, y left, z up, the origin on the ground under its middle."""

    stage: Stage
    centers: list = field(default_factory=list)
    rotations: list = field(default_factory=list)
    radii: list = field(default_factory=list)  # of the wheel a part turns with, else infinite

    def add(self, kind, size, center, look, pitch=0.0, roll_radius=np.inf, rotation=None) -> None:
        """One shape; pitch: nose down, radians."""
        c, s = np.cos(pitch), np.sin(pitch)
        self.stage.moving(kind, size, look)
        self.centers.append(center)
        self.rotations.append([[c, 0, s], [0, 1, 0], [-s, 0, c]] if rotation is None else rotation)
        self.radii.append(roll_radius)

    def box(self, center, half, look, pitch=0.0) -> None:
        self.add("box", half, center, look, pitch)

    def pole(self, a, b, radius, look) -> None:
        """A capsule between two points of one side plane or across it."""
        axis = np.subtract(b, a)
        length = np.linalg.norm(axis)
        z = axis / length
        x = np.cross([0, 1, 0] if abs(z[1]) < 0.9 else [0, 0, 1], z)
        x /= np.linalg.norm(x)
        middle = np.add(a, b) / 2
        self.add("capsule", (radius, length / 2), middle, look, rotation=np.stack([x, np.cross(z, x), z], -1))

    def wheels(self, xs, y, radius, half_width, tyre, hub) -> None:
        """A pair of wheels at each x, with spokes to see them turn."""
        for x in xs:
            for side in (y, -y):
                center = (x, side, radius)
                self.add("cylinder", (radius, half_width), center, tyre, roll_radius=radius, rotation=_UPRIGHT_WHEEL)
                for spoke in ((0.64, 0.11), (0.11, 0.64)):
                    half = (spoke[0] * radius, half_width + 0.006, spoke[1] * radius)
                    self.add("box", half, center, hub, roll_radius=radius)


def _paints(stage: Stage, rng):
    bright = rng.random() < 0.6
    body = textures.color(rng, saturation=(0.4, 0.95) if bright else (0, 0.12), value=(0.3, 0.95))
    return (
        stage.material(body, shine=0.6),
        stage.material(textures.color(rng, saturation=(0, 0.15), value=(0.06, 0.16)), shine=0.2),
        stage.material(textures.color(rng, saturation=(0, 0.1), value=(0.35, 0.7)), shine=0.7),
    )


def _lights(body: _Body, length, y, z) -> None:
    white, red = body.stage.material((250, 248, 235)), body.stage.material((190, 25, 20))
    for side in (y, -y):
        body.box((length, side, z), (0.03, 0.17, 0.07), white)
        body.box((-length, side, z + 0.05), (0.03, 0.14, 0.09), red)


def _car(body: _Body, rng) -> None:
    """4.1 to 4.7 x 1.8 x 1.5 m: saloon or hatchback."""
    paint, dark, silver = _paints(body.stage, rng)
    glass = body.stage.material((38, 46, 54), shine=0.9)
    s, hatch = rng.uniform(0.94, 1.06), rng.random() < 0.5
    rear = -1.95 if hatch else -1.35
    body.box((0, 0, 0.52 * s), (2.2 * s, 0.9 * s, 0.17 * s), paint)
    body.box((0, 0, 0.76 * s), (2.14 * s, 0.87 * s, 0.10 * s), paint)
    body.box((1.55 * s, 0, 0.88 * s), (0.62 * s, 0.83 * s, 0.045 * s), paint, 0.07)
    body.box((0, 0, 0.34 * s), (2.1 * s, 0.84 * s, 0.1 * s), dark)
    front, top = 0.95, 0.1
    body.box(((top + rear * 0.86) / 2 * s, 0, 1.12 * s), ((top - rear * 0.86) / 2 * s, 0.74 * s, 0.26 * s), glass)
    body.box(((top + rear * 0.8) / 2 * s, 0, 1.42 * s), ((top - rear * 0.8) / 2 * s, 0.7 * s, 0.035 * s), paint)
    body.box(((front + top) / 2 * s, 0, 1.13 * s), (0.5 * s, 0.72 * s, 0.02), glass, 0.56)
    body.box(((rear + rear * 0.8) / 2 * s, 0, 1.13 * s), (0.36 * s, 0.71 * s, 0.02), glass, -1.0 if hatch else -0.9)
    for y in (0.745, -0.745):
        for x in (top - 0.03, -0.75, rear * 0.84):
            body.box((x * s, y * s, 1.13 * s), (0.045 * s, 0.015, 0.27 * s), paint)
    for y in (0.95, -0.95):
        body.box((0.72 * s, y * s, 1.0 * s), (0.06, 0.08, 0.07), paint)
    plate = body.stage.material((235, 235, 225))
    for x in (2.21, -2.21):
        body.box((x * s, 0, 0.5 * s), (0.012, 0.26, 0.055), plate)
    _lights(body, 2.19 * s, 0.66 * s, 0.68 * s)
    body.wheels((1.36 * s, -1.34 * s), 0.8 * s, 0.325 * s, 0.11, dark, silver)


def _van(body: _Body, rng) -> None:
    """5.2 x 2.0 x 2.3 m."""
    paint, dark, silver = _paints(body.stage, rng)
    if rng.random() < 0.5:
        paint = body.stage.material((236, 236, 232), shine=0.4)
    glass = body.stage.material((38, 46, 54), shine=0.9)
    body.box((-0.55, 0, 1.32), (2.02, 0.97, 0.94), paint)
    body.box((1.95, 0, 0.78), (0.62, 0.95, 0.4), paint)
    body.box((1.55, 0, 1.62), (0.72, 0.9, 0.02), glass, 0.82)
    body.box((1.3, 0, 1.5), (0.35, 0.93, 0.5), paint, 0.0)
    body.box((1.28, 0, 1.62), (0.26, 0.945, 0.28), glass)
    body.box((0, 0, 0.4), (2.45, 0.9, 0.12), dark)
    stripe = body.stage.material(textures.color(rng, saturation=(0.5, 1), value=(0.3, 0.9)))
    body.box((-0.55, 0, 1.1), (2.0, 0.975, rng.uniform(0.04, 0.16)), stripe)
    for y in (1.05, -1.05):
        body.box((1.6, y, 1.35), (0.07, 0.1, 0.14), dark)
    _lights(body, 2.57, 0.74, 0.85)
    body.wheels((1.65, -1.65), 0.86, 0.34, 0.12, dark, silver)


def _golf_cart(body: _Body, rng) -> None:
    """2.4 x 1.2 x 1.8 m, with a roof on four posts and a bench."""
    paint, dark, silver = _paints(body.stage, rng)
    seat, white = (
        body.stage.material(textures.color(rng, (0.05, 0.12), (0.1, 0.5), (0.3, 0.9))),
        body.stage.material((240, 240, 235)),
    )
    body.box((0, 0, 0.33), (1.15, 0.55, 0.07), dark)
    body.box((0.9, 0, 0.62), (0.3, 0.54, 0.24), paint)
    body.box((-0.55, 0, 0.55), (0.62, 0.56, 0.18), paint)
    body.box((-0.2, 0, 0.78), (0.24, 0.52, 0.06), seat)
    body.box((-0.47, 0, 1.05), (0.06, 0.52, 0.22), seat, -0.15)
    body.box((-0.1, 0, 1.82), (0.92, 0.6, 0.035), white)
    for y in (0.52, -0.52):
        body.pole((0.8, y, 0.8), (0.62, y, 1.8), 0.02, dark)
        body.pole((-0.85, y, 0.7), (-0.85, y, 1.8), 0.02, dark)
    body.pole((0.62, 0.25, 0.85), (0.42, 0.25, 1.05), 0.018, dark)
    body.add("cylinder", (0.17, 0.012), (0.4, 0.25, 1.06), dark, pitch=-0.7)
    _lights(body, 1.19, 0.4, 0.62)
    body.wheels((0.8, -0.78), 0.5, 0.23, 0.09, dark, silver)


def _hand_cart(body: _Body, rng) -> None:
    """A platform 1.0 x 0.6 m with boxes on it, pushed by its bar 1.0 m high; its pusher is the actor."""
    paint, dark, silver = _paints(body.stage, rng)
    wood = body.stage.material(image=textures.planks(rng, 128)[0], period_m=0.8)
    middle = _PUSHED_M
    body.box((middle, 0, 0.21), (0.5, 0.32, 0.025), rng.choice([paint, wood]))
    for y in (0.29, -0.29):
        body.pole((middle - 0.48, y, 0.22), (middle - _BAR_M, y, 1.0), 0.017, silver)
    body.pole((middle - _BAR_M, 0.29, 1.0), (middle - _BAR_M, -0.29, 1.0), 0.02, dark)
    body.pole((middle - 0.56, 0.29, 0.6), (middle - 0.56, -0.29, 0.6), 0.014, silver)
    x, top = middle - 0.42, 0.235
    while x < middle + 0.3:
        half = rng.uniform((0.14, 0.16, 0.1), (0.22, 0.29, 0.28))
        card = textures.color(rng, (0.06, 0.1), (0.25, 0.55), (0.4, 0.8))
        body.box((x + half[0], rng.uniform(-1, 1) * (0.3 - half[1]), top + half[2]), half, body.stage.material(card))
        x += 2 * half[0] + 0.01
    body.wheels((middle + 0.38, middle - 0.38), 0.25, 0.09, 0.022, dark, silver)


def _delivery_robot(body: _Body, rng) -> None:
    """0.7 x 0.55 x 0.6 m on six wheels, with a flag at 1.2 m."""
    paint, dark, silver = _paints(body.stage, rng)
    white = body.stage.material((238, 238, 236), shine=0.4)
    shell, lid = (white, paint) if rng.random() < 0.7 else (paint, white)
    body.box((0, 0, 0.32), (0.33, 0.22, 0.13), shell)
    body.add("ellipsoid", (0.33, 0.22, 0.14), (0, 0, 0.44), lid)
    body.box((0.325, 0, 0.36), (0.015, 0.17, 0.06), dark)
    body.pole((-0.3, 0.17, 0.4), (-0.34, 0.17, 1.2), 0.008, dark)
    flag = body.stage.material(textures.color(rng, (0, 0.1), (0.8, 1), (0.8, 1)))
    body.box((-0.43, 0.17, 1.12), (0.09, 0.004, 0.06), flag)
    body.wheels((0.25, 0.0, -0.25), 0.25, 0.1, 0.04, dark, silver)


def _pallet_mover(body: _Body, rng) -> None:
    """An AGV 1.3 x 0.85 x 0.3 m that carries a loaded pallet, or nothing."""
    paint, dark, silver = _paints(body.stage, rng)
    yellow = body.stage.material((235, 180, 25))
    body.box((0, 0, 0.19), (0.65, 0.42, 0.1), rng.choice([paint, yellow]))
    body.box((0, 0, 0.15), (0.67, 0.44, 0.035), dark)
    body.add("cylinder", (0.05, 0.035), (0.58, 0.3, 0.32), dark)
    body.add("cylinder", (0.03, 0.05), (-0.58, -0.34, 0.33), body.stage.material((250, 130, 10)))
    if rng.random() < 0.75:
        _load(body, rng, 0.0, 0.31)
    body.wheels((0.45, -0.45), 0.38, 0.1, 0.035, dark, silver)


def _load(body: _Body, rng, x, floor) -> None:
    """A pallet 1.2 x 0.8 m with cartons on it (EN 13698: 0.144 m high)."""
    wood = body.stage.material(textures.color(rng, (0.07, 0.1), (0.3, 0.5), (0.5, 0.8)))
    for y in (-0.35, 0, 0.35):
        body.box((x, y, floor + 0.05), (0.6, 0.05, 0.05), wood)
    body.box((x, 0, floor + 0.122), (0.6, 0.4, 0.022), wood)
    card = body.stage.material(textures.color(rng, (0.06, 0.1), (0.2, 0.5), (0.45, 0.85)))
    other = body.stage.material(textures.color(rng, (0.06, 0.1), (0.2, 0.5), (0.45, 0.85)))
    height = rng.uniform(0.12, 0.24)
    for layer in range(rng.integers(1, 4)):
        for i, j in np.ndindex(2, 2):
            center = (x + (i - 0.5) * 0.58, (j - 0.5) * 0.39, floor + 0.144 + (2 * layer + 1) * height)
            body.box(center, (0.282, 0.187, height - 0.004), other if (i + j + layer) % 2 else card)


def _forklift(body: _Body, rng) -> None:
    """2.6 x 1.1 x 2.1 m with its forks low, loaded or not."""
    paint = body.stage.material(textures.color(rng, (0.02, 0.14), (0.8, 1), (0.75, 0.95)), shine=0.4)
    _, dark, silver = _paints(body.stage, rng)
    body.box((-0.35, 0, 0.55), (0.8, 0.52, 0.33), paint)
    body.box((-0.95, 0, 0.75), (0.27, 0.5, 0.4), paint)
    body.box((-0.45, 0, 0.95), (0.24, 0.26, 0.08), dark)
    body.box((-0.68, 0, 1.2), (0.06, 0.24, 0.25), dark)
    body.box((-0.35, 0, 2.07), (0.55, 0.48, 0.03), dark)
    for y in (0.46, -0.46):
        body.pole((0.3, y, 0.85), (0.12, y, 2.05), 0.03, dark)
        body.pole((-0.9, y, 1.1), (-0.85, y, 2.05), 0.03, dark)
    for y in (0.3, -0.3):
        body.box((0.62, y, 1.1), (0.06, 0.05, 1.0), dark)
        body.box((1.2, y, 0.1), (0.52, 0.06, 0.025), silver)
    body.box((0.69, 0, 0.42), (0.03, 0.45, 0.22), dark)
    body.pole((0.1, 0, 0.85), (-0.02, 0, 1.1), 0.02, dark)
    body.add("cylinder", (0.16, 0.012), (-0.04, 0, 1.12), dark, pitch=-0.5)
    if rng.random() < 0.6:
        _load(body, rng, 1.3, 0.1)
    body.wheels((0.3,), 0.47, 0.3, 0.11, dark, silver)
    body.wheels((-0.85,), 0.45, 0.22, 0.09, dark, silver)


def _rover(body: _Body, rng) -> None:
    """A four-wheeled base 1.0 x 0.67 x 0.39 m (Clearpath Husky) with a mast and its sensors at 1.0 to 1.5 m."""
    paint, dark, silver = _paints(body.stage, rng)
    top = rng.uniform(1.0, 1.5)
    body.box((0, 0, 0.26), (0.42, 0.18, 0.1), dark)
    body.box((0, 0, 0.37), (0.46, 0.3, 0.02), paint)
    body.box((0.44, 0, 0.27), (0.04, 0.2, 0.06), paint)
    body.pole((-0.1, 0, 0.38), (-0.1, 0, top), 0.025, silver)
    body.box((-0.1, 0, top), (0.05, 0.16, 0.035), dark)
    body.add("cylinder", (0.055, 0.04), (-0.1, 0, top + 0.09), dark)
    body.box((0.2, 0, 0.45), (0.14, 0.18, 0.06), silver)
    body.wheels((0.26, -0.26), 0.28, 0.165, 0.055, dark, silver)


@dataclass(frozen=True)
class Kind:
    """build draws it. radius_m: a disc about its actor that holds it. trail_m: from the actor back to the rear axle;
    0: it turns as its actor does."""

    build: Callable
    radius_m: float
    trail_m: float


_PUSHED_M, _BAR_M = 1.16, 0.68  # from the middle of a hand cart back to its pusher, and to its bar
KINDS = {
    "car": Kind(_car, 2.55, 1.35),
    "van": Kind(_van, 2.85, 1.65),
    "golf_cart": Kind(_golf_cart, 1.4, 0.78),
    "hand_cart": Kind(_hand_cart, 1.7, 0.0),
    "delivery_robot": Kind(_delivery_robot, 0.5, 0.2),
    "pallet_mover": Kind(_pallet_mover, 0.85, 0.4),
    "forklift": Kind(_forklift, 2.0, 0.85),
    "rover": Kind(_rover, 0.62, 0.2),
}


class Vehicles:
    """A troupe of vehicles: kinds[i], one of KINDS, goes with actors[i] of a script that is settled.

    Give the script KINDS[kind].radius_m. Those of script.stand() are parked: still.
    """

    class_id = VEHICLE

    def __init__(self, script, kinds: list[str], actors: list[int]):
        unknown = set(kinds) - set(KINDS)
        if unknown:
            raise ValueError(f"a vehicle must be one of {', '.join(KINDS)}, got {', '.join(sorted(unknown))}")
        self.kinds, self.actors, self.count = list(kinds), list(actors), len(kinds)
        self._course = Course(script, actors, [KINDS[kind].trail_m for kind in kinds])
        self.still = self._course.still.tolist()
        self.geoms_each: list[int] = []

    def dress(self, stage: Stage, rng: np.random.Generator) -> None:
        """Add the geoms of each, in colours of its own."""
        bodies = [_Body(stage) for _ in self.kinds]
        for kind, body in zip(self.kinds, bodies, strict=True):
            KINDS[kind].build(body, rng)
        self.geoms_each = [len(body.centers) for body in bodies]
        self._owner = np.repeat(np.arange(self.count), self.geoms_each)
        self._centers = np.array([center for body in bodies for center in body.centers], float)
        self._rotations = np.array([rotation for body in bodies for rotation in body.rotations], float)
        radii = np.array([radius for body in bodies for radius in body.radii])
        # whole turns a loop, so that its end is its beginning
        round_m = self._course.round_m[self._owner]
        turns = np.rint(round_m / (2 * np.pi * radii))
        self._roll = 2 * np.pi * turns / np.where(turns == 0, 1, round_m)

    def pose(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Centres (geoms, 3) and rotations (geoms, 3, 3) in the world."""
        places, headings, gone_m = self._course.at(time_s)
        turned = _about(2, headings)[self._owner]
        rolled = _about(1, gone_m[self._owner] * self._roll) @ self._rotations
        centers = np.einsum("gij,gj->gi", turned, self._centers)
        centers[:, :2] += places[self._owner]
        return centers, turned @ rolled

    def joints(self, time_s: float) -> None:
        """Vehicles have none."""


def grips(script, actor: int, time_s: float) -> np.ndarray:
    """(2, 3): where the hands of one who pushes a hand cart are, on its bar; left, right."""
    places, headings, _ = script.at(time_s)
    ahead = np.array([np.cos(headings[actor]), np.sin(headings[actor])])
    bar, left = places[actor] + (_PUSHED_M - _BAR_M) * ahead, 0.22 * np.array([-ahead[1], ahead[0]])
    return np.array([[*(bar + left), 1.05], [*(bar - left), 1.05]])


def _about(axis: int, angles: np.ndarray) -> np.ndarray:
    """Rotations (n, 3, 3) about y (1) or z (2) by angles (n,)."""
    c, s, zero, one = np.cos(angles), np.sin(angles), np.zeros_like(angles), np.ones_like(angles)
    rows = (
        [[c, -s, zero], [s, c, zero], [zero, zero, one]]
        if axis == 2
        else [[c, zero, s], [zero, one, zero], [-s, zero, c]]
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)
