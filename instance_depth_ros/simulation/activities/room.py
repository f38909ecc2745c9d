"""A furnished room: people sit, stand and talk, walk from thing to thing, reach for them and bend."""

from __future__ import annotations

import numpy as np

from ..actors.crowd import Crowd
from ..sets import props, textures
from ..sets.stage import Stage, light_up
from ..world import Filming, World


def build(rng: np.random.Generator) -> World:
    """A room or hall 4 to 12 m wide with up to 11 people."""
    half = np.array([rng.uniform(2.4, 6), rng.uniform(2.8, 7)])
    ceiling_m = rng.uniform(2.4, 3.2) if half.min() < 4 else rng.uniform(2.8, 4.5)
    world = World(Stage(), half, ceiling_m=ceiling_m, night=rng.random() < 0.3, shadow_reach_m=8.0)
    furnish_room(world, rng, (0, 0), half)
    world.shadows = light_up(world.stage, rng, False, ceiling_m, half, world.night)
    least = 1.2 if half.min() < 3.5 else 2.0
    world.filming = Filming(distance_m=(least, 1.1 * half.max()))
    crowd = Crowd(world, rng)
    people(crowd, rng, min(11, 4 + int(half.prod() / 4)))
    crowd.perform(0.15 if rng.random() < 0.3 else 0.0)
    return world


def furnish_room(world: World, rng, center, half, openings=()) -> None:
    """Floor, walls, tables with chairs, sofas, cupboards, boxes and rugs."""
    stage, center = world.stage, np.asarray(center, float)
    image, period = textures.floor(rng)
    stage.floor(half + 0.1, stage.material(image=image, period_m=period, shine=rng.uniform(0, 0.3)), center)
    props.hall(stage, rng, half, world.ceiling_m, True, center, openings, world.night)
    if rng.random() < 0.5:
        props.rug(stage, rng, center + rng.uniform(-0.4, 0.4, 2) * half, rng.uniform(0.6, 1.5, 2))
    furniture = (
        (props.table, 1.15, rng.integers(1, 5), (world.seats,)),
        (props.sofa, 1.0, rng.integers(0, 3), (world.seats,)),
        (props.cupboard, 0.5, rng.integers(0, 4), ()),
        (props.planter, 0.45, rng.integers(0, 3), ()),
        (props.box, 0.45, rng.integers(0, 4), ()),
    )
    for prop, radius, count, options in furniture:
        for _ in range(count):
            world.put(rng, prop, radius, half - 0.1, *options, center=center)


def people(crowd: Crowd, rng, most: int) -> None:
    """4 to most of them."""
    wanted, before = int(rng.integers(4, most + 1)), len(crowd.actors)
    crowd.sit(int(rng.integers(1, wanted // 2 + 2)))
    kinds = rng.choice(["talk", "work", "stroll"], 4 * wanted, p=[0.25, 0.25, 0.5])
    # those who stand come first: the others walk round them
    for kind in [*kinds[kinds != "stroll"], *kinds[kinds == "stroll"]]:
        left = wanted + before - len(crowd.actors)
        if left <= 0:
            break
        if kind != "stroll" and left <= 0.4 * wanted:
            continue
        if kind == "talk" and left >= 4:
            crowd.talk(int(rng.integers(2, min(left - 1, 5))))
        elif kind == "work":
            crowd.work()
        else:
            crowd.stroll(int(rng.integers(2, 5)))
