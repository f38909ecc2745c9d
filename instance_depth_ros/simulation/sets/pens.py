"""Enclosures of a zoo: fences, walls and moats, rocks, troughs, hay and huts. Each stands on the floor of a stage."""

from __future__ import annotations

import numpy as np

from ..world import World
from . import props, textures
from .stage import Stage


def paint(stage: Stage, rng, hue=(0, 1), saturation=(0, 0.4), value=(0.2, 0.8), **more) -> str:
    """A plain colour."""
    return stage.material(textures.color(rng, hue, saturation, value), **more)


def wood(stage: Stage, rng) -> str:
    return paint(stage, rng, (0.05, 0.11), (0.2, 0.6), (0.25, 0.75))


def rail_fence(stage: Stage, rng, a, b, height_m: float) -> None:
    """Posts and three or four rails of wood, or of steel."""
    steel = rng.random() < 0.4
    look = paint(stage, rng, (0.25, 0.6), (0, 0.6), (0.15, 0.6)) if steel else wood(stage, rng)
    thick = 0.028 if steel else 0.05
    for level in np.linspace(0.35, height_m, rng.integers(3, 5)):
        stage.rod((*a, level), (*b, level), thick, look)
    for post in _between(a, b, rng.uniform(1.6, 2.4)):
        stage.rod((*post, 0), (*post, height_m + 0.1), 1.3 * thick, look)


def bar_fence(stage: Stage, rng, a, b, height_m: float) -> None:
    """Upright steel bars between two rails."""
    look = paint(stage, rng, (0.25, 0.6), (0, 0.5), (0.08, 0.4))
    for level in (0.12, height_m - 0.15):
        stage.rod((*a, level), (*b, level), 0.025, look)
    for bar in _between(a, b, rng.uniform(0.15, 0.22)):
        stage.rod((*bar, 0), (*bar, height_m), 0.012, look)
    for post in _between(a, b, 3.0):
        stage.rod((*post, 0), (*post, height_m + 0.05), 0.05, look)


def mesh_fence(stage: Stage, rng, a, b, height_m: float) -> None:
    """Wires in squares of 0.2 to 0.3 m between posts."""
    look, wire = paint(stage, rng, value=(0.2, 0.5)), paint(stage, rng, saturation=(0, 0.1), value=(0.35, 0.7))
    step = rng.uniform(0.2, 0.3)
    for level in np.arange(step, height_m, step):
        stage.rod((*a, level), (*b, level), 0.005, wire)
    for bar in _between(a, b, step):
        stage.rod((*bar, 0), (*bar, height_m), 0.005, wire)
    for post in _between(a, b, 2.5):
        stage.rod((*post, 0), (*post, height_m + 0.05), 0.05, look)


