"""A real ROS graph for tests: the depth node on a thread of its own, and a node that feeds and watches it."""

import os
import threading
import time
from array import array
from collections import defaultdict
from itertools import count

import cv2
import numpy as np
import rclpy
from conftest import DOMAIN
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from instance_depth_ros.geometry import depth_from_millimetres
from instance_depth_ros.nodes import instances, messages, pairing
from instance_depth_ros.nodes.depth import DepthNode

SIZE = (64, 80)
FOCAL_PX = 70.0
TOPICS = {
    "depth/image": Image,
    "depth/image/compressedDepth": CompressedImage,
    "depth/camera_info": CameraInfo,
    "depth/confidence": Image,
    "depth/source": Image,
    "depth/points": PointCloud2,
    "depth/instances": Image,
    "depth/instances/compressedDepth": CompressedImage,
    "depth/instances/table": PointCloud2,
    "depth/instances/classes": Image,
    "depth/instances/markers": MarkerArray,
    "depth/overlay": Image,
    "depth/overlay/compressed": CompressedImage,
} | ({"depth/instances/objects": instances.Detection3DArray} if instances.Detection3DArray else {})
SMALL = {"camera": "topic", "weights": "random:tiny", "network_short_side": 64, "precision": "fp32", "threads": 1,
         "autostart": False, "engine_build": False}  # fmt: skip
PATIENCE_S = 60.0
NUMBERS = count(1)
LOST = [f"lost_{reason}" for reason in ("not_received", "overwritten", "unpaired", "stale", "invalid", "queue_full")]


def own_domain() -> None:
    """Keep other graphs on this machine out, those of tests beside this one too."""
    os.environ["ROS_DOMAIN_ID"] = str(DOMAIN)


def picture(number: int, size=SIZE) -> np.ndarray:
    """(H, W, 3) RGB with 12 bits of the number as blocks of 16 pixels; the rest is a ramp."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[:] = np.linspace(60, 120, size[1])[None, :, None]
    for bit in range(12):
        row, column = divmod(bit, 4)
        pixels[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 255 * (number >> bit & 1)
    return pixels


def number_of(pixels: np.ndarray, scale: int = 1) -> int:
    """The number in a picture(), or in every scale-th pixel of one."""
    centre, step = 8 // scale, 16 // scale
    return sum(int(pixels[centre + step * (bit // 4), centre + step * (bit % 4), 1] > 127) << bit for bit in range(12))


def image(pixels: np.ndarray, stamp_ns: int, encoding: str = "") -> Image:
    return messages.fill_image(Image(), pixels, messages.header(stamp_ns, "lens"), encoding)


def camera_info(stamp_ns: int, size=SIZE, focal_px: float = FOCAL_PX) -> CameraInfo:
    k = [focal_px, 0.0, size[1] / 2, 0.0, focal_px, size[0] / 2, 0.0, 0.0, 1.0]
    return CameraInfo(header=messages.header(stamp_ns, "lens"), width=size[1], height=size[0], k=k)


def codes_from_compressed(message: CompressedImage) -> np.ndarray:
    """(H, W) uint16 of what messages.compressed_codes() wrote."""
    png = np.frombuffer(message.data, np.uint8)[len(messages.COMPRESSED_DEPTH_HEADER) :]
    return cv2.imdecode(png, cv2.IMREAD_UNCHANGED)


def depth_from_compressed(message: CompressedImage) -> np.ndarray:
    """(H, W) float32 metres of what messages.compressed_depth() wrote."""
    return depth_from_millimetres(codes_from_compressed(message))


def stamp_of(message) -> int:
    """Nanoseconds of a message; of markers those of the first."""
    return pairing.stamp_ns(message.markers[0] if isinstance(message, MarkerArray) else message)


class Tester:
    """Within `with`: a node with these parameters on a thread of its own, and one that watches it and talks to it.

    make: the node's class. Each has a namespace of its own, so that they can run side by side. hold: who has this
    lock keeps the node from spinning. level, said: of its last diagnostics.
    """

    def __init__(self, make: type, **parameters):
        self._context = Context()
        rclpy.init(context=self._context)
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        where = {"context": self._context, "namespace": f"graph{next(NUMBERS)}"}
        self.node = rclpy.create_node("tester", **where)
        self.tested = make(parameter_overrides=overrides, **where)
        self.logs, self.diagnostics_count, self._values = [], 0, {}
        self.hold, self.level, self.said = threading.Lock(), b"", ""
        many = QoSProfile(depth=200)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._note, many)
        self.node.create_subscription(Log, "/rosout", lambda message: self.logs.append(message.msg), many)
        self.setter = self.node.create_client(SetParameters, f"{self.tested.get_name()}/set_parameters")
        self.executor, self._tested_executor = (SingleThreadedExecutor(context=self._context) for _ in range(2))
        self.executor.add_node(self.node)
        self._tested_executor.add_node(self.tested)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin_tested)

    def __enter__(self):
        self._thread.start()
        self.until(self.setter.service_is_ready)
        return self

    def __exit__(self, *exc_info):
        self._ended.set()
        self._thread.join()
        self.tested.close()
        for executor in (self.executor, self._tested_executor):
            executor.shutdown()
        self.tested.destroy_node()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _spin_tested(self):
        while not self._ended.is_set():
            with self.hold:
                self._tested_executor.spin_once(timeout_sec=0.05)
            time.sleep(0)  # else it would take the lock again before anybody else

    def _note(self, message):
        if message.status[0].name != self.tested.get_fully_qualified_name():
            return
        self.diagnostics_count += 1
        self.level, self.said = message.status[0].level, message.status[0].message
        self._values = {pair.key: pair.value for pair in message.status[0].values}
        self._values["message"] = message.status[0].message

    def until(self, predicate, patience_s: float = PATIENCE_S):
        """Spin until the predicate holds; what it returned."""
        deadline = time.monotonic() + patience_s
        while not (result := predicate()):
            assert time.monotonic() < deadline, f"waited in vain; diagnostics {self._values}, logs {self.logs[-3:]}"
            self.executor.spin_once(timeout_sec=0.02)
        return result

    def diagnostics(self) -> dict[str, str]:
        """The values of a message published now."""
        before = self.diagnostics_count
        self.tested._diagnostics.publish()
        self.until(lambda: self.diagnostics_count > before)
        return self._values

    def call(self, kind, name: str, request):
        client = self.node.create_client(kind, name)
        self.until(client.service_is_ready)
        future = client.call_async(request)
        self.until(future.done)
        return future.result()

    def set(self, name: str, value):
        """SetParametersResult of a real call."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        future = self.setter.call_async(request)
        self.until(future.done)
        return future.result().results[0]


