"""A node that keeps what a graph publishes, lightly: small pictures of each frame, a dozen whole ones, the figures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from ..record import Record, Sample
from ..transport import prepare_transport
from .instances import instances_from_table
from .messages import array_from_image, color_from_image, depth_from_image, ids_from_image, intrinsics_from_info
from .pairing import PATIENT_NS, StampPairer, stamp_ns

# Large images arrive at a best-effort subscriber only where shared memory has room for them.
RELIABLE = QoSProfile(depth=5)
SEEN = {
    "camera/color/image_raw": Image,
    "depth/image": Image,
    "depth/confidence": Image,
    "depth/instances": Image,
    "depth/instances/table": PointCloud2,
}
TRUTH = {"simulation/depth/image": Image, "simulation/instances": Image}
Judge = Callable[[np.ndarray, np.ndarray], dict[str, float]]
Note = Callable[[str, dict[str, str]], None]


class Observer:
    """Watches from a thread of its own, within `with`. record is read while it grows.

    judge: (depth_m, truth_m) -> rel and sigma1 of a frame, where the graph simulates. note: hears (node, figures) of
    all diagnostics; then pictures are received, but not kept: the run may be long.
    """

    def __init__(self, judge: Judge | None = None, note: Note | None = None):
        self.record, self._judge, self._heard = Record(), judge, note
        self._context = Context()
        self._topics = SEEN | (TRUTH if judge else {})
        self._pairer = StampPairer(streams=len(self._topics), capacity=30, horizon_ns=PATIENT_NS)
        if note is None:
            self._pairer.registerCallback(self._keep)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="observer", daemon=True)

    def __enter__(self) -> Observer:
        prepare_transport()
        rclpy.init(context=self._context)
        self._node = Node("observer", context=self._context)
        for stream, (topic, kind) in enumerate(self._topics.items()):
            self._node.create_subscription(kind, topic, lambda m, s=stream: self._pair(s, m), RELIABLE)
        # The last message of each frame, small enough never to be lost: the frame's time of publication.
        self._node.create_subscription(CameraInfo, "depth/camera_info", self._count, QoSProfile(depth=100))
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._note, QoSProfile(depth=100))
        self._thread.start()
        return self

    def __exit__(self, *exc_info) -> None:
        self._done.set()
        self._thread.join()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _spin(self):
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(self._node)
        while not self._done.is_set():
            executor.spin_once(timeout_sec=0.1)
        executor.shutdown()

    def _pair(self, stream, message):
        self._pairer.add(stream, stamp_ns(message), message)

    def _count(self, message, info):
        self.record.arrivals.append(time.monotonic())
        self.record.latencies_ms.append((info["source_timestamp"] - stamp_ns(message)) / 1e6)
        self.record.intrinsics = self.record.intrinsics or intrinsics_from_info(message)

    def _note(self, message):
        for status in message.status:
            node, figures = status.name.strip("/"), {value.key: value.value for value in status.values}
            self.record.figures[node] = figures
            if self._heard:
                self._heard(node, figures)

    def _keep(self, color, depth, confidence, id_image, table, *truth):
        ids = ids_from_image(id_image)
        truth_m, true_ids = (depth_from_image(truth[0]), ids_from_image(truth[1])) if truth else (None, None)
        sample = Sample(
            stamp_ns(depth),
            color_from_image(color),
            depth_from_image(depth),
            array_from_image(confidence),
            ids,
            instances_from_table(table, ids),
            truth_m,
            true_ids,
        )
        self.record.add(sample)
        if truth:
            scores = self._judge(sample.depth_m, truth_m)
            self.record.rel.append(scores["rel"])
            self.record.sigma1.append(scores["sigma1"])
