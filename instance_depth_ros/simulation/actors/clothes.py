"""What people wear: outfits, and the materials that they are made of."""

from __future__ import annotations

import cv2
import numpy as np

from ..sets import textures
from ..sets.stage import Stage

_PRINTS = 8


def team(rng: np.random.Generator, count: int, numbered: bool = True) -> list[dict]:
    """Outfits of a team: the same shirts and shorts, each shirt with its number."""
    top, bottom = textures.color(rng, saturation=(0.5, 1), value=(0.35, 1)), textures.color(rng, value=(0.1, 1))
    shoe, numbers = textures.color(rng, value=(0.05, 0.95)), rng.permutation(np.arange(1, 30))
    ink = (25, 25, 25) if top @ (0.3, 0.6, 0.1) > 120 else (245, 245, 245)
    kit = {"top": top, "cloth": None, "bottom": bottom, "shoe": shoe, "sleeve": "skin", "shin": "skin", "skirt": False}
    return [kit | ({"print": _number(top, ink, str(number))} if numbered else {}) for number in numbers[:count]]


def _number(color, ink, number: str) -> np.ndarray:
    """A picture that goes once round the chest: a number in its middle, the back, and at its seam, the front."""
    image = np.empty((128, 256, 3), np.uint8)
    image[:] = color
    font, scale, thick = cv2.FONT_HERSHEY_DUPLEX, 2.2, 7
    (wide, high), _ = cv2.getTextSize(number, font, scale, thick)
    cv2.putText(image, number, ((256 - wide) // 2, (128 + high) // 2), font, scale, ink, thick, cv2.LINE_AA)
    front = np.roll(image, 128, 1)
    return np.where(front == image[0, 0], image, front)


class Wardrobe:
    """Materials for one troupe after the other; eight cloths are shared by all."""

    def __init__(self, stage: Stage, rng: np.random.Generator):
        self.stage, self.rng = stage, rng
        self._cloths = [textures.cloth(rng) for _ in range(_PRINTS)]

    def looks(self, outfit: dict) -> dict[str, str]:
        """The material of everything that is worn.

        outfit: any of top, bottom, skin, hair, shoe (RGB), print (a picture that goes once round the chest), cloth
        (a picture of 0.4 m, or None: plain), sleeve ("skin", "top") and shin ("skin", "bottom", "top"); the rest
        is chance.
        """
        tint = lambda **ranges: textures.color(self.rng, **ranges)  # noqa: E731
        worn = {
            "skin": tint(hue=(0.03, 0.09), saturation=(0.25, 0.6), value=(0.25, 0.95)),
            "hair": tint(hue=(0, 0.13), saturation=(0, 0.6), value=(0.05, 0.7)),
            "top": tint(saturation=(0, 0.9), value=(0.08, 1)),
            "bottom": tint(saturation=(0, 0.6), value=(0.08, 0.8)),
            "shoe": tint(value=(0.05, 0.95)),
            "sleeve": self.rng.choice(["skin", "top"]),
            "shin": self.rng.choice(["skin", "bottom"], p=[0.25, 0.75]),
        }
        cloths = [self._cloths[self.rng.integers(_PRINTS)] for _ in range(2)]
        worn |= outfit
        top, bottom = [worn["cloth"]] * 2 if "cloth" in worn else cloths
        looks = {name: self.stage.material(worn[name]) for name in ("skin", "hair", "shoe")}
        looks["bottom"] = self.stage.material(worn["bottom"], bottom, 0.4)
        looks["top"] = looks["chest"] = self.stage.material(worn["top"], top, 0.4)
        if "print" in worn:
            looks["chest"] = self.stage.material(image=worn["print"], stretch=True)
        return looks | {name: looks[worn[name]] for name in ("sleeve", "shin")}
