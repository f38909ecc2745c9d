"""What people wear: outfits, and the materials that they are made of."""

from __future__ import annotations

import cv2
import numpy as np

from . import textures
from .stage import Stage

_PRINTS = 8
_SHIRT_M = 0.36  # a number's picture is as wide as a chest, and not repeated on it


def team(rng: np.random.Generator, count: int) -> list[dict]:
    """Outfits of a team: the same shirts and shorts, each shirt with its number."""
    top, bottom = textures.color(rng, saturation=(0.5, 1), value=(0.35, 1)), textures.color(rng, value=(0.1, 1))
    shoe, numbers = textures.color(rng, value=(0.05, 0.95)), rng.permutation(np.arange(1, 30))
    ink = (20, 20, 20) if top.mean() > 110 else (250, 250, 250)
    stripe = rng.random() < 0.4
    return [
        {"top": (255, 255, 255), "print": _shirt(top, ink, str(number), stripe), "bottom": bottom, "shoe": shoe,
         "sleeve": "skin", "shin": "skin", "skirt": False}
        for number in numbers[:count]
    ]  # fmt: skip


def _shirt(color, ink, number: str, stripe: bool, size=128) -> np.ndarray:
    image = np.empty((size, size, 3), np.uint8)
    image[:] = color
    if stripe:
        cv2.rectangle(image, (0, 108), (size, 118), ink, -1)
    font, scale, thick = cv2.FONT_HERSHEY_DUPLEX, 1.9, 5
    (width, height), _ = cv2.getTextSize(number, font, scale, thick)
    cv2.putText(image, number, ((size - width) // 2, (size + height) // 2), font, scale, ink, thick, cv2.LINE_AA)
    return image


class Wardrobe:
    """Materials for one troupe after the other; eight cloths are shared by all."""

    def __init__(self, stage: Stage, rng: np.random.Generator):
        self.stage, self.rng = stage, rng
        self._cloths = [textures.cloth(rng) for _ in range(_PRINTS)]

    def looks(self, outfit: dict) -> dict[str, str]:
        """The material of everything that is worn.

        outfit: any of top, bottom, skin, hair, shoe (RGB), print (a picture for the top), sleeve ("skin", "top") and
        shin ("skin", "bottom", "top"); the rest is chance.
        """
        tint = lambda **ranges: textures.color(self.rng, **ranges)  # noqa: E731
        worn = {
            "skin": tint(hue=(0.03, 0.09), saturation=(0.25, 0.6), value=(0.25, 0.95)),
            "hair": tint(hue=(0, 0.13), saturation=(0, 0.6), value=(0.05, 0.7)),
            "top": tint(saturation=(0, 0.9), value=(0.08, 1)),
            "bottom": tint(saturation=(0, 0.6), value=(0.08, 0.8)),
            "shoe": tint(value=(0.05, 0.95)),
            "print": None,
            "sleeve": self.rng.choice(["skin", "top"]),
            "shin": self.rng.choice(["skin", "bottom"], p=[0.25, 0.75]),
        }
        top, bottom = self._cloths[self.rng.integers(_PRINTS)], self._cloths[self.rng.integers(_PRINTS)]
        worn |= outfit
        looks = {name: self.stage.material(worn[name]) for name in ("skin", "hair", "shoe")}
        looks["bottom"] = self.stage.material(worn["bottom"], bottom, 0.4)
        if worn["print"] is None:
            looks["top"] = self.stage.material(worn["top"], top, 0.4)
        else:
            looks["top"] = self.stage.material(worn["top"], worn["print"], _SHIRT_M)
        return looks | {name: looks[worn[name]] for name in ("sleeve", "shin")}
