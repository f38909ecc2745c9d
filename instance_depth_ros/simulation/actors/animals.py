"""Four-legged animals of true size: hoofed, pawed and heavy ones, that walk, graze, look round or lie."""

from __future__ import annotations

import numpy as np

from ..sets.stage import Stage
from ..world import ANIMAL
from . import bodies as shape
from . import furs
from .anatomy import unit
from .bodies import GEOMS, Bodies
from .courses import Course
from .footfalls import Footfalls
from .script import RATE_HZ, Loop, Script, smooth
from .species import SPECIES

_UP = np.array([0.0, 0.0, 1.0])
_END, _SIDE = np.array([1, 1, -1, -1]), np.array([1, -1, 1, -1])  # of the legs: front or hind, left or right


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
        for leg, (end, side) in enumerate(zip(_END, _SIDE, strict=True)):
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
            looks[[shape.MUZZLE, shape.BELLY]] = coat.muzzle, coat.belly
            looks[shape.CREST] = looks[shape.TAIL_TIP] = coat.crest
            looks[shape.NOSE] = looks[shape.EYES] = coat.dark
            looks[shape.CANNON] = looks[shape.TRUNK] = coat.legs
            looks[shape.HORN_ROOT] = looks[shape.HORN_TIP] = coat.horn
            looks[shape.FOOT] = coat.feet
            for geom in np.flatnonzero(self.body.has[animal]):
                stage.moving("ellipsoid", self.body.sizes_m[animal, geom], looks[geom])

    def joints(self, time_s: float) -> None:
        """Animals have none of those of people."""

    def pose(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Centres (geoms, 3) and rotations (geoms, 3, 3) in the world."""
        stance = self._stance(time_s)
        lift, graze, look = self._moods.at(time_s).T
        beat = self._beat * time_s + self._began
        self._put_trunk(stance)
        gaze = self._put_head(stance, lift, graze, look, 0.035 * np.sin(beat / 2))
        self._put_tail(stance, 0.35 * np.sin(beat))
        self._put_nose_trunk(stance, gaze, graze, 0.1 * np.sin(beat))
        self._put_legs(stance, time_s)
        return stance.centers[self.body.has], stance.frames()[self.body.has]

    def limbs(self, time_s: float) -> np.ndarray:
        """(n, 4, 4, 3): root, knee, hock and foot of each leg."""
        return np.stack(self._limbs(self._stance(time_s), *self.footfalls.at(time_s)[::2]), 2)

    def _stance(self, time_s) -> _Stance:
        places, headings, _ = self._course.at(time_s)
        middle = np.concatenate([places, -self._drop[:, None]], -1)
        ahead = np.stack([np.cos(headings), np.sin(headings), 0 * headings], -1)
        return _Stance(middle - self.body.ahead[:, None] * ahead, ahead)

    def _put_trunk(self, stance) -> None:
        b = self.body
        h, back, length, depth = b.withers_m, b.back, b.length, b.depth
        stance.put(shape.CHEST, stance.at(0.36 * length, h - 0.5 * depth), stance.ahead)
        stance.put(shape.BELLY, stance.at(-0.02 * length, (h + back) / 2 - 0.52 * depth), stance.ahead)
        stance.put(shape.RUMP, stance.at(-0.42 * length, back - 0.47 * depth), stance.ahead)

    def _put_head(self, stance, lift, graze, look, nod) -> np.ndarray:
        """Neck and head; returns the level direction (n, 3) of the gaze."""
        b = self.body
        base_m = b.withers_m - 0.32 * b.depth
        neck, low, high = b.neck.T[..., None]
        down = np.arcsin(np.clip((0.05 * b.withers_m - base_m + 0.85 * b.head[:, 0]) / b.neck[:, 0], -0.97, 0.97))
        down = np.where(b.trunk > 0, b.raised - 0.3, down)  # a trunk reaches the ground
        pitch = b.raised + 0.25 * lift + graze * (down - b.raised) + nod
        first = _raised(stance.turned(0.5 * look), pitch - 0.12)
        second = _raised(stance.turned(0.65 * look), pitch + 0.12)
        base = stance.at(0.5 * b.length, base_m)
        bent = base + 0.5 * neck * first
        poll = bent + 0.5 * neck * second
        stance.put(shape.NECK_LOW, base + 0.2 * neck * first, first)
        stance.put(shape.NECK_HIGH, bent + 0.2 * neck * second, second)
        above = np.cross(stance.right, second)
        stance.put(shape.CREST, bent - 0.05 * neck * first + 0.45 * (low + high) * above, first + second)
        gaze = stance.turned(look)
        nose_up = np.where(b.pawed, -0.3, -0.75) - 0.5 * graze + 0.2 * lift + nod
        face, brow = _raised(gaze, nose_up), _raised(gaze, nose_up + np.pi / 2)
        cheek = np.cross(face, brow)
        long, deep, _ = b.head.T[..., None]
        snout = b.snout[:, None]
        stance.put(shape.HEAD, poll + 0.18 * long * face, face, cheek)
        stance.put(shape.MUZZLE, poll + (0.3 + 0.28 * snout) * long * face - 0.1 * deep * brow, face, cheek)
        stance.put(shape.NOSE, poll + (0.3 + 0.62 * snout) * long * face - 0.02 * deep * brow, face, cheek)
        for pair, sign in ((0, -1), (1, 1)):
            self._put_ornaments(stance, pair, poll, face, brow, sign * cheek)
        return gaze

    def _put_ornaments(self, stance, pair, poll, face, brow, out) -> None:
        """Ear, eye and horn (or tusk) of one side; out: (n, 3) sideways."""
        b = self.body
        long, deep, wide = b.head.T[..., None]
        heavy = b.trunk[:, None] > 0
        eye = poll + 0.3 * long * face + 0.2 * deep * brow + 0.44 * wide * out
        stance.put(shape.EYES.start + pair, eye, face)
        root = poll + np.where(heavy, 0.5 * wide * out, 0.3 * deep * brow + 0.36 * wide * out)
        along = unit(np.where(heavy, 0.5 * out - face - 0.7 * brow, brow + 0.75 * out - 0.3 * face))
        flat = np.where(heavy, out - 0.3 * face, face)
        stance.put(shape.EARS.start + pair, root + 0.4 * b.ear[:, None] * along, along, flat)
        tusk = 0.7 * long * face - 0.2 * deep * brow + 0.3 * wide * out
        root = poll + np.where(heavy, tusk, 0.12 * long * face + 0.4 * deep * brow + 0.2 * wide * out)
        along = unit(np.where(heavy, 1.2 * face - 0.5 * brow + 0.3 * out, brow + 0.5 * out - 0.3 * face))
        over = unit(np.where(heavy, face + 0.2 * brow + 0.2 * out, brow + 0.15 * out - 0.6 * face))
        half = 0.25 * b.horns[:, None]
        stance.put(shape.HORN_ROOT.start + pair, root + half * along, along)
        stance.put(shape.HORN_TIP.start + pair, root + 2 * half * along + half * over, over)

    def _put_tail(self, stance, swing) -> None:
        b, aside = self.body, swing[:, None] * stance.right
        hang, tip = _raised(-stance.ahead, -1.1) + 0.3 * aside, _raised(-stance.ahead, -1.45) + 0.6 * aside
        # the tail of one that lies is laid round its flank
        lies, flank = self.lying[:, None], -stance.right - 0.15 * _UP
        hang = unit(np.where(lies, flank - 0.3 * stance.ahead, hang))
        tip = unit(np.where(lies, stance.ahead + 0.2 * flank, tip))
        root = stance.at(-0.5 * b.length - 0.13 * b.withers_m, b.back - np.where(self.lying, 0.4, 0.2) * b.depth)
        half = 0.25 * b.tail[:, None]
        stance.put(shape.TAIL_ROOT, root + half * hang, hang)
        stance.put(shape.TAIL_TIP, root + 2 * half * hang + half * tip, tip)

    def _put_nose_trunk(self, stance, gaze, graze, swing) -> None:
        quarter, root = self.body.trunk[:, None] / 4, stance.centers[:, shape.NOSE]
        for part in range(4):
            angle = -1.25 - 0.12 * part + (part + 1) * swing + graze * (0.1 + 0.35 * part)
            bone = _raised(gaze, angle)
            stance.put(shape.TRUNK.start + part, root + quarter / 2 * bone, bone)
            root = root + quarter * bone

    def _put_legs(self, stance, time_s) -> None:
        feet, yaws, swings = self.footfalls.at(time_s)
        root, knee, hock, foot = self._limbs(stance, feet, swings)
        for limb, a, b in ((shape.UPPER, root, knee), (shape.LOWER, knee, hock), (shape.CANNON, hock, foot)):
            stance.put(limb, (a + b) / 2, b - a)
        toe = np.stack([np.cos(yaws), np.sin(yaws), 0 * yaws], -1)
        tipped = 0.6 * _air(swings)[..., None]
        middle = foot + 0.35 * self.body.foot[:, None, :1] * toe
        stance.put(shape.FOOT, middle, np.cos(tipped) * toe - np.sin(tipped) * _UP, np.cross(toe, _UP))

    def _limbs(self, stance, feet, swings):
        """Roots, knees, hocks and feet (n, 4, 3): upper and lower bone bend so that the cannon stands on its foot."""
        b, air = self.body, _air(swings)
        ahead, left = stance.ahead[:, None], -stance.right[:, None]
        front, side = _END > 0, _SIDE[:, None]
        foot = np.concatenate([feet, (0.07 * b.withers_m[:, None] * air + b.foot[:, 1:2])[..., None]], -1)
        root = stance.middle[:, None] * (1, 1, 0) + _END[:, None] * b.length[:, None, None] / 2 * ahead
        root = root + 0.3 * side * b.width[:, None, None] * left + (b.roots_z - self._drop[:, None])[..., None] * _UP
        gap = root - foot
        lean = b.lean + np.where(front, 0.8, 0.5) * np.arctan2((gap * ahead).sum(-1), gap[..., 2])
        lean = lean + np.where(front, 1.0, 0.5) * air
        # of those that lie, hoofed ones fold the front legs under, pawed ones stretch them
        folded = np.where(front & ~b.pawed[:, None], 1.45, -1.4)
        lean = np.where(self.lying[:, None], folded, lean)[..., None]
        upper, lower, cannon = np.moveaxis(b.legs_m, -1, 0)[..., None]
        hock = foot + cannon * (np.sin(lean) * ahead + np.cos(lean) * _UP)
        distance = np.linalg.norm(hock - root, axis=-1, keepdims=True)
        axis = (hock - root) / distance
        # a leg is never quite stretched: rather its foot comes off the ground
        last = 0.05 * (upper + lower)
        over = np.maximum(distance - 19 * last, 0)
        short = over - last * np.tanh(over / last)
        distance, hock, foot = distance - short, hock - short * axis, foot - short * axis
        along = (upper**2 - lower**2 + distance**2) / (2 * distance)
        # elbows point back, stifles ahead; aside, where one lies on them
        pole = np.where(front, -1.0, 1.0)[:, None] * ahead
        pole = pole + 1.6 * self.lying[:, None, None] * (side * left + 0.5 * _UP)
        pole = unit(pole - (pole * axis).sum(-1, keepdims=True) * axis)
        return root, root + along * axis + np.sqrt(np.maximum(upper**2 - along**2, 0)) * pole, hock, foot


class _Stance:
    """Where all shapes of n animals are at a moment. middle: (n, 3) between shoulder and hip, on the ground."""

    def __init__(self, middle: np.ndarray, ahead: np.ndarray):
        self.middle, self.ahead = middle, ahead
        self.right = np.cross(ahead, _UP)
        self.centers, self._along = np.zeros((2, len(middle), GEOMS, 3))
        self._side = np.repeat(self.right[:, None], GEOMS, 1)

    def at(self, x_m, z_m) -> np.ndarray:
        """(n, 3) of points so far ahead of the middle and so high."""
        return self.middle + x_m[:, None] * self.ahead + z_m[:, None] * _UP

    def turned(self, left_by) -> np.ndarray:
        """Level directions (n, 3) so many radians left of ahead."""
        return np.cos(left_by)[:, None] * self.ahead - np.sin(left_by)[:, None] * self.right

    def put(self, geom, center, along, side=None) -> None:
        """A shape (or pair, or four): along its long axis, side across its flat one."""
        self.centers[:, geom], self._along[:, geom] = center, unit(along)
        if side is not None:
            self._side[:, geom] = side

    def frames(self) -> np.ndarray:
        """(n, GEOMS, 3, 3): x down in the side plane, y left, z along: prints run round limbs, their seam is below."""
        along = self._along
        right = unit(self._side - (self._side * along).sum(-1, keepdims=True) * along)
        return np.stack([np.cross(along, right), -right, along], -1)


def _raised(level, angle) -> np.ndarray:
    """Level directions (n, 3) turned up by an angle, or by (n,)."""
    angle = np.reshape(angle, (-1, 1))
    return np.cos(angle) * level + np.sin(angle) * _UP


def _air(swings) -> np.ndarray:
    """How high a foot is in its swing, 0 to 1."""
    return np.sin(np.pi * swings) ** 2
