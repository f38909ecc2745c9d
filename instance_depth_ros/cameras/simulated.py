"""A simulated scene as a camera, with its truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..frame import Frame
from .base import CameraError
from .source import Recording

FPS = 10.0
# Long enough that the camera's place suits all who pass it in a demo.
WINDOW_S = 30.0


class SimulatedCamera(Recording):
    """Scene `seed` of an activity, without end; drawn from split 'test', which training never sees.

    truth: the simulation.scene.Moment of the last frame read: depth in metres, ids, pose.
    """

    truth = None

    def _play(self) -> Iterator[tuple[np.ndarray, float]]:
        settings = self.settings
        try:
            from ..simulation.scene import Scene

            scene = Scene(settings.activity, settings.seed, "test", settings.width, settings.height, window_s=WINDOW_S)
        except RuntimeError as error:
            raise CameraError(f"camera simulated: {error}") from error
        step_s, number = 1 / (settings.fps or FPS), 0
        try:
            while True:
                self.truth = scene.render(number * step_s, ids=True)
                self._intrinsics = scene.intrinsics
                yield self.truth.color, step_s
                number += 1
        finally:
            scene.close()

    def _frame(self, color: np.ndarray, stamp_ns: int) -> Frame:
        return replace(super()._frame(color, stamp_ns), intrinsics=self._intrinsics)
