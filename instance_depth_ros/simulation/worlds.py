"""Rooms, courts and plazas: what stands where, who moves how, and where a camera may be. Sizes follow the real ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import props, textures
from .actors import People
from .stage import Stage, light_up

# real courts: length, width (metres)
COURTS = {"basketball": (28.0, 15.0), "badminton": (13.4, 6.1), "volleyball": (18.0, 9.0)}


@dataclass
class World:
    """A furnished stage. taken: (x, y, radius) of what stands on the floor. cameras: how often each mount is used."""

    stage: Stage
    half: np.ndarray  # people and cameras stay within +-half (x, y)
    mounts: dict[str, float]
    taken: list[tuple[float, float, float]] = field(default_factory=list)
    people: People | None = None
    shadow_reach_m: float = 12.0
    crowd_m: float = 6.0
    seats: list[tuple[float, float, float]] = field(default_factory=list)
    height_limit_m: float = 9.0

    def spot(self, rng, radius: float, half=None, tries=40):
        """A place (2,) free for a disc of radius, or None."""
        half = self.half if half is None else half
        for _ in range(tries):
            place = rng.uniform(-1, 1, 2) * np.maximum(np.asarray(half) - radius, 0.1)
            if all(np.hypot(place[0] - x, place[1] - y) > radius + r for x, y, r in self.taken):
                return place
        return None

    def put(self, rng, prop, radius: float, half=None, *args, tries=40) -> None:
        """Stand a prop on a free place, if there is one."""
        place = self.spot(rng, radius, half, tries)
        if place is not None:
            self.taken.append((*place, radius))
            prop(self.stage, rng, place, *args)

    def clear(self, points: np.ndarray, margin: float) -> bool:
        """Whether all ground points (n, 2) lie within the world and off its things."""
        if (np.abs(points) > self.half - margin).any():
            return False
        return all((np.hypot(points[:, 0] - x, points[:, 1] - y) > r + margin).all() for x, y, r in self.taken)


def room(rng) -> World:
    """A room or hall 4 to 12 m wide with doors, windows and furniture; people stand, walk, reach and sit."""
    stage = Stage()
    half = np.array([rng.uniform(2.2, 6), rng.uniform(2.6, 7)])
    ceiling = rng.uniform(2.4, 3.2) if half.min() < 4 else rng.uniform(2.8, 4.5)
    world = World(stage, half, {"robot": 0.35, "hand": 0.4, "stand": 0.25}, shadow_reach_m=8, crowd_m=half.max(),
                  height_limit_m=min(2.4, ceiling - 0.3))  # fmt: skip
    image, period = (textures.tiles, textures.planks, textures.plain)[rng.integers(3)](rng)
    stage.floor(20, stage.material(image=image, period_m=period, shine=rng.uniform(0, 0.3)))
    props.hall(stage, rng, half, ceiling, windows=True)
    for _ in range(rng.integers(1, 5)):
        world.put(rng, props.table, 1.0, None, world.seats)
    for _ in range(rng.integers(0, 4)):
        world.put(rng, props.box, 0.45)
    for _ in range(rng.integers(0, 3)):
        world.put(rng, props.cupboard, 0.5)
    sitting = min(len(world.seats), rng.integers(0, 4))
    motions = ["sit"] * sitting + list(rng.choice(["walk", "stand", "reach"], rng.integers(3, 8), p=[0.5, 0.3, 0.2]))
    settle(world, rng, motions)
    return world


def court(rng) -> World:
    """A basketball, badminton or volleyball court of true size, in a hall or outdoors, with players and onlookers."""
    stage = Stage()
    sport = rng.choice(list(COURTS))
    size = np.array(COURTS[sport])
    half = size / 2 + rng.uniform(2, 7, 2)
    world = World(stage, half, {"robot": 0.15, "hand": 0.3, "stand": 0.35, "mast": 0.2}, shadow_reach_m=14,
                  crowd_m=size[1] / 2)  # fmt: skip
    outdoors = rng.random() < 0.45
    image, period = textures.planks(rng) if not outdoors else textures.ground(rng, rng.choice(["asphalt", "grass"]))
    stage.floor(250, stage.material(image=image, period_m=period))
    props.court(stage, rng, sport, size)
    if outdoors:
        stage.sky(textures.sky(rng))
        props.surroundings(stage, rng, half)
        light_up_shadow = light_up(stage, rng, True)
    else:
        ceiling = rng.uniform(6, 10)
        props.hall(stage, rng, half, ceiling, windows=rng.random() < 0.5, lights=False)
        light_up_shadow = light_up(stage, rng, False, ceiling, half)
        world.height_limit_m = ceiling - 1
    world.shadow_reach_m *= 1 if light_up_shadow else -1
    for _ in range(rng.integers(0, 4)):
        world.put(rng, props.bench, 1.0, None, world.seats)
    sitting = min(len(world.seats), rng.integers(0, 4))
    players = ["play"] * int(rng.integers(2, 7)) + ["run"] * int(rng.integers(0, 4))
    settle(world, rng, ["sit"] * sitting + players + list(rng.choice(["stand", "walk", "reach"], rng.integers(1, 4))),
           size / 2)  # fmt: skip
    return world


def plaza(rng) -> World:
    """Open ground to 80 m and more: crossing paths, trees, lamps, benches, cars, buildings; people walk."""
    stage = Stage()
    half = np.array([60.0, 60.0])
    crowd = rng.uniform(5, 13)
    world = World(stage, half, {"robot": 0.12, "hand": 0.23, "stand": 0.15, "mast": 0.5}, shadow_reach_m=22,
                  crowd_m=crowd)  # fmt: skip
    image, period = textures.ground(rng, rng.choice(["grass", "asphalt", "gravel", "earth"], p=[0.4, 0.25, 0.2, 0.15]))
    if rng.random() < 0.25:
        image, period = textures.tiles(rng, rng.uniform(0.4, 0.6), 512, 8)
    stage.floor(250, stage.material(image=image, period_m=period))
    stage.sky(textures.sky(rng))
    directions = props.footpaths(stage, rng, crowd)
    for _ in range(rng.integers(3, 9)):
        props.building(stage, rng)
    near = np.array([crowd, crowd]) * 1.6
    for prop, most, radius in ((props.tree, 9, 0.6), (props.lamp, 5, 0.4), (props.bench, 4, 1.0), (props.box, 3, 0.5)):
        for _ in range(rng.integers(0, most)):
            world.put(rng, prop, radius, near, *([world.seats] if prop is props.bench else []))
    for _ in range(rng.integers(0, 5)):
        world.put(rng, props.car, 2.6, near)
    for _ in range(rng.integers(2, 14)):
        world.put(rng, props.tree, 1.0, half)
    if not light_up(stage, rng, True):
        world.shadow_reach_m *= -1
    motions = rng.choice(["walk", "stand", "run", "reach"], rng.integers(6, 15), p=[0.68, 0.17, 0.1, 0.05])
    sitting = min(len(world.seats), rng.integers(0, 3))
    settle(world, rng, ["sit"] * sitting + list(motions), (crowd, crowd), directions)
    return world


def settle(world: World, rng, motions: list[str], half=None, directions=()) -> None:
    """Give everyone a seat, a place or a way that is free; who finds none is dropped."""
    half = world.half if half is None else np.asarray(half)
    people = People(rng, [str(m) for m in motions])
    seats = [world.seats[i] for i in rng.permutation(len(world.seats))]
    kept = []
    for index, motion in enumerate(people.motions):
        if motion == "sit":
            x, y, people.heading[index] = seats.pop()
            people.place[index] = x, y
            kept.append(index)
        elif _place(world, rng, people, index, half, directions, kept):
            kept.append(index)
    world.people = people.subset(kept)


def _place(world, rng, people, index, half, directions, kept) -> bool:
    for _ in range(40):
        radius = rng.uniform(0.3, 1.2) if people.moving[index] else 0.0
        length = rng.uniform(0.1, 1.3) * half.max() if people.moving[index] else 0.0
        heading = rng.uniform(-np.pi, np.pi)
        if len(directions) and rng.random() < 0.6:
            heading = rng.choice(directions) + rng.choice([0, np.pi])
        place = rng.uniform(-1, 1, 2) * half
        if kept and rng.random() < 0.3:  # company: side by side, or facing each other
            place = people.place[kept[-1]] + rng.uniform(0.6, 1.0) * _unit(rng.uniform(0, 2 * np.pi))
            if people.moving[kept[-1]] == people.moving[index]:
                heading, length = people.heading[kept[-1]], people.length_m[kept[-1]]
                radius = people.radius_m[kept[-1]]
        ahead, side = _unit(heading), _unit(heading + np.pi / 2)
        s, w = np.meshgrid(np.linspace(-0.5, 0.5, 9) * length + 0, (-radius, radius))
        reach = np.where(np.abs(s) > 0.49 * length, np.sign(s) * radius, 0)
        way = place + (s + reach)[..., None] * ahead + w[..., None] * side
        if not world.clear(way.reshape(-1, 2), 0.35):
            continue
        if kept and np.linalg.norm(people.place[kept] - place, axis=1).min() < 0.55:
            continue
        people.place[index], people.heading[index] = place, heading
        people.length_m[index], people.radius_m[index] = length, radius
        return True
    return False


def _unit(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


BUILD = {"room": room, "court": court, "plaza": plaza}
