"""Rigid movers: a warehouse, or a car park by day and night; carts, cars and robots, and people who work between."""

from __future__ import annotations

import numpy as np

from ..actors.crowd import Crowd, heading
from ..actors.loads import Loads
from ..actors.people import People
from ..actors.vehicles import KINDS, Vehicles, grips
from ..sets import pens, props, textures
from ..sets.stage import Stage, light_up
from ..world import Filming, World

MOUNTS = {"robot": 0.35, "hand": 0.25, "tripod": 0.25, "mast": 0.15}
SLOT_M = (2.6, 5.0)  # of a parked car


def build(rng: np.random.Generator) -> World:
    """2 to 7 vehicles, some of them parked, and 2 to 6 people, who may carry boxes."""
    return warehouse(rng) if rng.random() < 0.5 else car_park(rng)


def warehouse(rng) -> World:
    """Racks along the walls, pallets in the middle, a marked lane round them."""
    half = np.array([rng.uniform(8.5, 11), rng.uniform(12, 22)])
    world = World(Stage(), half, ceiling_m=rng.uniform(5.5, 8.5), night=rng.random() < 0.3)
    stage, block = world.stage, np.array([rng.uniform(0.8, 1.4), half[1] - 7.6])
    image, period = textures.ground(rng, "concrete") if rng.random() < 0.7 else textures.sports_floor(rng)
    stage.floor(60, stage.material(image=image, period_m=period, shine=rng.uniform(0, 0.3)))
    props.hall(stage, rng, half, world.ceiling_m, False)
    world.shadows = light_up(stage, rng, False, world.ceiling_m, half)
    for side in (-1, 1):
        for y in np.arange(-half[1] + 2.5, half[1] - 2, 2.8):
            if rng.random() < 0.9:
                _rack(world, rng, np.array([side * (half[0] - 0.75), y]), world.ceiling_m - 1)
    for y in np.arange(-block[1] + 1, block[1], 1.9):
        if rng.random() < 0.75:
            _pallet(world, rng, np.array([rng.uniform(-0.1, 0.1), y]))
    lane = block + (half[0] - 1.4 - block[0]) / 2
    _lane(stage, rng, lane, 1.9)
    kinds = ["forklift", "pallet_mover", "pallet_mover", "hand_cart", "rover", "delivery_robot"]
    crew = Crew(world, rng)
    crew.ride(lane, [str(kind) for kind in rng.choice(kinds, rng.integers(2, 5))])
    for _ in range(rng.integers(0, 3)):
        crew.park(str(rng.choice(kinds[:2] + ["rover", "golf_cart"])))
    crew.work(int(rng.integers(3, 7)), half - 1.6, child_share=0.0)
    _cones(world, rng, half)
    return world


def car_park(rng) -> World:
    """Cars in marked bays round a lane, houses and trees beyond; shoppers, and robots that deliver."""
    bays = rng.integers(2, 4)
    block = np.array([bays * SLOT_M[0], SLOT_M[1] + 1.2])
    lane = block + rng.uniform(3.0, 3.5)
    half = lane + (3.2 + SLOT_M[1] / 2, 3.4 + SLOT_M[1])
    world = World(Stage(), half, night=rng.random() < 0.3, shadow_reach_m=18.0)
    stage = world.stage
    image, period = textures.ground(rng, rng.choice(["asphalt", "concrete", "gravel"], p=[0.6, 0.25, 0.15]))
    stage.floor(250, stage.material(image=image, period_m=period))
    stage.sky(textures.sky(rng, night=world.night))
    for _ in range(rng.integers(3, 8)):
        props.building(stage, rng, half.max() + 8, 70, world.night)
    for _ in range(rng.integers(3, 12)):
        angle = rng.uniform(0, 2 * np.pi)
        props.tree(stage, rng, (np.linalg.norm(half) + rng.uniform(1, 18)) * heading(angle))
    lamps = []
    for x, y in ((-1, -1), (1, 1), (-1, 1), (1, -1))[: rng.integers(2, 5)]:
        place = (x * (block[0] + 0.6), y * 0.7)
        world.taken.append((*place, 0.3))
        lamps.append(props.lamp(stage, rng, place, world.night))
    world.shadows = light_up(stage, rng, True, 0.0, half, world.night, lamps)
    crew = Crew(world, rng)
    slots = [(x, side * SLOT_M[1] / 2, side) for x in _centers(block[0]) for side in (-1, 1)]
    slots += [(x, side * (lane[1] + 3.0 + SLOT_M[1] / 2), -side) for x in _centers(lane[0]) for side in (-1, 1)]
    white = stage.material(textures.color(rng, (0.1, 0.16), (0, 0.1), (0.8, 1)))
    for x, y, _ in slots:
        for edge in (-SLOT_M[0] / 2, SLOT_M[0] / 2):
            stage.box((x + edge, y, 0.002), (0.05, SLOT_M[1] / 2, 0.002), white, ground=True)
    near = sorted(slots, key=lambda slot: abs(slot[1]) + rng.uniform(0, 6))[: rng.integers(2, 5)]
    for x, y, facing in near:
        yaw = facing * np.pi / 2 + rng.choice([0, np.pi]) + rng.normal(0, 0.03)
        crew.stop(str(rng.choice(["car", "car", "car", "van", "golf_cart"])), np.array([x, y]), yaw)
    ways = rng.choice(["car", "car", "van", "golf_cart", "delivery_robot", "rover", "hand_cart"], rng.integers(1, 4))
    crew.ride(lane, [str(kind) for kind in ways])
    crew.work(int(rng.integers(2, 6)), np.append(lane[0] - 2.8, lane[1] - 2.8), child_share=0.2)
    _cones(world, rng, half)
    return world


