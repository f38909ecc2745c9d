"""The human body as 19 shapes: proportions, joints that reach, and where the shapes are once the joints are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .steps import ease

# Geoms of one person: what each wears. Pairs are left, right.
WEARS = (
    *("skin", "hair", "skin", "chest", "top", "bottom", "top"),
    *("top", "top", "sleeve", "sleeve", "skin", "skin"),
    *("bottom", "bottom", "shin", "shin", "shoe", "shoe"),
)
HEAD, HAIR, NECK, CHEST, BELLY, PELVIS, SHOULDERS = range(7)
UPPER_ARM, FOREARM, HAND, THIGH, SHIN, FOOT = (slice(i, i + 2) for i in range(7, 19, 2))
ELLIPSOIDS = (HEAD, HAIR, CHEST, BELLY, PELVIS)
JOINTS = (
    *("head", "neck", "shoulder_l", "shoulder_r", "elbow_l", "elbow_r", "wrist_l", "wrist_r"),
    *("pelvis", "hip_l", "hip_r", "knee_l", "knee_r", "ankle_l", "ankle_r"),
)

# Segment lengths as shares of stature (Winter, Biomechanics and Motor Control of Human Movement, fig. 4.1).
THIGH_L, SHIN_L, ANKLE, UPPER_ARM_L, FOREARM_L, HAND_L, TORSO_L = 0.245, 0.246, 0.039, 0.186, 0.146, 0.07, 0.288
LEG_L, SOLE, HIP, SHOULDER, WAIST, HEAD_L = THIGH_L + SHIN_L, 0.024, 0.052, 0.115, 0.1, 0.114
GRIP_L = FOREARM_L + HAND_L / 2  # from the elbow to the middle of the hand
SIDES = np.array([1.0, -1.0])[:, None]  # left, right
_UP = np.array([0.0, 0.0, 1.0])


class Trunk(NamedTuple):
    """Points (n, 3) and frames (n, 3, 3), whose columns point forward, left and up."""

    pelvis: np.ndarray
    neck: np.ndarray
    head: np.ndarray
    pelvis_frame: np.ndarray
    chest_frame: np.ndarray
    head_frame: np.ndarray


class Legs(NamedTuple):
    """(n, 2, 3) each: joints, middles of the feet, directions of the toes, and where the knees look."""

    hips: np.ndarray
    knees: np.ndarray
    ankles: np.ndarray
    feet: np.ndarray
    toes: np.ndarray
    facing: np.ndarray


class Arms(NamedTuple):
    """(n, 2, 3) each: joints, middles of the hands, and the axes on which the elbows bend."""

    shoulders: np.ndarray
    elbows: np.ndarray
    hands: np.ndarray
    hinges: np.ndarray


class Body:
    """n bodies of some stature (n,) in metres, more or less broad: build (n,) about 1. skirt, long_hair: (n,) bool."""

    def __init__(self, stature_m, build, skirt, long_hair):
        self.stature_m, self.build, self.skirt, self.long_hair = stature_m, build, skirt, long_hair

    @property
    def sizes(self) -> np.ndarray:
        """(n, geoms, 3): semi-axes of ellipsoids (forward, left, up); radius and half length of capsules."""
        share = np.zeros((len(self.stature_m), len(WEARS), 3))
        b = self.build[:, None]
        # heads of the small are large
        share[:, HEAD] = np.array([0.056, 0.046, 0.068]) * (1 + 0.3 * (1.7 - self.stature_m).clip(0))[:, None]
        share[:, HAIR] = share[:, HEAD] * np.where(self.long_hair[:, None], [0.95, 1.1, 1.28], [1.04, 1.1, 0.88])
        share[:, NECK, :2] = 0.032, 0.035
        for geom, axes in ((CHEST, (0.066, 0.105, 0.125)), (BELLY, (0.064, 0.09, 0.1)), (PELVIS, (0.07, 0.1, 0.075))):
            share[:, geom] = np.array(axes) * np.concatenate([b, b, np.ones_like(b)], -1)
        share[self.skirt, PELVIS] *= 1.5, 1.15, 2.0
        share[:, SHOULDERS, :2] = 0.034, 0.1
        limbs = ((UPPER_ARM, 0.027, UPPER_ARM_L), (FOREARM, 0.021, FOREARM_L), (HAND, 0.02, HAND_L),
                 (THIGH, 0.045, THIGH_L), (SHIN, 0.03, SHIN_L), (FOOT, SOLE, 0.1))  # fmt: skip
        for limb, radius, length in limbs:
            share[:, limb, 0] = radius * b
            share[:, limb, 1] = length / 2
        return share * self.stature_m[:, None, None]

    def feet(self, soles, yaws, pitches, lifts):
        """Directions of the toes, ankles, and middles of the feet (..., n, 2, 3), rolled over their ends.

        soles: (..., n, 2, 2) on the floor; yaws, pitches (heel up is positive), lifts: (..., n, 2).
        """
        h = self.stature_m[:, None, None]
        flat = np.stack([np.cos(yaws), np.sin(yaws), 0 * yaws], -1)
        c, s = np.cos(pitches)[..., None], np.sin(pitches)[..., None]
        toes, above = c * flat - s * _UP, s * flat + c * _UP
        height = lifts[..., None] + SOLE * h * self.build[:, None, None]
        middles = np.concatenate([soles, height], -1) + np.where(pitches > 0, 0.05, -0.05)[..., None] * h * (
            flat - toes
        )
        return toes, middles - 0.035 * h * toes + 0.015 * h * above, middles

    def hips(self, pelvis, left) -> np.ndarray:
        """(..., n, 2, dimensions) beside a pelvis (..., n, 2 or 3)."""
        aside = HIP * self.stature_m[:, None, None] * SIDES * left[..., None, :]
        return pelvis[..., None, :] + aside[..., : pelvis.shape[-1]]

    def caps(self, ankles, hips, lifts, stretch) -> np.ndarray:
        """(..., n, 2): how high legs, stretched so far, let the hips be; a foot in the air does not hold."""
        flat = np.linalg.norm(ankles[..., :2] - hips[..., :2], axis=-1)
        leg = stretch * LEG_L * self.stature_m[:, None]
        return ankles[..., 2] + np.sqrt(np.maximum(leg**2 - flat**2, 0.01)) + 5 * lifts

    def legs(self, trunk: Trunk, feet, yaws) -> Legs:
        """Knees forward and a little outward; a foot out of reach is pulled along."""
        toes, ankles, middles = feet
        h = self.stature_m[:, None, None]
        forward, left, _ = np.moveaxis(trunk.pelvis_frame, -1, 0)
        facing = np.stack([np.cos(yaws), np.sin(yaws), 0 * yaws], -1)
        hips = self.hips(trunk.pelvis, left)
        knees, reached = two_bones(
            hips, ankles, THIGH_L * h, SHIN_L * h, facing + forward[:, None] + 0.15 * SIDES * left[:, None]
        )
        return Legs(hips, knees, reached, middles + reached - ankles, toes, facing)

    def arms(self, trunk: Trunk, lift, spread, bent, roll, points, weights) -> Arms:
        """By angles (n, 2), or with the hands at points (n, 2, 3) as far as weights (n, 2) say; clear of the trunk.

        lift: from hanging (0) forward and up (pi). spread: sideways. bent: the elbow. roll: where the forearm folds to,
        from forward (0) towards the other arm.
        """
        h = self.stature_m[:, None, None]
        forward, left, up = np.moveaxis(trunk.chest_frame, -1, 0)
        aside = SIDES * left[:, None]
        shoulders = trunk.neck[:, None] + h * (SHOULDER * aside - 0.012 * up[:, None])
        hang, ahead = _turned(-up[:, None], forward[:, None], lift), _turned(forward[:, None], up[:, None], lift)
        upper, inward = _turned(hang, aside, spread), _turned(-aside, hang, spread)
        fold = _turned(ahead, inward, roll)
        elbows = shoulders + UPPER_ARM_L * h * upper
        hands = elbows + GRIP_L * h * _turned(upper, fold, np.clip(bent, 0.08, 2.5))
        w = weights[..., None]
        hands = self._off_head(self._off_trunk(hands + (points - hands) * w, trunk), trunk)
        out = 0.7 * aside - 0.6 * up[:, None] - 0.4 * forward[:, None]
        pole = (1 - w) * unit(elbows - shoulders) + w * out
        bows, _ = two_bones(shoulders, hands, UPPER_ARM_L * h, GRIP_L * h, pole)
        pole = self._off_trunk(bows, trunk) - shoulders
        bows, hands = two_bones(shoulders, hands, UPPER_ARM_L * h, GRIP_L * h, pole)
        hinges = unit(cross(bows - shoulders, hands - bows) + 1e-3 * cross(upper, fold))
        return Arms(shoulders, bows, hands, hinges)

    def _off_trunk(self, points, trunk: Trunk) -> np.ndarray:
        """Points (n, 2, 3) pushed out of the own trunk, rather to the front than to the back."""
        h, wide = self.stature_m[:, None], (self.build * self.stature_m)[:, None]
        local = (points - trunk.neck[:, None]) @ trunk.chest_frame
        side, front = 0.105 * wide + 0.022 * h, 0.068 * wide + 0.022 * h
        # an ellipse round the trunk, its middle moved back
        far = np.hypot(local[..., 1] / side, (local[..., 0] + front) / (2 * front)) + 1e-6
        beside = ease((0.23 - np.abs(local[..., 2] / h + 0.13)) / 0.06)
        grow = 1 + (_beyond(far) / far - 1) * beside
        local = np.stack([(local[..., 0] + front) * grow - front, local[..., 1] * grow, local[..., 2]], -1)
        return trunk.neck[:, None] + local @ np.swapaxes(trunk.chest_frame, -1, -2)

    def _off_head(self, points, trunk: Trunk) -> np.ndarray:
        radius, head = 0.085 * self.stature_m[:, None, None], trunk.head[:, None]
        away = (points - head) / radius
        far = np.linalg.norm(away, axis=-1, keepdims=True) + 1e-6
        return head + away * radius * _beyond(far) / far

    def wrists(self, arms: Arms) -> np.ndarray:
        return arms.elbows + (arms.hands - arms.elbows) * (FOREARM_L / GRIP_L)

    def joints(self, trunk: Trunk, legs: Legs, arms: Arms) -> np.ndarray:
        """(n, JOINTS, 3)"""
        single = [point[:, None] for point in (trunk.head, trunk.neck, trunk.pelvis)]
        return np.concatenate([*single[:2], arms.shoulders, arms.elbows, self.wrists(arms), single[2],
                               legs.hips, legs.knees, legs.ankles], 1)  # fmt: skip

    def geoms(self, trunk: Trunk, legs: Legs, arms: Arms) -> tuple[np.ndarray, np.ndarray]:
        """Centres (n, geoms, 3) and rotations (n, geoms, 3, 3).

        Capsules: z along their axis. Ellipsoids: x forward, y left, z up, so that prints go round the body.
        """
        n, h = len(self.stature_m), self.stature_m[:, None]
        centers, rotations = np.empty((n, len(WEARS), 3)), np.empty((n, len(WEARS), 3, 3))
        up = trunk.chest_frame[..., 2]
        hair = np.where(self.long_hair[:, None], (-0.022, 0.0, -0.006), (-0.014, 0.0, 0.017))
        low = np.where(self.skirt[:, None], -0.09, 0.02)
        belly = _average(trunk.pelvis_frame, trunk.chest_frame)
        centers[:, HEAD] = trunk.head
        centers[:, HAIR] = trunk.head + h * np.einsum("nij,nj->ni", trunk.head_frame, hair)
        centers[:, NECK] = trunk.neck + 0.037 * h * up
        centers[:, CHEST] = trunk.neck - 0.078 * h * up
        centers[:, BELLY] = trunk.pelvis + h * (WAIST * trunk.pelvis_frame[..., 2] + 0.004 * belly[..., 0])
        centers[:, PELVIS] = trunk.pelvis + low * h * trunk.pelvis_frame[..., 2]
        centers[:, SHOULDERS] = trunk.neck - 0.01 * h * up
        rotations[:, HEAD] = rotations[:, HAIR] = trunk.head_frame
        rotations[:, CHEST], rotations[:, BELLY], rotations[:, PELVIS] = trunk.chest_frame, belly, trunk.pelvis_frame
        rotations[:, NECK] = trunk.chest_frame
        rotations[:, SHOULDERS] = trunk.chest_frame[..., [2, 0, 1]]

        wrists = self.wrists(arms)
        starts = np.concatenate([arms.shoulders, arms.elbows, wrists, legs.hips, legs.knees, legs.feet], 1)
        ends = np.concatenate([arms.elbows, wrists, 2 * arms.hands - wrists, legs.knees, legs.ankles, legs.feet], 1)
        limbs = slice(UPPER_ARM.start, FOOT.stop)
        centers[:, limbs] = (starts + ends) / 2
        axes = unit(np.concatenate([(ends - starts)[:, :-2], legs.toes], 1))
        across = unit(cross(np.tile(legs.facing, (1, 3, 1)), axes[:, 6:]) + 1e-6)
        across[:, -2:] = unit(cross(_UP, legs.toes))
        x = np.concatenate([arms.hinges, arms.hinges, arms.hinges, across], 1)
        rotations[:, limbs] = np.stack([x, cross(axes, x), axes], -1)
        return centers, rotations


def cross(a, b) -> np.ndarray:
    """numpy's cross product of (..., 3), faster for few vectors."""
    a, b = np.broadcast_arrays(a, b)
    return a[..., [1, 2, 0]] * b[..., [2, 0, 1]] - a[..., [2, 0, 1]] * b[..., [1, 2, 0]]


