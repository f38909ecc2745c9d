"""The viewer node: shows a few moments a second of what the graph publishes, in a page on localhost or a window."""

from __future__ import annotations

import math
import sys
import threading
import time
from functools import partial

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from .. import process
from ..geometry import POINT
from ..screen import CURVES, Screen
from .drivers import SOURCES
from .instances import instances_from_table
from .messages import array_from_image, color_from_image, depth_from_image, ids_from_image, intrinsics_from_info
from .pairing import PATIENT_NS, StampPairer, stamp_ns
from .parameters import Parameters
from .spin import run

BEST_EFFORT, RELIABLE = ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE
STREAMS = {
    "color": ("camera/color/image_raw", Image, color_from_image),
    "truth_m": ("simulation/depth/image", Image, depth_from_image),
    "true_ids": ("simulation/instances", Image, ids_from_image),
    "depth_m": ("depth/image", Image, depth_from_image),
    "confidence": ("depth/confidence", Image, array_from_image),
    "points": ("depth/points", PointCloud2, lambda message: np.frombuffer(message.data, POINT)),
    "ids": ("depth/instances", Image, ids_from_image),
    "instances": ("depth/instances/table", PointCloud2, lambda message: message),
}
SIMULATED = ("truth_m", "true_ids")
# A picture waits for its depth: so many frames are held for one that is slow.
WAITING = 12


class ViewerNode(Node):
    """Pairs the topics of one moment and decodes those that are due; everything else is let go as it came."""

    def __init__(self):
        super().__init__("viewer")
        self.ended, self.status = threading.Event(), 0
        self.settings = Parameters(self, "viewer").settings
        settings = self.settings
        self._screen = Screen(settings.window, settings.web_port, settings.grpc_port, settings.save)
        self._intrinsics, self._pairer, self._published = None, None, []
        self._shown_at, self._silent_since, self._stamp_ns = 0.0, time.monotonic(), 0
        self._subscriptions_of = {}
        self.create_subscription(
            CameraInfo, "depth/camera_info", self._calibrate, QoSProfile(depth=2, reliability=BEST_EFFORT)
        )
        self.create_subscription(DiagnosticArray, "/diagnostics", self._plot, QoSProfile(depth=10))
        self.create_timer(1.0, self._look_around, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.get_logger().info(f"open {self._screen.url}" if self._screen.url else "no page: a window, or a file only")
        process.settle()

    def close(self):
        self._screen.close()

    def _look_around(self):
        """Waits for those topics that somebody publishes; a closed window ends the node."""
        if not self._screen.open:
            self.get_logger().info("the window was closed")
            self.ended.set()
        published = [name for name in STREAMS if self._subscribe(name)]
        if published != self._published:
            self._published = published
            self._pairer = StampPairer(streams=len(published), capacity=WAITING, horizon_ns=PATIENT_NS)
            self._pairer.registerCallback(self._show)
        if time.monotonic() - self._silent_since > self.settings.silence_s:
            self._silent_since = math.inf  # said once a silence
            missing = [topic for name, (topic, *_) in STREAMS.items() if name not in (*published, *SIMULATED)]
            self.get_logger().warning(
                f"nothing to show for {self.settings.silence_s:g} s; "
                + (f"nobody publishes {', '.join(missing)}" if missing else "publishers are silent"),
            )

    def _subscribe(self, name) -> bool:
        """Whether somebody publishes this; then it is subscribed to, reliably where all publishers offer that.

        Large images arrive at a best-effort subscriber only where shared memory has room for them.
        """
        topic, kind, _ = STREAMS[name]
        if name == "color":
            colors = (source.color for source in SOURCES["auto"])
            topic = next((t for t in colors if self.count_publishers(self.resolve_topic_name(t))), topic)
        offers = self.get_publishers_info_by_topic(self.resolve_topic_name(topic))
        reliability = BEST_EFFORT if any(o.qos_profile.reliability == BEST_EFFORT for o in offers) else RELIABLE
        current = self._subscriptions_of.get(name)
        if offers and (current is None or current.qos_profile.reliability != reliability):
            if current:
                self.destroy_subscription(current)
            qos = QoSProfile(depth=2, reliability=reliability)
            self._subscriptions_of[name] = self.create_subscription(kind, topic, partial(self._receive, name), qos)
        return bool(offers)

    def _receive(self, name, message):
        if name in self._published:
            self._pairer.add(self._published.index(name), stamp_ns(message), message)

    def _calibrate(self, message):
        self._intrinsics = intrinsics_from_info(message)

    def _show(self, *messages):
        now = self._silent_since = time.monotonic()
        if self._intrinsics is None or now - self._shown_at < 1 / self.settings.viewer_hz:
            return
        self._shown_at, self._stamp_ns = now, stamp_ns(messages[0])
        pictures = {n: STREAMS[n][2](message) for n, message in zip(self._published, messages, strict=True)}
        if "instances" in pictures:
            ids = pictures.setdefault("ids", np.zeros((1, 1), np.uint16))
            pictures["instances"] = instances_from_table(pictures["instances"], ids)
        self._screen.show(self._stamp_ns, self._intrinsics, **pictures)

    def _plot(self, message):
        """The depth node's figures; nothing before its first picture, which is where time begins."""
        names = {name for curves in CURVES.values() for name in curves}
        for status in message.status:
            values = {value.key: value.value for value in status.values if value.key in names}
            if self._stamp_ns and status.name.endswith("depth"):
                self._screen.plot(self._stamp_ns, values)


def main(args=None) -> int:
    return run(lambda: [ViewerNode()], args)


if __name__ == "__main__":
    sys.exit(main())
