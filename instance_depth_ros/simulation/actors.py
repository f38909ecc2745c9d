"""People of capsules and ellipsoids: true proportions, moved by phases of a gait, feet on the ground."""

from __future__ import annotations

import copy

import numpy as np

# Geoms of one person: what each wears. Pairs are left, right.
WEARS = (
    *("skin", "hair", "skin", "top", "top", "bottom", "top"),
    *("top", "top", "sleeve", "sleeve", "skin", "skin"),
    *("bottom", "bottom", "shin", "shin", "shoe", "shoe"),
)
HEAD, HAIR, NECK, CHEST, BELLY, PELVIS, SHOULDERS = range(7)
UPPER_ARM, FOREARM, HAND, THIGH, SHIN, FOOT = (slice(i, i + 2) for i in range(7, 19, 2))
ELLIPSOIDS = (HEAD, HAIR, CHEST, BELLY, PELVIS)
MOTIONS = ("walk", "run", "stand", "reach", "sit", "play")

# Segment lengths as shares of stature (Winter, Biomechanics and Motor Control of Human Movement, fig. 4.1).
THIGH_L, SHIN_L, ANKLE, UPPER_ARM_L, FOREARM_L, HAND_L, TORSO_L = 0.245, 0.246, 0.039, 0.186, 0.146, 0.07, 0.288


