"""Four-legged animals of true size: hoofed, pawed and heavy ones, that walk, graze, look round or lie."""

from __future__ import annotations

import numpy as np

from . import furs
from .courses import Course
from .footfalls import Footfalls
from .script import Loop, Script, smooth
from .species import PLANS, SPECIES
from .stage import Stage
from .world import ANIMAL

# Geoms of one animal. Legs: front left, front right, hind left, hind right; other pairs: left, right.
CHEST, BELLY, RUMP, NECK_LOW, NECK_HIGH, HEAD, MUZZLE, NOSE, TAIL_ROOT, TAIL_TIP, CREST = range(11)
EARS, EYES, HORN_ROOT, HORN_TIP = (slice(i, i + 2) for i in (11, 13, 15, 17))
UPPER, LOWER, CANNON, FOOT = (slice(i, i + 4) for i in (19, 23, 27, 31))
TRUNK = slice(35, 39)
GEOMS = 39


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
        kinds = [SPECIES[name] for name in species]
        plans = [PLANS[kind.plan] for kind in kinds]
        h = self.withers_m = np.array([kind.withers_m for kind in kinds]) * rng.uniform(0.92, 1.08, self.count)
        self.lying = np.zeros(self.count, bool) if lying is None else np.asarray(lying, bool)
        self.still = [False] * self.count
        self._length, self._depth, self._width = (
            h * [getattr(kind, name) for kind in kinds] for name in ("length", "depth", "width")
        )
        self._neck, self._head = (h[:, None] * [getattr(kind, name) for kind in kinds] for name in ("neck", "head"))
        self._ear, self._tail, self._horns, self._crest, self._trunk = (
            h * [getattr(kind, name) for kind in kinds] for name in ("ear", "tail", "horns", "crest", "trunk")
        )
        self._snout = np.array([kind.snout for kind in kinds])
        self._raised = np.array([kind.raised for kind in kinds])
        legs = np.array([[plan.front, plan.front, plan.hind, plan.hind] for plan in plans])
        self.legs_m = h[:, None, None] * legs  # upper, lower, cannon
        self._roots_z = h[:, None] * np.array([[plan.shoulder] * 2 + [plan.hip] * 2 for plan in plans])
        self._lean = np.array([[0.0, 0.0, -plan.lean, -plan.lean] for plan in plans])
        self._foot = h[:, None] * np.array([plan.foot for plan in plans])
        self._thick = h[:, None] * np.array([plan.thick for plan in plans])
        self._pawed = np.array([kind.plan == "pawed" for kind in kinds])
        self._sizes_m = self._sizes()
        self._kept = (self._sizes_m > 0).all(-1)
        self.geoms_each = self._kept.sum(1).tolist()

        # an actor's place is the middle between nose and rump
        self._ahead = h * [(kind.ends[0] - kind.ends[1]) / 2 for kind in kinds]
        course = self._course = Course(script, actors, [kind.trail_m for kind in kinds])
        self._rest = self._rest_m(np.array([plan.lies_ahead for plan in plans]))
        self.footfalls = Footfalls(course, self._rest, h)
        self._moods = self._decide(rng, script, course, np.array([kind.grazes for kind in kinds]))
        self._beat = 2 * np.rint(rng.uniform(10, 17, self.count)) * 2 * np.pi / script.period_s
        self._began = rng.uniform(0, 2 * np.pi, self.count)
        # lying, the belly is on the ground
        self._back = (h + self._roots_z[:, 2] / 0.74) / 2
        self._drop = np.where(self.lying, (h + self._back) / 2 - 0.98 * self._depth - 0.01 * h, 0.0)

    def _rest_m(self, lies_ahead) -> np.ndarray:
        """(n, 4, 2): where the feet are under the body, ahead and left."""
        h, rest = self.withers_m, np.zeros((self.count, 4, 2))
        for leg, (end, side) in enumerate(((1, 1), (1, -1), (-1, 1), (-1, -1))):
            lies = lies_ahead * h if end > 0 else 0.22 * h
            rest[:, leg, 0] = end * self._length / 2 - self._ahead + np.where(self.lying, lies, 0.02 * h * end)
            rest[:, leg, 1] = side * self._width * np.where(self.lying, 0.55, 0.32)
        return rest

    def _decide(self, rng, script, course, grazes) -> Loop:
        """How much each lifts its head, grazes, and looks left, in turns of some seconds while it stands."""
        steps = len(script.times_s)
        moods = np.zeros((self.count, steps, 3))
        going = np.linalg.norm(np.roll(course.places, -1, 1) - course.places, axis=-1) * 20 > 0.12
        for animal in range(self.count):
            at = 0
            while at < steps:
                until = at + int(rng.uniform(2.5, 7) * 20)
                mood = rng.choice(
                    3, p=[0.5, 0.25, 0.25] if grazes[animal] and not self.lying[animal] else [0, 0.5, 0.5]
                )
                if mood == 0:
                    moods[animal, at:until, 1] = 1
                else:
                    moods[animal, at:until, 0] = rng.uniform(0, 1)
                    moods[animal, at:until, 2] = rng.choice([-1, 1]) * rng.uniform(0.2, 0.9) * (mood == 2)
                at = until
            standing = ~smooth(going[animal, :, None].astype(float), 0.5)[:, 0].__gt__(0.1)
            moods[animal] *= standing[:, None]
        return Loop(smooth(moods, 0.55))

    def _sizes(self) -> np.ndarray:
        """(n, GEOMS, 3): half axes of ellipsoids: in the side plane, sideways, along; 0: has none."""
        h, sizes = self.withers_m, np.zeros((self.count, GEOMS, 3))

        def put(geom, *axes):
            sizes[:, geom] = np.stack([np.broadcast_to(axis, h.shape) for axis in axes], -1).reshape(
                (self.count, *([1] if isinstance(geom, slice) else []), 3)
            )

        length, depth, width = self._length, self._depth, self._width
        put(CHEST, 0.3 * length + 0.08 * h, 0.5 * depth, 0.47 * width)
        put(BELLY, 0.52 * length, 0.46 * depth, 0.5 * width)
        put(RUMP, 0.3 * length + 0.06 * h, 0.46 * depth, 0.46 * width)
        neck, low, high = self._neck.T
        put(NECK_LOW, 0.42 * neck + 0.4 * low, low, 0.62 * low)
        put(NECK_HIGH, 0.40 * neck + 0.3 * high, high, 0.72 * high)
        long, deep, wide = self._head.T
        put(HEAD, 0.34 * long, 0.5 * deep, 0.5 * wide)
        put(MUZZLE, 0.36 * long * self._snout, 0.33 * deep, 0.34 * wide)
        put(NOSE, 0.06 * long, 0.2 * deep, 0.22 * wide)
        put(EARS, 0.5 * self._ear, np.where(self._trunk > 0, 0.42, 0.28) * self._ear, 0.1 * self._ear)
        put(EYES, 0.016 * h**0.3, 0.016 * h**0.3, 0.016 * h**0.3)
        put(TAIL_ROOT, 0.28 * self._tail, 0.02 * h + 0.03 * self._tail, 0.02 * h + 0.03 * self._tail)
        put(TAIL_TIP, 0.28 * self._tail, 0.02 * h + 0.06 * self._tail, 0.02 * h + 0.05 * self._tail)
        put(CREST, 0.55 * neck, self._crest, 0.25 * self._crest)
        put(HORN_ROOT, 0.3 * self._horns, 0.05 * self._horns + 0.008 * h, 0.05 * self._horns)
        put(HORN_TIP, 0.3 * self._horns, 0.03 * self._horns + 0.006 * h, 0.05 * self._horns)
        thigh, shin, cannon = self._thick.T
        upper, lower, bone = (self.legs_m[:, :, part] for part in range(3))
        for part, lengths, radius, spare in ((UPPER, upper, thigh, 0.85), (LOWER, lower, shin, 0.68)):
            sizes[:, part] = np.stack([spare * lengths, *[np.broadcast_to(radius[:, None], lengths.shape)] * 2], -1)
        sizes[:, UPPER, 2] *= 0.72
        sizes[:, CANNON] = np.stack([0.56 * bone, *[np.broadcast_to(cannon[:, None], bone.shape)] * 2], -1)
        sizes[:, FOOT] = self._foot[:, None]
        for part in range(4):
            sizes[:, TRUNK.start + part, 0] = self._trunk / 6
            sizes[:, TRUNK.start + part, 1:] = (self._trunk * (0.13 - 0.025 * part))[:, None]
        lion = np.array([SPECIES[name].coat == "lion" for name in self.species])
        sizes[lion, CREST] = h[lion, None] * (0.24, 0.34, 0.27)
        return sizes[..., [1, 2, 0]]

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
            for geom in np.flatnonzero(self._kept[animal]):
                stage.moving("ellipsoid", self._sizes_m[animal, geom], looks[geom])

    def joints(self, time_s: float) -> None:
        """Animals have none of those of people."""

    def pose(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Centres (geoms, 3) and rotations (geoms, 3, 3) in the world."""
        center, rotation = self._skeleton(time_s)
        return center[self._kept], rotation[self._kept]

    def limbs(self, time_s: float):
        """Roots, knees, hocks and feet (n, 4, 3) of the legs."""
        places, headings, _ = self._course.at(time_s)
        return self._limbs(time_s, places, headings)[:4]

    def _limbs(self, time_s, places, headings):
        n, h = self.count, self.withers_m
        ahead = np.stack([np.cos(headings), np.sin(headings), np.zeros(n)], -1)[:, None]
        left = np.stack([-ahead[..., 1], ahead[..., 0], np.zeros((n, 1))], -1)
        up = np.array([0.0, 0.0, 1.0])
        feet, feet_heading, part = self.footfalls.at(time_s)
        air = np.sin(np.pi * part) ** 2
        lifted = (0.07 * h[:, None] * air + self._foot[:, None, 1])[..., None]
        foot = np.concatenate([feet, lifted], -1)
        ends, sides = np.array([1, 1, -1, -1]), np.array([1, -1, 1, -1])
        root = np.zeros((n, 4, 3))
        root[..., :2] = places[:, None]
        root += (ends * self._length[:, None] / 2 - self._ahead[:, None])[..., None] * ahead + (
            sides * 0.3 * self._width[:, None]
        )[..., None] * left
        root[..., 2] = self._roots_z - self._drop[:, None]
        upper, lower, cannon = np.moveaxis(self.legs_m, -1, 0)[..., None]
        gap = root - foot
        tilt = np.arctan2((gap * ahead).sum(-1), gap[..., 2])
        front = ends > 0
        flex = np.where(front, 1.0, 0.5) * air
        angle = np.where(
            self.lying[:, None], self._folded(front), self._lean + np.where(front, 0.8, 0.5) * tilt + flex
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
        ahead = np.where(self._pawed, -1.4, 1.45)[:, None]
        return np.where(front, ahead, -1.4)

    def _skeleton(self, time_s):
        n, h = self.count, self.withers_m
        places, headings, _ = self._course.at(time_s)
        root, knee, ankle, foot, feet_heading, air = self._limbs(time_s, places, headings)
        ahead = np.stack([np.cos(headings), np.sin(headings), np.zeros(n)], -1)
        right = np.stack([ahead[:, 1], -ahead[:, 0], np.zeros(n)], -1)
        up = np.array([0.0, 0.0, 1.0])
        center, along = np.zeros((n, GEOMS, 3)), np.zeros((n, GEOMS, 3))
        side = np.broadcast_to(right[:, None], center.shape).copy()
        body = np.concatenate([places, -self._drop[:, None]], -1)

        def point(x, z):
            return body + (x - self._ahead)[:, None] * ahead + z[:, None] * up

        length, depth = self._length, self._depth
        back = self._back
        center[:, CHEST] = point(0.36 * length, h - 0.5 * depth)
        center[:, BELLY] = point(-0.02 * length, (h + back) / 2 - 0.52 * depth)
        center[:, RUMP] = point(-0.42 * length, back - 0.47 * depth)
        along[:, [CHEST, BELLY, RUMP]] = ahead[:, None]

        lift, graze, look = self._moods.at(time_s).T
        nod = 0.035 * np.sin(self._beat * time_s / 2 + self._began)
        neck, low, high = self._neck.T
        base_z = h - 0.32 * depth
        down = np.arcsin(np.clip((0.05 * h - base_z + 0.85 * self._head[:, 0]) / neck, -0.97, 0.97))
        down = np.where(self._trunk > 0, self._raised - 0.3, down)  # a trunk reaches the ground
        pitch = self._raised + 0.25 * lift + graze * (down - self._raised) + nod
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
        nose_down = np.where(self._pawed, -0.3, -0.75) - graze * 0.5 + 0.2 * lift + nod
        face, brow = _raise(gaze, nose_down), _raise(gaze, nose_down + np.pi / 2)
        cheek = np.cross(face, brow)
        long, deep, wide = self._head.T[..., None]
        snout = self._snout[:, None]
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
        half = 0.25 * self._tail[:, None]
        center[:, TAIL_ROOT], along[:, TAIL_ROOT] = start + half * hang, hang
        center[:, TAIL_TIP], along[:, TAIL_TIP] = start + 2 * half * hang + half * tip, tip
        self._nose_trunk(center, along, center[:, NOSE], face, gaze, graze, swing)

        for limb, a, b in ((UPPER, root, knee), (LOWER, knee, ankle), (CANNON, ankle, foot)):
            center[:, limb] = (a + b) / 2
            along[:, limb] = _unit(b - a)
        toe = np.stack([np.cos(feet_heading), np.sin(feet_heading), np.zeros((n, 4))], -1)
        tipped = 0.6 * air[..., None]
        center[:, FOOT] = foot + 0.35 * self._foot[:, None, :1] * toe
        along[:, FOOT] = np.cos(tipped) * toe - np.sin(tipped) * up
        side[:, FOOT] = np.cross(toe, up)
        return center, self._frames(along, side)

    def _ornaments(self, center, along, side, poll, face, brow, cheek) -> None:
        """Ears, eyes and horns."""
        long, deep, wide = self._head.T[..., None]
        elephant = (self._trunk > 0)[:, None]
        for index, sign in ((0, -1), (1, 1)):
            out = _unit(
                np.where(elephant, -face + 0.5 * sign * cheek - 0.7 * brow, brow + 0.75 * sign * cheek - 0.3 * face)
            )
            start = poll + 0.3 * deep * brow + sign * 0.36 * wide * cheek
            start = np.where(elephant, poll + sign * 0.5 * wide * cheek, start)
            ear = EARS.start + index
            center[:, ear], along[:, ear] = start + 0.4 * self._ear[:, None] * out, out
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
            half = 0.25 * self._horns[:, None]
            center[:, horn], along[:, horn] = start + half * away, away
            center[:, tip], along[:, tip] = start + 2 * half * away + half * over, over

    def _nose_trunk(self, center, along, nose, face, gaze, graze, swing) -> None:
        quarter = (self._trunk / 4)[:, None]
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
