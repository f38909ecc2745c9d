"""A group that dances a routine together, in a studio, on a stage, or on a square: formations, arms, one beat."""

from __future__ import annotations

import numpy as np

from ..actors.choreography import Routine
from ..actors.crowd import Crowd
from ..actors.people import team
from ..sets import props, textures
from ..sets.stage import Stage, light_up
from ..world import Filming, World

MOST = 15  # people


def build(rng: np.random.Generator) -> World:
    """6 to 13 dancers, with a teacher or watchers."""
    place = rng.choice([studio, stage, square], p=[0.4, 0.35, 0.25])
    return place(rng)


def studio(rng) -> World:
    """Parquet, a barre, a teacher in front."""
    half = np.array([rng.uniform(5.5, 8), rng.uniform(5, 7)])
    world = World(Stage(), half, ceiling_m=rng.uniform(3.0, 4.5), night=rng.random() < 0.3)
    furnish_studio(world, rng, (0, 0), half)
    world.shadows = light_up(world.stage, rng, False, world.ceiling_m, half)
    crowd = Crowd(world, rng)
    dance(world, rng, crowd, (0, -0.3), half - (1.6, 2.0), int(rng.integers(6, 13)), teacher=True)
    crowd.sit(min(int(rng.integers(0, 3)), MOST - len(crowd.actors)))
    crowd.perform()
    return world


def furnish_studio(world: World, rng, center, half, openings=()) -> None:
    """A hall with parquet, barres along the back and one side, a bench and loudspeakers."""
    stage, center = world.stage, np.asarray(center, float)
    image, period = textures.parquet(rng) if rng.random() < 0.7 else textures.sports_floor(rng)
    stage.floor(half + 0.1, stage.material(image=image, period_m=period, shine=rng.uniform(0.1, 0.4)), center)
    props.hall(stage, rng, half, world.ceiling_m, True, center, openings, world.night)
    x, y = half - 0.25
    props.barre(stage, rng, center + (-0.8 * x, y), center + (0.8 * x, y))
    if not len(openings):
        props.barre(stage, rng, center + (-x, -0.7 * y), center + (-x, 0.7 * y))
    for side in rng.permutation([-1, 1])[: rng.integers(1, 3)]:
        _put(world, rng, props.loudspeaker, center + (side * (x - 0.35), y - 0.45), 0.4)
    bench = center + (rng.choice([-1, 1]) * (x - 1.3), -(y - 0.3))
    if world.free(bench, 0.9):
        world.taken.append((*bench, 0.9))
        props.bench(stage, rng, bench, world.seats, np.pi / 2)


def stage(rng) -> World:
    """A dark hall, a curtain, coloured light from a truss, chairs in front."""
    half = np.array([rng.uniform(7, 10), rng.uniform(7, 10)])
    world = World(Stage(), half, ceiling_m=rng.uniform(5, 7), night=True)
    image, period = textures.planks(rng) if rng.random() < 0.6 else textures.plain(rng)
    floor = world.stage.material(image=image, period_m=period, shine=rng.uniform(0.1, 0.4))
    world.stage.floor(20, floor)
    props.hall(world.stage, rng, half, world.ceiling_m, False, lit=False)
    _curtains(world, rng, half)
    world.shadows = _stage_lights(world, rng, half)
    for x in (-1, 1):
        _put(world, rng, props.loudspeaker, np.array([x * (half[0] - 1.2), half[1] - 5.6]), 0.4)
    _chairs(world, rng, half)
    crowd = Crowd(world, rng)
    room = np.array([half[0] - 2.2, 2.2])
    dance(world, rng, crowd, (0, half[1] - 3.4), room, int(rng.integers(7, 14)), teacher=False)
    crowd.sit(min(int(rng.integers(1, 4)), MOST - len(crowd.actors)))
    crowd.perform()
    return world


def square(rng) -> World:
    """Slabs under the sky, houses and trees round it, onlookers."""
    half = np.array([rng.uniform(9, 14), rng.uniform(9, 14)])
    world = World(Stage(), half, night=rng.random() < 0.35)
    look = textures.slabs(rng) if rng.random() < 0.6 else textures.ground(rng, rng.choice(
        ["asphalt", "concrete", "grass", "gravel"]))  # fmt: skip
    world.stage.floor(250, world.stage.material(image=look[0], period_m=look[1]))
    world.stage.sky(textures.sky(rng, night=world.night))
    props.surroundings(world.stage, rng, half, world.night)
    world.shadows = light_up(world.stage, rng, True, 0.0, half, world.night)
    for _ in range(rng.integers(2, 5)):
        props.building(world.stage, rng, half.max() + 8, half.max() + 30, world.night)
    room = half - (3.5, 4.5)
    for prop, most in ((props.bench, 4), (props.planter, 4), (props.tree, 4)):
        for _ in range(rng.integers(0, most)):
            _beside(world, rng, prop, room + 1.2)
    crowd = Crowd(world, rng)
    dance(world, rng, crowd, (0, 0), np.minimum(room, 5), int(rng.integers(6, 13)), teacher=rng.random() < 0.3)
    crowd.sit(min(int(rng.integers(0, 3)), MOST - len(crowd.actors)))
    crowd.perform(0.2 if rng.random() < 0.4 else 0.0)
    return world


