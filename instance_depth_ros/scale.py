"""How many times too short the network's metres are, from what is known of the world: one robust estimate a stream.

A monocular network gets the shape of a scene long before its metres. Anchors know lengths: a depth sensor, the camera's
height above the ground that the network sees, the stature of people who stand on it. What contradicts the others, or is
out of all proportion, is noticed and counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import exp, hypot, log
from statistics import median

import numpy as np

from .config import CLASSES
from .frame import Frame
from .geometry import sampled, valid
from .ground import Ground, Stance, heights_m, on_ground
from .sightings import Seen

PERSON = CLASSES.index("person")
STATURE_M = 1.70  # of grown people; their deviation of 0.09 is little beside what follows
UPRIGHT_SHARE = 0.75  # people stoop and sit, but nobody stretches: heeded is who is taller than this share of them
LEAST_PEOPLE = 2  # one alone is too often none
ALONE_SPREAD, PEOPLE_SPREAD = 0.3, 0.06  # of one, who may be a child or sit; what many have in common
LEAST_CELLS = 10  # of a person's mask, from top to bottom
SENSOR_SPREAD, POSE_SPREAD, HEIGHT_SPREAD = 0.01, 0.03, 0.05
BENT = 3.0  # a ground that is bent is also tilted: so many times what its halves differ by
# Of the network alone: mostly it is right to so much, else it may be off by any factor; and how often it is right.
USUAL, WILD, RIGHT = 0.1, 0.7, 0.6
IMPLAUSIBLE = log(2.6)  # nothing is believed alone that is farther from the network
AT_ODDS, MARGIN = 2.0, 0.05  # standard deviations, and log scale beyond them, by which anchors may differ
RECENT = 15  # an anchor says the median of so many frames
SETTLE_S = 1.0  # to go two thirds of the way
LEAST_MEASURED = 0.02  # of all cells, for a sensor to be an anchor


@dataclass(frozen=True)
class Anchor:
    """What one thing says: log of true over network's metres, and the standard deviation; and if it is heeded."""

    name: str
    log_scale: float
    spread: float
    holds: bool = True

    def __str__(self) -> str:
        return f"{self.name} {exp(self.log_scale):.2f} +- {self.spread:.2f}{'' if self.holds else ', not heeded'}"


@dataclass(frozen=True)
class Scale:
    """Of one stream: true metres are the network's times factor. spread: standard deviation of its logarithm.

    anchors: what each said last. recent: log scales of the last frames, by anchor. disputed: anchors contradicted each
    other and have not agreed since; until then none is believed alone. frames: since the stream began.
    """

    log_scale: float = 0.0
    spread: float = USUAL
    anchors: tuple[Anchor, ...] = ()
    recent: dict[str, tuple[float, ...]] = field(default_factory=dict)
    disputed: bool = False
    frames: int = 0
    stamp_ns: int = 0

    @property
    def factor(self) -> float:
        return exp(self.log_scale)

    def __str__(self) -> str:
        """For diagnostics: 1.31 +- 0.03 (height 1.31 +- 0.03; stature 1.28 +- 0.06)."""
        said = "; ".join(map(str, self.anchors)) or "network alone"
        return f"{self.factor:.2f} +- {self.spread:.2f} ({said})"

    def after(self, said: list[Anchor], stamp_ns: int) -> Scale:
        """The scale once this frame's anchors have spoken: at once where the stream begins, then smoothly.

        Without any it stays as it is.
        """
        now = replace(self, frames=self.frames + 1, stamp_ns=stamp_ns)
        if not said:
            return now
        recent = self.recent | {a.name: (*self.recent.get(a.name, ())[1 - RECENT :], a.log_scale) for a in said}
        anchors, disputed = heeded([replace(a, log_scale=median(recent[a.name])) for a in said], self.disputed)
        aim, spread = believed([a for a in anchors if a.holds])
        passed_s = max(stamp_ns - self.stamp_ns, 0) / 1e9
        gain = max(1 - exp(-passed_s / SETTLE_S), 1 / (self.frames + 1))
        log_scale = self.log_scale + gain * (aim - self.log_scale)
        return replace(
            now, log_scale=log_scale, spread=spread, anchors=tuple(anchors), recent=recent, disputed=disputed
        )


def heeded(said: list[Anchor], disputed: bool = False) -> tuple[list[Anchor], bool]:
    """The anchors, each marked whether it holds; and whether they contradict each other.

    A sensor is believed before all others. Those that agree hold together. Of those that do not, one holds that is the
    only plausible one; else all give way to the network.
    """
    if any(a.name == "sensor" for a in said):
        return [replace(a, holds=a.name == "sensor") for a in said], False
    if len(said) > 1 and _agree(*said):
        return said, False
    plausible = [abs(a.log_scale) < IMPLAUSIBLE for a in said]
    believed = sum(plausible) == 1 and not (disputed and len(said) == 1)
    disputed = disputed if len(said) == 1 else not believed
    return [replace(a, holds=believed and likely) for a, likely in zip(said, plausible, strict=True)], disputed


