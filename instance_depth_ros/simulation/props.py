"""Things of known size: furniture, buildings, trees, cars, court lines. Each stands at a place (2,) on the floor."""

from __future__ import annotations

import cv2
import numpy as np

from . import textures
from .stage import Stage, light_up

_LINE_M = 0.05


def _paint(stage: Stage, rng, **ranges) -> str:
    return stage.material(textures.color(rng, **ranges))


def _wood(stage: Stage, rng) -> str:
    return stage.material(textures.color(rng, (0.04, 0.12), (0.0, 0.6), (0.2, 0.95)))


def _beside(place, yaw, ahead, side) -> np.ndarray:
    return place + np.array([np.cos(yaw) * ahead - np.sin(yaw) * side, np.sin(yaw) * ahead + np.cos(yaw) * side])


def hall(stage: Stage, rng, half, ceiling_m: float, windows: bool, lights=True) -> None:
    """Four walls with doors 2.0 to 2.1 m high, windows, pictures, and a ceiling with lamps."""
    looks = []
    for _ in range(rng.integers(1, 4)):
        image, period = (textures.plain, textures.plain, textures.bricks, textures.tiles)[rng.integers(4)](rng)
        looks.append(stage.material(image=image, period_m=period))
    for side, (x, y) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
        place, yaw = np.array([x * half[0], y * half[1]]), np.arctan2(-y, -x)
        width = half[1] if x else half[0]
        stage.panel((*place * (1 + 0.05 / half), ceiling_m / 2), width + 0.1, ceiling_m / 2, yaw,
                    looks[side % len(looks)], 0.1)  # fmt: skip
        slots = rng.permutation(np.arange(-width + 0.8, width - 0.8, 1.9))
        for index, along in enumerate(slots[: rng.integers(0, 5)]):
            center = _beside(place, yaw, 0.0, along)
            if index == 0 and rng.random() < 0.7:
                height = rng.uniform(2.0, 2.1)
                stage.panel((*center, height / 2 + 0.03), 0.5, height / 2 + 0.03, yaw, _wood(stage, rng), 0.03)
                stage.panel((*center, height / 2), 0.42, height / 2, yaw, _wood(stage, rng), 0.06)
            elif windows and rng.random() < 0.6:
                frame = _paint(stage, rng, saturation=(0, 0.2), value=(0.5, 1))
                stage.panel((*center, 1.55), 0.65, 0.7, yaw, frame, 0.04)
                glass = textures.sky(rng, 32)[:32] if rng.random() < 0.5 else textures.foliage(rng, 64)[0]
                stage.panel((*center, 1.55), 0.59, 0.64, yaw, stage.material(image=glass, stretch=True), 0.06)
            else:
                image = textures.cloth(rng)
                look = stage.material(textures.color(rng), image, stretch=True)
                width_m, height_m = rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.5)
                stage.panel((*center, rng.uniform(1.4, 1.7)), width_m, height_m, yaw, look, 0.05)
    above = stage.material(textures.color(rng, saturation=(0, 0.1), value=(0.6, 1)))
    stage.box((0, 0, ceiling_m + 0.05), (half[0] + 0.1, half[1] + 0.1, 0.05), above)
    if lights:
        light_up(stage, rng, False, ceiling_m, half)


def table(stage: Stage, rng, place, seats: list) -> None:
    """0.72 to 0.76 m high, with chairs of seat height 0.45 m."""
    height, half = rng.uniform(0.72, 0.76), (rng.uniform(0.4, 0.7), rng.uniform(0.3, 0.42))
    yaw, look = rng.uniform(0, np.pi), _wood(stage, rng)
    stage.box((*place, height - 0.015), (*half, 0.015), look, yaw)
    for x in (-1, 1):
        for y in (-1, 1):
            leg = _beside(place, yaw, x * (half[0] - 0.05), y * (half[1] - 0.05))
            stage.rod((*leg, 0.03), (*leg, height - 0.04), 0.025, look)
    for side in rng.permutation([-1, 1])[: rng.integers(0, 3)]:
        spot = _beside(place, yaw, rng.uniform(-0.2, 0.2), side * (half[1] + 0.32))
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


def bench(stage: Stage, rng, place, seats: list) -> None:
    """1.6 m long, seat at 0.45 m."""
    yaw, look = rng.uniform(-np.pi, np.pi), _wood(stage, rng)
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


def lamp(stage: Stage, rng, place) -> None:
    """A lamp post 3.5 to 6 m high."""
    height, look = rng.uniform(3.5, 6), _paint(stage, rng, saturation=(0, 0.2))
    stage.rod((*place, 0), (*place, height), 0.06, look)
    stage.blob((*place, height), (0.25, 0.25, 0.12), stage.material((245, 240, 220)))


