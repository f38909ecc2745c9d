"""Which topics a bag is made of, and the way of their messages from the graph into a Recording."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from rclpy.exceptions import InvalidTopicNameException
from rclpy.validate_topic_name import validate_topic_name

from ..recording.bag_writer import Topic
from ..recording.recording import Recording
from .definitions import definition, message_class, qos_yaml
from .drivers import OURS, SOURCES, ImageTopics
from .origins import Origins
from .tap import Tap
from .topics import DEPTH, DEPTH_INFO, IDS, LABELS, TABLE, TRUE_DEPTH, TRUE_IDS, TRUE_POSE, TRUE_TABLE

PICTURES = IMAGE, _ = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
COMPRESSED_DEPTH = "/compressedDepth"
OVERLAY_TOPIC = "depth/overlay"
# What is given up when the disk is too slow, the highest first.
INPUT, ESTIMATE, CLOUD, OVERLAY = range(4)
# Beside the camera's topics.
PROFILES = {
    "camera": {"/tf": INPUT, "/tf_static": INPUT},
    "estimate": {
        **dict.fromkeys((DEPTH, DEPTH_INFO, "depth/confidence", "depth/source", IDS, TABLE, LABELS), ESTIMATE),
        "/diagnostics": INPUT,
    },
    "all": {
        **dict.fromkeys((TRUE_DEPTH, TRUE_IDS, TRUE_TABLE, TRUE_POSE), ESTIMATE),
        "depth/points": CLOUD,
        OVERLAY_TOPIC: OVERLAY,
    },
}


def _sources(settings) -> tuple[ImageTopics, ...]:
    return SOURCES.get(settings.camera, (OURS,))


def wanted(settings) -> dict[str, int]:
    """Relative names of the topics of record_profile, each with its rank, and of record_topics."""
    ranks = {}
    for names in _sources(settings):
        infos = names.info, f"{names.depth.rpartition('/')[0]}/camera_info"
        ranks |= dict.fromkeys((names.images(settings.use_compressed)[1], names.depth, *infos), INPUT)
    for profile, more in PROFILES.items():
        ranks |= more
        if profile == settings.record_profile:
            break
    extra = (name.strip() for name in settings.record_topics.split(","))
    return ranks | dict.fromkeys(filter(None, extra), INPUT)


class RecordedTopics:
    """Subscribes to each wanted topic once somebody publishes it, and puts its messages into the recording.

    origins: hears of each publisher and of first messages. skipped: topics that cannot be recorded here, and why.
    pictured_s: time.monotonic() of the last picture.
    """

    def __init__(self, node, settings, recording: Recording, origins: Origins):
        self._node, self._settings, self._recording, self._origins = node, settings, recording, origins
        self._taps: dict[str, Tap] = {}
        self._recorded: dict[str, str] = {}  # the topic's name -> its name in the bag
        self._telling: set[str] = set()  # topics from which the origins want to hear more
        self.skipped: dict[str, str] = {}
        self.pictured_s = float("-inf")

    @property
    def names(self) -> list[str]:
        return sorted(self._taps)

    def look(self) -> None:
        """Follow the graph, and the settings: topics come, change their QoS, or are not wanted any more."""
        ranks = {}
        for name, rank in wanted(self._settings).items():
            try:
                validate_topic_name(name)
            except InvalidTopicNameException as error:
                self._skip(name, " ".join(str(error).split()))
            else:
                ranks[self._node.resolve_topic_name(name)] = rank
        for name, kinds in self._node.get_topic_names_and_types():
            if name in ranks and name not in self.skipped:
                self._follow(name, kinds[0], ranks[name])
        for name in self._taps.keys() - ranks.keys():
            self._taps.pop(name).close()

    def take(self) -> None:
        """What has arrived since, into the recording."""
        for tap in self._taps.values():
            tap.take()

    def close(self) -> None:
        """Take what has arrived, and unsubscribe."""
        for tap in self._taps.values():
            tap.close()
        self._taps.clear()

    def _follow(self, name: str, kind: str, rank: int) -> None:
        publishers = self._node.get_publishers_info_by_topic(name)
        if not publishers:  # subscribers alone
            return
        offers = [publisher.qos_profile for publisher in publishers]
        for publisher in publishers:
            self._origins.on_publisher(publisher)
        if name in self._taps:
            return self._taps[name].look(offers)
        try:
            message = message_class(kind)
        except ImportError as error:
            return self._skip(name, str(error))
        type_hash = str(getattr(publishers[0], "topic_type_hash", ""))  # from Jazzy on
        topic = Topic(name, kind, definition(kind), type_hash, qos_yaml(offers), rank)
        put, missed = partial(self._put, topic), partial(self._missed, name)
        self._taps[name] = Tap(self._node, name, message, offers, put, missed)

    def _skip(self, name: str, why: str) -> None:
        if name not in self.skipped:
            self.skipped[name] = why
            self._node.get_logger().warning(f"{name} is not recorded: {why}")

    def _put(self, topic: Topic, data: bytes, received_ns: int, source_ns: int) -> None:
        name = self._recorded.get(topic.name) or self._add(topic, data)
        if topic.name in self._telling and not self._origins.on_message(topic.name, topic.type, data):
            self._telling.discard(topic.name)
        if topic.type in PICTURES:
            self.pictured_s = time.monotonic()
        self._recording.put(name, data, received_ns, source_ns)

    def _missed(self, name: str, count: int) -> None:
        """A gap shows itself behind a message, so the topic is known."""
        self._recording.lost(self._recorded[name], "not_received", count)

    def _add(self, topic: Topic, data: bytes) -> str:
        """With its first message, which says what kind of picture it is."""
        name, kind, encode = self._encoding(topic, data)
        recorded = topic if encode is None else Topic(name, kind, definition(kind), "", topic.qos, topic.rank)
        self._recording.add(recorded, encode)
        self._recorded[topic.name] = name
        self._telling.add(topic.name)
        return name

    def _encoding(self, topic: Topic, data: bytes) -> tuple[str, str, Callable[[bytes], bytes] | None]:
        """Name and type in the bag, and what makes it of the message's bytes."""
        settings = self._settings
        if topic.type != IMAGE or (settings.record_color == settings.record_depth == "raw"):
            return topic.name, topic.type, None
        from ..recording.encoding import encoder  # OpenCV is not needed without

        # Of other 8-bit pictures, such as depth/source, each value has a meaning, which JPEG would not keep.
        colored = [*(names.color for names in _sources(settings)), OVERLAY_TOPIC]
        shown = topic.name in map(self._node.resolve_topic_name, colored)
        found = encoder(data, settings.record_color if shown else "raw")
        if found is None or (found[0] == COMPRESSED_DEPTH and settings.record_depth == "raw"):
            return topic.name, topic.type, None
        suffix, kind, encode = found
        return topic.name + suffix, kind, encode
