"""What an activity builds: a furnished stage, who acts on it, and where a camera may be. Lengths in metres, z is up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from .actors.script import Script
from .sets.stage import Stage

PERSON, ANIMAL, BALL, RACKET, VEHICLE, OTHER = range(1, 7)  # indices into config.CLASSES

# The wide Kinect sees depth to 2.9 m alone: seldom a group.
LENSES = (*("d455_color", "d455_depth", "kinect_color", "kinect_narrow") * 3, "kinect_wide", "phone", "phone")


class Troupe(Protocol):
    """Instances of one class. Each owns a run of the stage's moving geoms, all of them in the order of dress()."""

    class_id: int
    geoms_each: list[int]  # how many geoms each instance has
    still: list[bool]  # never moves: a parked car

    def dress(self, stage: Stage, rng: np.random.Generator) -> None:
        """Add the geoms with stage.moving(), instance by instance."""

    def pose(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Centres (geoms, 3) and rotations (geoms, 3, 3) in the world; a loop of the script's period."""

    def joints(self, time_s: float) -> np.ndarray | None:
        """(instances, JOINTS, 3) of people, None of others."""


@dataclass
class Filming:
    """Where cameras stand: how often each mount of paths.MOUNTS, how far from the action, through one of which lenses.

    distance_m, height_m: (least, most); of the action, and of most actors; height_m None: that of the mount.
    focus: time_s -> (2,) where the action is; None: among the actors.
    """

    mounts: dict[str, float] = field(default_factory=lambda: {"hand": 0.4, "tripod": 0.35, "robot": 0.25})
    distance_m: tuple[float, float] = (4.0, 7.5)
    height_m: tuple[float, float] | None = None
    lenses: tuple[str, ...] = LENSES
    focus: Callable[[float], np.ndarray] | None = None


@dataclass
class World:
    """half: cameras and free actors stay within +-half (x, y). taken: (x, y, radius) of what stands on the floor.

    seats: (x, y, facing) at 0.45 m. ceiling_m: 0 outdoors. shadows, haze_m (0: clear): how it is drawn.
    route: (times_s (k,), places (k, 3), aims (k, 3)) of a camera that is carried through; closed.
    """

    stage: Stage
    half: np.ndarray
    script: Script = field(default_factory=Script)
    troupes: list[Troupe] = field(default_factory=list)
    filming: Filming = field(default_factory=Filming)
    taken: list[tuple[float, float, float]] = field(default_factory=list)
    seats: list[tuple[float, float, float]] = field(default_factory=list)
    ceiling_m: float = 0.0
    night: bool = False
    shadows: bool = False
    shadow_reach_m: float = 12.0
    haze_m: float = 0.0
    route: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def spot(self, rng, radius: float, half=None, center=(0, 0), tries=40) -> np.ndarray | None:
        """A place (2,) free for a disc of radius within +-half of center, or None."""
        half = self.half if half is None else half
        for _ in range(tries):
            place = center + rng.uniform(-1, 1, 2) * np.maximum(np.asarray(half) - radius, 0.1)
            if self.free(place, radius):
                return place
        return None

    def free(self, place, radius: float) -> bool:
        """Whether a disc touches nothing that stands on the floor."""
        return all(np.hypot(place[0] - x, place[1] - y) > radius + r for x, y, r in self.taken)

    def put(self, rng, prop, radius: float, half=None, *args, center=(0, 0), tries=40) -> np.ndarray | None:
        """Stand a prop on a free place, if there is one; returns the place."""
        place = self.spot(rng, radius, half, center, tries)
        if place is not None:
            self.taken.append((*place, radius))
            prop(self.stage, rng, place, *args)
        return place
