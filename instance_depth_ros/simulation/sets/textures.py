"""Procedural textures: (size, size, 3) uint8 pictures that tile, with the length in metres that one picture covers."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np


def color(rng, hue=(0, 1), saturation=(0, 0.7), value=(0.15, 0.95)) -> np.ndarray:
    """A random RGB colour, (3,) float 0..255."""
    return np.array(colorsys.hsv_to_rgb(rng.uniform(*hue) % 1, rng.uniform(*saturation), rng.uniform(*value))) * 255


def noise(rng, size: int, coarsest: int = 2, roughness: float = 0.6) -> np.ndarray:
    """(size, size) float32 fractal noise that tiles, mean 0, about -1..1; roughness: the share kept per octave."""
    cells, weight = coarsest, 1.0
    total, power = rng.standard_normal((cells, cells), np.float32), 1.0
    while cells < size:
        cells, weight = cells * 2, weight * roughness
        fine = cv2.resize(np.pad(total, 2, mode="wrap"), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        total = fine[4:-4, 4:-4] + weight * rng.standard_normal((cells, cells), np.float32)
        power += weight**2
    return (total if cells == size else cv2.resize(total, (size, size))) / np.float32(2 * power**0.5)


def paint(base, shade, amount: float) -> np.ndarray:
    """A colour (3,) or picture (H, W, 3), lightened and darkened by shade (H, W)."""
    return np.clip(np.asarray(base, np.float32) * (1 + np.float32(amount) * shade[..., None]), 0, 255).astype(np.uint8)


def plain(rng, base=None, size=128, period_m=1.0):
    """Plaster, paint, metal."""
    return paint(color(rng) if base is None else base, noise(rng, size), rng.uniform(0.03, 0.25)), period_m


def ground(rng, kind: str, size=512):
    """Grass, asphalt, concrete, gravel, sand or earth: a fine grain under patches metres wide."""
    hue, saturation, value, grain = {
        "grass": ((0.18, 0.36), (0.25, 0.7), (0.25, 0.65), 0.8),
        "asphalt": ((0.0, 1.0), (0.0, 0.1), (0.2, 0.6), 0.5),
        "concrete": ((0.05, 0.2), (0.0, 0.15), (0.45, 0.85), 0.2),
        "gravel": ((0.05, 0.15), (0.05, 0.3), (0.4, 0.8), 0.9),
        "sand": ((0.08, 0.13), (0.2, 0.5), (0.6, 0.9), 0.35),
        "earth": ((0.04, 0.12), (0.2, 0.5), (0.3, 0.6), 0.6),
    }[kind]
    base, other = color(rng, hue, saturation, value), color(rng, hue, saturation, value)
    patch = np.clip(0.5 + noise(rng, size, 2, 0.55), 0, 1)[..., None] * np.float32(rng.uniform(0.2, 1))
    mixed = base.astype(np.float32) * (1 - patch) + other.astype(np.float32) * patch
    return paint(mixed, noise(rng, size, 64, 0.9), grain * 0.5), rng.uniform(9, 16)


def tiles(rng, tile_m=None, size=256, count=4, base=None):
    """Square tiles or slabs with joints."""
    tile_m = tile_m or rng.uniform(0.3, 0.6)
    base = color(rng, saturation=(0, 0.4), value=(0.3, 0.95)) if base is None else base
    per_tile = rng.standard_normal((count, count)) * rng.uniform(0, 0.15)
    if rng.random() < 0.25:
        per_tile += 0.35 * (np.indices((count, count)).sum(0) % 2)
    shade = np.kron(per_tile, np.ones((size // count, size // count))) + rng.uniform(0.03, 0.15) * noise(rng, size)
    joint = max(1, round(size / count * rng.uniform(0.01, 0.04)))
    line = np.arange(size) % (size // count) < joint
    shade = np.where(line[:, None] | line[None], rng.choice([-0.45, 0.3]), shade)
    return paint(base, shade.astype(np.float32), 1.0), count * tile_m


def slabs(rng, size=256, count=4):
    """Pavement: tiles of stone or concrete, grey, sandy or reddish."""
    base = color(rng, (0.02, 0.14), (0, 0.22), (0.35, 0.85))
    return tiles(rng, rng.uniform(0.3, 0.6), size, count, base)


def bricks(rng, brick_m=(0.24, 0.07), rows=12, columns=4, size=256, base=None):
    """Courses of bricks or planks, (length, height) brick_m, each course shifted."""
    base = color(rng, (0, 0.12), (0.1, 0.6), (0.3, 0.85)) if base is None else base
    y, x = np.mgrid[0:size, 0:size] / size
    row = (y * rows).astype(int)
    along = (x * columns + rng.random(rows)[row] if rows < 10 else x * columns + 0.5 * (row % 2)) % columns
    shade = rng.standard_normal((rows, columns))[row, along.astype(int)] * rng.uniform(0.05, 0.2)
    shade = shade + 0.1 * noise(rng, size)
    joint = ((y * rows) % 1 < 0.12 * 0.1 / max(brick_m[1], 0.1) * 1.4) | ((along % 1) < 0.012 / brick_m[0])
    shade[joint] = rng.choice([-0.5, 0.4])
    return paint(base, shade.astype(np.float32), 1.0), (columns * brick_m[0], rows * brick_m[1])


def _wood_tone(rng) -> np.ndarray:
    return color(rng, (0.05, 0.11), (0.25, 0.65), (0.3, 0.85))


def planks(rng, size=256):
    """A wooden floor of planks 0.08 to 0.15 m wide."""
    image, period = bricks(rng, (rng.uniform(0.8, 1.6), rng.uniform(0.08, 0.15)), 8, 2, size, _wood_tone(rng))
    grain = cv2.resize(noise(rng, size)[:, : size // 8], (size, size))
    return paint(image, grain, 0.15), period


def parquet(rng, size=256, blocks=4, strips=5):
    """Blocks of wooden strips that lie across and along by turns, 0.25 to 0.45 m a block."""
    y, x = np.mgrid[0:size, 0:size] / size * blocks
    across = (x.astype(int) + y.astype(int)) % 2 == 0
    strip = np.where(across, x, y) * strips
    shade = rng.standard_normal((blocks, blocks, strips))[y.astype(int), x.astype(int), strip.astype(int) % strips]
    shade = shade * rng.uniform(0.04, 0.16) + 0.08 * noise(rng, size)
    shade[strip % 1 < 0.07] -= 0.3
    return paint(_wood_tone(rng), shade.astype(np.float32), 1.0), blocks * rng.uniform(0.25, 0.45)


def stripes(rng, size=128, period_m=None):
    """Upright bands of two to four colours: wallpaper, awnings, rugs."""
    colors = np.array([color(rng) for _ in range(rng.integers(2, 5))])
    edges = np.sort(rng.random(rng.integers(3, 9)))
    row = colors[np.searchsorted(edges, np.arange(size) / size) % len(edges) % len(colors)]
    return paint(np.broadcast_to(row, (size, size, 3)), noise(rng, size), 0.08), period_m or rng.uniform(0.3, 1.2)


def patches(rng, size=128, coarsest=4, period_m=None):
    """Blotches of two to four colours: camouflage, marble, painted walls."""
    colors = np.array([color(rng) for _ in range(rng.integers(2, 5))])
    level = (np.clip(0.5 + 0.5 * noise(rng, size, coarsest, 0.45), 0, 0.999) * len(colors)).astype(int)
    return paint(colors[level], noise(rng, size), 0.08), period_m or rng.uniform(0.5, 2.5)


def speckles(rng, size=128, period_m=0.8):
    """Terrazzo, gym rubber, confetti carpet: chips of a few colours on a plain ground."""
    image = paint(color(rng), noise(rng, size), 0.06)
    for _ in range(rng.integers(40, 160)):
        place, radius = rng.integers(0, size, 2).tolist(), int(rng.integers(1, 4))
        cv2.circle(image, place, radius, color(rng).tolist(), -1)
    return image, period_m


def floor(rng):
    """What people walk on indoors."""
    return (tiles, planks, parquet, plain, speckles, patches)[rng.choice(6, p=[0.28, 0.22, 0.22, 0.14, 0.1, 0.04])](rng)


def sports_floor(rng, size=256):
    """Maple strips or a poured, nearly plain floor; covers 2 m and more."""
    if rng.random() < 0.5:
        return planks(rng, size)
    return paint(color(rng, value=(0.3, 0.85)), noise(rng, size, 4, 0.7), rng.uniform(0.03, 0.12)), 4.0


def wall(rng):
    """Plaster, bricks, tiles, wallpaper, panels or a painted wall."""
    muted = color(rng, saturation=(0, rng.uniform(0.05, 0.6)), value=(0.35, 0.95))
    if rng.random() < 0.45:
        return plain(rng, muted)
    return (bricks, tiles, stripes, planks, patches)[rng.choice(5, p=[0.34, 0.22, 0.18, 0.16, 0.1])](rng)


def curtain(rng, size=128):
    """Hanging folds; covers 1.5 m."""
    x = np.arange(size) / size * 2 * np.pi
    waves, phases = rng.integers(3, 9, 3), rng.uniform(0, 2 * np.pi, 3)
    folds = sum(np.sin(n * x + p) for n, p in zip(waves, phases, strict=True)) / 4
    shade = folds[None] + 0.08 * noise(rng, size)
    return paint(color(rng, saturation=(0.3, 0.95), value=(0.2, 0.75)), shade.astype(np.float32), 0.6), 1.5


def poster(rng, size=128):
    """Blocks, discs and lettering of some colours; shown once."""
    image = np.empty((size, size, 3), np.uint8)
    image[:] = color(rng)
    for _ in range(rng.integers(2, 8)):
        a, b = rng.integers(-size // 4, size + size // 4, (2, 2)).tolist()
        kind, hue = rng.integers(3), color(rng).tolist()
        if kind == 0:
            cv2.rectangle(image, a, b, hue, -1)
        elif kind == 1:
            cv2.circle(image, a, int(rng.integers(size // 10, size // 2)), hue, int(rng.choice([-1, -1, 6])))
        else:
            cv2.line(image, a, b, hue, int(rng.integers(2, 14)), cv2.LINE_AA)
    letters = "".join(chr(c) for c in rng.integers(65, 91, rng.integers(2, 7)))
    _write(image, letters, rng.integers(size // 4, size, 1)[0], color(rng).tolist(), rng.uniform(0.5, 1.0))
    return paint(image, noise(rng, size), 0.05)


def _write(image, text: str, bottom: int, ink, width_share: float) -> None:
    """Letters width_share of the picture wide, in its middle."""
    size, font = image.shape[1], cv2.FONT_HERSHEY_DUPLEX
    (wide, _), _ = cv2.getTextSize(text, font, 1.0, 2)
    scale = size * width_share / wide
    origin = (int((1 - width_share) * size / 2), int(bottom))
    cv2.putText(image, text, origin, font, scale, ink, max(1, round(2 * scale)), cv2.LINE_AA)


def cloth(rng, size=64):
    """Plain, striped, chequered, dotted, two-coloured, numbered or printed, on white, to be tinted; covers 0.4 m."""
    image = np.full((size, size, 3), 238, np.uint8)
    ink, kind = color(rng, saturation=(0, 0.9), value=(0.1, 0.9)), rng.integers(9)
    share, waves = rng.uniform(0.3, 0.7), int(rng.integers(2, 8))
    band = np.arange(size) * waves / size % 1 < share
    marks = {
        1: lambda: band[:, None] | np.zeros(size, bool),
        2: lambda: band | np.zeros((size, 1), bool),
        3: lambda: band[:, None] ^ band,
        4: lambda: noise(rng, size, 4, 0.4) > rng.uniform(-0.1, 0.4),
        5: lambda: (np.arange(size) > share * size)[:, None] | np.zeros(size, bool),
        6: lambda: _dots(size, waves, share),
    }
    if kind in marks:
        image[marks[kind]()] = ink
    elif kind == 7:
        _write(image, str(rng.integers(1, 100)), 0.7 * size, ink.tolist(), rng.uniform(0.45, 0.7))
    elif kind == 8:
        middle = (size // 2, int(size * rng.uniform(0.3, 0.6)))
        axes = rng.integers(size // 8, size // 3, 2).tolist()
        cv2.ellipse(image, middle, axes, 0, 0, 360, ink.tolist(), -1, cv2.LINE_AA)
        cv2.rectangle(image, middle, rng.integers(0, size, 2).tolist(), color(rng).tolist(), -1)
    return paint(image, noise(rng, size, 4), 0.08)


def _dots(size: int, waves: int, share: float) -> np.ndarray:
    wave = np.sin(np.arange(size) / size * 2 * np.pi * waves)
    return wave[:, None] * wave > share


def facade(rng, size=256, count=4, night=False):
    """count x count windows 1.2 to 1.5 m high in storeys of 3 m; a bay is as wide as a storey is high.

    night: dark walls, some windows lit.
    """
    storey_m, cell = rng.uniform(2.8, 3.3), size // count
    wall_color = color(rng, (0, 0.16), (0, 0.45), (0.35, 0.95))
    if rng.random() < 0.7:
        image = paint(wall_color, noise(rng, size), 0.08)
    else:
        image = bricks(rng, rows=count * 10, columns=count * 3, size=size, base=wall_color)[0]
    if night:
        image = (image * 0.12).astype(np.uint8)
    high, wide = int(cell * rng.uniform(1.2, 1.5) / storey_m), int(cell * rng.uniform(0.9, 1.9) / storey_m)
    glass, frame = color(rng, (0.5, 0.65), (0, 0.4), (0.1, 0.7)), color(rng, saturation=(0, 0.2), value=(0.2, 1))
    glow, lit = color(rng, (0.08, 0.16), (0.1, 0.5), (0.7, 1.0)), rng.uniform(0.15, 0.6)
    for row in range(count):
        for column in range(count):
            top, left = row * cell + cell // 4, column * cell + (cell - wide) // 2
            cv2.rectangle(image, (left - 1, top - 1), (left + wide, top + high), frame * (0.1 if night else 1), -1)
            if night:
                pane = glow * rng.uniform(0.5, 1.0) if rng.random() < lit else glass * 0.06
            else:
                pane = np.clip(glass * rng.uniform(0.5, 1.4), 0, 255)
            cv2.rectangle(image, (left + 1, top + 1), (left + wide - 2, top + high - 2), pane.tolist(), -1)
    return image, count * storey_m


def foliage(rng, size=128, autumn=0.15):
    """Leaves of trees and hedges; autumn: the share that is red, yellow or in blossom."""
    base = color(rng, (0.17, 0.4), (0.3, 0.8), (0.15, 0.55))
    if rng.random() < autumn:
        base = color(rng, (0.9, 1.13), (0.3, 0.8), (0.35, 0.8))
    return paint(base, noise(rng, size, 8, 0.9), 0.9), rng.uniform(1.0, 2.0)


def sky(rng, size=128, night=False):
    """Six stacked faces of a sky (6 * size, size, 3): a gradient from horizon to zenith with clouds; stars at night."""
    if night:
        size *= 2  # stars are points
        zenith = color(rng, (0.6, 0.7), (0.4, 0.9), (0.02, 0.1))
        # the glow of a city, or the last of the day
        horizon = color(rng, [(0.03, 0.11), (0.55, 0.68)][rng.integers(2)], (0.1, 0.6), (0.06, 0.3))
    else:
        zenith = color(rng, (0.52, 0.68), (0.05, 0.7), (0.2, 0.95))
        horizon = color(rng, (0, 1), (0, 0.25), (0.5, 1))
    height = np.linspace(1, -1, size)[:, None, None]
    side = np.where(height > 0, horizon + (zenith - horizon) * np.abs(height) ** 0.6, horizon * 0.8)
    faces = [np.broadcast_to(side, (size, size, 3))] * 2
    faces += [np.broadcast_to(zenith, (size, size, 3)), np.broadcast_to(horizon * 0.8, (size, size, 3))]
    faces += [np.broadcast_to(side, (size, size, 3))] * 2
    above = np.clip(noise(rng, size), 0, 1)[..., None] * rng.uniform(0, 0.8)
    bright = 240.0
    if night:
        above = (
            (rng.random((size, size, 1)) < rng.uniform(0, 0.002)) * rng.random((size, size, 1)) ** 2 * (height > 0.02)
        )
    return np.concatenate([np.clip(f + above * (bright - f), 0, 255) for f in faces]).astype(np.uint8)
