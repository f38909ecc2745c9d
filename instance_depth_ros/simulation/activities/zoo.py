"""A zoo: animals walk, graze and rest in one or two enclosures, visitors stroll and stop along the fence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..actors import gestures
from ..actors.animals import Animals
from ..actors.crowd import Crowd
from ..actors.people import People
from ..actors.species import SPECIES
from ..sets import pens, props, textures
from ..sets.stage import Stage, light_up
from ..world import Filming, World

# who lives together, how many, and whether keepers go in to them
HERDS = (
    (("zebra",), (4, 6), True),
    (("zebra", "giraffe"), (3, 5), True),
    (("giraffe",), (2, 3), True),
    (("deer", "doe", "doe"), (4, 7), True),
    (("goat",), (4, 7), True),
    (("llama", "goat"), (4, 7), True),
    (("cow",), (3, 5), True),
    (("elephant",), (2, 3), True),
    (("lion", "lioness", "lioness"), (3, 5), False),
    (("tiger",), (3, 4), False),
    (("bear",), (3, 4), False),
    (("wolf",), (3, 6), False),
)

# the wide ones less often: they make animals small
LENSES = ("d455_color", "d455_depth", "kinect_color", "kinect_wide", *("kinect_narrow", "phone") * 2)
YARD_M = 2.3  # of an enclosure's depth, at its back: huts, troughs, hay, and the keeper's way to them


@dataclass(frozen=True)
class Pen:
    """An enclosure: where its animals go is center +- half (2,)."""

    center: np.ndarray
    half: np.ndarray


def build(rng: np.random.Generator) -> World:
    """Visitors on a path along y = 0, enclosures beyond the fence at +y; the camera is among the visitors."""
    path_half = np.array([rng.uniform(6.5, 8.5), rng.uniform(3.4, 4.1)])
    world = World(Stage(), path_half, night=rng.random() < 0.25)
    two = rng.random() < 0.45
    herds = [herd for herd in HERDS if not two or _largest(herd) < 1.1]
    herds = [herds[i] for i in rng.choice(len(herds), 2 if two else 1, replace=False)]
    largest = max(map(_largest, herds))
    front, wide = path_half[1], path_half[0] / len(herds)
    moat_m = rng.uniform(1.6, 2.2) if rng.random() < 0.3 else 0.0
    zone_m = np.clip(2 * largest + rng.uniform(1.8, 3.0), 3.6, 6.8)
    deep_m = moat_m + zone_m + YARD_M
    _grounds(world, rng, path_half, front, deep_m)
    _fences(world, rng, path_half[0], front, deep_m, moat_m, not all(tame for *_, tame in herds), two)
    cast, keeper = [], None
    for index, (species, (least, most), tame) in enumerate(herds):
        center = np.array([(2 * index + 1) * wide - path_half[0], front + moat_m + zone_m / 2])
        pen = Pen(center, np.array([wide - 0.5, zone_m / 2 - 0.15]))
        count = int(rng.integers(least, most + 1))
        cast += _herd(world, rng, pen, species, count)
        food = pens.furnish(world, rng, center + (0, zone_m / 2 + YARD_M / 2), (wide - 0.4, YARD_M / 2), not tame)
        if tame and keeper is None and rng.random() < 0.6:
            keeper = _keeper(world, rng, pen, food)
    crowd = Crowd(world, rng, (0, front - 1.5), (path_half[0], 1.5))
    _visitors(crowd, rng, int(rng.integers(3, 9)), front)
    world.half = np.array([path_half[0] + 1, front + deep_m + 2])
    crowd.perform(0.3)
    # a camera stays behind those at the fence
    world.half = np.array([4.5, 1.0])
    names, actors, lying = zip(*cast, strict=True)
    world.troupes.append(Animals(rng, world.script, names, actors, lying))
    if keeper is not None:
        world.troupes.append(_feeds(rng, world, *keeper))
    world.filming = Filming(distance_m=(4.0, 7.0), lenses=LENSES, focus=lambda time_s: np.array([0.0, front + 0.8]))
    return world


def _largest(herd) -> float:
    return max(SPECIES[name].radius_m for name in herd[0])


def _grounds(world: World, rng, path_half, front: float, deep_m: float) -> None:
    """Grass, the visitors' path, the soil of the enclosure, trees and houses round it, lamps by night."""
    stage = world.stage

    def soil(*kinds):
        image, period = textures.ground(rng, rng.choice(kinds))
        return stage.material(image=image, period_m=period)

    stage.floor(250, soil("grass"))
    stage.sky(textures.sky(rng, night=world.night))
    paving = soil("asphalt", "concrete", "gravel", "earth")
    if rng.random() < 0.4:
        image, period = textures.tiles(rng, rng.uniform(0.3, 0.6))
        paving = stage.material(image=image, period_m=period)
    stage.box((0, 0, 0.0015), (60, front - 0.1, 0.0015), paving, ground=True)
    stage.box(
        (0, front + deep_m / 2, 0.001), (path_half[0], deep_m / 2, 0.001), soil("earth", "grass", "gravel"), ground=True
    )
    for _ in range(rng.integers(4, 14)):
        props.tree(stage, rng, np.array([rng.uniform(-30, 30), front + deep_m + rng.uniform(3, 25)]))
    for _ in range(rng.integers(2, 8)):
        props.tree(stage, rng, np.array([rng.uniform(-25, 25), -front - rng.uniform(2, 15)]))
    for _ in range(rng.integers(0, 3)):
        props.building(stage, rng, 35, 70, world.night)
    lamps = []
    if world.night or rng.random() < 0.3:
        corners = (
            (-0.6, -front + 0.2),
            (0.6, -front + 0.2),
            (-0.45, front + deep_m - 0.4),
            (0.45, front + deep_m - 0.4),
        )
        for x, y in corners:
            place = (x * path_half[0], y)
            world.taken.append((*place, 0.3))
            lamps.append(props.lamp(stage, rng, place, world.night))
    world.shadows = light_up(stage, rng, True, 0.0, path_half, world.night, lamps)


