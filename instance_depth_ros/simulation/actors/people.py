"""People who follow a script: planted feet, gestures, hands that reach; poses are functions of time alone."""

from __future__ import annotations

import numpy as np

from ..sets.stage import Stage
from .anatomy import (
    ANKLE,
    CHEST,
    ELLIPSOIDS,
    HAND,
    HEAD_L,
    JOINTS,
    LEG_L,
    TORSO_L,
    WAIST,
    WEARS,
    Body,
    Trunk,
    least,
    tilted,
)
from .clothes import Wardrobe, team
from .gestures import CHANNELS, Channels, Jumps, Targets
from .script import Loop, Script, smooth
from .steps import Footsteps, ease, running

__all__ = ["CHANNELS", "JOINTS", "RESTS", "People", "team"]

# Resting styles: what channels hold while nothing else happens, at 1.7 m; "feet_m" further apart, "swing" of the arms.
RESTS = {
    "relaxed": {"elbow": 0.25, "spread": 0.1},
    "ready": {"crouch_m": 0.09, "lean": 0.3, "lift": 0.35, "spread": 0.35, "elbow": 1.2, "roll": 0.2,
              "feet_m": 0.15, "swing": 0.4},
    "folded": {"lift": 0.35, "spread": 0.12, "elbow": 1.75, "roll": 1.15, "swing": 0.0},
    "hands_together": {"lift": 0.15, "spread": 0.12, "elbow": 0.75, "roll": 0.85, "swing": 0.1},
    "hands_on_hips": {"lift": -0.35, "spread": 0.75, "elbow": 1.5, "roll": 0.75, "swing": 0.1},
    "lap": {"lift": 0.45, "spread": 0.08, "elbow": 0.85, "roll": 0.3, "swing": 0.0},
    "desk": {"lift": 0.7, "spread": 0.12, "elbow": 0.9, "roll": 0.4, "swing": 0.0, "lean": 0.1},
}  # fmt: skip
_CARRY_HZ = 40
_NECK_TURNS = 1.2


