"""A walk through several places and back again: rooms and a studio along a corridor, and a square outside."""

from __future__ import annotations

import numpy as np

from ..actors.crowd import Crowd, heading
from ..sets import props, textures
from ..sets.stage import Stage
from ..world import World
from . import dance, plaza, room

_EYE_M, _WALL_M = 1.5, 0.2
_TURN_RAD_S = np.radians(40)


def build(rng: np.random.Generator) -> World:
    """Three rooms, or two and the square; one of the rooms often a dance studio."""
    outdoors = bool(rng.random() < 0.6)
    rooms = [str(kind) for kind in rng.permutation(["studio", "room", "room"])[: 2 if outdoors else 3]]
    halves = [
        rng.uniform((4.5, 4.5), (6.5, 6.0)) if kind == "studio" else rng.uniform((3, 3), (5, 5)) for kind in rooms
    ]
    lanes = Walk(rng)
    world = World(Stage(), np.zeros(2), ceiling_m=rng.uniform(3.0, 3.8), night=rng.random() < 0.25)
    aisle = np.array([sum(half[0] + _WALL_M / 2 for half in halves) - _WALL_M / 2, rng.uniform(1.6, 2.0)])
    world.half = np.array([aisle[0] + (26 if outdoors else 1), aisle[1] + 2 * max(h[1] for h in halves) + 1])
    crowd = Crowd(world, rng)
    doors, left = [], -aisle[0]
    for kind, half in zip(rooms, halves, strict=True):
        center = np.array([left + half[0], aisle[1] + _WALL_M + half[1]])
        doors.append(np.array([center[0] + rng.uniform(-0.5, 0.5) * half[0], aisle[1] + _WALL_M / 2]))
        _visit(world, rng, crowd, lanes, kind, center, half, doors[-1])
        left += 2 * half[0] + _WALL_M
    exit_ = [np.array([aisle[0] + _WALL_M / 2, 0.4 * aisle[1]])] if outdoors else []
    _corridor(world, rng, crowd, aisle, doors + exit_)
    if outdoors:
        _square(world, rng, crowd, lanes, exit_[0])
    crowd.perform()
    world.taken = [thing for thing in world.taken if thing not in lanes.kept_free]
    lanes.close()
    world.route = lanes.route()
    return world


def _turn(last: float, yaw: float) -> float:
    return (yaw - last + np.pi) % (2 * np.pi) - np.pi


