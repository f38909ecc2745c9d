"""camera: auto, and drivers that go by several names: look until something is there, then listen to it or open it."""

from __future__ import annotations

from types import SimpleNamespace

from rclpy.clock import Clock, ClockType

from ..cameras import CLASSES
from ..cameras.connected import color_webcam, realsenses, sdk_hint
from .drivers import REALSENSE, published, remaps, sources

LOOK_S = 1.0
# Topics are discovered by then; before, another would win over what was only not yet seen.
LOOKS = 2


class ChosenInput:
    """An input of the first that is there: a RealSense, one of the topics, a webcam; until then a problem that says so.

    A RealSense that its driver publishes is left to it. open_topics(ImageTopics) and open_camera(settings) make the
    input; without open_camera only topics count.
    """

    def __init__(self, node, settings, open_topics, open_camera=None):
        self._node, self._settings = node, settings
        self._open_topics, self._open_camera = open_topics, open_camera
        self._candidates = sources(settings)
        self._input, self._looks, self._said = None, 0, ""
        self._waiting = f"camera {settings.camera}: looking around"
        self._timer = node.create_timer(LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def problem(self) -> str:
        return self._input.problem if self._input else self._waiting

    def describe(self) -> dict[str, object]:
        return self._input.describe() if self._input else {"camera": f"{self._settings.camera}, none yet"}

    def close(self) -> None:
        self._node.destroy_timer(self._timer)
        if self._input:
            self._input.close()

    def _look(self) -> None:
        if self._input:
            return self._timer.cancel()
        self._looks += 1
        try:
            self._input = self._choose()
        except (ValueError, RuntimeError) as error:  # a wrong setting, or an SDK's own
            self._waiting = f"camera {self._settings.camera}: {error}"
        if self._input is None and self._waiting != self._said and self._looks >= LOOKS:
            self._said = self._waiting
            self._node.get_logger().warning(self._waiting)

    def _choose(self):
        """The input, or None; then _waiting says what was looked for."""
        if self._looks < LOOKS:
            return None
        topics = next(filter(self._live, self._candidates), None)
        devices = self._open_camera is not None
        if devices and "realsense" in CLASSES and not self._live(REALSENSE) and realsenses():
            return self._open("realsense")
        if topics:
            self._node.get_logger().info(f"camera {self._settings.camera}: images on {self._full(topics)}")
            return self._open_topics(topics)
        if devices and (webcam := color_webcam()):
            if hint := sdk_hint():
                self._node.get_logger().warning(hint)
            return self._open("webcam", webcam.stable or str(webcam.path))
        names = ", ".join(map(self._full, self._candidates))
        hint = sdk_hint()
        here = f"{hint or 'no RealSense'}, no webcam and " if devices else ""
        kind, name = self._candidates[-1 if self._candidates[0].rgbd else 0].images(self._settings.use_compressed)
        elsewhere = remaps(self._node, name, kind)
        self._waiting = f"camera {self._settings.camera}: {here}no image on {names}{elsewhere}"
        return None

    def _live(self, topics) -> bool:
        kind, name = topics.images(self._settings.use_compressed)
        return self._node.resolve_topic_name(name) in published(self._node, kind)

    def _full(self, topics) -> str:
        return self._node.resolve_topic_name(topics.images(self._settings.use_compressed)[1])

    def _open(self, camera: str, path: str = ""):
        self._node.get_logger().info(f"camera {self._settings.camera}: {camera} {path}".rstrip())
        return self._open_camera(SimpleNamespace(**{**vars(self._settings), "camera": camera, "camera_path": path}))
