"""Things of known size: walls, furniture, trees, buildings. Each stands at a place (2,) on the floor."""

from __future__ import annotations

import numpy as np

from . import textures
from .stage import Stage


def _paint(stage: Stage, rng, **ranges) -> str:
    return stage.material(textures.color(rng, **ranges))


def _wood(stage: Stage, rng) -> str:
    return stage.material(textures.color(rng, (0.04, 0.12), (0.0, 0.6), (0.2, 0.95)))


def _beside(place, yaw, ahead, side) -> np.ndarray:
    return place + np.array([np.cos(yaw) * ahead - np.sin(yaw) * side, np.sin(yaw) * ahead + np.cos(yaw) * side])


def hall(
    stage: Stage, rng, half, ceiling_m: float, windows: bool, center=(0, 0), openings=(), night=False, lit=True
) -> None:
    """Four walls with doors 2.0 to 2.1 m high, windows, pictures, and a ceiling with lamps.

    openings: (x, y) on the walls, where one can walk through. night: what windows show. lit: whether the lamps glow.
    """
    half, center, openings = np.asarray(half, float), np.asarray(center, float), np.reshape(openings, (-1, 2))
    looks = []
    for _ in range(rng.integers(1, 4)):
        image, period = textures.wall(rng)
        looks.append(stage.material(image=image, period_m=period))
    for side, (x, y) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
        place, yaw = center + half * (x, y), np.arctan2(-y, -x)
        width = half[1] if x else half[0]
        off = openings - place
        gaps = np.sort([o @ (-np.sin(yaw), np.cos(yaw)) for o in off if abs(o @ (x, y)) < 0.15])
        wall(stage, place + 0.05 * np.array([x, y]), yaw, width, ceiling_m, looks[side % len(looks)], gaps)
        slots = rng.permutation(np.arange(-width + 0.8, width - 0.8, 1.9))
        for index, along in enumerate(slots[: rng.integers(0, 5)]):
            if len(gaps) and np.abs(gaps - along).min() < 1.6:
                continue
            spot = _beside(place, yaw, 0.0, along)
            if index == 0 and rng.random() < 0.7:
                _door(stage, rng, spot, yaw)
            elif windows and rng.random() < 0.6:
                _window(stage, rng, spot, yaw, night)
            else:
                look = stage.material(image=textures.poster(rng), stretch=True)
                wide, high = rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.5)
                stage.panel((*spot, rng.uniform(1.4, 1.7)), wide, high, yaw, look, 0.05)
    _ceiling(stage, rng, half, ceiling_m, center, 0.9 if lit else 0.0)


def _ceiling(stage: Stage, rng, half, height_m: float, center, glow: float) -> None:
    """With rows of lamps."""
    look = stage.material(textures.color(rng, saturation=(0, 0.1), value=(0.6, 1)))
    stage.box((*center, height_m + 0.05), (*(half + 0.1), 0.05), look)
    lamp, size = stage.material((255, 252, 240), glow=glow), rng.uniform((0.1, 0.1), (0.3, 0.7))
    rows = np.maximum(1, np.rint(half / rng.uniform(1.2, 2.5))).astype(int)
    for row, column in np.ndindex(*rows):
        spot = center + half * (2 * np.array([row, column]) + 1 - rows) / rows
        stage.box((*spot, height_m - 0.02), (*size, 0.03), lamp)


def wall(stage: Stage, place, yaw: float, width: float, height_m: float, look: str, gaps) -> None:
    """A wall of half a width, with doorways 1.5 m wide and 2.2 m high at gaps along it."""
    ends = np.concatenate([[-width - 0.1], *([g - 0.75, g + 0.75] for g in gaps), [width + 0.1]])
    for left, right in ends.reshape(-1, 2):
        if right > left:
            middle = _beside(place, yaw, 0.0, (left + right) / 2)
            stage.panel((*middle, height_m / 2), (right - left) / 2, height_m / 2, yaw, look, 0.1)
    for gap in gaps:
        stage.panel((*_beside(place, yaw, 0.0, gap), (height_m + 2.2) / 2), 0.75, (height_m - 2.2) / 2, yaw, look, 0.1)


def _door(stage: Stage, rng, place, yaw: float) -> None:
    height = rng.uniform(2.0, 2.1)
    stage.panel((*place, height / 2 + 0.03), 0.5, height / 2 + 0.03, yaw, _wood(stage, rng), 0.03)
    stage.panel((*place, height / 2), 0.42, height / 2, yaw, _wood(stage, rng), 0.06)