def _fences(
    world: World, rng, wide: float, front: float, deep_m: float, moat_m: float, fierce: bool, two: bool
) -> None:
    """Round the enclosure, and between two; with a moat, behind a low wall."""
    stage, back = world.stage, front + deep_m
    corners = np.array([(-wide, front), (wide, front), (wide, back), (-wide, back)])
    if moat_m:
        pens.wall(stage, rng, corners[0], corners[1], rng.uniform(0.6, 0.9))
        pens.moat(stage, rng, (0, front + 0.2 + moat_m / 2), (wide - 0.1, moat_m / 2))
    elif fierce:
        fence = (pens.bar_fence, pens.mesh_fence)[rng.integers(2)]
        fence(stage, rng, corners[0], corners[1], rng.uniform(2.2, 3.0))
    else:
        fence = (pens.rail_fence, pens.rail_fence, pens.mesh_fence)[rng.integers(3)]
        fence(stage, rng, corners[0], corners[1], rng.uniform(1.1, 1.35))
    around = (pens.wall, pens.hedge, pens.rail_fence)[rng.integers(2 if fierce else 3)]
    height_m = rng.uniform(1.8, 3.0) if fierce else rng.uniform(1.2, 2.2)
    for a, b in ((1, 2), (2, 3), (3, 0)):
        around(stage, rng, corners[a], corners[b], height_m)
    lines = [corners[[0, 1]], corners[[1, 2]], corners[[2, 3]], corners[[3, 0]]]
    if two:
        lines.append(np.array([(0, front), (0, back)]))
        (pens.mesh_fence if fierce else pens.rail_fence)(stage, rng, *lines[-1], max(height_m, 1.2))
    if moat_m:
        lines.append(np.array([(-wide, front + moat_m), (wide, front + moat_m)]))
    for a, b in lines:
        world.taken += [(*place, 0.4) for place in np.linspace(a, b, int(np.linalg.norm(b - a) / 0.6) + 1)]
    pens.sign(stage, rng, (rng.uniform(-0.7, 0.7) * wide, front + 0.14))


