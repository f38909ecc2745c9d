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
    total, weight, cells = np.zeros((size, size), np.float32), 1.0, coarsest
    power = 0.0
    while cells <= size:
        grid = np.pad(rng.standard_normal((cells, cells), np.float32), 2, mode="wrap")
        step = size // cells
        fine = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += weight * fine[2 * step : 2 * step + size, 2 * step : 2 * step + size]
        power += weight**2
        weight, cells = weight * roughness, cells * 2
    return total / np.float32(2 * power**0.5)


def paint(base, shade, amount: float) -> np.ndarray:
    """A colour (3,) or picture (H, W, 3), lightened and darkened by shade (H, W)."""
    return np.clip(np.asarray(base, np.float32) * (1 + amount * shade[..., None]), 0, 255).astype(np.uint8)


def plain(rng, base=None, size=128, period_m=1.0):
    """Plaster, paint, metal."""
    return paint(color(rng) if base is None else base, noise(rng, size), rng.uniform(0.03, 0.25)), period_m


def ground(rng, kind: str, size=1024):
    """Grass, asphalt, gravel or earth: a fine grain under patches metres wide."""
    hue, saturation, value, grain = {
        "grass": ((0.18, 0.36), (0.25, 0.7), (0.25, 0.65), 0.8),
        "asphalt": ((0.0, 1.0), (0.0, 0.1), (0.2, 0.6), 0.5),
        "gravel": ((0.05, 0.15), (0.05, 0.3), (0.4, 0.8), 0.9),
        "earth": ((0.04, 0.12), (0.2, 0.5), (0.3, 0.6), 0.6),
    }[kind]
    base, other = color(rng, hue, saturation, value), color(rng, hue, saturation, value)
    patch = np.clip(0.5 + noise(rng, size, 2, 0.55), 0, 1)[..., None] * rng.uniform(0.2, 1)
    return paint(base * (1 - patch) + other * patch, noise(rng, size, 64, 0.9), grain * 0.5), rng.uniform(16, 28)


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


def planks(rng, size=256):
    """A wooden floor of planks 0.08 to 0.15 m wide."""
    base = color(rng, (0.05, 0.11), (0.25, 0.65), (0.3, 0.85))
    image, period = bricks(rng, (rng.uniform(0.8, 1.6), rng.uniform(0.08, 0.15)), 8, 2, size, base)
    grain = cv2.resize(noise(rng, size)[:, : size // 8], (size, size))
    return paint(image, grain, 0.15), period


def cloth(rng, size=64):
    """Plain, striped, chequered or printed cloth in greys, to be tinted; covers 0.4 m."""
    shade, kind = 0.08 * noise(rng, size, 4), rng.integers(6)
    wave = np.arange(size) * rng.integers(3, 12) // size % 2 * rng.uniform(0.2, 0.6)
    if kind == 1:
        shade = shade - wave[:, None]
    elif kind == 2:
        shade = shade - wave[None]
    elif kind == 3:
        shade = shade - 0.5 * wave[:, None] - 0.5 * wave[None]
    elif kind == 4:
        shade = np.where(noise(rng, size, 4, 0.4) > 0.2, shade - 0.4, shade)
    return paint((235, 235, 235), shade.astype(np.float32), 1.0)


def facade(rng, size=256, count=4):
    """count x count windows 1.2 to 1.5 m high in storeys of 3 m; a bay is as wide as a storey is high."""
    storey_m, cell = rng.uniform(2.8, 3.3), size // count
    wall = color(rng, (0, 0.16), (0, 0.45), (0.35, 0.95))
    image = np.array(bricks(rng, rows=count * 10, columns=count * 3, size=size, base=wall)[0])
    if rng.random() < 0.7:
        image = paint(wall, noise(rng, size), 0.08)
    high, wide = int(cell * rng.uniform(1.2, 1.5) / storey_m), int(cell * rng.uniform(0.9, 1.9) / storey_m)
    glass, frame = color(rng, (0.5, 0.65), (0, 0.4), (0.1, 0.7)), color(rng, saturation=(0, 0.2), value=(0.2, 1))
    for row in range(count):
        for column in range(count):
            top, left = row * cell + cell // 4, column * cell + (cell - wide) // 2
            cv2.rectangle(image, (left - 1, top - 1), (left + wide, top + high), frame.tolist(), -1)
            pane = np.clip(glass * rng.uniform(0.5, 1.4), 0, 255)
            cv2.rectangle(image, (left + 1, top + 1), (left + wide - 2, top + high - 2), pane.tolist(), -1)
    return image, count * storey_m


def foliage(rng, size=128):
    """Leaves of trees and hedges."""
    base = color(rng, (0.17, 0.4), (0.3, 0.8), (0.15, 0.55))
    return paint(base, noise(rng, size, 8, 0.9), 0.9), rng.uniform(1.0, 2.0)


def sky(rng, size=128):
    """Six stacked faces of a sky (6 * size, size, 3): a gradient from horizon to zenith, clouds, or dull grey."""
    zenith, horizon = color(rng, (0.52, 0.68), (0.05, 0.7), (0.2, 0.95)), color(rng, (0, 1), (0, 0.25), (0.5, 1))
    height = np.linspace(1, -1, size)[:, None, None]
    side = np.where(height > 0, horizon + (zenith - horizon) * np.abs(height) ** 0.6, horizon * 0.8)
    faces = [np.broadcast_to(side, (size, size, 3))] * 2
    faces += [np.broadcast_to(zenith, (size, size, 3)), np.broadcast_to(horizon * 0.8, (size, size, 3))]
    faces += [np.broadcast_to(side, (size, size, 3))] * 2
    cloud = np.clip(noise(rng, size, 3 if size % 3 == 0 else 2), 0, 1) * rng.uniform(0, 0.8)
    return np.concatenate([np.clip(f + cloud[..., None] * (240 - f), 0, 255) for f in faces]).astype(np.uint8)
