"""Footsteps: from a path over the floor to feet that stand, roll and swing, and never slide."""

from __future__ import annotations

import numpy as np

from .script import RATE_HZ, Script, smooth

_WALK_SWING, _RUN_SWING = 0.40, 0.64  # shares of a cycle that a foot is in the air
_LONGEST_SWING_S = 0.44
_FASTEST_HZ = 2.3  # cycles of two steps
_REACH = 0.25  # shares of stature, how far from under the body a foot may stand


def ease(u):
    """0 to 1 with rest at both ends: the minimum-jerk profile (Flash and Hogan 1985)."""
    u = np.clip(u, 0, 1)
    return u**3 * (10 - 15 * u + 6 * u**2)


def running(speed_m_s):
    """0 at a walk, 1 at a run."""
    return ease((np.asarray(speed_m_s) - 1.7) / 1.0)


class Footsteps:
    """Where the feet of n people are; arrays are (n, 2 feet), the left one first.

    width_m: (n,) distance of the feet of one who stands. flights: of each person, [(take-off, landing)] in seconds.
    """

    def __init__(self, script: Script, actors, stature_m, width_m, start, flights):
        self.period_s = script.period_s
        grid = [script.at(t) for t in script.times_s]
        places, headings, velocities = (np.stack([g[i][actors] for g in grid], 1) for i in range(3))
        feet, phases = [], []
        for i in range(len(actors)):
            walk = _Walk(script, places[i], headings[i], velocities[i], stature_m[i], width_m[i], start[i])
            phases.append(walk.phase)
            pair = [walk.stances(side) for side in (0, 1)]
            for up_s, down_s in flights[i]:
                for loop_s in np.array([-1, 0, 1]) * self.period_s:
                    pair = [walk.fly(pair[side], side, up_s + loop_s, down_s + loop_s) for side in (0, 1)]
            walk.uncross(*pair)
            feet += [_rolls(rows, stature_m[i]) for rows in pair]
        self._phase = np.stack(phases)
        # beyond the last stance nothing happens, and it is asked for
        longest = 1 + max(len(foot) for foot in feet)
        feet = [np.concatenate([f, np.tile(_LATER, (longest - len(f), 1))]) for f in feet]
        table = np.stack(feet).reshape(len(actors), 2, longest, -1)
        self._times, self._table = table[..., OFF].copy(), table
        self._who = np.arange(len(actors))[:, None], np.arange(2)[None]

    def phase(self, time_s: float) -> np.ndarray:
        """(n,) cycles of two steps: the left foot is in the middle of its stance at whole numbers."""
        at = time_s * RATE_HZ
        k = min(int(at), self._phase.shape[1] - 2)
        return self._phase[:, k] + (at - k) * (self._phase[:, k + 1] - self._phase[:, k])

    def at(self, time_s):
        """places (n, 2, 2) of the soles, yaws (n, 2), pitches (heel up is positive) and lifts in metres.

        Times (t, 1, 1) ask for many moments at once; t then leads all shapes.
        """
        k = (self._times <= np.expand_dims(time_s, -1)).sum(-1)
        last, this = self._table[(*self._who, k - 1)], self._table[(*self._who, k)]
        u = np.clip((time_s - last[..., OFF]) / (this[..., LAND] - last[..., OFF]), 0, 1)
        s = ease(u)
        place = last[..., X : Y + 1] + (this[..., X : Y + 1] - last[..., X : Y + 1]) * s[..., None]
        yaw = last[..., YAW] + (this[..., YAW] - last[..., YAW]) * s
        lift = this[..., LIFT] * 16 * (u * (1 - u)) ** 2
        stood = np.minimum(this[..., OFF] - this[..., LAND], 1.0)
        strike = 1 - ease((time_s - this[..., LAND]) / np.minimum(0.35 * stood, 0.12))
        rise = np.minimum(0.55 * stood, 0.28)
        stance = this[..., HEEL] * ease(1 + (time_s - this[..., OFF]) / rise) - this[..., TOE] * strike
        swing = last[..., HEEL] * (1 - s) - this[..., TOE] * s
        return place, yaw, np.where(u < 1, swing, stance), lift


# a stance: from, till, where, which way; the heel's rise at its end, the toes' at its start, the lift on the way to it
LAND, OFF, X, Y, YAW, HEEL, TOE, LIFT, RUN = range(9)
_LATER = np.array([1e9, 2e9, 0, 0, 0, 0, 0, 0, 0])