def _herd(world: World, rng, pen: Pen, species, count: int) -> list[tuple[str, int, bool]]:
    """(species, actor, lying) of animals that roam each in its part of the enclosure, stand or lie."""
    names = [str(species[i % len(species)]) for i in range(count)]
    radii = np.array([SPECIES[name].radius_m for name in names])
    rests = rng.random(count) < 0.35
    rests[rng.integers(count)] = False
    room_m = 2 * radii * np.where(rests, 1.02, 1.4)
    while len(names) > 1 and room_m[: len(names)].sum() > 2 * pen.half[0]:
        names.pop()
    shares = room_m[: len(names)] / room_m[: len(names)].sum()
    edges = pen.center[0] + pen.half[0] * (2 * np.concatenate([[0], np.cumsum(shares)]) - 1)
    cast = []
    for name, rest, left, right in zip(names, rests, edges[:-1], edges[1:], strict=False):
        kind, center = SPECIES[name], np.array([(left + right) / 2, pen.center[1]])
        room = np.maximum([(right - left) / 2 - kind.radius_m, pen.half[1] - kind.radius_m], 0)
        if rest or room.min() < kind.trail_m:
            place, lying = center + rng.uniform(-1, 1, 2) * room, rng.random() < 0.55
            lying = bool(lying and kind.plan in ("hoofed", "pawed"))
            cast.append((name, world.script.stand(place, rng.uniform(-np.pi, np.pi), kind.radius_m), lying))
        else:
            way = _roam(rng, center, room, kind.brisk_m_s, world.script.period_s)
            cast.append((name, world.script.walk(*way, kind.radius_m), False))
    return cast


def _roam(rng, center, half, brisk_m_s: float, period_s: float):
    """times_s and places of one or two rounds with pauses to graze or look."""
    count = 12
    angles = rng.choice([-1, 1]) * 2 * np.pi * np.arange(count) / count + rng.uniform(0, 2 * np.pi)
    ring = center + half * rng.uniform(0.75, 1, (count, 1)) * np.stack([np.cos(angles), np.sin(angles)], -1)
    steps_m = np.linalg.norm(np.roll(ring, -1, 0) - ring, axis=-1)
    speed_m_s = max(brisk_m_s * rng.uniform(0.55, 0.9), steps_m.sum() / (0.85 * period_s))
    rounds = 2 if 2 * steps_m.sum() / speed_m_s < 0.7 * period_s else 1
    places, legs_s = np.tile(ring, (rounds, 1)), np.tile(steps_m, rounds) / speed_m_s
    stops = rng.choice(len(places), rng.integers(1, 4), replace=False)
    pauses_s = np.zeros(len(places))
    pauses_s[stops] = rng.dirichlet(np.full(len(stops), 2.0)) * (period_s - legs_s.sum())
    arrive = np.concatenate([[0], np.cumsum(pauses_s + legs_s)[:-1]])
    times = np.stack([arrive, arrive + pauses_s], -1).reshape(-1)
    keep = np.diff(times, append=period_s) > 0.05
    return times[keep], np.repeat(places, 2, 0)[keep]