class Graph(Tester):
    """Within `with`: a DepthNode with these parameters, brought to active unless told otherwise, and what it says."""

    def __init__(self, active: bool = True, **parameters):
        super().__init__(DepthNode, **SMALL | parameters)
        self.depth, self.got, self._stamp_ns = self.tested, defaultdict(list), 1_000_000_000
        many = QoSProfile(depth=200)
        for topic, kind in TOPICS.items():
            self.node.create_subscription(kind, topic, self.got[topic].append, many)
        self.image = self.node.create_publisher(Image, "camera/color/image_raw", 2)
        self.compressed = self.node.create_publisher(CompressedImage, "camera/color/image_raw/compressed", 2)
        self.info = self.node.create_publisher(CameraInfo, "camera/color/camera_info", 2)
        self.sensor = self.node.create_publisher(Image, "camera/aligned_depth_to_color/image_raw", 2)
        self.ids = self.node.create_publisher(Image, "camera/instances", 2)
        if active:
            self.depth.trigger_configure()
            self.depth.trigger_activate()

    def __enter__(self):
        super().__enter__()
        if self.depth._input and self.depth.settings.camera == "topic":
            self.until(lambda: self.image.get_subscription_count() or self.compressed.get_subscription_count())
            self.until(lambda: len(self.depth._topics.wanted()) == len(TOPICS))
        return self

    def next_stamp(self, step_ns: int = 100_000_000) -> int:
        self._stamp_ns += step_ns
        return self._stamp_ns

    def send(self, pixels, stamp_ns: int | None = None, info=None, encoding: str = "", depth_m=None, ids=None) -> int:
        """One frame; its stamp."""
        stamp_ns = self.next_stamp() if stamp_ns is None else stamp_ns
        if info is not None:
            self.info.publish(info)
        if depth_m is not None:
            self.sensor.publish(image(depth_m, stamp_ns))
        if ids is not None:
            self.ids.publish(image(ids, stamp_ns, "mono8" if ids.dtype == np.uint8 else ""))
        self.image.publish(pixels if isinstance(pixels, Image) else image(pixels, stamp_ns, encoding))
        return stamp_ns

    def result(self, stamp_ns: int) -> dict:
        """Every topic's message of a frame."""

        def complete():
            found = {t: [m for m in self.got[t] if stamp_of(m) == stamp_ns] for t in TOPICS}
            return found if all(found.values()) else None

        found = self.until(complete)
        assert {topic: len(of_one) for topic, of_one in found.items()} == dict.fromkeys(TOPICS, 1)
        return {topic: of_one[0] for topic, of_one in found.items()}


def books(graph: Graph) -> tuple[int, int, dict[str, int]]:
    """(in, out, lost) once nothing waits any more; they balance."""
    values = graph.diagnostics()
    while values["frames_waiting"] != "0":
        values = graph.diagnostics()
    frames_in, frames_out = int(values["frames_in"]), int(values["frames_out"])
    lost = {name: int(values[name]) for name in LOST}
    assert frames_in == frames_out + sum(lost.values()) and int(values["lost"]) == sum(lost.values())
    return frames_in, frames_out, lost


def fed(graph: Graph, send) -> None:
    """Send a frame that gives no result, and wait until it is booked."""
    frames_in = books(graph)[0]
    send()
    graph.until(lambda: books(graph)[0] > frames_in)


def good_frame(graph: Graph, number: int = 1, size=SIZE) -> dict:
    """Every topic's message of a picture() with its CameraInfo."""
    stamp_ns = graph.next_stamp()
    return graph.result(graph.send(picture(number, size), stamp_ns, camera_info(stamp_ns, size)))


def raw(width: int, height: int, step: int, encoding: str, data: bytes, stamp_ns: int) -> Image:
    """An Image as it is, right or wrong."""
    message = Image(header=messages.header(stamp_ns, "lens"), width=width, height=height, step=step, encoding=encoding)
    message.data = array("B", data)
    return message