def _window(stage: Stage, rng, place, yaw: float, night: bool) -> None:
    frame = _paint(stage, rng, saturation=(0, 0.2), value=(0.5, 1))
    stage.panel((*place, 1.55), 0.65, 0.7, yaw, frame, 0.04)
    view = textures.sky(rng, 32, night)[:32] if night or rng.random() < 0.5 else textures.foliage(rng, 64)[0]
    glass = stage.material(image=view, stretch=True, glow=0.0 if night else 0.3)
    stage.panel((*place, 1.55), 0.59, 0.64, yaw, glass, 0.06)


def table(stage: Stage, rng, place, seats: list) -> None:
    """0.72 to 0.76 m high, with chairs of seat height 0.45 m."""
    height, half = rng.uniform(0.72, 0.76), (rng.uniform(0.4, 0.7), rng.uniform(0.3, 0.42))
    yaw, look = rng.uniform(0, np.pi), _wood(stage, rng)
    stage.box((*place, height - 0.015), (*half, 0.015), look, yaw)
    for x in (-1, 1):
        for y in (-1, 1):
            leg = _beside(place, yaw, x * (half[0] - 0.05), y * (half[1] - 0.05))
            stage.rod((*leg, 0.03), (*leg, height - 0.04), 0.025, look)
    for side in rng.permutation([-1, 1])[: rng.integers(1, 3)]:
        spot = _beside(place, yaw, rng.uniform(-0.2, 0.2), side * (half[1] + 0.5))
        facing = yaw - side * np.pi / 2
        chair(stage, rng, spot, facing)
        seats.append((*spot, facing))
    for _ in range(rng.integers(0, 4)):
        spot, tall = _beside(place, yaw, *(rng.uniform(-0.8, 0.8, 2) * half)), rng.uniform(0.03, 0.15)
        stage.box((*spot, height + tall), (*rng.uniform(0.03, 0.15, 2), tall), _paint(stage, rng), rng.uniform(0, 3))


def chair(stage: Stage, rng, place, facing: float) -> None:
    """Seat at 0.45 m, back to 0.85 m."""
    look = _paint(stage, rng)
    stage.box((*place, 0.425), (0.21, 0.21, 0.02), look, facing)
    stage.box((*_beside(place, facing, -0.21, 0), 0.65), (0.015, 0.2, 0.2), look, facing)
    for x in (-0.18, 0.18):
        for y in (-0.18, 0.18):
            leg = _beside(place, facing, x, y)
            stage.rod((*leg, 0.02), (*leg, 0.41), 0.015, look)


def bench(stage: Stage, rng, place, seats: list, yaw: float | None = None) -> None:
    """1.6 m long, seat at 0.45 m; yaw: where those who sit look."""
    yaw, look = rng.uniform(-np.pi, np.pi) if yaw is None else yaw, _wood(stage, rng)
    stage.box((*place, 0.42), (0.22, 0.8, 0.025), look, yaw)
    if rng.random() < 0.6:
        stage.box((*_beside(place, yaw, -0.22, 0), 0.68), (0.02, 0.8, 0.16), look, yaw)
    for y in (-0.65, 0.65):
        stage.box((*_beside(place, yaw, 0, y), 0.2), (0.2, 0.04, 0.2), _paint(stage, rng), yaw)
    for y in (-0.4, 0.4):
        seats.append((*_beside(place, yaw, 0.02, y), yaw))


def box(stage: Stage, rng, place) -> None:
    """A crate, parcel or bin."""
    half = rng.uniform(0.15, 0.3, 3)
    wood = rng.random() < 0.4
    look = stage.material(image=textures.planks(rng, 128)[0], period_m=0.8) if wood else _paint(stage, rng)
    stage.box((*place, half[2]), half, look, rng.uniform(0, np.pi))


def cupboard(stage: Stage, rng, place) -> None:
    """0.8 to 2.0 m high, with door lines."""
    half, look = (0.2, 0.42, rng.uniform(0.4, 1.0)), _wood(stage, rng)
    yaw = rng.choice([0, np.pi / 2, np.pi, -np.pi / 2])
    stage.box((*place, half[2]), half, look, yaw)
    for y in (-0.21, 0.21):
        stage.panel((*_beside(place, yaw, 0.2, y), half[2]), 0.195, half[2] - 0.04, yaw, _wood(stage, rng), 0.03)


