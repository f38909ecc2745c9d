"""Where the depth node's frames come from: topics, or a camera in the same process."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial

from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from ..cameras.calibration import fit, load_camera_info
from ..frame import Frame
from . import messages
from .drivers import OURS
from .listening import Listener
from .pairing import StampPairer, stamp_ns
from .reader import CameraReader, restamped
from .sensor_depth import SensorDepth
from .topics import GIVEN_IDS, CameraTopics

# The first image may overtake its CameraInfo by so much.
INFO_WAIT_S = 0.5


class TopicInput:
    """Subscribes to colour, CameraInfo, (use_depth) registered depth and (instances: topic) an id image.

    Gives deliver() a function that makes a Frame. Making it is left to the receiver's thread, so that only frames that
    are used are decoded; it raises ValueError for what is no frame. problem: why nothing comes, '' while something
    does. names: of the driver whose topics they are. ValueError for a bad camera_info file.
    """

    def __init__(self, node, settings, monitor, deliver, names=OURS):
        self._names = names
        self._node, self._settings, self._monitor, self._deliver = node, settings, monitor, deliver
        self._info, self._info_arrived, self._waited_for_info = None, threading.Event(), False
        self._lens = load_camera_info(settings.camera_info) if settings.camera_info else None
        qos = QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._info_subscription = node.create_subscription(CameraInfo, names.info, self._on_info, qos)
        topics = {"depth": names.depth} if settings.use_depth and not names.rgbd else {}
        topics |= {"ids": GIVEN_IDS} if settings.instances == "topic" else {}
        self._sensor = SensorDepth(node, names.depth) if "depth" in topics else None
        self._pairer, self._beside = None, tuple(topics)
        if topics:
            self._pairer = StampPairer(streams=1 + len(topics), on_drop=self._on_unpaired)
            self._pairer.registerCallback(self._hand_over)
        kind, topic = names.images(settings.use_compressed)
        missed = partial(monitor.lost, "not_received")
        self._listeners = [Listener(node, kind, topic, self._on_image, missed, lambda: settings.silence_s)] + [
            Listener(node, Image, topic, partial(self._pair, stream), silence_s=lambda: settings.silence_s)
            for stream, topic in enumerate(topics.values(), 1)
        ]

    @property
    def problem(self) -> str:
        return next((listener.problem for listener in self._listeners if listener.problem), "")

    def close(self) -> None:
        """Unsubscribe; what waits for its partner is lost as unpaired."""
        for listener in self._listeners:
            listener.close()
        self._node.destroy_subscription(self._info_subscription)
        if self._sensor:
            self._sensor.close()
        if self._pairer:
            self._pairer.flush()

    def describe(self) -> dict[str, object]:
        values = {"camera": self._listeners[0].topic}
        return values | ({"sensor_depth": self._sensor.problem or "registered"} if self._sensor else {})

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message
        self._info_arrived.set()

    def _on_image(self, message) -> None:
        self._monitor.received()
        received = (message, time.monotonic_ns())
        if self._pairer:
            self._pair(0, message, received)
        else:
            self._hand_over(received)

    def _pair(self, stream: int, message, item=None) -> None:
        self._pairer.slop_ns = int(self._settings.pair_slop_ms * 1e6)
        self._pairer.add(stream, stamp_ns(message), item or message)

    def _on_unpaired(self, stream: int, item) -> None:
        # Only colour is a frame; what stands beside it without colour is none that was lost.
        if stream == 0:
            self._monitor.lost("unpaired")

    def _hand_over(self, received, *beside) -> None:
        self._deliver(partial(self._make_frame, *received, **dict(zip(self._beside, beside, strict=True))))

    def _make_frame(self, image, received_ns: int, depth=None, ids=None) -> Frame:
        decode = messages.color_from_compressed if self._settings.use_compressed else messages.color_from_image
        color, frame_id = decode(image), image.header.frame_id
        size, lens = color.shape[:2], self._intrinsics(*color.shape[:2])
        return Frame(
            color=color,
            stamp_ns=stamp_ns(image),
            frame_id=frame_id,
            intrinsics=lens,
            depth_m=None if depth is None else self._sensor(depth, frame_id, size, lens),
            ids=None if ids is None else messages.ids_from_image(ids),
            received_ns=received_ns,
        )

    def _intrinsics(self, height: int, width: int):
        """Those of the last CameraInfo, else of the camera_info setting, else None. Only the first frame waits."""
        if not self._waited_for_info:
            self._waited_for_info = True
            if self._node.count_publishers(self._node.resolve_topic_name(self._names.info)):
                self._info_arrived.wait(INFO_WAIT_S)
        if self._info:
            return messages.intrinsics_from_info(self._info)
        return self._lens and fit(self._lens, width, height)


class RgbdInput(TopicInput):
    """The same where one message holds a picture, its lens and depth, which its driver has registered to it."""

    def describe(self) -> dict[str, object]:
        return super().describe() | {"sensor_depth": "registered"}

    def _make_frame(self, message, received_ns: int, ids=None) -> Frame:
        self._on_info(message.rgb_camera_info)
        frame = super()._make_frame(message.rgb, received_ns, ids=ids)
        return replace(frame, depth_m=messages.depth_from_image(message.depth))


class CameraInput:
    """A Camera opened in this process: no hop, no copy; its colour still goes out to whoever subscribes.

    ValueError for instances: topic, whose stamps could not be those of a camera in here.
    """

    def __init__(self, node, settings, monitor, worker, on_end):
        if settings.instances == "topic":
            raise ValueError(
                f"instances 'topic' needs frames from topics too, got camera '{settings.camera}'; start a camera node, "
                "as `instance-depth run` and the launch file do"
            )
        self._settings, self._monitor, self._worker = settings, monitor, worker
        self._reader = CameraReader(settings, self._on_frame, on_end, node.get_logger().error, monitor)
        self._node, self._topics = node, None
        self._reader.start()

    @property
    def problem(self) -> str:
        return self._reader.problem

    def close(self) -> None:
        self._reader.stop()
        if self._topics:
            self._topics.close()

    def describe(self) -> dict[str, object]:
        return self._reader.describe()

    def _on_frame(self, frame) -> None:
        if self._settings.rate == "max":
            self._worker.wait_until_free()
        frame = restamped(frame, self._reader.camera, self._node.get_clock().now().nanoseconds)
        self._monitor.received()
        self._worker.put(lambda: frame)
        truth = getattr(self._reader.camera, "truth", None)
        placed, depth = self._reader.placed, self._settings.publish_queue
        self._topics = self._topics or CameraTopics(self._node, frame, truth, placed, depth)
        self._topics.publish_frame(frame, truth)