def unit(vectors) -> np.ndarray:
    """Of length 1 along the last axis; what has no length stays so."""
    return vectors / np.maximum(np.sqrt((vectors * vectors).sum(-1, keepdims=True)), 1e-9)


def tilted(headings, lean=0.0, side=0.0) -> np.ndarray:
    """(n, 3, 3): the frame (forward, left, up) of what leans forward, and then to its left; all angles (n,)."""
    (ch, sh), (cl, sl), (cs, ss) = ((np.cos(a), np.sin(a)) for a in np.broadcast_arrays(headings, lean, side))
    ahead, left = np.stack([ch, sh, 0 * ch], -1), np.stack([-sh, ch, 0 * ch], -1)
    cl, sl, cs, ss = (v[:, None] for v in (cl, sl, cs, ss))
    forward, up = cl * ahead - sl * _UP, cl * _UP + sl * ahead
    return np.stack([forward, cs * left - ss * up, cs * up + ss * left], -1)


def two_bones(root, goal, upper, lower, pole):
    """The joint between two bones (..., 3), bent towards pole, and where their end is: at goal, if they reach it."""
    way = goal - root
    far = np.sqrt((way * way).sum(-1, keepdims=True))
    axis = way / np.maximum(far, 1e-9)
    # a limb comes to its full length softly
    long, soft = 0.985 * (upper + lower), 0.014 * (upper + lower)
    far = np.where(far > long, long + soft * np.tanh((far - long) / soft), far)
    far = np.maximum(far, np.abs(upper - lower) * 1.02 + 1e-3)
    along = (far**2 + upper**2 - lower**2) / (2 * far)
    high = np.sqrt(np.maximum(upper**2 - along**2, 0))
    bend = unit(pole - (pole * axis).sum(-1, keepdims=True) * axis)
    return root + along * axis + high * bend, root + far * axis


def least(values, blend) -> np.ndarray:
    """A smooth minimum over the last axis, a little below the least."""
    low = values.min(-1, keepdims=True)
    return low[..., 0] - blend * np.log(np.exp((low - values) / blend[..., None]).sum(-1))


def _beyond(far):
    """A smooth maximum of far and 1."""
    return (far + 1 + np.sqrt((far - 1) ** 2 + 0.004)) / 2


def _turned(a, b, angle) -> np.ndarray:
    """Unit vectors a turned by angle towards the b across."""
    return np.cos(angle)[..., None] * a + np.sin(angle)[..., None] * b


def _average(one, other) -> np.ndarray:
    """The frame between two that are not far apart."""
    up = unit(one[..., 2] + other[..., 2])
    left = unit(cross(up, one[..., 0] + other[..., 0]))
    return np.stack([cross(left, up), left, up], -1)