def car(stage: Stage, rng, place) -> None:
    """About 4.4 x 1.8 x 1.5 m."""
    scale, yaw = rng.uniform(0.93, 1.08), rng.uniform(-np.pi, np.pi)
    body, dark = stage.material(textures.color(rng), shine=0.6), stage.material((25, 27, 30), shine=0.4)
    stage.box((*place, 0.55 * scale), (2.2 * scale, 0.9 * scale, 0.32 * scale), body, yaw)
    back = _beside(place, yaw, -0.25 * scale, 0)
    stage.box((*back, 1.1 * scale), (1.15 * scale, 0.78 * scale, 0.26 * scale), dark, yaw)
    stage.box((*back, 1.42 * scale), (1.05 * scale, 0.76 * scale, 0.06 * scale), body, yaw)
    for x in (-1.35, 1.35):
        for y in (-0.85, 0.85):
            wheel = _beside(place, yaw, x * scale, y * scale)
            across = 0.06 * np.array([-np.sin(yaw), np.cos(yaw)])
            stage.rod((*(wheel - across), 0.32), (*(wheel + across), 0.32), 0.32 * scale, dark)


def building(stage: Stage, rng, nearest=42.0, farthest=100.0) -> None:
    """Storeys of about 3 m with windows 1.2 to 1.5 m high, somewhere round the open ground."""
    image, period = textures.facade(rng)
    look, roof = stage.material(image=image, period_m=period), _paint(stage, rng, saturation=(0, 0.3))
    half = rng.uniform(6, 16, 2)
    height = rng.integers(1, 8) * period / 4
    azimuth = rng.uniform(0, 2 * np.pi)
    place = (rng.uniform(nearest, farthest) + half.max()) * np.array([np.cos(azimuth), np.sin(azimuth)])
    yaw = azimuth + rng.uniform(-0.5, 0.5)
    for turn, (depth, width) in enumerate((half, half[::-1], half, half[::-1])):
        normal = yaw + turn * np.pi / 2
        stage.panel((*_beside(place, normal, depth, 0), height / 2), width, height / 2, normal, look, 0.1)
    stage.box((*place, height / 2), (*half, height / 2), roof, yaw)


def surroundings(stage: Stage, rng, half) -> None:
    """Round an outdoor court: a fence, trees, buildings, or nothing."""
    look = _paint(stage, rng, saturation=(0, 0.6))
    if rng.random() < 0.6:
        height, outer = rng.uniform(1.0, 3.5), half + 0.8
        for x, y in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
            corner, following = np.array([x, y]) * outer, np.array([-y, x]) * (outer if x * y < 0 else outer)
            following = np.array([-x, y]) * outer if x * y > 0 else np.array([x, -y]) * outer
            for level in np.linspace(0.3, height, 3):
                stage.rod((*corner, level), (*following, level), 0.025, look)
            for share in np.arange(0, 1, 2.5 / np.linalg.norm(following - corner)):
                post = corner + share * (following - corner)
                stage.rod((*post, 0), (*post, height), 0.04, look)
    for _ in range(rng.integers(0, 12)):
        azimuth = rng.uniform(0, 2 * np.pi)
        tree(stage, rng, np.array([np.cos(azimuth), np.sin(azimuth)]) * (half + rng.uniform(3, 25)) * 1.3)
    for _ in range(rng.integers(0, 4)):
        building(stage, rng, half.max() + 12)


def footpaths(stage: Stage, rng, crowd_m: float) -> list[float]:
    """Strips 1.5 to 4 m wide with kerbs crossing the ground; returns their headings."""
    headings = []
    kerb = _paint(stage, rng, saturation=(0, 0.1), value=(0.5, 0.9))
    for index in range(rng.integers(0, 4)):
        heading, half_width = rng.uniform(0, np.pi), rng.uniform(0.75, 2.0)
        place = rng.uniform(-0.5, 0.5, 2) * crowd_m
        image, period = textures.tiles(rng, rng.uniform(0.3, 0.6))
        if rng.random() < 0.5:
            image, period = textures.ground(rng, rng.choice(["asphalt", "gravel"]), 512)
        look = stage.material(image=image, period_m=period)
        top = 0.01 + 0.008 * index
        stage.box((*place, top / 2), (70, half_width, top / 2), look, heading)
        if rng.random() < 0.6:
            for side in (-1, 1):
                edge = _beside(place, heading, 0, side * half_width)
                stage.box((*edge, 0.03), (70, 0.06, 0.03 + 0.004 * index), kerb, heading)
        headings.append(heading)
    return headings