class Walk:
    """A camera's way, written leg by leg: it turns, goes on, stops and looks round."""

    def __init__(self, rng):
        self.rng, self.speed_m_s = rng, rng.uniform(0.9, 1.3)
        self.keys: list[tuple[float, float, float, float]] = []  # time, x, y, yaw
        self.kept_free: list[tuple[float, float, float]] = []

    def go(self, place, facing=None) -> None:
        """Turns that way and walks straight there; or goes sideways, its eyes on what it is facing, (2,)."""
        if not self.keys:
            self.keys.append((0.0, *place, 0.0))
            return
        time_s, x, y, yaw = self.keys[-1]
        along = np.subtract(place, (x, y))
        if facing is None and np.linalg.norm(along) > 0.05:
            self.look(np.arctan2(along[1], along[0]))
            time_s, _, _, yaw = self.keys[-1]
        elif facing is not None:
            yaw += _turn(yaw, np.arctan2(facing[1] - place[1], facing[0] - place[0]))
        self.keys.append((time_s + max(np.linalg.norm(along) / self.speed_m_s, 0.1), *place, yaw))

    def look(self, yaw: float, hold_s: float = 0.0) -> None:
        """Turns the shorter way to a heading, and keeps it for a while."""
        time_s, x, y, last = self.keys[-1]
        turn = _turn(last, yaw)
        self.keys.append((time_s + max(abs(turn) / _TURN_RAD_S, 0.1), x, y, last + turn))
        if hold_s:
            self.keys.append((self.keys[-1][0] + hold_s, x, y, last + turn))

    def look_at(self, targets) -> None:
        """One after the other, (2,) each."""
        for target in targets:
            _, x, y, _ = self.keys[-1]
            self.look(np.arctan2(target[1] - y, target[0] - x), self.rng.uniform(1.5, 4))

    def keep_free(self, *places) -> list[tuple[float, float, float]]:
        """Discs along the straight ways between places, to be kept off."""
        discs = []
        for a, b in zip(places, places[1:], strict=False):
            steps = np.linspace(0, 1, 1 + int(np.ceil(np.linalg.norm(np.subtract(b, a)) / 0.7)))
            discs += [(*(a + s * np.subtract(b, a)), 0.6) for s in steps]
        self.kept_free += discs
        return discs

    def close(self) -> None:
        """Back to where it began, looking as it did."""
        self.go(self.keys[0][1:3])
        self.look(self.keys[0][3])

    def route(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """times_s (k,), places (k, 3), aims (k, 3) for World.route."""
        keys = np.array(self.keys)
        times = np.arange(0, keys[-1, 0], 0.25)
        times = np.append(times, keys[-1, 0])
        x, y, yaw = (np.interp(times, keys[:, 0], keys[:, i]) for i in (1, 2, 3))
        places = np.stack([x, y, np.full(len(x), _EYE_M)], -1)
        return times, places, places + 4.0 * np.stack([np.cos(yaw), np.sin(yaw), np.full(len(x), -0.1)], -1)


def _visit(world: World, rng, crowd: Crowd, walk: Walk, kind: str, center, half, door) -> None:
    """A room north of the corridor: furnish and fill it, go in, look from two places, come out again."""
    inside = door + (0, 1.1)
    far = np.array([center[0] + np.sign(center[0] - door[0]) * (half[0] - 1.0), inside[1]])
    aisle = door - (0, 0.9)
    world.taken += walk.keep_free(aisle, inside, far)
    crowd.middle, crowd.half = center, half - 0.4
    if kind == "studio":
        dance.furnish_studio(world, rng, center, half, [door])
        floor = half - (1.4, 2.2)
        dance.dance(world, rng, crowd, center + (0, 0.5), floor, int(rng.integers(5, 10)), teacher=False)
    else:
        room.furnish_room(world, rng, center, half, [door])
        room.people(crowd, rng, 6)
    world.stage.light((*center, world.ceiling_m - 0.1), (0, 0, -1), rng.uniform(0.35, 0.55, 1).repeat(3), False,
                      cutoff=80, fall=0.01)  # fmt: skip
    stops = ((aisle, 0, None), (inside, 2, None), (far, 2, center), (inside, 0, center), (aisle, 0, None))
    for place, looks, facing in stops:
        walk.go(place, facing)
        walk.look_at(center + rng.uniform(-0.6, 0.6, (looks, 2)) * half)


def _corridor(world: World, rng, crowd: Crowd, half, openings) -> None:
    """Doors to the north; people walk along the south wall."""
    stage = world.stage
    image, period = textures.floor(rng)
    stage.floor(half + _WALL_M / 2, stage.material(image=image, period_m=period, shine=rng.uniform(0, 0.3)))
    props.hall(stage, rng, half, world.ceiling_m, True, (0, 0), openings, world.night)
    stage.headlight = (rng.uniform(0.35, 0.5), rng.uniform(0.1, 0.3))
    for x in (-0.6, 0.6):
        stage.light((x * half[0], 0, world.ceiling_m - 0.1), (0, 0, -1), (0.3, 0.3, 0.28), False, fall=0.01)
    crowd.middle, crowd.half = np.zeros(2), half - 0.3
    y = 0.45 - half[1]
    for start in rng.uniform(-0.9, 0.1, rng.integers(1, 3)):
        way = np.array([(start * half[0], y), ((start + 0.8) * half[0], y)])
        crowd.go([way], rng.uniform(0.9, 1.3))


def _square(world: World, rng, crowd: Crowd, walk: Walk, door) -> None:
    """The way out at the corridor's east end, a house front with the door in it, open ground with people."""
    stage, x, deep = world.stage, door[0] + _WALL_M / 2, world.half[1] + 4
    image, period = (
        textures.slabs(rng) if rng.random() < 0.6 else textures.ground(rng, rng.choice(["grass", "asphalt"]))
    )
    ground = stage.material(image=image, period_m=period)
    stage.floor((125, 250), ground, (x + 124.9, 0))
    for side in (-1, 1):
        stage.floor((125, 125), ground, (x - 125.1, side * (deep + 125)))
    stage.sky(textures.sky(rng, night=world.night))
    front = textures.facade(rng, night=world.night)
    look = stage.material(image=front[0], period_m=front[1], glow=0.9 if world.night else 0.0)
    props.wall(stage, (x - 0.05, 0), 0.0, deep, rng.integers(2, 5) * front[1] / 4, look, [door[1]])
    center, half = np.array([x + 13.0, door[1]]), np.array([11.0, 9.0])
    stops = door + [(1.5, 0), (6, 0), (10, 4.5 * rng.choice([-1, 1])), (12, 0), (6, 0)]
    walk_out = [door - (0.8, 0), *stops]
    world.taken += walk.keep_free(*walk_out)
    lamps = plaza.furnish_square(world, rng, center, half)
    for _ in range(rng.integers(3, 7)):
        size, angle = rng.uniform(6, 12, 2), rng.uniform(-1.2, 1.2)
        place = np.array([x, 0]) + (rng.uniform(32, 70) + size.max()) * heading(angle)
        props.house(stage, rng, place, size, angle, world.night)
    if world.night:
        for lamp in lamps[:2]:
            stage.light(lamp, (0, 0, -1), (0.6, 0.55, 0.45), False, cutoff=75, fall=0.008)
    else:
        down = np.array([-rng.uniform(0.2, 0.8), rng.uniform(-0.5, 0.5), -1.0])
        stage.light((x, 0, 30), down / np.linalg.norm(down), rng.uniform(0.25, 0.45, 1).repeat(3), True)
    crowd.middle, crowd.half = center, half
    crowd.sit(int(rng.integers(0, 3)))
    plaza.people(crowd, rng, int(rng.integers(4, 9)), 8.0)
    for place in walk_out[:3]:
        walk.go(place)
    walk.look_at(center + rng.uniform(-0.5, 0.5, (2, 2)) * half)
    for place in walk_out[3:]:
        walk.go(place, center)
        walk.look_at(center + rng.uniform(-0.7, 0.7, (1, 2)) * half)
    for place in walk_out[1::-1]:
        walk.go(place)
