"""A plaza seen from a mast: people cross, meet, talk, sit and run between trees, lamps, benches, houses and cars."""

from __future__ import annotations

import numpy as np

from ..actors.crowd import Crowd, heading
from ..actors.vehicles import KINDS, Vehicles
from ..sets import props, textures
from ..sets.stage import Stage, light_up
from ..world import Filming, World

MAST = Filming({"mast": 1.0}, (12.0, 30.0), None, ("mast_30", "mast_45"))
_LANE_M = 2.9  # of a lane from the middle of the road
EYES = Filming({"hand": 0.45, "tripod": 0.3, "robot": 0.25}, (4.0, 14.0))


def build(rng: np.random.Generator) -> World:
    """5 to 15 people on open ground to 80 m and more, day or night."""
    world = World(Stage(), np.array([60.0, 60.0]), night=rng.random() < 0.3, shadow_reach_m=22.0)
    crowd_m = rng.uniform(5, 11)
    world.filming = MAST if rng.random() < 0.75 else EYES
    if not world.night and rng.random() < 0.2:
        world.haze_m = rng.uniform(120, 300)
    world.stage.floor(250, _ground(world.stage, rng))
    world.stage.sky(textures.sky(rng, night=world.night))
    paths = props.footpaths(world.stage, rng, crowd_m)
    road = _road(world, rng, crowd_m) if rng.random() < 0.6 else None
    lane = [] if road is None else [(*(road[0] + s * heading(road[1])), 8.0) for s in np.arange(-60, 61, 6.0)]
    world.taken += lane
    lamps = furnish_square(world, rng, (0, 0), np.full(2, 1.5 * crowd_m))
    world.shadows = light_up(world.stage, rng, True, 0.0, (1.3 * crowd_m,) * 2, world.night, lamps)
    _houses(world, rng, road)
    for _ in range(rng.integers(2, 14)):
        world.put(rng, props.tree, 1.0)
    world.taken = [thing for thing in world.taken if thing not in lane]
    vehicles = _cars(world, rng, crowd_m, road)
    crowd = Crowd(world, rng, half=np.full(2, crowd_m))
    people(crowd, rng, int(rng.integers(7, 16)), crowd_m, paths)
    crowd.perform(0.2)
    if vehicles:
        world.troupes.append(Vehicles(world.script, *zip(*vehicles, strict=True)))
    return world


def furnish_square(world: World, rng, center, half) -> list[tuple[float, float, float]]:
    """Trees, hedges, tubs, benches, boxes and street lamps; returns where the lamps' lights are."""
    for prop, most, radius in (
        (props.tree, 7, 0.6),
        (props.hedge, 3, 1.6),
        (props.planter, 4, 0.5),
        (props.box, 3, 0.5),
    ):
        for _ in range(rng.integers(0, most)):
            world.put(rng, prop, radius, half, center=center)
    for _ in range(rng.integers(1, 5)):
        world.put(rng, props.bench, 1.0, half, world.seats, center=center)
    lights = []
    for _ in range(rng.integers(3, 6)):
        place = world.spot(rng, 0.4, half, center=center)
        if place is not None:
            world.taken.append((*place, 0.4))
            lights.append(props.lamp(world.stage, rng, place, world.night))
    return lights


