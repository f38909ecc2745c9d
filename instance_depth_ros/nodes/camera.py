"""The camera node: any Camera onto topics, stamped now unless it is a recording with stamps of its own, at its pace."""

from __future__ import annotations

import sys
import threading
import time

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo

from .. import process
from ..cameras.base import CameraError
from . import spin
from .diagnostics import Diagnostics, Monitor, times_ms
from .pairing import stamp_ns
from .parameters import Parameters
from .reader import CameraReader, restamped
from .topics import COLOR, DEPTH_INFO, CameraTopics

# A clip starts when the depth node listens; without one, when anybody does.
WAIT_FOR_DEPTH_S, WAIT_FOR_ANYBODY_S = 60.0, 5.0
# From this side's seeing the other to the other's seeing this one; on a busy machine most of it.
MUTUAL_S = 1.0
# The transport and the subscribers get so long after the last frame.
FAREWELL_S = 1.0


class CameraNode(Node):
    """Publishes a camera. ended is set after the last frame of a recording; status is the process's exit status."""

    def __init__(self, **node_args):
        super().__init__("camera", **node_args)
        self.ended, self.status = threading.Event(), 0
        self.settings = Parameters(self, "camera").settings
        self._monitor, self._topics = Monitor(), None
        spin.log_through(self.get_logger())
        process.schedule(self.settings)
        self._published = 0
        self._pacer = Pacer(self) if self.settings.rate == "max" else None
        try:
            say = self.get_logger().error
            self._reader = CameraReader(self.settings, self._on_frame, self._on_end, say, self._monitor)
        except CameraError as error:
            raise ValueError(str(error)) from error
        self._diagnostics = Diagnostics(self, self._monitor, self._describe)
        self._closing = threading.Event()
        self._reader.start()

    def close(self) -> None:
        self._closing.set()
        self._reader.stop()
        self._diagnostics.publish_last()

    def _on_frame(self, frame) -> None:
        truth = getattr(self._reader.camera, "truth", None)
        if self._topics is None:
            self._topics = CameraTopics(self, frame, truth, self._reader.placed, self.settings.publish_queue)
            process.settle()
            if self._reader.camera.on_demand:
                self._wait_for_listeners()
        if self._pacer:
            self._pacer.wait(self._closing)
        frame = restamped(frame, self._reader.camera, self.get_clock().now().nanoseconds)
        self._monitor.received()
        if self._pacer:
            self._pacer.sent(frame.stamp_ns)
        self._topics.publish_frame(frame, truth)
        self._published += 1
        self._monitor.done(times_ms(frame.stamp_ns, frame.received_ns, self.get_clock().now().nanoseconds, {}))

    def _wait_for_listeners(self) -> None:
        """Hold the first frame back until it will be seen."""
        started = time.monotonic()
        while not self._closing.is_set() and (waited_s := time.monotonic() - started) < WAIT_FOR_DEPTH_S:
            if self._will_be_seen(waited_s):
                # This side has discovered the subscription; the other side gets a moment to discover the publisher.
                self._closing.wait(MUTUAL_S)
                return
            self._closing.wait(0.05)

    def _will_be_seen(self, waited_s: float) -> bool:
        """Depth listens, and a recorder where there is one that will; after a while, whoever does."""
        topics = (self.resolve_topic_name(name) for name in (COLOR, COLOR + "/compressed"))
        listening = {info.node_name for topic in topics for info in self.get_subscriptions_info_by_topic(topic)}
        there = {name for name, place in self.get_node_names_and_namespaces() if place == self.get_namespace()}
        if waited_s < WAIT_FOR_ANYBODY_S:
            return "depth" in listening and "recorder" not in there - listening
        return "depth" in listening or ("depth" not in there and COLOR in self._topics.wanted())

    def _on_end(self, failed: bool) -> None:
        self.status = spin.UNUSABLE if failed else 0
        self.get_logger().info(f"the {self.settings.camera} camera has ended after {self._published} frames")
        self._diagnostics.publish()
        self._closing.wait(FAREWELL_S)
        self.ended.set()

    def _describe(self):
        problem = self._reader.problem
        values = {"state": "silent" if problem else "active", **self._reader.describe()}
        return DiagnosticStatus.WARN if problem else DiagnosticStatus.OK, problem or "publishing", values


class Pacer:
    """Keeps at most two frames on the way to the depth node: counts on the camera_info that each result brings back."""

    IN_FLIGHT, TIMEOUT_S = 2, 3.0
    # The first of two gets so long to be taken from the depth node's slot, where the second would overwrite it.
    SPACING_S = 0.05

    def __init__(self, node):
        self._node = node
        self._stamps = []
        self._changed = threading.Condition()
        node.create_subscription(CameraInfo, DEPTH_INFO, self._returned, QoSProfile(depth=10))

    def wait(self, closing: threading.Event) -> None:
        """Until another frame may go; a frame that never comes back (lost on the way) costs TIMEOUT_S."""
        with self._changed:
            self._changed.wait_for(lambda: not self._stamps or closing.is_set(), self.SPACING_S)
            self._changed.wait_for(lambda: len(self._stamps) < self.IN_FLIGHT or closing.is_set(), self.TIMEOUT_S)
            del self._stamps[: -self.IN_FLIGHT + 1]

    def sent(self, sent_ns: int) -> None:
        with self._changed:
            if self._node.count_publishers(self._node.resolve_topic_name(DEPTH_INFO)):
                self._stamps.append(sent_ns)

    def _returned(self, message: CameraInfo) -> None:
        """Frames come back in order, so earlier ones are lost."""
        with self._changed:
            self._stamps = [sent_ns for sent_ns in self._stamps if sent_ns > stamp_ns(message)]
            self._changed.notify_all()


def main(args=None) -> int:
    return spin.run(lambda: [CameraNode()], args)


if __name__ == "__main__":
    sys.exit(main())