def tree(stage: Stage, rng, place) -> None:
    """4 to 12 m."""
    height, bark = rng.uniform(4, 12), _paint(stage, rng, hue=(0.03, 0.1), saturation=(0.1, 0.5), value=(0.15, 0.5))
    trunk = height * rng.uniform(0.3, 0.5)
    stage.rod((*place, -0.1), (*place, trunk + 0.1 * height), height * rng.uniform(0.012, 0.022), bark)
    image, period = textures.foliage(rng)
    look = stage.material(image=image, period_m=period)
    stage.blob((*place, trunk + 0.25 * height), height * rng.uniform(0.15, 0.25, 3), look)
    for _ in range(rng.integers(1, 5)):
        half = height * rng.uniform(0.1, 0.2, 3)
        center = (*(place + rng.normal(0, 0.07 * height, 2)), trunk + rng.uniform(0.15, 0.4) * height)
        stage.blob(center, half, look)


def lamp(stage: Stage, rng, place, night=False) -> tuple[float, float, float]:
    """A lamp post 3.5 to 6 m high; returns where its light is."""
    height, look = rng.uniform(3.5, 6), _paint(stage, rng, saturation=(0, 0.2))
    stage.rod((*place, 0), (*place, height), 0.06, look)
    stage.blob((*place, height), (0.25, 0.25, 0.12), stage.material((255, 245, 220), glow=1.0 if night else 0.2))
    return (*place, height - 0.15)


def hedge(stage: Stage, rng, place) -> None:
    """2 to 3.4 m long, 0.6 to 1.8 m high."""
    image, period = textures.foliage(rng, autumn=0.0)
    half = (rng.uniform(1.0, 1.7), rng.uniform(0.25, 0.45), rng.uniform(0.3, 0.9))
    stage.box((*place, half[2]), half, stage.material(image=image, period_m=period), rng.uniform(0, np.pi))


def planter(stage: Stage, rng, place) -> None:
    """A tub 0.4 to 0.6 m high with a bush."""
    size, look = rng.uniform(0.25, 0.4), _paint(stage, rng, saturation=(0, 0.5))
    stage.cylinder((*place, size / 2), size, size / 2, look)
    image, period = textures.foliage(rng)
    bush = rng.uniform(0.8, 1.3, 3) * size
    stage.blob((*place, size + 0.7 * bush[2]), bush, stage.material(image=image, period_m=period))


def sofa(stage: Stage, rng, place, seats: list) -> None:
    """1.8 m wide, seat at 0.45 m."""
    yaw = rng.uniform(-np.pi, np.pi)
    look = stage.material(textures.color(rng), textures.cloth(rng), 0.8)
    stage.box((*place, 0.22), (0.42, 0.9, 0.22), look, yaw)
    stage.box((*_beside(place, yaw, -0.36, 0), 0.6), (0.1, 0.9, 0.2), look, yaw)
    for y in (-0.83, 0.83):
        stage.box((*_beside(place, yaw, 0, y), 0.52), (0.42, 0.08, 0.1), look, yaw)
    for y in (-0.4, 0.4):
        seats.append((*_beside(place, yaw, 0.12, y), yaw))


def rug(stage: Stage, rng, place, half) -> None:
    """Lies flat, 4 mm high."""
    image = (textures.stripes, textures.patches, textures.tiles)[rng.integers(3)](rng)[0]
    look = stage.material(image=image, stretch=True)
    stage.box((*place, 0.002), (*half, 0.002), look, rng.choice([0, np.pi / 2]), ground=True)


def barre(stage: Stage, rng, a, b) -> None:
    """A dancer's rail at 1.05 m from a to b, (2,) each."""
    look = _wood(stage, rng)
    stage.rod((*a, 1.05), (*b, 1.05), 0.022, look)
    for share in np.linspace(0, 1, 2 + int(np.linalg.norm(np.subtract(b, a)) / 1.5)):
        foot = np.asarray(a) + share * np.subtract(b, a)
        stage.rod((*foot, 0), (*foot, 1.05), 0.02, look)


