"""A simulated scene as a camera, with its truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from ..frame import Frame
from .base import CameraError
from .source import Recording

FPS = 10.0
# Long enough that the camera's place suits all who pass it in a demo.
WINDOW_S = 30.0


@dataclass(frozen=True)
class Truth:
    """A simulation.scene.Moment whose ids cost another pass, which is drawn when they are asked for.

    Ask in the thread that reads the camera, before it is closed.
    """

    color: np.ndarray
    depth_m: np.ndarray
    world_from_camera: np.ndarray
    draw_ids: Callable[[], np.ndarray]

    @property
    def ids(self) -> np.ndarray:
        """(H, W) uint16, 0 background, one lasting id a person."""
        return self.draw_ids()


class SimulatedCamera(Recording):
    """Scene `seed` of an activity, without end; drawn from split 'test', which training never sees.

    truth: that of the last frame read: depth in metres, ids, pose.
    """

    truth: Truth | None = None

    def _play(self) -> Iterator[tuple[np.ndarray, float]]:
        settings = self.settings
        try:
            from ..simulation.scene import Scene

            scene = Scene(settings.activity, settings.seed, "test", settings.width, settings.height, window_s=WINDOW_S)
        except RuntimeError as error:
            raise CameraError(f"camera simulated: {error}") from error
        step_s = 1 / (settings.fps or FPS)
        try:
            for number in count():
                self.truth = _truth(scene, number * step_s)
                self._intrinsics = scene.intrinsics
                yield self.truth.color, step_s
        finally:
            scene.close()

    def _frame(self, color: np.ndarray, stamp_ns: int) -> Frame:
        return replace(super()._frame(color, stamp_ns), intrinsics=self._intrinsics)


def _truth(scene, time_s: float) -> Truth:
    moment = scene.render(time_s)
    return Truth(moment.color, moment.depth_m, moment.world_from_camera, lambda: scene.render(time_s, ids=True).ids)