class People:
    """All people of a scene; arrays are (people, ...), lengths in metres, angles in radians.

    Each goes round a stadium: two straights of length_m joined by half circles of radius_m, at speed_m_s.
    """

    def __init__(self, rng: np.random.Generator, motions: list[str]):
        n = self.count = len(motions)
        self.motions = motions
        self.stature_m = np.clip(rng.normal(1.70, 0.09, n), 1.5, 1.95)
        self.build = rng.uniform(0.85, 1.25, n)
        self.place = np.zeros((n, 2))
        self.heading = rng.uniform(-np.pi, np.pi, n)
        self.length_m, self.radius_m = np.zeros(n), np.zeros(n)
        self.turn = rng.choice([-1.0, 1.0], n)
        self.start = rng.uniform(0, 1, n)
        self.phase = rng.uniform(0, 2 * np.pi, n)
        self.tempo = rng.uniform(0.5, 2.5, n)
        kind = {motion: np.array([m == motion for m in motions]) for motion in MOTIONS}
        moving, sitting, running = kind["walk"] | kind["run"] | kind["play"], kind["sit"], kind["run"] | kind["play"]
        self.moving = moving
        self.speed_m_s = np.where(running, rng.uniform(1.8, 4.0, n), rng.uniform(0.8, 1.6, n)) * moving
        # step length grows with speed; two steps are one period of the gait
        self.period_m = self.stature_m * np.where(running, 1.35, 0.83)
        self.hip_swing = np.where(running, 0.7, np.where(moving, 0.42, 0.02)) * ~sitting
        self.hip_bend = np.where(sitting, 1.5, np.where(kind["play"], 0.5, np.where(running, 0.15, 0.0)))
        self.knee_swing = np.where(running, 1.1, np.where(moving, 0.85, 0.03)) * ~sitting
        self.knee_bend = np.where(sitting, 1.5, np.where(kind["play"], 0.8, np.where(running, 0.3, 0.08)))
        self.lean = np.where(running, 0.2, rng.uniform(-0.03, 0.08, n)) + np.where(kind["reach"], 0.15, 0)
        self.shoulder_swing = np.where(running, 0.8, np.where(moving, 0.5, 0.04))
        pair = (n, 2)
        self.elbow_bend = np.where(running, 1.4, 0.25)[:, None] + rng.uniform(0, 0.5, pair)
        gesture = (rng.random(pair) < 0.35) | kind["reach"][:, None] & (rng.random(pair) < 0.8)
        gesture |= kind["play"][:, None]
        self.raise_arm = np.where(gesture & ~(kind["walk"] | kind["run"])[:, None], rng.uniform(0.4, 2.6, pair), 0)
        self.raise_arm += np.where(sitting[:, None], 0.6, 0)
        self.spread = rng.uniform(0.05, 0.25, pair) + np.where(kind["play"], 0.3, 0)[:, None]
        self.stance = rng.uniform(0.0, 0.12, n) + np.where(kind["play"], 0.12, 0)
        self.sizes = self._sizes()

    def _sizes(self) -> np.ndarray:
        """(people, geoms, 3): semi-axes of ellipsoids (left, up, forward); radius and half length of capsules."""
        share = np.zeros((self.count, len(WEARS), 3))
        b = self.build[:, None]
        share[:, HEAD] = 0.046, 0.068, 0.056
        share[:, HAIR] = 0.051, 0.060, 0.058
        share[:, NECK, :2] = 0.032, 0.035
        for geom, axes in ((CHEST, (0.105, 0.125, 0.066)), (BELLY, (0.09, 0.1, 0.064)), (PELVIS, (0.1, 0.075, 0.07))):
            share[:, geom] = np.array(axes) * np.concatenate([b, np.ones_like(b), b], -1)
        share[:, SHOULDERS, :2] = 0.034, 0.1
        limbs = ((UPPER_ARM, 0.027, UPPER_ARM_L), (FOREARM, 0.021, FOREARM_L), (HAND, 0.02, HAND_L),
                 (THIGH, 0.045, THIGH_L), (SHIN, 0.03, SHIN_L), (FOOT, 0.024, 0.1))  # fmt: skip
        for limb, radius, length in limbs:
            share[:, limb, 0] = radius * b
            share[:, limb, 1] = length / 2
        return share * self.stature_m[:, None, None]

    def subset(self, kept: list[int]) -> People:
        """Only these people."""
        few = copy.copy(self)
        few.count, few.motions = len(kept), [self.motions[i] for i in kept]
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(few, name, value[kept])
        return few

    def track(self, time_s) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ground places (people, 2), headings (people,), and metres gone (people,), at a time in seconds."""
        around = np.pi * self.radius_m
        total = 2 * (self.length_m + around) + 1e-9
        gone = self.speed_m_s * time_s
        s = (self.start * total + gone) % total
        half, s = s >= total / 2, s % (total / 2)
        straight = s < self.length_m
        angle = np.where(straight, 0, (s - self.length_m) / np.maximum(self.radius_m, 1e-6))
        angle = np.where(self.moving, angle, 0)
        x = np.where(straight, s, self.length_m) - self.length_m / 2 + self.radius_m * np.sin(angle)
        y = -self.radius_m * np.cos(angle)
        x, y, local = np.where(half, -x, x), np.where(half, -y, y), np.where(half, angle + np.pi, angle)
        y, local = y * self.turn, local * self.turn
        c, s = np.cos(self.heading), np.sin(self.heading)
        place = self.place + np.stack([c * x - s * y, s * x + c * y], -1)
        idle = np.where(self.moving, 0, 0.3 * np.sin(0.4 * self.tempo * time_s + self.phase))
        return place, self.heading + local + idle, gone

    def pose(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Centres (people, geoms, 3) and rotations (people, geoms, 3, 3) of all geoms."""
        place, heading, gone = self.track(time_s)
        n, h = self.count, self.stature_m[:, None]
        forward = np.stack([np.cos(heading), np.sin(heading), np.zeros(n)], -1)
        left = np.stack([-forward[:, 1], forward[:, 0], np.zeros(n)], -1)
        up = np.broadcast_to([0.0, 0.0, 1.0], (n, 3))
        gait = np.where(self.moving, 2 * np.pi * gone / self.period_m, self.tempo * time_s) + self.phase
        legs = gait[:, None] + np.array([0.0, np.pi])

        hip = (self.hip_bend + 0 * gait)[:, None] + self.hip_swing[:, None] * np.sin(legs)
        knee = self.knee_bend[:, None] + self.knee_swing[:, None] * np.clip(np.cos(legs), 0, None)
        side = np.array([1.0, -1.0])[None, :, None] * left[:, None]
        thigh = self._swing(forward, up, hip) + side * self.stance[:, None, None]
        shin = self._swing(forward, up, hip - knee)
        thigh /= np.linalg.norm(thigh, axis=-1, keepdims=True)
        # the pelvis hangs so that the lower foot touches the ground
        drop = -(thigh[..., 2] * THIGH_L + shin[..., 2] * SHIN_L) + ANKLE
        pelvis = np.concatenate([place, drop.max(1, keepdims=True) * h], -1)

        lean = self.lean + 0.03 * np.sin(gait)
        chest_up = np.cos(lean)[:, None] * up + np.sin(lean)[:, None] * forward
        chest_forward = np.cos(lean)[:, None] * forward - np.sin(lean)[:, None] * up
        neck = pelvis + TORSO_L * h * chest_up
        lift = self.raise_arm * (0.5 + 0.5 * np.sin(self.tempo[:, None] * 1.3 * time_s + self.phase[:, None]))
        arm = lift - self.shoulder_swing[:, None] * np.sin(legs)
        spread = self.spread[..., None]
        upper = np.cos(spread) * self._swing(chest_forward, chest_up, arm) + np.sin(spread) * side
        lower = self._swing(chest_forward, chest_up, arm + self.elbow_bend) + 0.3 * spread * side
        lower /= np.linalg.norm(lower, axis=-1, keepdims=True)

        h3 = h[:, None]
        shoulder = neck[:, None] + 0.115 * h3 * side
        elbow = shoulder + UPPER_ARM_L * h3 * upper
        wrist = elbow + FOREARM_L * h3 * lower
        hip_joint = pelvis[:, None] + 0.052 * h3 * side
        knee_joint = hip_joint + THIGH_L * h3 * thigh
        ankle = knee_joint + SHIN_L * h3 * shin
        toe = self._swing(forward, up, np.pi / 2 + 0.4 * np.minimum(hip - knee, 0.0))

        center, axis = np.zeros((n, len(WEARS), 3)), np.zeros((n, len(WEARS), 3))
        for geom, height, ahead in ((HEAD, 0.402, 0.01), (HAIR, 0.411, -0.004), (NECK, 0.325, 0.0),
                                    (CHEST, 0.21, 0.0), (BELLY, 0.1, 0.004), (PELVIS, 0.02, 0.0),
                                    (SHOULDERS, TORSO_L - 0.01, 0.0)):  # fmt: skip
            center[:, geom] = pelvis + h * (height * chest_up + ahead * chest_forward)
        axis[:, NECK], axis[:, SHOULDERS] = chest_up, left
        for limb, joint, direction, middle in (
            (UPPER_ARM, shoulder, upper, UPPER_ARM_L / 2), (FOREARM, elbow, lower, FOREARM_L / 2),
            (HAND, wrist, lower, HAND_L / 2), (THIGH, hip_joint, thigh, THIGH_L / 2),
            (SHIN, knee_joint, shin, SHIN_L / 2), (FOOT, ankle, toe, 0.035),
        ):  # fmt: skip
            center[:, limb] = joint + middle * h3 * direction
            axis[:, limb] = direction
        center[:, FOOT, 2] -= 0.015 * h
        return center, self._rotations(axis, left, chest_up, chest_forward)

    @staticmethod
    def _swing(forward, up, angle) -> np.ndarray:
        """(people, 2, 3): the direction of a limb hanging down, swung forward by angle (people, 2)."""
        return np.sin(angle)[..., None] * forward[:, None] - np.cos(angle)[..., None] * up[:, None]

    @staticmethod
    def _rotations(axis, left, up, forward) -> np.ndarray:
        """Capsules: z along their axis. Ellipsoids: x left, y up, z forward, so that prints face forward."""
        x = np.cross(np.broadcast_to(forward[:, None], axis.shape) + 0.01 * left[:, None], axis)
        x = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)
        rotations = np.stack([x, np.cross(axis, x), axis], -1)
        rotations[:, ELLIPSOIDS] = np.stack([left, up, forward], -1)[:, None]
        return rotations