def loudspeaker(stage: Stage, rng, place) -> None:
    """A box 0.6 to 1.2 m high with two cones."""
    height, yaw = rng.uniform(0.6, 1.2), rng.uniform(-np.pi, np.pi)
    body, cone = stage.material((28, 28, 30)), stage.material((75, 75, 80), shine=0.3)
    stage.box((*place, height / 2), (0.2, 0.22, height / 2), body, yaw)
    front = _beside(place, yaw, 0.19, 0)
    for share, radius in ((0.3, 0.16), (0.75, 0.09)):
        stage.blob((*front, share * height), (radius * 0.5 if radius < 0.1 else 0.05, radius, radius), cone)


def building(stage: Stage, rng, nearest=42.0, farthest=100.0, night=False) -> None:
    """Storeys of about 3 m with windows 1.2 to 1.5 m high, somewhere round the open ground."""
    half, azimuth = rng.uniform(6, 16, 2), rng.uniform(0, 2 * np.pi)
    place = (rng.uniform(nearest, farthest) + half.max()) * np.array([np.cos(azimuth), np.sin(azimuth)])
    house(stage, rng, place, half, azimuth + rng.uniform(-0.5, 0.5), night)


def house(stage: Stage, rng, place, half, yaw: float, night: bool, storeys=8) -> None:
    """Four facades and a roof."""
    image, period = textures.facade(rng, night=night)
    look = stage.material(image=image, period_m=period, glow=0.9 if night else 0.0)
    roof = _paint(stage, rng, saturation=(0, 0.3))
    height = rng.integers(1, storeys) * period / 4
    for turn, (depth, width) in enumerate((half, half[::-1], half, half[::-1])):
        normal = yaw + turn * np.pi / 2
        stage.panel((*_beside(place, normal, depth, 0), height / 2), width, height / 2, normal, look, 0.1)
    stage.box((*place, height / 2), (*half, height / 2), roof, yaw)


def surroundings(stage: Stage, rng, half, night=False) -> None:
    """Round an outdoor court: a fence, trees, hedges, buildings, or nothing."""
    if rng.random() < 0.6:
        fence(stage, rng, np.asarray(half) + 0.8, rng.uniform(1.0, 3.5))
    for _ in range(rng.integers(0, 16)):
        azimuth = rng.uniform(0, 2 * np.pi)
        place = np.array([np.cos(azimuth), np.sin(azimuth)]) * (half + rng.uniform(3, 25)) * 1.3
        (tree, tree, hedge)[rng.integers(3)](stage, rng, place)
    for _ in range(rng.integers(0, 4)):
        building(stage, rng, np.max(half) + 12, night=night)


def fence(stage: Stage, rng, half, height_m: float) -> None:
    """Rails and posts round +-half."""
    look = _paint(stage, rng, saturation=(0, 0.6))
    corners = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * half
    for a, b in zip(corners, np.roll(corners, -1, 0), strict=True):
        for level in np.linspace(0.3, height_m, 3):
            stage.rod((*a, level), (*b, level), 0.025, look)
        for share in np.arange(0, 1, 2.5 / np.linalg.norm(b - a)):
            post = a + share * (b - a)
            stage.rod((*post, 0), (*post, height_m), 0.04, look)


def footpaths(stage: Stage, rng, crowd_m: float) -> list[tuple[np.ndarray, float]]:
    """Strips 1.5 to 4 m wide with low kerbs crossing the ground; returns a place (2,) and the heading of each."""
    paths = []
    kerb = _paint(stage, rng, saturation=(0, 0.1), value=(0.5, 0.9))
    for index in range(rng.integers(0, 4)):
        heading, half_width = rng.uniform(0, np.pi), rng.uniform(0.75, 2.0)
        place = rng.uniform(-0.5, 0.5, 2) * crowd_m
        image, period = textures.slabs(rng)
        if rng.random() < 0.5:
            image, period = textures.ground(rng, rng.choice(["asphalt", "concrete", "gravel"]), 256)
        look = stage.material(image=image, period_m=period)
        # millimetres: feet are planted on z = 0
        top = 0.003 * (1 + index)
        stage.box((*place, top / 2), (70, half_width, top / 2), look, heading, ground=True)
        if rng.random() < 0.6:
            for side in (-1, 1):
                edge = _beside(place, heading, 0, side * half_width)
                stage.box((*edge, 0.01), (70, 0.06, 0.01 + 0.002 * index), kerb, heading, ground=True)
        paths.append((place, heading))
    return paths
