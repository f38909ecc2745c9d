"""Four-legged animals of true size: hoofed, pawed and heavy ones, that walk, graze, look round or lie."""

from __future__ import annotations

import numpy as np

from . import furs
from .bodies import (
    BELLY, CANNON, CHEST, CREST, EARS, EYES, FOOT, GEOMS, HEAD, HORN_ROOT, HORN_TIP, LOWER, MUZZLE, NECK_HIGH, NECK_LOW,
    NOSE, RUMP, TAIL_ROOT, TAIL_TIP, TRUNK, UPPER, Bodies,
)  # fmt: skip
from .courses import Course
from .footfalls import Footfalls
from .script import RATE_HZ, Loop, Script, smooth
from .species import SPECIES
from .stage import Stage
from .world import ANIMAL


class Animals:
    """A troupe of animals: species[i], one of SPECIES, goes with actors[i] of a settled script.

    lying: who rests on the ground all the while (actors of script.stand()). Give the script its radius_m.
    """

    class_id = ANIMAL

    def __init__(self, rng, script: Script, species: list[str], actors: list[int], lying: list[bool] | None = None):
        unknown = set(species) - set(SPECIES)
        if unknown:
            raise ValueError(f"an animal must be one of {', '.join(SPECIES)}, got {', '.join(sorted(unknown))}")
        self.species, self.actors, self.count = list(species), list(actors), len(species)
        body = self.body = Bodies(species, rng.uniform(0.92, 1.08, self.count))
        self.lying = np.zeros(self.count, bool) if lying is None else np.asarray(lying, bool)
        self.still, self.geoms_each = [False] * self.count, body.has.sum(1).tolist()
        kinds = [SPECIES[name] for name in species]
        course = self._course = Course(script, actors, [kind.trail_m for kind in kinds])
        self.footfalls = Footfalls(course, self._rest_m(), body.withers_m)
        self._moods = self._decide(rng, script, course, np.array([kind.grazes for kind in kinds]))
        self._beat = 2 * np.rint(rng.uniform(10, 17, self.count)) * 2 * np.pi / script.period_s
        self._began = rng.uniform(0, 2 * np.pi, self.count)
        # lying, the belly is on the ground
        self._drop = np.where(self.lying, body.belly_m - 0.01 * body.withers_m, 0.0)

    def _rest_m(self) -> np.ndarray:
        """(n, 4, 2): where the feet are under the body, ahead and left."""
        h, rest = self.body.withers_m, np.zeros((self.count, 4, 2))
        for leg, (end, side) in enumerate(((1, 1), (1, -1), (-1, 1), (-1, -1))):
            lies = self.body.lies_ahead if end > 0 else 0.22 * h
            rest[:, leg, 0] = end * self.body.length / 2 - self.body.ahead + np.where(self.lying, lies, 0.02 * h * end)
            rest[:, leg, 1] = side * self.body.width * np.where(self.lying, 0.55, 0.32)
        return rest

    def _decide(self, rng, script, course, grazes) -> Loop:
        """How much each lifts its head, grazes, and looks left, in turns of some seconds while it stands."""
        moods = np.zeros((self.count, len(script.times_s), 3))
        grazes = grazes & ~self.lying
        for animal in range(self.count):
            begin_s = 0.0
            while begin_s < script.period_s:
                end_s = begin_s + rng.uniform(2.5, 7)
                turn = (script.times_s >= begin_s) & (script.times_s < end_s)
                mood = rng.choice(["graze", "lift", "look"], p=[0.5, 0.25, 0.25] if grazes[animal] else [0, 0.5, 0.5])
                look = rng.choice([-1, 1]) * rng.uniform(0.2, 0.9) if mood == "look" else 0.0
                moods[animal, turn] = (0, 1, 0) if mood == "graze" else (rng.uniform(0, 1), 0, look)
                begin_s = end_s
        speed_m_s = np.linalg.norm(np.roll(course.places, -1, 1) - course.places, axis=-1) * RATE_HZ
        standing = smooth((speed_m_s > 0.12).astype(float)[..., None], 0.5) < 0.1
        return Loop(smooth(moods * standing, 0.55))

    def dress(self, stage: Stage, rng: np.random.Generator) -> None:
        """Add the geoms of each, in a coat of its own."""
        for animal, name in enumerate(self.species):
            coat = furs.coat(stage, rng, SPECIES[name].coat)
            looks = np.array([coat.fur] * GEOMS, object)
            looks[[MUZZLE, CREST]] = coat.muzzle, coat.crest
            looks[NOSE] = looks[EYES] = coat.dark
            looks[TAIL_TIP], looks[CANNON], looks[FOOT], looks[TRUNK] = coat.crest, coat.legs, coat.feet, coat.legs
            looks[HORN_ROOT] = looks[HORN_TIP] = coat.horn
            looks[BELLY] = coat.belly
            for geom in np.flatnonzero(self.body.has[animal]):
                stage.moving("ellipsoid", self.body.sizes_m[animal, geom], looks[geom])

    def joints(self, time_s: float) -> None:
        """Animals have none of those of people."""

    def pose(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Centres (geoms, 3) and rotations (geoms, 3, 3) in the world."""
        center, rotation = self._skeleton(time_s)
        return center[self.body.has], rotation[self.body.has]

    def limbs(self, time_s: float):
        """Roots, knees, hocks and feet (n, 4, 3) of the legs."""
        places, headings, _ = self._course.at(time_s)
        return self._limbs(time_s, places, headings)[:4]

    def _limbs(self, time_s, places, headings):
        n, h = self.count, self.body.withers_m
        ahead = np.stack([np.cos(headings), np.sin(headings), np.zeros(n)], -1)[:, None]
        left = np.stack([-ahead[..., 1], ahead[..., 0], np.zeros((n, 1))], -1)
        up = np.array([0.0, 0.0, 1.0])
        feet, feet_heading, part = self.footfalls.at(time_s)
        air = np.sin(np.pi * part) ** 2
        lifted = (0.07 * h[:, None] * air + self.body.foot[:, None, 1])[..., None]
        foot = np.concatenate([feet, lifted], -1)
        ends, sides = np.array([1, 1, -1, -1]), np.array([1, -1, 1, -1])
        root = np.zeros((n, 4, 3))
        root[..., :2] = places[:, None]
        root += (ends * self.body.length[:, None] / 2 - self.body.ahead[:, None])[..., None] * ahead + (
            sides * 0.3 * self.body.width[:, None]
        )[..., None] * left
        root[..., 2] = self.body.roots_z - self._drop[:, None]
        upper, lower, cannon = np.moveaxis(self.body.legs_m, -1, 0)[..., None]
        gap = root - foot
        tilt = np.arctan2((gap * ahead).sum(-1), gap[..., 2])
        front = ends > 0
        flex = np.where(front, 1.0, 0.5) * air
        angle = np.where(
            self.lying[:, None], self._folded(front), self.body.lean + np.where(front, 0.8, 0.5) * tilt + flex
        )[..., None]
        ankle = foot + cannon * (np.sin(angle) * ahead + np.cos(angle) * up)
        reach = ankle - root
        distance = np.clip(np.linalg.norm(reach, axis=-1, keepdims=True), 1e-6, None)
        axis = reach / distance
        # a leg is never quite stretched: rather its foot comes off the ground
        last = 0.05 * (upper + lower)
        over = np.maximum(distance - 19 * last, 0)
        distance = distance - over + last * np.tanh(over / last)
        ankle, foot = root + distance * axis, foot + (root + distance * axis - ankle)
        along = (upper**2 - lower**2 + distance**2) / (2 * distance)
        bend = np.sqrt(np.maximum(upper**2 - along**2, 0))
        # elbows point back, stifles ahead; aside, where one lies on them
        pole = np.where(front, -1.0, 1.0)[:, None] * ahead
        pole = pole + 1.6 * self.lying[:, None, None] * (sides[:, None] * left + 0.5 * up)
        pole = pole - (pole * axis).sum(-1, keepdims=True) * axis
        pole /= np.linalg.norm(pole, axis=-1, keepdims=True)
        knee = root + along * axis + bend * pole
        return root, knee, ankle, foot, feet_heading, air

    def _folded(self, front) -> np.ndarray:
        """The cannons of one that lies: hoofed ones fold the front legs under, pawed ones stretch them."""
        ahead = np.where(self.body.pawed, -1.4, 1.45)[:, None]
        return np.where(front, ahead, -1.4)

    def _skeleton(self, time_s):
        n, h = self.count, self.body.withers_m
        places, headings, _ = self._course.at(time_s)
        root, knee, ankle, foot, feet_heading, air = self._limbs(time_s, places, headings)
        ahead = np.stack([np.cos(headings), np.sin(headings), np.zeros(n)], -1)
        right = np.stack([ahead[:, 1], -ahead[:, 0], np.zeros(n)], -1)
        up = np.array([0.0, 0.0, 1.0])
        center, along = np.zeros((n, GEOMS, 3)), np.zeros((n, GEOMS, 3))
        side = np.broadcast_to(right[:, None], center.shape).copy()
        body = np.concatenate([places, -self._drop[:, None]], -1)

        def point(x, z):
            return body + (x - self.body.ahead)[:, None] * ahead + z[:, None] * up

        length, depth = self.body.length, self.body.depth
        back = self.body.back
        center[:, CHEST] = point(0.36 * length, h - 0.5 * depth)
        center[:, BELLY] = point(-0.02 * length, (h + back) / 2 - 0.52 * depth)
        center[:, RUMP] = point(-0.42 * length, back - 0.47 * depth)
        along[:, [CHEST, BELLY, RUMP]] = ahead[:, None]

        lift, graze, look = self._moods.at(time_s).T
        nod = 0.035 * np.sin(self._beat * time_s / 2 + self._began)
        neck, low, high = self.body.neck.T
        base_z = h - 0.32 * depth
        down = np.arcsin(np.clip((0.05 * h - base_z + 0.85 * self.body.head[:, 0]) / neck, -0.97, 0.97))
        down = np.where(self.body.trunk > 0, self.body.raised - 0.3, down)  # a trunk reaches the ground
        pitch = self.body.raised + 0.25 * lift + graze * (down - self.body.raised) + nod
        base = point(0.5 * length, base_z)
        yaw = look * 0.5
        toward = _turned(ahead, right, yaw)
        first = _raise(toward, pitch - 0.12)
        second = _raise(_turned(ahead, right, 1.3 * yaw), pitch + 0.12)
        bent = base + 0.5 * neck[:, None] * first
        poll = bent + 0.5 * neck[:, None] * second
        center[:, NECK_LOW], along[:, NECK_LOW] = base + 0.2 * neck[:, None] * first, first
        center[:, NECK_HIGH], along[:, NECK_HIGH] = bent + 0.2 * neck[:, None] * second, second
        gaze = _turned(ahead, right, 2 * yaw)
        nose_down = np.where(self.body.pawed, -0.3, -0.75) - graze * 0.5 + 0.2 * lift + nod
        face, brow = _raise(gaze, nose_down), _raise(gaze, nose_down + np.pi / 2)
        cheek = np.cross(face, brow)
        long, deep, wide = self.body.head.T[..., None]
        snout = self.body.snout[:, None]
        center[:, HEAD] = poll + 0.18 * long * face
        center[:, MUZZLE] = poll + face * (0.3 + 0.28 * snout) * long - brow * 0.1 * deep
        center[:, NOSE] = poll + face * (0.3 + 0.62 * snout) * long - brow * 0.02 * deep
        along[:, [HEAD, MUZZLE, NOSE]], side[:, [HEAD, MUZZLE, NOSE]] = face[:, None], cheek[:, None]
        center[:, CREST] = (
            bent - 0.05 * neck[:, None] * first + (0.45 * low + 0.45 * high)[:, None] * np.cross(second, right) * -1
        )
        along[:, CREST] = (first + second) / 2
        self._ornaments(center, along, side, poll, face, brow, cheek)

        swing = 0.35 * np.sin(self._beat * time_s + self._began)
        hang = _raise(-ahead, np.full(n, -1.1)) + 0.3 * swing[:, None] * right
        tip = _raise(-ahead, np.full(n, -1.45)) + 0.6 * swing[:, None] * right
        # the tail of one that lies is laid round its flank
        flat, side_m = self.lying[:, None], -right - 0.15 * up
        hang, tip = _unit(np.where(flat, side_m - 0.3 * ahead, hang)), _unit(np.where(flat, ahead + 0.2 * side_m, tip))
        start = point(-0.5 * length - 0.13 * h, back - 0.2 * depth - np.where(self.lying, 0.2 * depth, 0))
        half = 0.25 * self.body.tail[:, None]
        center[:, TAIL_ROOT], along[:, TAIL_ROOT] = start + half * hang, hang
        center[:, TAIL_TIP], along[:, TAIL_TIP] = start + 2 * half * hang + half * tip, tip
        self._nose_trunk(center, along, center[:, NOSE], face, gaze, graze, swing)

        for limb, a, b in ((UPPER, root, knee), (LOWER, knee, ankle), (CANNON, ankle, foot)):
            center[:, limb] = (a + b) / 2
            along[:, limb] = _unit(b - a)
        toe = np.stack([np.cos(feet_heading), np.sin(feet_heading), np.zeros((n, 4))], -1)
        tipped = 0.6 * air[..., None]
        center[:, FOOT] = foot + 0.35 * self.body.foot[:, None, :1] * toe
        along[:, FOOT] = np.cos(tipped) * toe - np.sin(tipped) * up
        side[:, FOOT] = np.cross(toe, up)
        return center, self._frames(along, side)

    def _ornaments(self, center, along, side, poll, face, brow, cheek) -> None:
        """Ears, eyes and horns."""
        long, deep, wide = self.body.head.T[..., None]
        elephant = (self.body.trunk > 0)[:, None]
        for index, sign in ((0, -1), (1, 1)):
            out = _unit(
                np.where(elephant, -face + 0.5 * sign * cheek - 0.7 * brow, brow + 0.75 * sign * cheek - 0.3 * face)
            )
            start = poll + 0.3 * deep * brow + sign * 0.36 * wide * cheek
            start = np.where(elephant, poll + sign * 0.5 * wide * cheek, start)
            ear = EARS.start + index
            center[:, ear], along[:, ear] = start + 0.4 * self.body.ear[:, None] * out, out
            side[:, ear] = np.where(elephant, sign * cheek - 0.3 * face, face)
            eye = EYES.start + index
            center[:, eye] = poll + 0.3 * long * face + 0.2 * deep * brow + sign * 0.44 * wide * cheek
            along[:, eye] = face
            horn, tip = HORN_ROOT.start + index, HORN_TIP.start + index
            away = _unit(
                np.where(elephant, 1.2 * face - 0.5 * brow + 0.3 * sign * cheek, brow + 0.5 * sign * cheek - 0.3 * face)
            )
            over = _unit(
                np.where(
                    elephant, 1.0 * face + 0.2 * brow + 0.2 * sign * cheek, brow + 0.15 * sign * cheek - 0.6 * face
                )
            )
            start = poll + 0.12 * long * face + 0.4 * deep * brow + sign * 0.2 * wide * cheek
            start = np.where(elephant, poll + 0.7 * long * face - 0.2 * deep * brow + sign * 0.3 * wide * cheek, start)
            half = 0.25 * self.body.horns[:, None]
            center[:, horn], along[:, horn] = start + half * away, away
            center[:, tip], along[:, tip] = start + 2 * half * away + half * over, over

    def _nose_trunk(self, center, along, nose, face, gaze, graze, swing) -> None:
        quarter = (self.body.trunk / 4)[:, None]
        at = nose - 0.05 * quarter * face
        for part in range(4):
            angle = -1.25 - 0.12 * part + 0.35 * (part + 1) * (0.3 * swing) + graze * (0.1 + 0.35 * part)
            bone = _raise(gaze, angle)
            center[:, TRUNK.start + part], along[:, TRUNK.start + part] = at + quarter / 2 * bone, bone
            at = at + quarter * bone

    @staticmethod
    def _frames(along, side) -> np.ndarray:
        """x down in the side plane, y left, z along: prints run round the limbs, and their seam is below."""
        right = _unit(side - (side * along).sum(-1, keepdims=True) * along)
        return np.stack([np.cross(along, right), -right, along], -1)


def _unit(vectors) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _raise(ahead, angle) -> np.ndarray:
    """Level directions (n, 3) turned up by angle (n,)."""
    return np.cos(angle)[:, None] * ahead + np.sin(angle)[:, None] * np.array([0.0, 0.0, 1.0])


def _turned(ahead, right, left_by) -> np.ndarray:
    return np.cos(left_by)[:, None] * ahead - np.sin(left_by)[:, None] * right