def people(crowd: Crowd, rng, count: int, crowd_m: float, paths=()) -> None:
    """count of them, some in company."""
    wanted, count = count, count + len(crowd.actors)
    crowd.sit(int(rng.integers(0, wanted // 3 + 1)))
    kinds = rng.choice(["talk", "meet", "cross", "stroll", "run"], 30, p=[0.22, 0.13, 0.35, 0.2, 0.1])
    # those who stand come first: the others walk round them
    for kind in [*kinds[kinds == "talk"], *kinds[kinds != "talk"]]:
        left = count - len(crowd.actors)
        if left <= 0:
            break
        if kind == "talk":
            # no more than about half of them stand
            if left > 0.6 * wanted:
                crowd.talk(int(rng.integers(2, 3 + left // 3)))
        elif kind == "meet" and left >= 2:
            crowd.meet()
        elif kind == "run":
            crowd.run(0.9 * crowd_m)
        elif kind == "cross":
            _cross(crowd, rng, min(left, int(rng.integers(1, 4))), paths)
        else:
            crowd.stroll(int(rng.integers(2, 5)))


def _cross(crowd: Crowd, rng, count: int, paths) -> None:
    """One to three side by side, over the place and back, some of them along a footpath."""
    for _ in range(8):
        place, angle = crowd.middle + rng.uniform(-0.7, 0.7, 2) * crowd.half, rng.uniform(0, 2 * np.pi)
        if len(paths) and rng.random() < 0.6:
            place, angle = paths[rng.integers(len(paths))]
        reach = rng.uniform(0.7, 1.2) * crowd.half.max()
        way = np.array([place - reach * heading(angle), place, place + reach * heading(angle)])
        aside = [0.85 * index * heading(angle + np.pi / 2) + rng.normal(0, 0.1, 2) for index in range(count)]
        if crowd.go([way + off for off in aside], rng.uniform(0.9, 1.5)):
            return


def _ground(stage: Stage, rng) -> str:
    if rng.random() < 0.3:
        image, period = textures.slabs(rng, 512, 8)
    else:
        kind = rng.choice(["grass", "asphalt", "concrete", "gravel", "earth"], p=[0.35, 0.25, 0.15, 0.15, 0.1])
        image, period = textures.ground(rng, kind)
    return stage.material(image=image, period_m=period)


def _houses(world: World, rng, road) -> None:
    """Three to eight, none of them on the road."""
    for _ in range(rng.integers(3, 9)):
        half, angle = rng.uniform(6, 16, 2), rng.uniform(0, 2 * np.pi)
        place = (rng.uniform(42, 100) + half.max()) * heading(angle)
        if road is None or abs((place - road[0]) @ heading(road[1] + np.pi / 2)) > 11 + 1.42 * half.max():
            props.house(world.stage, rng, place, half, angle + rng.uniform(-0.5, 0.5), world.night)


def _road(world: World, rng, crowd_m: float) -> tuple[np.ndarray, float]:
    """Two lanes and a strip to park on beside the crowd, with kerbs; returns a place on its middle and its heading."""
    angle = rng.uniform(0, 2 * np.pi)
    middle, along = (crowd_m + rng.uniform(8, 12)) * heading(angle), angle + np.pi / 2
    image, period = textures.ground(rng, "asphalt", 256)
    white, kerb = world.stage.material((225, 225, 220)), world.stage.material(textures.color(rng, saturation=(0, 0.1)))
    look = world.stage.material(image=image, period_m=period)
    world.stage.box((*(middle + 2 * heading(angle)), 0.008), (110, 7.5, 0.008), look, along, ground=True)
    for side in (-5.6, 9.6):
        # as far as where cars turn
        world.stage.box((*(middle + side * heading(angle)), 0.05), (53, 0.1, 0.05), kerb, along)
    for step in np.arange(-60, 61, 6.0):
        world.stage.box((*(middle + step * heading(along)), 0.009), (1.5, 0.06, 0.009), white, along, ground=True)
    return middle, along


def _cars(world: World, rng, crowd_m: float, road) -> list[tuple[str, int]]:
    """(kind, actor) of parked ones, and of those that drive up and down the road."""
    cars, script = [], world.script

    def park(kind, place, facing):
        radius = KINDS[kind].radius_m
        if world.free(place, radius):
            world.taken.append((*place, radius))
            cars.append((kind, script.stand(place, facing, radius)))

    for _ in range(rng.integers(0, 4)):
        place = rng.uniform(-1.8, 1.8, 2) * crowd_m
        if np.abs(place).max() > 1.1 * crowd_m:
            park(str(rng.choice(["car", "car", "van"])), place, rng.uniform(-np.pi, np.pi))
    if road is None:
        return cars
    middle, along = road
    ahead, aside = heading(along), heading(along - np.pi / 2)
    for step in rng.permutation(np.arange(-3, 4))[: rng.integers(0, 5)] * 6.5:
        park(
            str(rng.choice(["car", "car", "van"])), middle + step * ahead + 8.4 * aside, along + rng.choice([0, np.pi])
        )
    count, start = int(rng.integers(1, 4)), rng.random()
    # up one lane and down the other, turning wide at both ends
    s, turn = np.linspace(-55, 55, 12), np.linspace(0, np.pi, 6)[1:-1]
    up = np.stack([s, np.full(12, -_LANE_M)], -1)
    end = np.stack([55 + 7 * np.sin(turn), -_LANE_M - 4 * np.sin(2 * turn) + _LANE_M * (1 - np.cos(turn))], -1)
    lap = np.concatenate([up, end, -up, -end])
    gone = np.concatenate([[0], np.cumsum(np.linalg.norm(np.roll(lap, -1, 0) - lap, axis=-1))])
    for index in range(count):
        times = (gone[:-1] / gone[-1] + start + (index + rng.uniform(-0.1, 0.1)) / count) % 1 * script.period_s
        order = np.argsort(times)
        places = middle + lap[:, :1] * ahead - lap[:, 1:] * aside
        kind = str(rng.choice(["car", "car", "car", "van"]))
        cars.append((kind, script.walk(times[order], places[order], KINDS[kind].radius_m)))
    return cars
