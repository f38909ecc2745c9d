"""People of capsules and ellipsoids: true proportions, planted feet, hands that reach; poses are functions of time."""

from __future__ import annotations

import numpy as np

from . import textures
from .gestures import CHANNELS, Channels, Jumps, Reaches
from .script import Loop, Script
from .stage import Stage
from .steps import Footsteps, ease, running

# Geoms of one person: what each wears. Pairs are left, right.
WEARS = (
    *("skin", "hair", "skin", "top", "top", "bottom", "top"),
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
LEG_L, SOLE, HIP, SHOULDER = THIGH_L + SHIN_L, 0.024, 0.052, 0.115
GRIP_L = FOREARM_L + HAND_L / 2  # from the elbow to the middle of the hand
HEAD_TOP = 0.402 - TORSO_L

# Resting styles: what channels hold while nothing else happens; "feet_m" apart, "swing" of the arms at a walk.
RESTS = {
    "relaxed": {"elbow": 0.25, "spread": 0.1},
    "ready": {"crouch_m": 0.09, "lean": 0.3, "lift": 0.35, "spread": 0.35, "elbow": 1.2, "roll": 0.3,
              "feet_m": 0.22, "swing": 0.4},
    "folded": {"lift": 0.35, "spread": 0.12, "elbow": 1.75, "roll": 1.15, "swing": 0},
    "hands_together": {"lift": 0.15, "spread": 0.12, "elbow": 0.75, "roll": 0.85, "swing": 0.1},
    "hands_on_hips": {"lift": -0.35, "spread": 0.75, "elbow": 1.5, "roll": 0.75, "swing": 0.1},
    "lap": {"lift": 0.45, "spread": 0.08, "elbow": 0.85, "roll": 0.3, "swing": 0},
    "desk": {"lift": 0.7, "spread": 0.12, "elbow": 0.9, "roll": 0.4, "swing": 0, "lean": 0.1},
}  # fmt: skip
_CARRY_HZ = 40
_SIDES = np.array([1.0, -1.0])[None, :, None]


class People:
    """People who follow a script; arrays are (people, ...), lengths in metres, angles in radians.

    Say all that they do (rest, sit, act, jump, reach) before the first question of where something is.
    """

    class_id = 1

    def __init__(self, rng: np.random.Generator, script: Script, actors, child_share=0.0, dress=None):
        """actors: indices into the script, one a person. dress: outfits, see dress(); one for all or one a person."""
        self.script, self.actors = script, list(actors)
        n = self.count = len(self.actors)
        self.stature_m = np.clip(rng.normal(1.70, 0.09, n), 1.5, 1.95)
        children = rng.random(n) < child_share
        self.stature_m = np.where(children, rng.uniform(1.0, 1.45, n), self.stature_m)
        self.build = rng.uniform(0.85, 1.2, n)
        self.outfits = [dress] * n if dress is None or isinstance(dress, dict) else list(dress)
        self.geoms_each, self.still = [len(WEARS)] * n, [False] * n
        self._idle = rng.uniform(0, 2 * np.pi, (n, 4)), rng.integers(6, 14, (n, 4)) * np.array([1, 1, 2, 1])
        self._begin = rng.uniform(0, 1, n)
        self._rests = np.zeros((n, len(CHANNELS)))
        self._feet_m, self._swing = np.zeros(n), np.ones(n)
        self._seat_m = np.full(n, np.nan)
        self._channels = Channels(n, script.period_s)
        self._reaches = Reaches(n, script.period_s)
        self._jumps = Jumps(self.stature_m, script.period_s)
        self.sizes = self._sizes()
        self._steps, self._known = None, {}
        for person in range(n):
            self.rest(person, "relaxed")

    # what they are told

    def rest(self, person: int, style: str, **values) -> None:
        """How a person holds himself while nothing else happens: a name of RESTS, and channels that replace its own."""
        if style not in RESTS:
            raise ValueError(f"a resting style is one of {', '.join(RESTS)}, got '{style}'")
        held = dict(RESTS[style])
        size = self.stature_m[person] / 1.7
        self._feet_m[person] = (0.187 + held.pop("feet_m", 0.0)) * size
        held["crouch_m"] = held.get("crouch_m", 0.0) * size
        self._swing[person] = held.pop("swing", 1.0)
        both = {f"{name}_{side}": value for name, value in held.items() for side in "lr"}
        held = {name: value for name, value in {**held, **both, **values}.items() if name in CHANNELS}
        self._rests[person] = [held.get(name, 0.0) for name in CHANNELS]
        self._forget(steps=True)

    def act(self, person: int, times_s, blend_s: float = 0.3, **values) -> None:
        """A gesture: each named channel goes smoothly through values at times_s, added to what else moves it.

        0 before and after; where it does not begin or end at 0, it comes and goes within blend_s. radians, metres.
        """
        self._channels.add(person, times_s, blend_s, **values)
        self._forget()

    def jump(self, person: int, time_s: float, height_m: float) -> None:
        """Crouch, flight along a parabola with its top at time_s, landing; the feet leave the floor together."""
        self._jumps.add(person, time_s, height_m)
        self._forget(steps=True)

    def sit(self, person: int, seat_m: float = 0.45) -> None:
        """Sits for the whole loop where the script lets him stand; the feet stay on the floor."""
        self._seat_m[person] = seat_m
        self.rest(person, "lap")

    def reach(self, person: int, hand: int, times_s, points, blend_s: float = 0.35) -> None:
        """Hand 0 (left) or 1 goes through points (k, 3) in the world at times_s, as far as the arm is long."""
        self._reaches.add(person, hand, times_s, points, blend_s)
        self._forget()

    def _forget(self, steps=False) -> None:
        self._known = {}
        self._steps = None if steps else self._steps

    # where they are

    def hand(self, person: int, hand: int, time_s: float) -> np.ndarray:
        """(3,) the middle of a hand."""
        return self._at(time_s)["hands"][person, hand]

    def hand_frame(self, person: int, hand: int, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """(3,) and (3, 3): z along the hand, away from the elbow; x the axis on which the elbow bends."""
        body = self._at(time_s)
        return body["hands"][person, hand], body["rotations"][person, HAND][hand]

    def chest(self, person: int, time_s: float) -> np.ndarray:
        """(3,)"""
        return self._at(time_s)["centers"][person, CHEST]

    def joints(self, time_s: float) -> np.ndarray:
        """(people, JOINTS, 3)"""
        return self._at(time_s)["joints"]

    def pose(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Centres (geoms, 3) and rotations (geoms, 3, 3), person by person."""
        body = self._at(time_s)
        return body["centers"].reshape(-1, 3), body["rotations"].reshape(-1, 3, 3)

    def _at(self, time_s: float) -> dict[str, np.ndarray]:
        time_s = float(time_s) % self.script.period_s
        if time_s not in self._known:
            if len(self._known) > 8:
                self._known.clear()
            self._known[time_s] = self._body(time_s)
        return self._known[time_s]

    def _plan(self) -> None:
        flights = [self._jumps.flights(person) for person in range(self.count)]
        self._steps = Footsteps(self.script, self.actors, self.stature_m, self._feet_m, self._begin, flights)
        gaze = np.unwrap(self.script.gaze()[self.actors])
        self._gaze = gaze
        self._heights = Loop(self._carried()[..., None], _CARRY_HZ)

    def _carried(self) -> np.ndarray:
        """(people, steps): heights of the pelvis, smooth, at which the legs reach what they stand on."""
        times = np.arange(round(self.script.period_s * _CARRY_HZ)) / _CARRY_HZ
        soles, yaws, pitches, lifts = self._steps.at(times[:, None, None])
        lifts = lifts + np.stack([self._jumps.at(t)[1] for t in times])[..., None]
        ankles = self._feet(soles, yaws, pitches, lifts)[1]
        places, headings, _ = (np.stack(part)[:, self.actors] for part in zip(*map(self.script.at, times), strict=True))
        caps = self._caps(ankles, self._hips(places, _upright(headings)[1]), lifts, 0.985).min(-1)
        wide = range(-4, 5)
        lowest = np.min([np.roll(caps, k, 0) for k in wide], 0)
        # blurred over as long a time as the lowest was sought in, it stays below
        hann = np.hanning(len(wide) + 2)[1:-1]
        return np.average([np.roll(lowest, k, 0) for k in wide], 0, hann).T

    def _hips(self, pelvis, left) -> np.ndarray:
        """(..., people, 2, 2 or 3) of a pelvis (..., people, 2 or 3)."""
        aside = HIP * self.stature_m[:, None, None] * _SIDES * left[..., None, :]
        return pelvis[..., None, :] + aside[..., : pelvis.shape[-1]]

    def _caps(self, ankles, hips, lifts, stretch) -> np.ndarray:
        """(..., people, 2): how high the hips may be over the ankles; a foot in the air follows and does not hold."""
        flat = np.linalg.norm(ankles[..., :2] - hips[..., :2], axis=-1)
        leg = stretch * LEG_L * self.stature_m[:, None]
        return ankles[..., 2] + np.sqrt(np.maximum(leg**2 - flat**2, 0.01)) + 5 * lifts

    def _body(self, time_s: float) -> dict[str, np.ndarray]:
        if self._steps is None:
            self._plan()
        n, h, h3 = self.count, self.stature_m[:, None], self.stature_m[:, None, None]
        places, headings, velocities = (part[self.actors] for part in self.script.at(time_s))
        speed = np.linalg.norm(velocities, axis=-1)
        run, gait = running(speed), ease(speed / 1.1)
        told = dict(zip(CHANNELS, self._rests.T + np.stack(list(self._channels.at(time_s).values())), strict=True))
        pair = lambda name: np.stack([told[f"{name}_l"], told[f"{name}_r"]], -1)  # noqa: E731
        phases, cycles = self._idle
        idle = np.sin(2 * np.pi * cycles * time_s / self.script.period_s + phases) * (1 - 0.6 * gait)[:, None]
        phase = 2 * np.pi * self._steps.phase(time_s)

        forward, left, up = _upright(headings)
        ahead = (forward[:, :2] * velocities).sum(-1)
        aside = (left[:, :2] * velocities).sum(-1)
        lean = told["lean"] + 0.035 * ahead + 0.02 * np.maximum(ahead - 2, 0) + 0.015 * idle[:, 0]
        side = told["side"] + 0.04 * aside + 0.012 * idle[:, 1]
        twist = told["twist"] + 0.12 * gait * np.sin(phase) + 0.04 * idle[:, 2]

        # feet
        soles, yaws, pitches, lifts = self._steps.at(time_s)
        rise, fly = self._jumps.at(time_s)
        hop = np.maximum(told["hop_m"], 0)
        lifts = lifts + pair("raise").clip(0)
        sits = np.isfinite(self._seat_m)
        reach_out = pair("ahead") + np.where(sits, 0.24 * self.stature_m, 0)[:, None]
        soles = soles + reach_out[..., None] * forward[:, None, :2]
        toes, ankles, middles = self._feet(soles, yaws, pitches, lifts)

        # the pelvis hangs where both legs reach
        sway = told["sway_m"] + 0.012 * self.stature_m * (
            gait * (1 - run) * np.cos(phase) + 0.8 * idle[:, 3] * (1 - gait)
        )
        back = 0.1 * self.stature_m * np.sin(told["lean"].clip(-0.5, 1.4)) * (~sits) + 0.25 * told["crouch_m"]
        hips_at = np.concatenate([places, np.zeros((n, 1))], -1) + sway[:, None] * left - back[:, None] * forward
        p_forward, p_left, p_up = _tilted(
            headings + 0.35 * told["twist"] - 0.08 * gait * np.sin(phase), 0.35 * lean, 0.3 * side
        )
        caps = self._caps(ankles, self._hips(hips_at, p_left), lifts + fly[:, None], 0.999)
        stand = (ANKLE + 0.99 * LEG_L - (0.022 + 0.016 * np.cos(2 * phase)) * run) * self.stature_m
        heights = np.concatenate([self._heights.at(time_s), stand[:, None], caps], -1)
        height = _least(heights, 0.004 * h) - told["crouch_m"]
        height = np.where(sits, self._seat_m + 0.075 * self.stature_m, height) if sits.any() else height
        pelvis = hips_at + (height + rise + hop)[:, None] * up
        lift = (fly + hop)[:, None, None] * up[:, None]
        ankles, middles = ankles + lift, middles + lift
        hips = self._hips(pelvis, p_left)
        out = _SIDES * left[:, None] * 0.15
        facing = np.stack([np.cos(yaws), np.sin(yaws), 0 * yaws], -1)
        knees, reached = _two_bones(hips, ankles, THIGH_L * h3, SHIN_L * h3, facing + p_forward[:, None] + out)
        ankles, middles = reached, middles + reached - ankles

        # the trunk bends in two places
        c_forward, c_left, c_up = _tilted(headings + twist, lean, side)
        waist = pelvis + 0.1 * h * p_up
        neck = waist + (TORSO_L - 0.1) * h * c_up
        turn = self._turn_of_head(time_s, headings + twist) + told["turn_head"] + 0.06 * idle[:, 1]
        h_forward, h_left, h_up = _tilted(
            headings + twist + turn, 0.35 * lean + told["nod"] + 0.04 * idle[:, 2], 0.3 * side + told["tilt_head"]
        )
        head = neck + h * (0.4 * HEAD_TOP * c_up + 0.6 * HEAD_TOP * h_up + 0.01 * h_forward)

        # arms
        shoulders = neck[:, None] + h3 * (SHOULDER * _SIDES * c_left[:, None] - 0.012 * c_up[:, None])
        legs = phase[:, None] + np.array([0.0, np.pi])
        swing = (gait * (0.42 + 0.3 * run) * self._swing)[:, None] * np.sin(legs)
        raised = pair("lift") + swing + 0.02 * idle[:, :2]
        bent = pair("elbow") + (1.1 * run * self._swing)[:, None] + 0.35 * swing.clip(0)
        chest_frame, pelvis_frame = np.stack([c_left, c_up, c_forward], -1), np.stack([p_left, p_up, p_forward], -1)
        inward = pair("roll") + 0.25 * run[:, None]
        trunk = neck, head, chest_frame
        hands, elbows, hinges = self._arms(time_s, shoulders, raised, pair("spread"), bent, inward, trunk)
        lower = _unit(hands - elbows)
        wrists = elbows + FOREARM_L * h3 * lower

        centers, rotations = np.zeros((n, len(WEARS), 3)), np.zeros((n, len(WEARS), 3, 3))
        rotations[:, [HEAD, HAIR]] = np.stack([h_left, h_up, h_forward], -1)[:, None]
        rotations[:, CHEST], rotations[:, PELVIS] = chest_frame, pelvis_frame
        middle_up, middle_forward = _unit(p_up + c_up), _unit(p_forward + c_forward)
        rotations[:, BELLY] = _frames(middle_up, middle_forward)
        centers[:, HEAD] = head
        centers[:, HAIR] = head + h * (0.009 * h_up - 0.014 * h_forward)
        centers[:, NECK] = neck + 0.037 * h * c_up
        centers[:, CHEST] = neck - 0.078 * h * c_up
        centers[:, BELLY] = waist + 0.004 * h * middle_forward
        centers[:, PELVIS] = pelvis + 0.02 * h * p_up
        centers[:, SHOULDERS] = neck - 0.01 * h * c_up
        rotations[:, NECK] = np.stack([c_left, -c_forward, c_up], -1)
        rotations[:, SHOULDERS] = np.stack([c_up, c_forward, c_left], -1)
        tips = 2 * hands - wrists
        bones = ((UPPER_ARM, shoulders, elbows), (FOREARM, elbows, wrists), (HAND, wrists, tips),
                 (THIGH, hips, knees), (SHIN, knees, ankles))  # fmt: skip
        for limb, a, b in bones:
            centers[:, limb] = (a + b) / 2
            axis = _unit(b - a)
            x = hinges if limb in (UPPER_ARM, FOREARM, HAND) else _unit(np.cross(facing, axis) + 1e-6)
            rotations[:, limb] = np.stack([x, np.cross(axis, x), axis], -1)
        centers[:, FOOT] = middles
        x = np.cross(up[:, None], toes)
        x = _unit(x)
        rotations[:, FOOT] = np.stack([x, np.cross(toes, x), toes], -1)
        joints = np.concatenate(
            [np.stack([head, neck], 1), shoulders, elbows, wrists, pelvis[:, None], hips, knees, ankles], 1
        )
        return {"centers": centers, "rotations": rotations, "joints": joints, "hands": hands}

    def _feet(self, soles, yaws, pitches, lifts):
        """Directions of the toes, ankles, and middles of the feet (people, 2, 3); one end of the foot stays down."""
        h = self.stature_m[:, None, None]
        flat = np.stack([np.cos(yaws), np.sin(yaws), 0 * yaws], -1)
        up = np.array([0.0, 0.0, 1.0])
        c, s = np.cos(pitches)[..., None], np.sin(pitches)[..., None]
        toes, above = c * flat - s * up, s * flat + c * up
        pivot = np.where(pitches > 0, 0.05, -0.05)[..., None] * h
        middle = np.concatenate([soles, np.zeros((*soles.shape[:-1], 1))], -1) + pivot * (flat - toes)
        middle = middle + (self._sole_m()[:, None, None] + lifts[..., None]) * up
        return toes, middle - 0.035 * h * toes + 0.015 * h * above, middle

    def _sole_m(self):
        return SOLE * self.stature_m * self.build

    def _arms(self, time_s, shoulders, lift, spread, bent, roll, trunk):
        """Hands, elbows and the axes of the elbows (people, 2, 3), by angles, or where hands are told to be."""
        h = self.stature_m[:, None, None]
        left, up, forward = np.moveaxis(trunk[2], -1, 0)
        aside = _SIDES * left[:, None]
        c, s = np.cos(lift)[..., None], np.sin(lift)[..., None]
        hang, ahead = s * forward[:, None] - c * up[:, None], c * forward[:, None] + s * up[:, None]
        c, s = np.cos(spread)[..., None], np.sin(spread)[..., None]
        upper, inward = c * hang + s * aside, s * hang - c * aside
        c, s = np.cos(roll)[..., None], np.sin(roll)[..., None]
        fold = c * ahead + s * inward
        bent = np.clip(bent, 0.08, 2.5)[..., None]
        elbows = shoulders + UPPER_ARM_L * h * upper
        hands = elbows + GRIP_L * h * (np.cos(bent) * upper + np.sin(bent) * fold)
        hinges = np.cross(upper, fold)
        points, weights = self._reaches.at(time_s)
        w = weights[..., None]
        told = self._clear(hands + (points - hands) * w, trunk)
        out = 0.7 * aside - 0.6 * up[:, None] - 0.4 * forward[:, None]
        bows, reached = _two_bones(
            shoulders, told, UPPER_ARM_L * h, GRIP_L * h, (1 - w) * _unit(elbows - shoulders) + w * out
        )
        return reached, bows, _unit(np.cross(bows - shoulders, reached - bows) + 1e-3 * hinges)

    def _clear(self, hands, trunk) -> np.ndarray:
        """Hands (people, 2, 3) pushed out of the own trunk, to the front, and out of the own head."""
        neck, head, frame = trunk
        h, wide = self.stature_m[:, None, None], (self.build * self.stature_m)[:, None]
        local = np.einsum("nsk,nkl->nsl", hands - neck[:, None], frame)
        side, front = 0.105 * wide + 0.022 * h[..., 0], 0.068 * wide + 0.022 * h[..., 0]
        # an ellipse round the trunk, its middle moved back, so that out is rather to the front than to the back
        x, z = local[..., 0] / side, (local[..., 2] + front) / (2 * front)
        far = np.hypot(x, z) + 1e-6
        beside = ease((0.06 - np.abs(local[..., 1] / h[..., 0] + 0.15) + 0.13) / 0.06)
        grow = 1 + (_beyond(far) / far - 1) * beside
        local = np.stack([local[..., 0] * grow, local[..., 1], (local[..., 2] + front) * grow - front], -1)
        hands = neck[:, None] + np.einsum("nsl,nkl->nsk", local, frame)
        away = (hands - head[:, None]) / (0.085 * h)
        far = np.linalg.norm(away, axis=-1, keepdims=True) + 1e-6
        return head[:, None] + away * 0.085 * h * _beyond(far) / far

    def _turn_of_head(self, time_s, headings):
        steps = self._gaze.shape[1]
        at = time_s * len(self.script.times_s) / self.script.period_s
        k, u = int(at) % steps, at % 1
        a, b = self._gaze[:, k], self._gaze[:, (k + 1) % steps]
        gaze = a + u * ((b - a + np.pi) % (2 * np.pi) - np.pi)
        turn = (gaze - headings + np.pi) % (2 * np.pi) - np.pi
        # beyond what a neck turns, the look is given up smoothly
        return 1.1 * np.sin(turn) * np.where(np.abs(turn) > np.pi / 2, np.abs(np.sin(turn)), 1)

    # what they look like

    def dress(self, stage: Stage, rng: np.random.Generator) -> None:
        """Add everybody's geoms in their clothes.

        An outfit may name top, bottom, skin, hair, shoe (RGB), print (picture), sleeve and shin (what they show).
        """
        prints = [textures.cloth(rng) for _ in range(8)]
        for sizes, outfit in zip(self.sizes, self.outfits, strict=True):
            looks = _looks(stage, rng, prints, outfit or {})
            for geom, (wears, size) in enumerate(zip(WEARS, sizes, strict=True)):
                kind = "ellipsoid" if geom in ELLIPSOIDS else "capsule"
                stage.moving(kind, size if geom in ELLIPSOIDS else size[:2], looks[wears])

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
                 (THIGH, 0.045, THIGH_L), (SHIN, 0.03, SHIN_L), (FOOT, SOLE, 0.1))  # fmt: skip
        for limb, radius, length in limbs:
            share[:, limb, 0] = radius * b
            share[:, limb, 1] = length / 2
        return share * self.stature_m[:, None, None]


def team(rng: np.random.Generator, count: int) -> list[dict]:
    """Outfits of a team: the same shirts and shorts."""
    top, bottom = textures.color(rng, saturation=(0.5, 1), value=(0.4, 1)), textures.color(rng, value=(0.1, 1))
    return [{"top": top, "bottom": bottom, "sleeve": "skin", "shin": "skin"} for _ in range(count)]


def _looks(stage, rng, prints, outfit) -> dict[str, str]:
    """The material of everything that is worn."""
    tint = lambda **ranges: textures.color(rng, **ranges)  # noqa: E731
    chosen = {
        "skin": tint(hue=(0.03, 0.09), saturation=(0.25, 0.6), value=(0.25, 0.95)),
        "hair": tint(hue=(0, 0.13), saturation=(0, 0.6), value=(0.05, 0.7)),
        "top": tint(saturation=(0, 0.9), value=(0.08, 1)),
        "bottom": tint(saturation=(0, 0.6), value=(0.08, 0.8)),
        "shoe": tint(value=(0.05, 0.95)),
        "print": prints[rng.integers(8)],
        "sleeve": rng.choice(["skin", "top"]),
        "shin": rng.choice(["skin", "bottom"], p=[0.25, 0.75]),
    } | outfit
    looks = {name: stage.material(chosen[name]) for name in ("skin", "hair", "shoe")}
    looks["top"] = stage.material(chosen["top"], chosen["print"], 0.4)
    looks["bottom"] = stage.material(chosen["bottom"], prints[rng.integers(8)], 0.4)
    return looks | {name: looks[chosen[name]] for name in ("sleeve", "shin")}


def _least(values, blend):
    """A smooth minimum over the last axis, a little below the least."""
    low = values.min(-1, keepdims=True)
    return low[..., 0] - blend[..., 0] * np.log(np.exp((low - values) / blend).sum(-1))


def _beyond(far):
    """A smooth maximum of far and 1."""
    return (far + 1 + np.sqrt((far - 1) ** 2 + 0.004)) / 2


def _unit(vectors) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _upright(headings):
    c, s, o = np.cos(headings), np.sin(headings), np.zeros_like(headings)
    return np.stack([c, s, o], -1), np.stack([-s, c, o], -1), np.stack([o, o, o + 1], -1)


def _tilted(headings, lean, side):
    """Forward, left and up of a body that leans forward and to its left."""
    forward, left, up = _upright(headings)
    c, s = np.cos(lean)[:, None], np.sin(lean)[:, None]
    forward, up = c * forward - s * up, c * up + s * forward
    c, s = np.cos(side)[:, None], np.sin(side)[:, None]
    return forward, c * left - s * up, c * up + s * left


def _frames(up, forward):
    left = _unit(np.cross(up, forward))
    return np.stack([left, up, np.cross(left, up)], -1)


def _two_bones(root, goal, upper, lower, pole):
    """The joint between two bones (..., 3), bent towards pole, and where their end is: at goal, if they reach it."""
    way = goal - root
    far = np.linalg.norm(way, axis=-1, keepdims=True)
    axis = way / np.maximum(far, 1e-9)
    # a limb comes to its full length softly
    long, soft = 0.985 * (upper + lower), 0.014 * (upper + lower)
    far = np.where(far > long, long + soft * np.tanh((far - long) / soft), far)
    far = np.maximum(far, np.abs(upper - lower) * 1.02 + 1e-3)
    along = (far**2 + upper**2 - lower**2) / (2 * far)
    high = np.sqrt(np.maximum(upper**2 - along**2, 0))
    across = _unit(pole - (pole * axis).sum(-1, keepdims=True) * axis)
    return root + along * axis + high * across, root + far * axis