class Crew:
    """Vehicles and the people between them."""

    def __init__(self, world: World, rng):
        self.world, self.rng = world, rng
        self.kinds: list[str] = []
        self.actors: list[int] = []

    def stop(self, kind: str, place, yaw: float) -> None:
        """Parked: three discs along it keep others away."""
        radius = KINDS[kind].radius_m
        for along in (-0.58, 0, 0.58):
            self.world.taken.append((*(place + along * radius * heading(yaw)), 0.45 * radius))
        self.kinds.append(kind)
        self.actors.append(self.world.script.stand(place, yaw, 0.45 * radius))

    def park(self, kind: str) -> None:
        """Along a wall at an end of the hall."""
        half, radius = self.world.half, KINDS[kind].radius_m
        for _ in range(20):
            place = np.array([self.rng.uniform(-1, 1) * (half[0] - 4), self.rng.choice([-1, 1]) * (half[1] - 1.3)])
            if self.world.free(place, 1.1 * radius):
                self.stop(kind, place, self.rng.choice([0, np.pi]) + self.rng.normal(0, 0.05))
                return

    def ride(self, lane, kinds: list[str]) -> None:
        """Round the lane one behind the other, slower and faster in turns."""
        rng, script = self.rng, self.world.script
        ring = _ring(lane, min(3.5, lane.min() - 0.2))
        gone = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(ring, axis=0), axis=-1))])
        times, turn = np.arange(0, script.period_s, 0.8), rng.choice([-1, 1])
        gap, speed, start = gone[-1] / len(kinds), gone[-1] / script.period_s, rng.uniform(0, gone[-1])
        for index, kind in enumerate(kinds):
            waves = int(rng.integers(1, 4))
            # it may come to a stop, but never drives back
            sway = min(0.12 * gap, 0.95 * speed * script.period_s / (2 * np.pi * waves))
            s = start + index * gap + speed * times
            s = s + sway * np.sin(2 * np.pi * waves * times / script.period_s + rng.uniform(0, 2 * np.pi))
            places = np.stack([np.interp(turn * s % gone[-1], gone, ring[:, axis]) for axis in (0, 1)], -1)
            self.kinds.append(kind)
            self.actors.append(script.walk(times, places, KINDS[kind].radius_m))

    def work(self, count: int, half, child_share: float) -> None:
        """Settle all; people push, carry, handle things, talk, and walk about."""
        world, rng = self.world, self.rng
        crowd, carriers = Crowd(world, rng, half=half), []
        for kind, actor in zip(self.kinds, self.actors, strict=True):
            if kind == "hand_cart":
                crowd.add(actor, lambda people, person, actor=actor: _push(world.script, people, person, actor))
        for _ in range(4 * count):
            if len(crowd.actors) >= count:
                break
            what, before = rng.choice(["work", "talk", "stroll", "carry"], p=[0.3, 0.2, 0.25, 0.25]), len(crowd.actors)
            if what == "talk":
                crowd.talk(2)
            elif what == "work":
                crowd.work()
            else:
                crowd.stroll(int(rng.integers(2, 5)))
                if what == "carry":
                    carriers += range(before, len(crowd.actors))
        people = crowd.perform(child_share)
        if world.ceiling_m:
            vest = textures.color(rng, (0.05, 0.2), (0.85, 1), (0.85, 1))
            people.outfits = [{"top": vest} if rng.random() < 0.7 else outfit or {} for outfit in people.outfits]
        world.troupes.append(Vehicles(world.script, self.kinds, self.actors))
        if carriers:
            world.troupes.append(Loads(rng, people, carriers))
        world.filming = Filming(MOUNTS, (4.0, 11.0))


def _push(script, people: People, person: int, actor: int) -> None:
    """Both hands on the bar, all the way."""
    blend_s = 0.02  # the end of the loop is its beginning
    times = np.append(np.arange(0, script.period_s - 0.2, 0.25), script.period_s - blend_s)
    points = np.stack([grips(script, actor, time_s) for time_s in times])
    for hand in (0, 1):
        people.reach(person, hand, times, points[:, hand], blend_s)


def _ring(half, corner_m: float) -> np.ndarray:
    """(k, 2) points of a closed rectangle +-half with round corners, from its first point to the same again."""
    turns = np.linspace(0, np.pi / 2, 7)
    corners = []
    for quarter, (x, y) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        angles = quarter * np.pi / 2 + turns
        middle = np.array([x, y]) * (half - corner_m)
        corners.append(middle + corner_m * np.stack([np.cos(angles), np.sin(angles)], -1))
    ring = np.concatenate(corners)
    return np.concatenate([ring, ring[:1]])


