"""A simulated scene as a camera, with its truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count

import numpy as np

from ..frame import Frame
from ..table import ROW
from .base import CameraError
from .source import Recording

FPS = 10.0
VIEWS = 16


@dataclass
class Truth:
    """Of the frame read last. The ids cost another pass, which is drawn when they are asked for.

    depth_m: (H, W) float32 metres, NaN for sky. world_from_camera: (4, 4), OpenCV axes. classes: (K,) of ids 1 to K.
    Ask in the thread that reads the camera, before it is closed. asked: somebody did, and will for the next frame.
    """

    depth_m: np.ndarray
    world_from_camera: np.ndarray
    classes: np.ndarray
    draw_ids: Callable[[], np.ndarray]
    asked: bool = field(default=False, init=False)

    @cached_property
    def ids(self) -> np.ndarray:
        """(H, W) uint16, 0 background, one lasting id an instance."""
        self.asked = True
        return self.draw_ids()

    @property
    def table(self) -> np.ndarray:
        """(N,) of table.ROW: id, class and mean depth of who is seen; the rest is not known, NaN."""
        known, most = np.isfinite(self.depth_m), len(self.classes) + 1
        areas, depths, counts = (
            np.bincount(ids, weights, most)
            for ids, weights in (
                (self.ids.ravel(), None),
                (self.ids[known], self.depth_m[known]),
                (self.ids[known], None),
            )
        )
        seen = np.flatnonzero(areas[1:]) + 1
        rows = np.array([(*[np.nan] * 6, 0, 0, 0, *[np.nan] * 4, 0, np.nan)] * len(seen), ROW)
        rows["id"] = rows["pixel"] = seen
        rows["class_id"], rows["score"] = self.classes[seen - 1], 1.0
        with np.errstate(invalid="ignore"):
            rows["depth_m"] = (depths / counts)[seen]
        return rows


class SimulatedCamera(Recording):
    """Scene `seed` of an activity, without end; drawn from split 'test', which training never sees.

    truth: that of the frame read last. With the setting sensor_depth, frames have the depth that the camera would give.
    """

    recording = False
    truth: Truth | None = None

    def _play(self) -> Iterator[tuple[np.ndarray, float]]:
        settings = self.settings
        try:
            from ..simulation.actors.script import LOOP_S
            from ..simulation.scene import Scene
            from ..simulation.sensor import SENSORS

            # nobody ever walks into the camera
            scene = Scene(settings.activity, settings.seed, "test", settings.width, settings.height, window_s=LOOP_S)
        except RuntimeError as error:
            raise CameraError(f"camera simulated: {error}") from error
        step_s = 1 / (settings.fps or FPS)
        try:
            sensor = self._choose(scene, SENSORS) if settings.sensor_depth else None
            for number in count():
                moment = self._render(scene, number * step_s)
                self._intrinsics, self._depth_m = moment.intrinsics, None
                if sensor:
                    rng = np.random.default_rng((settings.seed, number))
                    self._depth_m = sensor.measure(moment.depth_m, moment.color, moment.intrinsics, rng)
                yield moment.color, step_s
        finally:
            scene.close()

    def _choose(self, scene, sensors: dict):
        """The depth sensor of the scene's camera, or of the first other one that has any."""
        for view in range(VIEWS):
            if view:
                scene.look(view)
            if scene.lens in sensors:
                return sensors[scene.lens]
        raise CameraError(
            f"{scene.activity} is seen through a lens without a depth sensor ({scene.lens}); "
            "take another activity or seed, or sensor_depth:=false"
        )

    def _render(self, scene, time_s: float):
        """The moment, and self.truth of it; ids are drawn at once where those of the moment before were asked for."""
        moment = scene.render(time_s, truth=self.truth is not None and self.truth.asked)
        draw = (lambda: scene.render(time_s, truth=True).ids) if moment.ids is None else (lambda: moment.ids)
        self.truth = Truth(moment.depth_m, moment.world_from_camera, scene.classes, draw)
        return moment

    def _frame(self, color: np.ndarray, stamp_ns: int) -> Frame:
        return replace(super()._frame(color, stamp_ns), intrinsics=self._intrinsics, depth_m=self._depth_m)