def _agree(one: Anchor, other: Anchor) -> bool:
    return abs(one.log_scale - other.log_scale) < AT_ODDS * hypot(one.spread, other.spread) + MARGIN


def believed(anchors: list[Anchor]) -> tuple[float, float]:
    """Log scale after anchors that hold and the network have been heard, and its standard deviation.

    The network's say is a mixture: what is near to it is drawn to it, what is far from it shows that it is wrong.
    """
    if not anchors:
        return 0.0, USUAL
    weights = np.array([a.spread for a in anchors]) ** -2.0
    said, spread = float(weights @ [a.log_scale for a in anchors] / weights.sum()), float(weights.sum() ** -0.5)
    prior = np.array([USUAL, WILD])
    total = np.hypot(prior, spread)
    share = np.array([RIGHT, 1 - RIGHT]) * np.exp(-np.square(said / total) / 2) / total
    share /= share.sum()
    means, variances = said * np.square(prior / total), np.square(prior * spread / total)
    middle = float(share @ means)
    return middle, float(np.sqrt(share @ (variances + np.square(means - middle))))


def listen(
    asked: list[str],
    frame: Frame,
    height_m: float,
    depth_m: np.ndarray,
    seen: Seen | None,
    floor: Ground | None,
    stance: Stance | None,
    ray: np.ndarray,
) -> list[Anchor]:
    """What those of config.ANCHORS that are asked say of a frame.

    height_m: of the camera where tf has no frame.floor, 0 unknown. depth_m (h, w), seen, floor: the network's, in its
    own metres; stance: of seen on the floor; ray: (h, w, 2).
    """
    said = []
    if "sensor" in asked and frame.depth_m is not None:
        said.append(of_sensor(depth_m, frame.depth_m))
    if "height" in asked and frame.floor is not None:
        said.append(of_floor(floor, frame.floor, depth_m, ray))
    elif "height" in asked and height_m > 0:
        said.append(of_height(floor, height_m))
    if "stature" in asked and seen is not None:
        said.append(of_stature(floor, stance, seen, ray))
    return [anchor for anchor in said if anchor]


def of_sensor(depth_m: np.ndarray, measured_m: np.ndarray) -> Anchor | None:
    """From depth (h, w) and registered sensor depth (H, W) of any size; None where too little is measured."""
    measured_m = sampled(measured_m, depth_m.shape)
    both = valid(measured_m) & valid(depth_m)
    if np.count_nonzero(both) < LEAST_MEASURED * both.size:
        return None
    return Anchor("sensor", float(np.median(np.log(measured_m[both] / depth_m[both]))), SENSOR_SPREAD)


def of_height(ground: Ground | None, camera_height_m: float) -> Anchor | None:
    """From the camera's true height above the ground; None where the network sees no ground."""
    if ground is None:
        return None
    return Anchor("height", log(camera_height_m / ground.height_m), hypot(HEIGHT_SPREAD, BENT * ground.height_spread))


def of_floor(ground: Ground | None, floor: np.ndarray, depth_m: np.ndarray, ray: np.ndarray) -> Anchor | None:
    """From the true plane (3,) of the ground, which knows its tilt, too: what the network sees as ground lies there."""
    if ground is None:
        return None
    inverse_m = ray @ floor[:2].astype(np.float32) + np.float32(floor[2])
    there = on_ground(ground, depth_m, ray) & (inverse_m > 0)
    if not there.any():
        return None
    off = -np.log(inverse_m[there] * depth_m[there])
    middle = float(np.median(off))
    return Anchor("height", middle, hypot(POSE_SPREAD, float(np.median(np.abs(off - middle)))))


def of_stature(ground: Ground | None, stance: Stance | None, seen: Seen, ray: np.ndarray) -> Anchor | None:
    """From people who stand on the ground, from head to foot in view; None where fewer than two do."""
    if ground is None or not (seen.class_id == PERSON).any():
        return None
    height_m = heights_m(ground, stance, seen.labels, ray)
    whole = (seen.class_id == PERSON) & (stance.bottom - stance.top >= LEAST_CELLS) & (height_m > 0)
    people = np.count_nonzero(whole)
    if people < LEAST_PEOPLE:
        return None
    tall_m = float(np.quantile(height_m[whole], UPRIGHT_SHARE))
    return Anchor("stature", log(STATURE_M / tall_m), hypot(ALONE_SPREAD / people, PEOPLE_SPREAD))
