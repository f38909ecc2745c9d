"""Boxes that people carry before them in both hands."""

from __future__ import annotations

import numpy as np

from ..sets import textures
from ..sets.stage import Stage
from ..world import OTHER
from .people import People


class Loads:
    """A troupe of boxes: one for each of some of the people."""

    class_id = OTHER

    def __init__(self, rng, people: People, carriers: list[int]):
        self._people, self._carriers = people, list(carriers)
        self.geoms_each, self.still = [1] * len(carriers), [False] * len(carriers)
        for person in self._carriers:
            people.rest(person, "desk", lean=0.02, **{f"{name}_{side}": value for side in "lr" for name, value in
                        (("lift", 0.45), ("elbow", 1.2), ("roll", 0.0))})  # fmt: skip
        left, right = (np.array([people.hand(i, hand, 0.0) for i in self._carriers]) for hand in (0, 1))
        self._half = rng.uniform((0.12, 0, 0.1), (0.18, 0, 0.18), (len(carriers), 3))
        self._half[:, 1] = np.linalg.norm(left - right, axis=-1) / 2 - 0.05  # between the palms

    def dress(self, stage: Stage, rng: np.random.Generator) -> None:
        """Cartons and coloured crates."""
        for half in self._half:
            card = textures.color(rng, (0.06, 0.1), (0.25, 0.55), (0.4, 0.8))
            stage.moving("box", half, stage.material(card if rng.random() < 0.7 else textures.color(rng)))

    def pose(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Centres (boxes, 3) and rotations (boxes, 3, 3): between the hands."""
        hands = np.array([[self._people.hand(i, hand, time_s) for hand in (0, 1)] for i in self._carriers])
        left = (hands[:, 0] - hands[:, 1]) * (1, 1, 0)
        left /= np.linalg.norm(left, axis=-1, keepdims=True)
        ahead, up = np.stack([left[:, 1], -left[:, 0], 0 * left[:, 0]], -1), np.array([0.0, 0.0, 1.0])
        centers = hands.mean(1) + (0.4 * self._half[:, :1] + 0.03) * ahead + 0.4 * self._half[:, 2:] * up
        return centers, np.stack([ahead, left, np.broadcast_to(up, left.shape)], -1)

    def joints(self, time_s: float) -> None:
        """Boxes have none."""