def wall(stage: Stage, rng, a, b, height_m: float) -> None:
    """Of stone, brick or planks."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    base = textures.color(rng, (0.05, 0.15), (0.05, 0.3), (0.35, 0.75))
    image, period = textures.bricks(rng, (0.45, 0.22), 10, 5, base=base) if rng.random() < 0.6 else textures.planks(rng)
    half = np.linalg.norm(b - a) / 2
    normal = np.arctan2(*(b - a)[::-1]) + np.pi / 2
    look = stage.material(image=image, period_m=period)
    stage.panel((*(a + b) / 2, height_m / 2), half, height_m / 2, normal, look, 0.25)


def hedge(stage: Stage, rng, a, b, height_m: float) -> None:
    image, period = textures.foliage(rng)
    a, b = np.asarray(a, float), np.asarray(b, float)
    yaw = np.arctan2(*(b - a)[::-1])
    half = (np.linalg.norm(b - a) / 2, 0.35, height_m / 2)
    stage.box((*(a + b) / 2, height_m / 2), half, stage.material(image=image, period_m=period), yaw)


def moat(stage: Stage, rng, center, half) -> None:
    """Water in front of the animals, with stones along its far bank."""
    image, period = textures.plain(rng, textures.color(rng, (0.35, 0.55), (0.2, 0.6), (0.2, 0.5)))
    stage.box(
        (*center, 0.004), (*half, 0.004), stage.material(image=image, period_m=2 * period, shine=0.8), ground=True
    )
    for x in np.arange(-half[0], half[0], 0.9):
        rock(stage, rng, (center[0] + x + rng.uniform(-0.2, 0.2), center[1] + half[1]), 0.35)


def rock(stage: Stage, rng, place, size_m: float = 0.8) -> None:
    """A boulder of two or three lumps."""
    image, period = textures.plain(rng, textures.color(rng, (0.04, 0.13), (0.03, 0.25), (0.3, 0.7)))
    look = stage.material(image=image, period_m=0.6 * period)
    for _ in range(rng.integers(2, 4)):
        half = size_m * rng.uniform(0.35, 0.6, 3)
        stage.blob((*(place + rng.uniform(-0.3, 0.3, 2) * size_m), 0.4 * half[2]), half, look)


def log(stage: Stage, rng, place) -> None:
    """A fallen trunk 1.5 to 2.5 m long."""
    angle, half, radius = rng.uniform(-0.4, 0.4), rng.uniform(0.7, 0.95), rng.uniform(0.12, 0.22)
    along = half * np.array([np.cos(angle), np.sin(angle)])
    stage.rod((*(place - along), radius), (*(place + along), radius), radius, wood(stage, rng))


def hay(stage: Stage, rng, place) -> None:
    """A heap of hay or of leaves."""
    base = textures.color(rng, (0.1, 0.16), (0.3, 0.6), (0.55, 0.85))
    image = textures.paint(base, textures.noise(rng, 128, 32, 0.9), 0.5)
    look = stage.material(image=image, period_m=0.5)
    stage.blob((*place, 0.05), (0.5, 0.45, 0.22), look)
    stage.blob((*(place + rng.uniform(-0.25, 0.25, 2)), 0.05), (0.35, 0.4, 0.28), look)


def trough(stage: Stage, rng, place) -> None:
    """1.4 x 0.5 x 0.45 m, full of water."""
    look, water = (
        paint(stage, rng, (0.05, 0.6), (0, 0.3), (0.3, 0.7)),
        paint(stage, rng, (0.5, 0.6), (0.3, 0.5), shine=0.8),
    )
    stage.box((*place, 0.22), (0.7, 0.26, 0.22), look)
    stage.box((*place, 0.42), (0.64, 0.2, 0.025), water)


def hut(stage: Stage, rng, place) -> None:
    """3 x 1.4 x 2.4 m of planks, its dark door towards the visitors."""
    image, period = textures.planks(rng)
    look, roof = stage.material(image=image, period_m=period), paint(stage, rng, (0, 0.1), (0.1, 0.6), (0.2, 0.5))
    stage.box((*place, 1.1), (1.5, 0.7, 1.1), look)
    stage.box((*place, 2.28), (1.75, 1.0, 0.07), roof)
    stage.box((*(place - (0, 0.69)), 0.8), (0.55, 0.04, 0.8), stage.material((18, 16, 14)))


def sign(stage: Stage, rng, place) -> None:
    """A board about the animals on two posts, 1 m high, that looks towards -y."""
    look = wood(stage, rng)
    for x in (-0.35, 0.35):
        stage.rod((place[0] + x, place[1], 0), (place[0] + x, place[1], 1.1), 0.035, look)
    picture = stage.material(image=textures.poster(rng), stretch=True)
    stage.panel((*place, 1.1), 0.45, 0.3, -np.pi / 2, picture, 0.04)


def furnish(world: World, rng, center, half, climbers: bool) -> np.ndarray:
    """A hut, hay, a trough, rocks, logs and trees along the far side of a strip; returns where the food is."""
    stage, kinds = world.stage, [(hay, 0.6), (trough, 0.75)]
    if rng.random() < 0.6 and half[0] > 2.6:
        kinds.append((hut, 1.75))
    kinds += [(rock, 0.7)] * rng.integers(0, 4) + [(log, 1.0)] * rng.integers(0, 3 if climbers else 2)
    kinds += [(props.tree, 0.5)] * rng.integers(0, 3)
    needed = np.cumsum([0] + [2 * size for _, size in kinds])
    kinds = [kind for kind, end in zip(kinds, needed[1:], strict=True) if end <= 2 * half[0]]
    order = rng.permutation(len(kinds))
    gap = (2 * half[0] - needed[len(kinds)]) / (len(kinds) + 1)
    x, food = center[0] - half[0] + gap, np.asarray(center, float)
    for prop, size in (kinds[i] for i in order):
        place = np.array([x + size, center[1] + half[1] - min(size, 0.75) - 0.2])
        if prop is hut:
            place[1] = center[1] + half[1] - 0.75
        prop(stage, rng, place)
        world.taken += (
            [(*place, size)] if size <= 0.75 else [(*(place + (s, 0)), 0.75) for s in (0.75 - size, size - 0.75)]
        )
        food = place if prop is hay else food
        x += 2 * size + gap
    return food


def _between(a, b, step: float):
    a, b = np.asarray(a, float), np.asarray(b, float)
    count = max(int(np.ceil(np.linalg.norm(b - a) / step)), 1)
    return a + np.linspace(0, 1, count + 1)[:, None] * (b - a)