def _keeper(world: World, rng, pen: Pen, food) -> tuple[int, np.ndarray]:
    """The actor of one who goes to the food along the back, and when he is there."""
    lane = pen.center[1] + pen.half[1] + 0.55
    gate = pen.center[0] + rng.uniform(-0.8, 0.8) * pen.half[0]
    way = np.array([(gate, lane), (food[0], lane), (food[0], food[1] - 0.8), (food[0], lane)])
    legs_s = np.maximum(np.linalg.norm(np.roll(way, -1, 0) - way, axis=-1), 0.5) / 0.75
    spare_s = (world.script.period_s - legs_s.sum()) * np.array([0.3, 0.05, 0.6, 0.05])
    arrive = np.concatenate([[0], np.cumsum(legs_s + spare_s)[:-1]])
    times = np.stack([arrive, arrive + spare_s], -1).reshape(-1)
    return world.script.walk(times, np.repeat(way, 2, 0), 0.4), times[4:6]


def _feeds(rng, world: World, actor: int, there_s) -> People:
    color = textures.color(rng, (0.1, 0.35), (0.3, 0.6), (0.25, 0.5))
    people = People(rng, world.script, [actor], dress={"top": color, "bottom": 0.8 * color, "shoe": (40, 32, 25)})
    for time_s in np.arange(there_s[0] + 1.5, there_s[1] - 2, 4.0):
        gestures.bend(people, 0, time_s, rng.uniform(0.8, 1.6), rng.uniform(0.6, 1.0))
    return people


def _visitors(crowd: Crowd, rng, count: int, front: float) -> None:
    """Some at the fence, in families, some who come, look, and go, some who pass."""
    wide = crowd.half[0]
    walkers = int(rng.integers(1, max(2, count // 2 + 1)))
    slots = rng.permutation(np.arange(-0.8 * wide, 0.7 * wide, 2.9))
    left = count - walkers
    for x in slots:
        family = min(left, int(rng.choice([1, 2, 3], p=[0.35, 0.4, 0.25])))
        for index in range(family):
            place = np.array([x + 0.9 * index, front - rng.uniform(0.7, 0.9)])
            crowd.stand(place, np.pi / 2 + rng.normal(0, 0.25), _watches(rng))
        left -= family
        if left <= 0:
            break
    free = list(slots[::-1])
    for index in range(walkers):
        lane, x = front - rng.uniform(1.6, 2.3), free[index % len(free)]
        start = rng.choice([-1, 1]) * wide
        way = [(start, lane), (x, lane), (x + 0.2, front - 0.75)] if index % 2 else [(-wide, lane), (wide, lane)]
        crowd.go([np.array(way)], rng.uniform(0.8, 1.25))


def _watches(rng):
    """One who stands at the fence: points, takes pictures, waves, leans, looks about."""

    def act(people: People, person: int) -> None:
        people.rest(person, str(rng.choice(["relaxed", "hands_together", "folded"], p=[0.6, 0.25, 0.15])))
        time_s = rng.uniform(0, 3)
        while time_s < people.script.period_s - 6:
            what = rng.choice(["point", "picture", "wave", "look", "lean"], p=[0.25, 0.25, 0.1, 0.25, 0.15])
            if what == "picture":
                _pictures(people, person, time_s, rng.uniform(2.5, 5))
            elif what == "lean":
                people.act(person, time_s + np.array([0, 0.8, 2.6, 3.4]), lean=[0, 0.35, 0.35, 0], nod=[0, 0.2, 0.2, 0])
            elif what == "look":
                gestures.look_around(people, person, time_s)
            else:
                (gestures.point if what == "point" else gestures.wave)(people, person, time_s, int(rng.integers(2)))
            time_s += rng.uniform(5.5, 9)

    return act


def _pictures(people: People, person: int, time_s: float, seconds: float) -> None:
    """Both hands hold a camera before the eyes."""
    keys = time_s + np.array([0, 0.7, seconds, seconds + 0.6])
    held = {f"{name}_{side}": [0, value, value, 0] for side in "lr" for name, value in
            (("lift", 0.85), ("elbow", 1.75), ("roll", 0.45))}  # fmt: skip
    people.act(person, keys, nod=[0, 0.1, 0.1, 0], **held)