def court(stage: Stage, rng, sport: str, size) -> None:
    """The marked floor of a sport, its net or its hoops."""
    margin, pixels = rng.uniform(0.5, 1.5), 1024
    outer = size + 2 * margin
    base = textures.color(rng, value=(0.3, 0.85))
    image, period = textures.planks(rng) if rng.random() < 0.4 else textures.plain(rng, base, 512, 8.0)
    columns, rows = np.maximum(1, np.rint(outer / period)).astype(int)
    piece = cv2.resize(image, (-(-pixels // columns), -(-pixels // rows)), interpolation=cv2.INTER_AREA)
    image = np.ascontiguousarray(np.tile(piece, (rows, columns, 1))[:pixels, :pixels])
    scale = pixels / outer

    def point(x, y):
        return tuple(int(round(v * 16)) for v in (np.array([x, y]) + outer / 2) * scale)

    def line(a, b):
        along_x = abs(a[1] - b[1]) < 1e-6
        thickness = max(1, round(_LINE_M * scale[1 if along_x else 0]))
        cv2.line(image, point(*a), point(*b), chalk, thickness, cv2.LINE_AA, 4)

    def ring(center, radius, start=0, end=360):
        axes = tuple(int(round(radius * s * 16)) for s in scale)
        thickness = max(1, round(_LINE_M * scale.mean()))
        cv2.ellipse(image, point(*center), axes, 0, start, end, chalk, thickness, cv2.LINE_AA, 4)

    chalk = textures.color(rng, saturation=(0, 0.15), value=(0.85, 1)).tolist()
    x, y = size / 2
    if rng.random() < 0.6:
        corner = [tuple(int(v // 16) for v in point(*c)) for c in ((-x, -y), (x, y))]
        cv2.rectangle(image, *corner, textures.color(rng).tolist(), -1)
        image[:] = textures.paint(image, np.tile(textures.noise(rng, 512), (2, 2)), 0.15)
    for side in (-1, 1):
        line((-x, side * y), (x, side * y))
        line((side * x, -y), (side * x, y))
    if sport == "basketball":
        line((0, -y), (0, y))
        ring((0, 0), 1.8)
        for side in (-1, 1):
            for edge in (-2.45, 2.45):
                line((side * x, edge), (side * (x - 5.8), edge))
            line((side * (x - 5.8), -2.45), (side * (x - 5.8), 2.45))
            ring((side * (x - 5.8), 0), 1.8)
            ring((side * (x - 1.575), 0), 6.75, *((90, 270) if side > 0 else (-90, 90)))
            hoop(stage, rng, np.array([side * x, 0]), np.pi if side > 0 else 0.0)
    elif sport == "badminton":
        for side in (-1, 1):
            line((-x, side * 2.59), (x, side * 2.59))
            line((side * 1.98, -y), (side * 1.98, y))
            line((side * (x - 0.76), -y), (side * (x - 0.76), y))
            line((side * 1.98, 0), (side * x, 0))
        net(stage, rng, y, 1.55, 0.76)
    else:
        line((0, -y), (0, y))
        for side in (-1, 1):
            line((side * 3, -y), (side * 3, y))
        net(stage, rng, y + 0.5, rng.choice([2.24, 2.43]), 1.0)
    look = stage.material(image=image, stretch=True, shine=rng.uniform(0, 0.4))
    stage.box((0, 0, 0.004), (*outer / 2, 0.004), look)


def net(stage: Stage, rng, half_width: float, top_m: float, deep_m: float) -> None:
    """Across the middle: posts, tapes and some of the strings."""
    tape, string = stage.material((240, 240, 240)), stage.material((30, 30, 30))
    stage.box((0, 0, top_m - 0.035), (0.01, half_width, 0.035), tape)
    for y in (-half_width, half_width):
        stage.rod((0, y, 0), (0, y, top_m), 0.045, _paint(stage, rng))
    for z in np.linspace(top_m - deep_m, top_m - 0.1, 5):
        stage.rod((0, -half_width, z), (0, half_width, z), 0.006, string)
    for y in np.arange(-half_width, half_width, 0.4):
        stage.rod((0, y, top_m - deep_m), (0, y, top_m - 0.05), 0.006, string)


def hoop(stage: Stage, rng, place, facing: float) -> None:
    """A basketball stand at an end line: board 1.8 x 1.05 m, ring at 3.05 m."""
    look, red = _paint(stage, rng), stage.material((220, 90, 40))
    post, board = _beside(place, facing, -1.0, 0), _beside(place, facing, 1.2, 0)
    stage.rod((*post, 0), (*post, 3.0), 0.1, look)
    stage.rod((*post, 3.0), (*board, 3.3), 0.07, look)
    stage.panel((*board, 3.425), 0.9, 0.525, facing, stage.material((245, 245, 245)), 0.04)
    stage.panel((*_beside(place, facing, 1.215, 0), 3.2), 0.3, 0.225, facing, red, 0.03)
    center = _beside(place, facing, 1.575, 0)
    corners = [(*_beside(center, a, 0.225, 0), 3.05) for a in np.linspace(0, 2 * np.pi, 9)]
    for a, b in zip(corners, corners[1:], strict=False):
        stage.rod(a, b, 0.012, red)