def _centers(half_m: float) -> np.ndarray:
    """Middles of as many bays as there is room for within +-half_m."""
    count = max(int(2 * half_m / SLOT_M[0]), 1)
    return (np.arange(count) - (count - 1) / 2) * SLOT_M[0]


def _lane(stage: Stage, rng, lane, half_width: float) -> None:
    """Lines 0.1 m wide on both sides of the way round."""
    look = stage.material(textures.color(rng, (0.11, 0.16), (0.0 if rng.random() < 0.3 else 0.9, 1), (0.85, 1)))
    for half in (lane - half_width, lane + half_width):
        if half.min() < 0.3:
            continue
        for x, y in ((1, 0), (-1, 0)):
            stage.box((x * half[0], y, 0.002), (0.05, half[1] + 0.05, 0.002), look, ground=True)
            stage.box((y, x * half[1], 0.002), (half[0] + 0.05, 0.05, 0.002), look, ground=True)


def _rack(world: World, rng, place, top_m: float) -> None:
    """A bay 2.8 m wide against a wall: steel uprights, shelves every 1.4 to 1.8 m with goods on them."""
    stage, out = world.stage, -np.sign(place[0])
    for x in (-0.45, 0.45):
        stage.box((*(place + (x, -1.35)), top_m / 2), (0.045, 0.045, top_m / 2), stage.material((40, 70, 150)))
    step, orange = rng.uniform(1.4, 1.8), stage.material((225, 110, 30))
    for level in np.arange(0.12, top_m - 0.8, step):
        if level > 0.5:
            stage.box((place[0] + out * 0.02, place[1], level - 0.06), (0.46, 1.35, 0.06), orange)
        for y in (-0.66, 0.66):
            if rng.random() < 0.75:
                _stack(stage, rng, place + (0, y), level, rng.uniform(0.5, step - 0.35), 1)
    world.taken += [(*(place + (0, y)), 0.6) for y in (-0.9, 0, 0.9)]


def _pallet(world: World, rng, place) -> None:
    """A pallet with goods as high as a man, or lower, or empty ones in a pile."""
    world.taken.append((*place, 0.8))
    if rng.random() < 0.25:
        look = pens.wood(world.stage, rng)
        for level in range(rng.integers(3, 9)):
            world.stage.box((*place, 0.07 + 0.145 * level), (0.6, 0.4, 0.06), look, rng.normal(0, 0.03))
    else:
        _stack(world.stage, rng, place, 0.0, rng.uniform(0.5, 1.7))


def _stack(stage: Stage, rng, place, floor: float, height: float, layers: int = 4) -> None:
    """A wooden pallet 1.2 x 0.8 m under cartons in so many layers at most, drums, or one wrapped block."""
    stage.box((*place, floor + 0.07), (0.42, 0.58, 0.07), pens.wood(stage, rng))
    floor += 0.14
    kind = rng.random()
    if kind < 0.15:
        look = pens.paint(stage, rng, saturation=(0.3, 0.9), value=(0.2, 0.7))
        for x, y in ((-0.2, -0.3), (0.2, -0.3), (-0.2, 0.3), (0.2, 0.3)):
            stage.cylinder((*(place + (x, y)), floor + 0.3), 0.19, 0.3, look)
    elif kind < 0.5:
        stage.box((*place, floor + height / 2), (0.4, 0.56, height / 2), pens.paint(stage, rng, saturation=(0, 0.5)))
    else:
        card = [pens.paint(stage, rng, (0.06, 0.1), (0.2, 0.55), (0.45, 0.85)) for _ in range(2)]
        layers = int(np.clip(round(height / 0.4), 1, layers))
        for layer in range(layers):
            for side in (-1, 1):
                middle = floor + height * (layer + 0.5) / layers
                size = (0.39, 0.27, 0.49 * height / layers)
                stage.box((*(place + (0, 0.28 * side)), middle), size, card[(layer + side) % 3 % 2])


def _cones(world: World, rng, half) -> None:
    """Traffic cones 0.5 m high where nobody ever comes."""
    orange, white = world.stage.material((235, 85, 20)), world.stage.material((240, 240, 240))
    rings = (
        (0.02, 0.02, 0.2, orange),
        (0.12, 0.08, 0.11, orange),
        (0.27, 0.08, 0.08, white),
        (0.42, 0.08, 0.05, orange),
    )
    ways = np.stack([world.script.at(time_s)[0] for time_s in world.script.times_s[::8]])
    clear_m = np.array(world.script.radius_m) + 0.5
    for _ in range(rng.integers(0, 8)):
        place = world.spot(rng, 0.3, half - 0.5)
        if place is not None and (np.linalg.norm(ways - place, axis=-1) > clear_m).all():
            world.taken.append((*place, 0.3))
            for level, tall, radius, look in rings:
                world.stage.cylinder((*place, level), radius, tall, look)
