"""Coats of animals: procedural prints that lie on their flanks, dark points, horns and hooves."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..sets import textures
from ..sets.stage import Stage

_SIZE = 128


@dataclass(frozen=True)
class Coat:
    """Names of the materials of one animal."""

    fur: str
    belly: str
    muzzle: str
    crest: str
    legs: str
    feet: str
    horn: str
    dark: str


def _hsv(rng, hue, saturation, value) -> np.ndarray:
    return textures.color(rng, hue, saturation, value)


def _grain(rng, base, amount=0.25) -> np.ndarray:
    return textures.paint(base, textures.noise(rng, _SIZE, 8, 0.85), amount)


def _blend(share, dark, light, grain) -> np.ndarray:
    image = share[..., None] * dark + (1 - share[..., None]) * light
    return textures.paint(image, grain, 0.12)


def _stripes(rng, dark, light, period_m, stripe_m, waver, share) -> np.ndarray:
    """Bands down a picture period_m wide, now thick, now thin."""
    x = np.arange(_SIZE)[:, None] / _SIZE * round(period_m / stripe_m) * 2 * np.pi
    wave = np.sin(x + waver * textures.noise(rng, _SIZE, 2, 0.5) * 3) + 0.25 * textures.noise(rng, _SIZE, 4, 0.5)
    return _blend(np.clip((wave + share) * 4, 0, 1), dark, light, textures.noise(rng, _SIZE, 16, 0.9))


def _cells(rng, dark, light, cells, gap) -> np.ndarray:
    """Patches parted by light lines, as of a giraffe (cells of points that tile)."""
    grid = (np.indices((cells, cells)).reshape(2, -1).T + rng.uniform(0.1, 0.9, (cells * cells, 2))) / cells
    tiled = np.concatenate([grid + shift for shift in np.ndindex(3, 3)]) - 1
    y, x = np.indices((_SIZE, _SIZE)) / _SIZE
    near = np.partition(np.hypot(y[..., None] - tiled[:, 0], x[..., None] - tiled[:, 1]), 1, axis=-1)
    patch = np.clip((near[..., 1] - near[..., 0] - gap / cells) * cells * 12, 0, 1)
    return _blend(patch, dark, light, textures.noise(rng, _SIZE, 16, 0.9))


def _spots(rng, spot, base, cells, radius) -> np.ndarray:
    image = np.zeros((_SIZE, _SIZE), np.float32)
    for cell in np.ndindex(cells, cells):
        at = ((np.array(cell) + rng.uniform(0.3, 0.7, 2)) / cells * _SIZE * 16).astype(int)
        cv2.circle(image, at.tolist(), int(radius / cells * _SIZE * 16), 1.0, -1, cv2.LINE_AA, 4)
    return _blend(image, spot, base, textures.noise(rng, _SIZE, 16, 0.9))


def _patches(rng, dark, light, share) -> np.ndarray:
    patch = np.clip((textures.noise(rng, _SIZE, 2, 0.4) + share) * 12, 0, 1)
    return _blend(patch, dark, light, textures.noise(rng, _SIZE, 16, 0.9))


def coat(stage: Stage, rng, kind: str) -> Coat:
    """The materials of one animal of a kind."""
    black, white = _hsv(rng, (0.05, 0.1), (0.1, 0.3), (0.06, 0.14)), _hsv(rng, (0.08, 0.13), (0.02, 0.12), (0.8, 0.95))
    period_m, plain, crest, belly, feet = 1.0, None, None, None, black
    if kind == "zebra":
        image, plain, crest = _stripes(rng, black, white, 1.0, rng.uniform(0.055, 0.075), 0.5, 0.0), white, black
    elif kind == "tiger":
        plain = _hsv(rng, (0.06, 0.085), (0.65, 0.85), (0.7, 0.9))
        image = _stripes(rng, black, plain, 1.0, rng.uniform(0.045, 0.06), 1.6, -0.6)
    elif kind == "giraffe":
        plain, period_m = _hsv(rng, (0.1, 0.13), (0.25, 0.45), (0.8, 0.92)), 0.9
        dark = _hsv(rng, (0.06, 0.08), (0.55, 0.75), (0.35, 0.6))
        image, crest = _cells(rng, dark, plain, 6, rng.uniform(0.1, 0.2)), dark
    elif kind == "spotted":
        plain, period_m = _hsv(rng, (0.06, 0.09), (0.5, 0.7), (0.5, 0.7)), 0.4
        image, belly = _spots(rng, white, plain, 6, 0.2), None
    elif kind in ("cow", "pied"):
        dark = _hsv(rng, (0.03, 0.08), (0.3, 0.7), (0.08, 0.4))
        image, plain = _patches(rng, dark, white, rng.uniform(-0.2, 0.3)), rng.choice([0, 1]) * (dark - white) + white
        period_m = 1.3 if kind == "cow" else 0.7
    else:
        hue, saturation, value = {
            "deer": ((0.055, 0.085), (0.5, 0.7), (0.35, 0.55)),
            "woolly": ((0.06, 0.11), (0.05, 0.5), (0.25, 0.92)),
            "lion": ((0.09, 0.115), (0.42, 0.58), (0.65, 0.82)),
            "tawny": ((0.09, 0.115), (0.4, 0.55), (0.65, 0.85)),
            "bear": ((0.05, 0.09), (0.4, 0.65), (0.16, 0.4)),
            "wolf": ((0.08, 0.12), (0.08, 0.25), (0.35, 0.65)),
            "elephant": ((0.05, 0.1), (0.05, 0.16), (0.36, 0.5)),
        }[kind]
        plain = _hsv(rng, hue, saturation, value)
        image = _grain(rng, plain, 0.5 if kind in ("woolly", "bear", "wolf") else 0.25)
        crest = plain * (0.4 if kind == "lion" else 0.75)
        feet = plain * (0.5 if kind == "deer" else 0.85)
    fur = stage.material(image=image, period_m=period_m)
    muzzle = plain * 0.5 + black * 0.5 if kind in ("zebra", "cow", "deer", "woolly") else plain * 0.92
    legs = _grain(rng, plain, 0.2)
    return Coat(
        fur,
        fur if belly is None else stage.material(belly),
        stage.material(np.clip(muzzle, 0, 255)),
        stage.material(image=_grain(rng, plain if crest is None else crest, 0.5), period_m=0.5),
        fur if kind in ("zebra", "tiger", "giraffe") else stage.material(image=legs, period_m=0.7),
        stage.material(np.clip(feet, 0, 255)),
        stage.material(_hsv(rng, (0.08, 0.12), (0.1, 0.4), (0.35, 0.8))),
        stage.material((22, 18, 16), shine=0.5),
    )
