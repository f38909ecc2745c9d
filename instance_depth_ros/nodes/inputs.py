"""Where the depth node's frames come from: topics, or a camera in the same process."""

from __future__ import annotations

import threading
import time
from functools import partial

from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ..frame import Frame
from . import messages
from .pairing import StampPairer
from .reader import CameraReader, restamped
from .topics import ALIGNED_DEPTH, COLOR, COLOR_INFO, CameraTopics

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

# Best effort takes from both kinds of publisher.
INPUT_QOS = QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)
# The first image may overtake its CameraInfo by so much.
INFO_WAIT_S = 0.5


class TopicInput:
    """Subscribes to colour, CameraInfo and (use_depth) registered depth; gives deliver() a function that makes a Frame.

    Making it is left to the receiver's thread, so that only frames that are used are decoded; it raises ValueError for
    what is no frame. problem: why nothing comes, '' while something does.
    """

    def __init__(self, node, settings, monitor, complain, deliver):
        self._node, self._settings, self._monitor = node, settings, monitor
        self._complain, self._deliver = complain, deliver
        self._info, self._info_arrived = None, threading.Event()
        self._sequence = SequenceGaps()
        self._refused_qos = ""
        self._last_s = time.monotonic()
        self._silent = self._received = False
        self.problem = "waiting for the first image"
        self._topic = COLOR + ("/compressed" if settings.use_compressed else "")
        kind = CompressedImage if settings.use_compressed else Image
        self._pairer = StampPairer(streams=2, on_drop=self._unpaired) if settings.use_depth else None
        self._subscriptions = [
            self._subscribe(CameraInfo, COLOR_INFO, self._on_info),
            self._subscribe(kind, self._topic, self._on_image),
        ]
        if self._pairer:
            self._pairer.registerCallback(lambda image, depth: self._hand_over(*image, depth))
            self._subscriptions.append(self._subscribe(Image, ALIGNED_DEPTH, self._on_depth))
        self._timer = node.create_timer(0.25, self._listen, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        """Unsubscribe; what waits for its partner is lost as unpaired."""
        self._node.destroy_timer(self._timer)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        if self._pairer:
            self._pairer.flush()

    def describe(self) -> dict[str, object]:
        return {"camera": self._node.resolve_topic_name(self._topic)}

    def _subscribe(self, kind, topic, callback):
        events = SubscriptionEventCallbacks(incompatible_qos=partial(self._on_incompatible_qos, topic))
        options = QoSOverridingOptions.with_default_policies()
        return self._node.create_subscription(
            kind, topic, callback, INPUT_QOS, event_callbacks=events, qos_overriding_options=options
        )

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message
        self._info_arrived.set()

    def _on_image(self, message, info) -> None:
        self._last_s, self._received = time.monotonic(), True
        if missed := self._sequence.missed(info):
            self._monitor.lost("not_received", missed)
        self._monitor.received()
        received = (message, time.monotonic_ns())
        if self._pairer:
            self._pairer.slop_ns = int(self._settings.pair_slop_ms * 1e6)
            self._pairer.add(0, messages.stamp_ns(message), received)
        else:
            self._hand_over(*received)

    def _on_depth(self, message: Image) -> None:
        self._pairer.slop_ns = int(self._settings.pair_slop_ms * 1e6)
        self._pairer.add(1, messages.stamp_ns(message), message)

    def _hand_over(self, image, received_ns: int, depth=None) -> None:
        self._deliver(partial(self._make_frame, image, depth, received_ns))

    def _unpaired(self, stream: int, item) -> None:
        if stream == 0:
            self._monitor.lost("unpaired")

    def _make_frame(self, image, depth, received_ns: int) -> Frame:
        decode = messages.color_from_compressed if self._settings.use_compressed else messages.color_from_image
        return Frame(
            color=decode(image),
            stamp_ns=messages.stamp_ns(image),
            frame_id=image.header.frame_id,
            intrinsics=self._intrinsics(),
            depth_m=None if depth is None else messages.depth_from_image(depth),
            received_ns=received_ns,
        )

    def _intrinsics(self):
        """Those of the last CameraInfo; None when nobody publishes any."""
        if self._info is None and self._node.count_publishers(self._subscriptions[0].topic_name):
            self._info_arrived.wait(INFO_WAIT_S)
        return messages.intrinsics_from_info(self._info) if self._info else None

    def _on_incompatible_qos(self, topic: str, event) -> None:
        self._refused_qos = f"; {event.total_count} publisher(s) of {topic} offer a QoS this subscription cannot take"
        self._complain(self._refused_qos[2:])

    def _listen(self) -> None:
        """Say it when the topic falls silent, and when it is back; once each."""
        silent = time.monotonic() - self._last_s > self._settings.silence_s
        if silent:
            self.problem = self._why_silent()
        elif self._received:
            self.problem = ""
        if silent and not self._silent:
            self._node.get_logger().warning(self.problem)
        elif self._silent and not silent:
            self._node.get_logger().info(f"images on {self._node.resolve_topic_name(self._topic)} again")
        self._silent = silent

    def _why_silent(self) -> str:
        topic = self._node.resolve_topic_name(self._topic)
        publishers = self._node.get_publishers_info_by_topic(topic)
        said = ", ".join(f"{info.node_name} ({_qos_text(info.qos_profile)})" for info in publishers)
        way_out = f"from {said}" if publishers else "start a camera or remap the topic"
        return (
            f"no image on {topic} for {self._settings.silence_s:g} s: {len(publishers)} publishers, {way_out}; "
            f"subscribed {_qos_text(INPUT_QOS)}{self._refused_qos}"
        )


def _qos_text(qos: QoSProfile) -> str:
    return f"{qos.reliability.name.lower()}, {qos.durability.name.lower()}"


class SequenceGaps:
    """How many messages were published but never arrived, by the gaps in each publisher's sequence numbers."""

    def __init__(self):
        self._last = {}

    def missed(self, info: dict) -> int:
        """Of one message's rclpy message_info; 0 for a publisher's first, and where the middleware numbers nothing."""
        number = info.get("publication_sequence_number")
        if number is None:
            return 0
        publisher = str(info.get("publisher_gid"))
        last = self._last.get(publisher)
        if len(self._last) > 16:
            self._last.clear()
        self._last[publisher] = number
        return number - last - 1 if last is not None and number > last else 0


class CameraInput:
    """A Camera opened in this process: no hop, no copy; its colour still goes out to whoever subscribes."""

    def __init__(self, node, settings, monitor, complain, worker, on_end):
        self._settings, self._monitor, self._worker = settings, monitor, worker
        self._clock = node.get_clock()
        self._reader = CameraReader(settings, self._on_frame, on_end, complain)
        self._topics = CameraTopics(node)
        self._reader.start()

    @property
    def problem(self) -> str:
        return self._reader.problem

    def close(self) -> None:
        self._reader.stop()
        self._topics.close()

    def describe(self) -> dict[str, object]:
        return {"camera": f"{self._settings.camera} {self._settings.camera_path}".strip()}

    def _on_frame(self, frame) -> None:
        if self._settings.rate == "max":
            self._worker.wait_until_free()
        frame = restamped(frame, self._settings.camera, self._clock.now().nanoseconds)
        self._monitor.received()
        self._worker.put(lambda: frame)
        self._topics.publish_frame(frame, getattr(self._reader.camera, "truth", None))
