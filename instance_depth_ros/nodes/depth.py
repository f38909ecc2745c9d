"""The depth node: frames in, an estimate's topics out; adapters only."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import MutableMapping
from contextlib import contextmanager
from functools import partial, wraps
from weakref import WeakValueDictionary

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.utilities import remove_ros_args
from std_srvs.srv import Trigger

from .. import process
from ..graph import namespaces
from . import spin
from .building import Builder
from .choosing import ChosenInput
from .diagnostics import Complaints, Diagnostics, Monitor, times_ms
from .drivers import SOURCES, sources
from .inputs import CameraInput, RgbdInput, TopicInput
from .parameters import Parameters
from .poses import Poses
from .topics import DepthTopics
from .worker import Worker

INSTALL = "pip install torch safetensors, into the Python that runs this node"
RESERVED_PICTURES = 48  # of floats: by so many more what is on its way at the same time may grow (docs/log.md)
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def transition(body):
    """A transition that says why it failed: rclpy would swallow the reason of whatever is raised, and go on."""

    @wraps(body)
    def guarded(self, state):
        try:
            body(self)
        except ImportError as error:
            why = f"{error}; {INSTALL}"
        except (ValueError, RuntimeError, OSError) as error:
            why = str(error)
        except Exception as error:  # a library's own; its type is half of what it says
            why = repr(error)
        else:
            return SUCCESS
        self.get_logger().error(f"{body.__name__[3:]} failed: {why}")
        return FAILURE

    return guarded


class DepthNode(LifecycleNode):
    """Configure loads and warms up the network, activate streams, deactivate keeps the network, cleanup frees it.

    The executor's thread only leaves the newest frame in the worker's slot; the worker decodes and estimates, and a
    second thread publishes while the next frame is estimated.
    engines: where the nodes of several cameras in a process leave the engines that they share; see sharing.py.
    """

    def __init__(self, engines: MutableMapping | None = None, **node_args):
        super().__init__("depth", **node_args)
        self._engines = engines
        self.ended, self.status = threading.Event(), 0
        self._estimator = self._builder = self._topics = self._input = self._worker = self._poses = None
        self._state, self._used_intrinsics, self._memory_mb = None, None, 0.0
        self._found = {"instances": 0, "tracks": 0}
        self._label, self._resets, self._last_reset = "unconfigured", 0, ""
        self._reset_asked = threading.Event()
        self.settings = Parameters(self, "depth", locked=lambda: self._estimator is not None).settings
        self._monitor, self._complain = Monitor(), Complaints(self.get_logger())
        spin.log_through(self.get_logger())
        process.schedule(self.settings)
        self._diagnostics = Diagnostics(self, self._monitor, self._describe)
        self.create_service(Trigger, "depth/reset", self._on_reset)

    def start(self) -> DepthNode:
        """Bring it to active, if it is to start by itself; a failure ends the process."""
        if self.settings.autostart:
            if self.trigger_configure() != SUCCESS or self.trigger_activate() != SUCCESS:
                self.status = spin.UNUSABLE
                self.ended.set()
        return self

    def close(self) -> None:
        self._stop_streaming()
        self._label = "finalized"
        self._diagnostics.publish_last()

    @transition
    def on_configure(self):
        # Here and not above: torch takes seconds, and the node should be seen by then.
        from ..estimator import Estimator

        estimator = Estimator(self.settings, **self._shared_engine())
        if estimator.relative and (self.settings.fuse == "off" or not self._has_depth()):
            raise ValueError(
                f"weights '{self.settings.weights}' give relative disparity, not metres; use metric ones "
                "(metric_video_depth_anything_vits.pth, or instance_depth_tiny), or say weights_kind:=metric, or have "
                "a depth sensor say how long a metre is (use_depth:=true, fuse:=fill)"
            )
        builder = Builder(estimator.engine, self.settings, self.get_logger().info)
        estimator.warm_up(self.settings.height, self.settings.width)
        process.reserve(RESERVED_PICTURES * 4 * self.settings.height * self.settings.width)
        process.settle()
        self._topics = DepthTopics(self, self.settings, estimator.cloud)
        self._estimator, self._builder = estimator, builder
        self._label = "inactive"

    @transition
    def on_activate(self):
        self._renew()
        frames = self.settings.fixed_frame, self.settings.ground_frame
        self._poses = Poses(self, *frames) if any(frames) else None
        self._worker = Worker(self._process, self._monitor.lost)
        try:
            self._input = self._open_input()
        except Exception:
            self._stop_streaming()
            raise
        self._label = "active"

    @transition
    def on_deactivate(self):
        self._stop_streaming()
        self._label = "inactive"
        self._diagnostics.publish()

    @transition
    def on_cleanup(self):
        self._topics.close()
        self._renew()
        self._estimator = self._builder = self._topics = None
        self._label = "unconfigured"
        process.unsettle()

    @transition
    def on_shutdown(self):
        self._stop_streaming()
        self._label = "finalized"
        self._diagnostics.publish()

    def _shared_engine(self) -> dict:
        """An Estimator's engine, where nodes share one; else it makes its own."""
        if self._engines is None:
            return {}
        from ..sharing import shared

        return {"engine": shared(self.settings, self._engines)}

    def _has_depth(self) -> bool:
        """Whether frames may have sensor depth: those of a camera in here may, of topics where it is asked for."""
        camera = self.settings.camera
        return self.settings.use_depth or camera == "auto" or camera not in SOURCES

    def _open_input(self):
        def open_camera(settings):
            return CameraInput(self, settings, self._monitor, self._worker, self._on_camera_end)

        def open_topics(names):
            kind = RgbdInput if names.rgbd else TopicInput
            return kind(self, self.settings, self._monitor, self._worker.put, names)

        named = sources(self.settings)
        if not named:
            return open_camera(self.settings)
        if len(named) == 1:
            return open_topics(*named)
        # Of several nodes in a process all would open the one camera that is here.
        devices = self.settings.camera == "auto" and self.settings.instances != "topic" and self._engines is None
        return ChosenInput(self, self.settings, open_topics, open_camera if devices else None)

    def _stop_streaming(self) -> None:
        if self._input:
            self._input.close()
        if self._worker:
            self._worker.stop()
        if self._poses:
            self._poses.close()
        if self._builder:
            self._builder.close()
        self._input = self._worker = self._poses = None

    def _on_camera_end(self, failed: bool) -> None:
        """From the camera's thread: finish the last frame, then end the process."""
        self._worker.finish()
        self.status = spin.UNUSABLE if failed else 0
        self.ended.set()

    def _on_reset(self, request, response):
        self._reset_asked.set()
        response.success, response.message = True, "the next frame starts anew"
        return response

    def _process(self, make_frame):
        """A frame from slot to estimate, and what is left to do: to publish it, beside the next one's estimate."""
        with self._one_frame():
            started = time.perf_counter()
            frame = make_frame()
            if self._poses:
                frame = self._poses.placed(frame)
            decoded = time.perf_counter()
            estimate = self._estimate(frame)
            estimated = time.perf_counter()
            decode_ms, estimate_ms = (decoded - started) * 1e3, (estimated - decoded) * 1e3
            stages = {"decode": decode_ms, **estimate.timings_ms, "estimate": estimate_ms}
            return partial(self._publish, frame, estimate, stages)

    def _publish(self, frame, estimate, stages: dict[str, float]) -> None:
        """The topics of a frame; the last message is what a camera that plays as fast as frames are taken waits for."""
        with self._one_frame():
            started = time.perf_counter()
            self._topics.publish_estimate(frame, estimate)
            stages["publish"] = (time.perf_counter() - started) * 1e3
            self._topics.publish_info(estimate)
            now_ns = self.get_clock().now().nanoseconds
            self._monitor.done(times_ms(frame.stamp_ns, frame.received_ns, now_ns, stages))
            self._builder.look(frame.size)

    @contextmanager
    def _one_frame(self):
        """What goes wrong with a frame is said once and counted; whatever it is, it must not end the node."""
        try:
            yield
        except Exception as error:
            self._monitor.lost("invalid")
            self._complain(f"frame skipped: {error}" if isinstance(error, ValueError) else f"frame failed: {error!r}")

    def _estimate(self, frame):
        asked = self._reset_asked.is_set()
        self._reset_asked.clear()
        if asked:
            self._renew()
        begun = self._state is not None and self._state.stamp_ns
        try:
            estimate, self._state = self._estimator.step(frame, self._state)
        except Exception:
            self._renew()  # the step had consumed it
            raise
        if reset := "asked for" if asked else estimate.reset if begun else "":
            self._resets, self._last_reset = self._resets + 1, reset
        if estimate.depth_m is None:
            raise ValueError("relative weights have no metres yet: no depth sensor has measured enough of the picture")
        self._used_intrinsics, self._memory_mb = estimate.intrinsics, self._state.memory.megabytes
        self._found = {"instances": len(estimate.instances), "tracks": len(self._state.tracks.rows)}
        return estimate

    def _renew(self) -> None:
        """The stream begins anew, but no identity is given twice in a run."""
        self._state = self._state and self._state.renewed()

    def _describe(self):
        """Level, message and values of the diagnostics."""
        problem = self._input.problem if self._input else f"the node is {self._label}"
        values = {"state": self._label, "lens": self._lens(), "resets": self._resets, "last_reset": self._last_reset}
        values["scale"] = str(self._state.scale) if self._state else "unknown"
        if self._input:
            values.update(self._input.describe())
        if poses := self._poses:
            values["frames_without_pose"] = poses.missing
        if self._estimator:
            info = self._estimator.info
            values.update(info, instance_source=info["instances"], memory_mb=self._memory_mb, **self._found)
        doing = (self._builder and self._builder.message) or "estimating"
        return DiagnosticStatus.WARN if problem else DiagnosticStatus.OK, problem or doing, values

    def _lens(self) -> str:
        lens = self._used_intrinsics
        if lens is None:
            return "unknown"
        return f"{'assumed field of view' if lens.assumed else 'calibrated'}, fx {lens.fx:.1f} px"


def main(args=None) -> int:
    """Words before --ros-args are namespaces of cameras, each of which has its node; none: one node, where it is."""

    def make_nodes():
        cameras = namespaces(remove_ros_args(args or sys.argv)[1:])
        # an engine goes with the last node that has it
        engines = WeakValueDictionary()
        nodes = [DepthNode(engines, namespace=camera) for camera in cameras] or [DepthNode()]
        return [node.start() for node in nodes]

    return spin.run(make_nodes, args)


if __name__ == "__main__":
    sys.exit(main())