class People:
    """People who follow a script; arrays are (people, ...), lengths in metres, angles in radians.

    After a rest(), sit() or jump() the next question of where something is plans all footsteps anew; the others are
    free. settle() the script first.
    """

    class_id = 1

    def __init__(self, rng: np.random.Generator, script: Script, actors, child_share=0.0, dress=None):
        """actors: indices into the script, one a person.

        dress: an outfit for all, or one (or None) a person: see clothes.Wardrobe.looks; "skirt" and "long_hair" too.
        """
        self.script, self.actors = script, list(actors)
        n = self.count = len(self.actors)
        grown = np.clip(rng.normal(1.70, 0.09, n), 1.5, 1.95)
        self.stature_m = np.where(rng.random(n) < child_share, rng.uniform(1.0, 1.45, n), grown)
        self.outfits = [dress or {}] * n if dress is None or isinstance(dress, dict) else [one or {} for one in dress]
        chance = {"skirt": rng.random(n) < 0.15, "long_hair": rng.random(n) < 0.4}
        chosen = [np.array([o.get(name, by) for o, by in zip(self.outfits, chance[name], strict=True)], bool)
                  for name in chance]  # fmt: skip
        self.body = Body(self.stature_m, rng.uniform(0.85, 1.2, n), *chosen)
        self.geoms_each, self.still = [len(WEARS)] * n, [False] * n
        self._idle = rng.uniform(0, 2 * np.pi, (n, 4)), rng.integers(6, 14, (n, 4)) * np.array([1, 1, 2, 1])
        self._begin = rng.uniform(0, 1, n)
        self._rests = np.zeros((n, len(CHANNELS)))
        self._feet_m, self._swing, self._seat_m = np.zeros(n), np.ones(n), np.full(n, np.nan)
        self._channels = Channels(n, script.period_s)
        self._hands, self._looks = Targets(2 * n, script.period_s), Targets(n, script.period_s)
        self._jumps = Jumps(self.stature_m, script.period_s)
        self._steps, self._known = None, {}
        for person in range(n):
            self.rest(person, "relaxed")

    # what they are told

    def rest(self, person: int, style: str, **values) -> None:
        """How a person holds himself while nothing else happens: a name of RESTS, and channels that replace its own."""
        if style not in RESTS:
            raise ValueError(f"a resting style is one of {', '.join(RESTS)}, got '{style}'")
        held, size = dict(RESTS[style]), self.stature_m[person] / 1.7
        self._feet_m[person] = (0.187 + held.pop("feet_m", 0.0)) * size
        self._swing[person] = held.pop("swing", 1.0)
        held["crouch_m"] = held.get("crouch_m", 0.0) * size
        both = {f"{name}_{side}": value for name, value in held.items() for side in "lr"}
        held = {**held, **both, **values}
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
        self.body.skirt[person] = False  # a stiff one would hang through the seat
        self.rest(person, "lap")

    def reach(self, person: int, hand: int, times_s, points, blend_s: float = 0.35) -> None:
        """Hand 0 (left) or 1 goes through points (k, 3) in the world at times_s, as far as the arm is long."""
        self._hands.add(2 * person + hand, times_s, points, blend_s)
        self._forget()

    def look(self, person: int, times_s, points, blend_s: float = 0.3) -> None:
        """The head turns to points (k, 3) in the world at times_s, as far as a neck does; else it faces as scripted."""
        self._looks.add(person, times_s, points, blend_s)
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
        now = self._at(time_s)
        return now["hands"][person, hand], now["rotations"][person, HAND][hand]

    def chest(self, person: int, time_s: float) -> np.ndarray:
        """(3,)"""
        return self._at(time_s)["centers"][person, CHEST]

    def joints(self, time_s: float) -> np.ndarray:
        """(people, JOINTS, 3)"""
        return self._at(time_s)["joints"]

    def pose(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Centres (geoms, 3) and rotations (geoms, 3, 3), person by person."""
        now = self._at(time_s)
        return now["centers"].reshape(-1, 3), now["rotations"].reshape(-1, 3, 3)

    def dress(self, stage: Stage, rng: np.random.Generator) -> None:
        """Add everybody's geoms in their clothes."""
        wardrobe = Wardrobe(stage, rng)
        for sizes, outfit in zip(self.body.sizes, self.outfits, strict=True):
            looks = wardrobe.looks(outfit)
            for geom, (wears, size) in enumerate(zip(WEARS, sizes, strict=True)):
                kind = "ellipsoid" if geom in ELLIPSOIDS else "capsule"
                stage.moving(kind, size if geom in ELLIPSOIDS else size[:2], looks[wears])

    # how they move

    def _at(self, time_s: float) -> dict[str, np.ndarray]:
        time_s = float(time_s) % self.script.period_s
        if time_s not in self._known:
            if len(self._known) > 8:
                self._known.clear()
            self._known[time_s] = self._move(time_s)
        return self._known[time_s]

    def _plan(self) -> None:
        flights = [self._jumps.flights(person) for person in range(self.count)]
        self._steps = Footsteps(self.script, self.actors, self.stature_m, self._feet_m, self._begin, flights)
        gaze = self.script.gaze()[self.actors]
        self._gaze = Loop(smooth(np.stack([np.cos(gaze), np.sin(gaze)], -1), 0.2))
        self._heights = Loop(self._carried()[..., None], _CARRY_HZ)

    def _carried(self) -> np.ndarray:
        """(people, steps): heights of the pelvis, smooth, at which the legs reach what they stand on."""
        times = np.arange(round(self.script.period_s * _CARRY_HZ)) / _CARRY_HZ
        soles, yaws, pitches, lifts = self._steps.at(times[:, None, None])
        lifts = lifts + np.stack([self._jumps.at(t)[1] for t in times])[..., None]
        _, ankles, _ = self.body.feet(soles, yaws, pitches, lifts)
        places, headings, _ = (np.stack(part)[:, self.actors] for part in zip(*map(self.script.at, times), strict=True))
        forward = np.stack([np.cos(headings), np.sin(headings)], -1)
        left = forward[..., ::-1] * (-1, 1)
        held = self._rests[:, [CHANNELS.index("lean"), CHANNELS.index("crouch_m")]].T
        hips = self.body.hips(places - self._back(*held)[:, None] * forward, left)
        caps = self.body.caps(ankles, hips, lifts, 0.985).min(-1)
        # never faster up or down than 0.7 m/s, and as low as the lowest of as long a time as it is blurred over
        slope = 0.7 / _CARRY_HZ
        lowest = np.min([np.roll(caps, k, 0) + slope * max(abs(k) - 4, 0) for k in range(-24, 25)], 0)
        hann = np.hanning(11)[1:-1]
        return np.average([np.roll(lowest, k, 0) for k in range(-4, 5)], 0, hann).T

    def _move(self, time_s: float) -> dict[str, np.ndarray]:
        if self._steps is None:
            self._plan()
        places, headings, velocities = (part[self.actors] for part in self.script.at(time_s))
        gait = _Gait(headings, velocities, 2 * np.pi * self._steps.phase(time_s))
        told = dict(zip(CHANNELS, (self._rests + self._channels.at(time_s)).T, strict=True))
        phases, cycles = self._idle
        idle = np.sin(2 * np.pi * cycles * time_s / self.script.period_s + phases) * (1 - 0.6 * gait.steps)[:, None]

        soles, yaws, pitches, lifts = self._steps.at(time_s)
        sits = np.isfinite(self._seat_m)
        ahead = _pair(told, "ahead") + np.where(sits, 0.24 * self.stature_m, 0)[:, None]
        soles = soles + ahead[..., None] * gait.forward[:, None]
        lifts = lifts + _pair(told, "raise").clip(0)
        feet = self.body.feet(soles, yaws, pitches, lifts)

        rise, fly = self._jumps.at(time_s)
        hop = told["hop_m"].clip(0)
        trunk = self._trunk(time_s, places, headings, gait, told, idle, feet[1], lifts + fly[:, None])
        up = (fly + hop)[:, None, None] * np.array([0, 0, 1.0])
        trunk = _lifted(trunk, rise + hop)
        legs = self.body.legs(trunk, (feet[0], feet[1] + up, feet[2] + up), yaws)

        swing = (gait.steps * (0.42 + 0.3 * gait.run) * self._swing)[:, None] * np.sin(
            gait.phase[:, None] + np.array([0.0, np.pi])
        )
        lift = _pair(told, "lift") + swing + 0.02 * idle[:, :2]
        bent = _pair(told, "elbow") + (1.1 * gait.run * self._swing)[:, None] + 0.35 * swing.clip(0)
        roll = _pair(told, "roll") + (0.25 * gait.run * self._swing)[:, None]
        points, weights = (part.reshape(self.count, 2, *part.shape[1:]) for part in self._hands.at(time_s))
        arms = self.body.arms(trunk, lift, _pair(told, "spread"), bent, roll, points, weights)
        centers, rotations = self.body.geoms(trunk, legs, arms)
        joints = self.body.joints(trunk, legs, arms)
        return {"centers": centers, "rotations": rotations, "joints": joints, "hands": arms.hands}

    def _trunk(self, time_s, places, headings, gait, told, idle, ankles, lifts) -> Trunk:
        """The pelvis hangs where both legs reach, the back bends above it, the head looks where it should."""
        h, sits = self.stature_m, np.isfinite(self._seat_m)
        lean = told["lean"] + 0.035 * gait.ahead + 0.02 * (gait.ahead - 2).clip(0) + 0.015 * idle[:, 0]
        side = told["side"] + 0.04 * gait.aside + 0.012 * idle[:, 1]
        chest_yaw = headings + told["twist"] + 0.12 * gait.steps * np.sin(gait.phase) + 0.04 * idle[:, 2]
        pelvis_yaw = headings + 0.35 * told["twist"] - 0.08 * gait.steps * np.sin(gait.phase)
        pelvis_frame, chest_frame = tilted(pelvis_yaw, 0.35 * lean, 0.3 * side), tilted(chest_yaw, lean, side)

        walks = gait.steps * (1 - gait.run) * np.cos(gait.phase)
        sway = told["sway_m"] + 0.012 * h * (walks + 0.8 * idle[:, 3] * (1 - gait.steps))
        back = self._back(told["lean"], told["crouch_m"]) * ~sits
        places = places + sway[:, None] * gait.left - back[:, None] * gait.forward
        caps = self.body.caps(ankles, self.body.hips(places, pelvis_frame[..., 1]), lifts, 0.999)
        stand = (ANKLE + 0.99 * LEG_L - (0.022 + 0.016 * np.cos(2 * gait.phase)) * gait.run) * h - told["crouch_m"]
        height = least(np.concatenate([self._heights.at(time_s), stand[:, None], caps], -1), 0.004 * h)
        height = np.where(sits, self._seat_m + 0.075 * h, height)
        pelvis = np.concatenate([places, height[:, None]], -1)

        up = chest_frame[..., 2]
        neck = pelvis + h[:, None] * (WAIST * pelvis_frame[..., 2] + (TORSO_L - WAIST) * up)
        turn, nod = self._turn_of_head(time_s, chest_yaw, neck)
        turn, nod = turn + told["turn_head"] + 0.06 * idle[:, 1], nod + told["nod"] + 0.04 * idle[:, 2]
        head_frame = tilted(chest_yaw + turn, 0.35 * lean + nod, 0.3 * side + told["tilt_head"])
        head = neck + HEAD_L * h[:, None] * (0.4 * up + 0.6 * head_frame[..., 2] + 0.09 * head_frame[..., 0])
        return Trunk(pelvis, neck, head, pelvis_frame, chest_frame, head_frame)

    def _back(self, lean, crouch_m) -> np.ndarray:
        """How far the pelvis goes back, for balance, when the trunk goes forward and the knees do."""
        return 0.1 * self.stature_m * np.sin(lean.clip(-0.5, 1.4)) + 0.25 * crouch_m

    def _turn_of_head(self, time_s, chest_yaw, neck) -> tuple[np.ndarray, np.ndarray]:
        """How far heads turn from the chest, and nod, to look where the script or look() says."""
        x, y = self._gaze.at(time_s).T
        points, weights = self._looks.at(time_s)
        way = points - neck
        yaw = [np.arctan2(y, x), np.arctan2(way[:, 1], way[:, 0])]
        turns = [(angle - chest_yaw + np.pi) % (2 * np.pi) - np.pi for angle in yaw]
        # beyond what a neck turns, the look is given up smoothly
        turns = [_NECK_TURNS * np.tanh(t / _NECK_TURNS) * ease((np.pi - np.abs(t)) / 0.8) for t in turns]
        nod = -np.arctan2(way[:, 2], np.hypot(way[:, 0], way[:, 1])).clip(-0.7, 0.6)
        return turns[0] + weights * (turns[1] - turns[0]), weights * nod


class _Gait:
    """How everybody goes at a moment: forward and left (n, 2), speeds, and phase of the steps (n,).

    steps and run: 0 to 1, how much it is a walk or a run.
    """

    def __init__(self, headings, velocities, phase):
        self.forward = np.stack([np.cos(headings), np.sin(headings)], -1)
        self.left = np.stack([-self.forward[:, 1], self.forward[:, 0]], -1)
        self.ahead, self.aside = (self.forward * velocities).sum(-1), (self.left * velocities).sum(-1)
        speed = np.linalg.norm(velocities, axis=-1)
        self.steps, self.run, self.phase = ease(speed / 1.1), running(speed), phase


def _pair(told, name) -> np.ndarray:
    """(n, 2) of a channel that there is of both sides."""
    return np.stack([told[f"{name}_l"], told[f"{name}_r"]], -1)


def _lifted(trunk: Trunk, height_m) -> Trunk:
    up = height_m[:, None] * np.array([0, 0, 1.0])
    return trunk._replace(pelvis=trunk.pelvis + up, neck=trunk.neck + up, head=trunk.head + up)