def dance(world: World, rng, crowd: Crowd, middle, room, count: int, teacher: bool) -> Routine:
    """The group and who leads or watches it. The audience is towards -y of the middle; room: half of the floor."""
    routine = Routine(rng, count, np.asarray(room, float), world.script.period_s)
    tardy = rng.random(count) < 0.2
    late_s = np.where(tardy, rng.uniform(0.1, 0.2, count), np.abs(rng.normal(0, 0.025, count)))
    outfits = team(rng, count, numbered=False) if rng.random() < 0.5 else [None] * count
    for dancer in range(count):
        times, places = routine.way(dancer)
        places = np.asarray(middle) - places
        facing = routine.facing(dancer, world.script.times_s) + np.pi
        far = np.asarray(middle) + 1e4 * np.stack([np.cos(facing), np.sin(facing)], -1)
        actor = world.script.walk(times, places, 0.55, far)
        options = {"dancer": dancer, "late_s": late_s[dancer], "energy": rng.uniform(0.85, 1.08)}
        crowd.add(
            actor, lambda people, person, options=options: routine.act(people, person, **options), outfits[dancer]
        )
    front = np.asarray(middle) - (0, room[1] + 1.0)
    if teacher:
        crowd.stand(front, np.pi / 2, lambda people, person: routine.act(people, person, count // 2, mirrored=True))
    else:
        for side in rng.permutation([-1, 1])[: rng.integers(1, 3)]:
            spot = front + (side * rng.uniform(1.0, room[0]), -rng.uniform(0, 0.6))
            if world.free(spot, 0.4):
                crowd.stand(spot, np.pi / 2 + rng.normal(0, 0.3), lambda people, person: _clap(routine, people, person))
    reach = float(np.max(room))
    world.filming = Filming(distance_m=(4.0, 7.0 if reach < 5 else 8.0), focus=lambda time_s: np.asarray(middle))
    return routine


def _clap(routine: Routine, people, person: int) -> None:
    """A watcher claps on every second beat, for some eights."""
    beats = np.arange(16, 56) * routine.beat_s
    wide = np.where(np.arange(40) % 2, 0.4, 0.0)
    people.act(person, beats, lift_l=0 * wide + 0.9, lift_r=0 * wide + 0.9, elbow_l=0 * wide + 1.1,
               elbow_r=0 * wide + 1.1, spread_l=wide, spread_r=wide)  # fmt: skip


def _put(world: World, rng, prop, place, radius: float) -> None:
    if world.free(place, radius):
        world.taken.append((*place, radius))
        prop(world.stage, rng, place)


def _beside(world: World, rng, prop, inner) -> None:
    """A prop within the world but off the dancing floor +-inner."""
    for _ in range(20):
        place = world.spot(rng, 1.0)
        if place is not None and (np.abs(place) > inner + 0.6).any():
            world.taken.append((*place, 1.0))
            prop(world.stage, rng, place, *([world.seats] if prop is props.bench else []))
            return


def _curtains(world: World, rng, half) -> None:
    image, period = textures.curtain(rng)
    look = world.stage.material(image=image, period_m=period)
    height = world.ceiling_m - rng.uniform(0.3, 1.0)
    world.stage.panel((0, half[1] - 0.25, height / 2), half[0], height / 2, -np.pi / 2, look, 0.1)
    for side in (-1, 1):
        for back in (1.2, 3.2, 5.2):
            place = side * (half[0] - 0.6), half[1] - back
            world.stage.panel((*place, height / 2), 0.6, height / 2, -np.pi / 2, look, 0.06)
            world.taken.append((*place, 0.6))


def _stage_lights(world: World, rng, half) -> bool:
    """Three or four coloured spots on a truss over the first row, a little light for all."""
    stage, height, y = world.stage, world.ceiling_m - 0.6, half[1] - 7.5
    steel, shadow = stage.material((60, 62, 66)), bool(rng.random() < 0.4)
    for z in (height, height + 0.3):
        stage.rod((-half[0], y, z), (half[0], y, z), 0.03, steel)
    stage.headlight = (rng.uniform(0.15, 0.3), rng.uniform(0.1, 0.25))
    count = int(rng.integers(3, 5))
    for index, x in enumerate(np.linspace(-0.6, 0.6, count) * half[0]):
        color = textures.color(rng, saturation=(0, 0.55), value=(0.9, 1)) / 255
        place, aim = np.array([x, y, height - 0.1]), np.array([0.3 * x + rng.normal(0, 0.6), half[1] - 3.0, 0.6])
        stage.blob(place, (0.14, 0.14, 0.2), stage.material(255 * color, glow=1.0))
        bright, way = rng.uniform(1.8, 2.6) / count, (aim - place) / np.linalg.norm(aim - place)
        stage.light(place, way, bright * color, False, shadow and index == 0, cutoff=rng.uniform(35, 55))
    return shadow


def _chairs(world: World, rng, half) -> None:
    """One to three rows in front, with a way in the middle."""
    for row in range(rng.integers(1, 4)):
        y = half[1] - 8.2 - 1.1 * row
        for x in np.arange(1.2, half[0] - 2, 0.75):
            for side in (-1, 1):
                if y > -half[1] + 0.6 and rng.random() < 0.85:
                    place = np.array([side * x, y])
                    world.taken.append((*place, 0.35))
                    props.chair(world.stage, rng, place, np.pi / 2)
                    world.seats.append((*place, np.pi / 2))
