"""When and where the feet of four-legged bodies come down: planted from landing to lift, whatever the body does."""

from __future__ import annotations

import numpy as np

from .courses import Course
from .script import RATE_HZ, smooth

# front left, front right, hind left, hind right: in which part of a stride each lifts. A walk goes hind left, front
# left, hind right, front right; in a trot diagonal feet go together (Hildebrand 1965, Symmetrical gaits of horses).
_WALK = np.array([0.25, 0.75, 0.0, 0.5])
_TROT = np.array([0.5, 1.0, 0.0, 0.5])


class Footfalls:
    """Steps of n bodies along their course.

    rest_m: (n, 4, 2) where the feet stand under the body, ahead and left of its place. withers_m: (n,) shoulder height.
    """

    def __init__(self, course: Course, rest_m: np.ndarray, withers_m: np.ndarray):
        self.period_s = course.places.shape[1] / RATE_HZ
        self._rest_m, self._withers_m = rest_m, withers_m
        times_s = np.arange(course.places.shape[1]) / RATE_HZ
        steps = np.roll(course.places, -1, 1) - course.places
        turns = np.angle(np.exp(1j * (np.roll(course.headings, -1, 1) - course.headings)))
        reach = np.abs(rest_m[..., 0]).max(1)[:, None]
        speed = smooth((np.linalg.norm(steps, axis=-1) + np.abs(turns) * reach)[..., None] * RATE_HZ, 0.3)[..., 0]
        # speeds of like gaits grow with the root of the leg's length (Alexander and Jayes 1983)
        swift = np.maximum(speed, 0) / np.sqrt(9.81 * withers_m[:, None])
        stride_m = withers_m[:, None] * np.clip(0.45 + 1.05 * swift, 0.45, 1.25)
        self._swing = np.clip(0.3 + 0.45 * (swift - 0.25), 0.3, 0.5)
        trot = np.clip((swift - 0.45) / 0.2, 0, 1)
        rate = np.maximum(speed, 0) / stride_m / RATE_HZ
        total = rate.sum(1, keepdims=True)
        self.strides = np.where(total > 0.1, np.ceil(total), 0)
        rate = rate * np.where(total > 0.1, self.strides / np.maximum(total, 1e-9), 0)
        self.phase = np.cumsum(rate, 1) - rate
        offset = _WALK + trot[..., None] * (_TROT - _WALK)
        self._plan(course, times_s, self.phase[..., None] - offset)

    def _plan(self, course, times_s, phases) -> None:
        """Lift and landing times (n, 4, steps + 1), with the places (n, 4, steps + 2, 2) and headings between them."""
        n, most = len(phases), int(self.strides.max(initial=0))
        self._lift = np.full((n, 4, most + 1), np.inf)
        self._land = np.full((n, 4, most + 1), np.inf)
        self._places, self._headings = np.zeros((n, 4, most + 2, 2)), np.zeros((n, 4, most + 2))
        for body, foot in np.ndindex(n, 4):
            count, phase = int(self.strides[body, 0]), phases[body, :, foot]
            if count == 0:
                place, heading = self._under(course, times_s, body, foot, np.zeros(1))
                self._lift[body, foot, 0], self._land[body, foot, 0] = -2.0, -1.0
                self._places[body, foot, :2], self._headings[body, foot, :2] = place, heading
                continue
            rounds = np.arange(-2, 3)[:, None]
            time = (times_s + rounds * self.period_s).ravel()
            phase = np.maximum.accumulate((phase + rounds * count).ravel()) + 1e-7 * np.arange(len(time))
            number = np.ceil(np.interp(0, time, phase)) - 1 + np.arange(-1, count + 1)
            lift = np.interp(number, phase, time)
            swing = np.interp(lift % self.period_s, times_s, self._swing[body])
            land = np.minimum(np.interp(number + swing, phase, time), lift + 0.5 * self._withers_m[body] ** 0.5)
            # the foot stands where its rest is in the middle of its stance
            place, heading = self._under(course, times_s, body, foot, np.interp(number + (1 + swing) / 2, phase, time))
            self._lift[body, foot, : count + 1], self._land[body, foot, : count + 1] = lift[1:], land[1:]
            self._places[body, foot, : count + 2] = place
            self._headings[body, foot, : count + 2] = np.unwrap(heading)

    def _under(self, course, times_s, body, foot, when_s):
        when_s = when_s % self.period_s
        x, y, c, s = (
            np.interp(when_s, times_s, values, period=self.period_s)
            for values in (*course.places[body].T, np.cos(course.headings[body]), np.sin(course.headings[body]))
        )
        ahead, left = self._rest_m[body, foot]
        heading = np.arctan2(s, c)
        return np.stack([x + ahead * c - left * s, y + ahead * s + left * c], -1), heading

    def at(self, time_s: float):
        """Places (n, 4, 2), headings (n, 4), and how far each is in its swing (n, 4): 0 or 1 on the ground."""
        time_s = time_s % self.period_s
        index = np.maximum((self._lift <= time_s).sum(-1) - 1, 0)[..., None]
        lift, land = (np.take_along_axis(times, index, -1)[..., 0] for times in (self._lift, self._land))
        part = np.clip((time_s - lift) / (land - lift), 0, 1)
        ease = part**3 * (10 - 15 * part + 6 * part**2)
        from_, to = (np.take_along_axis(self._places, index[..., None] + i, 2)[:, :, 0] for i in (0, 1))
        before, after = (np.take_along_axis(self._headings, index + i, 2)[:, :, 0] for i in (0, 1))
        return from_ + ease[..., None] * (to - from_), before + ease * (after - before), part