class _Walk:
    """The gait of one person."""

    def __init__(self, script, places, headings, velocities, stature_m, width_m, start):
        self.period_s, self.stature_m, self.width_m = script.period_s, stature_m, width_m
        turn = np.diff(headings)
        wind = 2 * np.pi * np.round((headings[-1] - headings[0] + turn[-1]) / (2 * np.pi))
        self.times = np.concatenate([script.times_s + k * self.period_s for k in (-1, 0, 1)])
        self.places = np.tile(places, (3, 1))
        self.headings = np.concatenate([headings + k * wind for k in (-1, 0, 1)])
        speed = np.linalg.norm(velocities, axis=-1)
        ahead = np.cos(headings) * velocities[:, 0] + np.sin(headings) * velocities[:, 1]
        aside = -np.sin(headings) * velocities[:, 0] + np.cos(headings) * velocities[:, 1]
        direct = ahead / np.maximum(speed, 1e-3)
        # two steps are long when fast (Grieve and Gear 1966), shorter sidewards and backwards
        stride = stature_m * (0.3 + 1.5 * (1 - np.exp(-speed / 2.8)))
        stride *= 0.55 + np.where(direct > 0, 0.45, 0.2) * direct**2
        spin = np.abs(np.gradient(headings)) * RATE_HZ
        brake = np.linalg.norm(np.gradient(velocities, axis=0), axis=-1) * RATE_HZ
        # one more step closes the stance of who has stopped
        rate = smooth((speed / stride + spin / 2.0 + brake / 10)[:, None], 0.2)[:, 0].clip(1e-6, _FASTEST_HZ)
        total = rate.sum() / RATE_HZ
        self.cycles = int(np.round(total))
        rate = rate * (self.cycles / total)
        self.phase = start + np.concatenate([[0], np.cumsum(rate)]) / RATE_HZ
        self.run, self.speed = np.tile(running(speed), 3), np.tile(speed, 3)
        self.splay = np.tile(np.clip(np.abs(aside) / np.maximum(rate, 0.4) / 4, 0, 0.08 * stature_m), 3)

    def _read(self, values, at_s):
        return np.interp(at_s, self.times, values)

    def _path(self, land, off) -> np.ndarray:
        """(stances, 9, 3): the body's place and heading while each foot stands."""
        at = land[:, None] + (off - land)[:, None] * np.linspace(0, 1, 9)
        return np.stack([self._read(part, at) for part in (*self.places.T, self.headings)], -1)

    def _stance(self, side, land, off) -> np.ndarray:
        """Rows of a foot that is planted below the middle of the body's way from land to off."""
        rows, path = np.zeros((len(land), 9)), self._path(land, off)
        x, y, heading = ((path.max(1) + path.min(1)) / 2).T
        run, sign = self._read(self.run, (land + off) / 2), 1 - 2 * side
        wide = sign * (self.width_m / 2 * (1 - 0.35 * run) + self._read(self.splay, (land + off) / 2))
        rows[:, LAND], rows[:, OFF], rows[:, RUN], rows[:, LIFT] = land, off, run, np.nan
        rows[:, X], rows[:, Y] = x - wide * np.sin(heading), y + wide * np.cos(heading)
        rows[:, YAW] = heading + sign * 0.12 * (1 - run)
        return rows

    def within_reach(self, rows, side) -> np.ndarray:
        """The stances, with steps between where a foot would be left behind."""
        for _ in range(4):
            path = self._path(rows[:, LAND], rows[:, OFF])[..., :2]
            far = np.linalg.norm(path - rows[:, None, X : Y + 1], axis=-1).max(1) > _REACH * self.stature_m
            far &= rows[:, OFF] - rows[:, LAND] > 0.5
            if not far.any():
                break
            land, off = rows[far, LAND], rows[far, OFF]
            middle, half = (land + off) / 2, np.minimum((off - land) / 5, 0.18)
            split = [self._stance(side, land, middle - half), self._stance(side, middle + half, off)]
            split[0][:, LIFT] = rows[far, LIFT]
            rows = np.concatenate([rows[~far], *split])
            rows = rows[np.argsort(rows[:, LAND])]
        return rows

    def stances(self, side: int) -> np.ndarray:
        """(stances, 9) rows that reach beyond the loop at both ends."""
        if not self.cycles:
            row = self._stance(side, self.times[:1], self.times[-1:])
            row[:, LAND : OFF + 1] = -1e6, 1e6
            return np.concatenate([row, row + _shift(2e6)])
        phase = np.concatenate([self.phase[:-1] + k * self.cycles for k in (-1, 0, 1)])
        first = np.ceil(phase[0] + 0.5)
        count = int(np.floor(phase[-1] - 0.5) - first)
        beats = first + side / 2 + np.arange(count)
        middle = np.interp(beats, phase, self.times)
        change = np.interp(beats[:-1] + 0.5, phase, self.times)
        run = self._read(self.run, change)
        room = np.minimum(change - middle[:-1], middle[1:] - change)
        longest = _LONGEST_SWING_S / 2 * (1 + 0.15 * run)
        half = np.minimum((_WALK_SWING + (_RUN_SWING - _WALK_SWING) * run) * room, longest)
        # the faster, the sooner a foot is left behind
        hurried = room - 0.9 * _REACH * self.stature_m / np.maximum(self._read(self.speed, change), 0.1)
        half = np.maximum(half, np.minimum(hurried, 0.9 * room))
        land = np.concatenate([[middle[0] - 0.3], change + half])
        off = np.concatenate([change - half, [middle[-1] + 0.3]])
        return self.within_reach(self._stance(side, land, off), side)

    def uncross(self, left, right) -> None:
        """Move feet that stand at about the same time and place apart, so that the left one is to the left."""
        lands = np.maximum(left[:, None, LAND], right[None, :, LAND])
        offs = np.minimum(left[:, None, OFF], right[None, :, OFF])
        a, b = np.nonzero(lands < offs + 0.2)
        heading = self._read(self.headings, (lands + offs)[a, b] / 2)
        ahead = np.stack([np.cos(heading), np.sin(heading)], -1)
        aside = np.stack([-ahead[:, 1], ahead[:, 0]], -1)
        for _ in range(4):
            apart = (left[a] - right[b])[:, X : Y + 1]
            near = np.abs((apart * ahead).sum(-1)) < 0.25 * self.stature_m
            push = near * np.maximum(0.085 * self.stature_m - (apart * aside).sum(-1), 0) / 2
            np.add.at(left[:, X : Y + 1], a, push[:, None] * aside)
            np.add.at(right[:, X : Y + 1], b, -push[:, None] * aside)

    def fly(self, rows, side, up_s, down_s) -> np.ndarray:
        """The stances of one who jumps from up_s to down_s, off both feet and onto both."""
        before = rows[(rows[:, OFF] < up_s) | (rows[:, LAND] < up_s - 0.12)].copy()
        after = rows[(rows[:, LAND] > down_s) | (rows[:, OFF] > down_s + 0.15)].copy()
        if not len(before) or not len(after):
            return rows
        gather = self._stance(side, np.array([up_s - 0.1]), np.array([up_s]))
        again = before[-1, LIFT] == 0 and before[-1, LAND] > up_s - 0.6  # has just landed from another flight
        while not again and len(before) > 1 and before[-1, LAND] > up_s - 0.45 and before[-1, OFF] < up_s - 0.05:
            before = before[:-1]
        if again or np.linalg.norm(before[-1, X : Y + 1] - gather[0, X : Y + 1]) < 0.15 * self.stature_m:
            before[-1, OFF], gather = up_s, gather[:0]
        else:
            while len(before) > 1 and before[-1, LAND] > up_s - 0.45:
                before = before[:-1]
            before[-1, OFF] = min(before[-1, OFF], up_s - 0.4)
        while len(after) > 1 and after[0, LAND] < down_s + 0.4:
            after = after[1:]
        stays = 0.3 * self.stature_m / max(self._read(self.speed, down_s + np.array([0, 0.2, 0.4])).max(), 0.1)
        leaves = max(down_s + 0.1, min(after[0, LAND] - 0.36, down_s + stays))
        landing = self._stance(side, np.array([down_s]), np.array([leaves]))
        landing[:, LIFT] = 0
        return self.within_reach(np.concatenate([before, gather, landing, after]), side)


def _shift(later_s) -> np.ndarray:
    row = np.zeros(9)
    row[[LAND, OFF]] = later_s
    return row


def _rolls(rows, stature_m) -> np.ndarray:
    """Fill in how the foot rolls and lifts, from the steps between the stances."""
    rows[0, LIFT] = 0
    step = np.diff(rows[:, X : Y + 1], axis=0)
    ahead = np.cos(rows[:-1, YAW]) * step[:, 0] + np.sin(rows[:-1, YAW]) * step[:, 1]
    stride, run = np.clip(ahead / (0.8 * stature_m), 0, 1), rows[1:, RUN]
    flies = rows[1:, LIFT] == 0
    rows[:-1, HEEL] = np.where(flies, 0.7, 0.8 * stride)
    rows[1:, TOE] = np.where(flies, -0.4, stride * (0.3 - 0.2 * run))
    lift = stature_m * (0.02 + 0.025 * np.clip(np.linalg.norm(step, axis=-1) / stature_m, 0, 1) + 0.07 * run)
    rows[1:, LIFT] = np.where(np.isnan(rows[1:, LIFT]), lift, rows[1:, LIFT])
    return rows
