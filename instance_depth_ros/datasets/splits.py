"""The frozen splits of simulated clips: fixed lists, made from config/splits/NAME.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import yaml

from .. import config
from ..config import SPLITS
from ..shared import shared_file


@dataclass(frozen=True)
class Clip:
    """What a clip is drawn from: everything in it follows. split: train, val or test, which share no random number.

    oversample: colours are drawn so many times larger and shrunk, for smooth edges.
    sensor: auto: depth and colours as the lens's camera gives them; none: without faults.
    shutter_s: exposure time, for motion blur; 0: none.
    """

    activity: str
    seed: int
    split: str
    view: int
    frames: int
    fps: float
    width: int
    height: int
    oversample: int = 1
    sensor: str = "auto"
    shutter_s: float = 0.0

    @property
    def name(self) -> str:
        """Unique in its split."""
        return f"{self.activity}_{self.seed:04d}_{self.view}"

    @property
    def scene(self) -> tuple[str, str, int]:
        """Clips of the same scene differ in the camera alone."""
        return self.split, self.activity, self.seed


def split_clips(name: str) -> list[Clip]:
    """The clips of a split such as sim-val, in an order in which activities take turns."""
    recipe = _recipe(name)
    return [clip for seed in range(*recipe["seeds"]) for clip in _of_seed(recipe, seed)]


def endless_clips(name: str, first: int = 0, step: int = 1) -> Iterator[Clip]:
    """All activities in turn of every step-th seed of a split from its number `first` on, and so on beyond its last.

    Streams of the same step begin with different activities, and share no scene.
    """
    recipe = _recipe(name)
    activities = recipe["activities"]
    for seed in count(recipe["seeds"][0] + first, step):
        for turn in range(len(activities)):
            yield from _of_scene(recipe, activities[(first + turn) % len(activities)], seed)


def _recipe(name: str) -> dict:
    if name not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got '{name}'")
    return yaml.safe_load(shared_file(f"config/splits/{name}.yaml").read_text())


def _of_seed(recipe: dict, seed: int) -> Iterator[Clip]:
    for activity in recipe["activities"]:
        yield from _of_scene(recipe, activity, seed)


def _of_scene(recipe: dict, activity: str, seed: int) -> Iterator[Clip]:
    for view in range(recipe["views"]):
        rng = np.random.default_rng((config.ACTIVITIES.index(activity), seed, view))
        fps = float(rng.choice(recipe["fps"]))
        oversample = recipe["oversample"][seed % len(recipe["oversample"])]
        yield Clip(activity, seed, recipe["split"], view, recipe["frames"], fps, *recipe["size"], oversample)
