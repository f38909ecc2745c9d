"""A subscription to images that knows what it misses: losses on the way, silence and its reason, unfit QoS."""

from __future__ import annotations

import time

from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from .drivers import remaps

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

BEST_EFFORT, RELIABLE = ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE
# Images that get lost in so many looks on end, and this share of them, are no burst.
LOSSY_LOOKS, LOSSY_SHARE = 2, 0.1
FEW = 10  # silence after so few images: a stream that never got going
LOOK_S = 0.25
RENEWAL = 3  # a silence of so many times silence_s, and again as long: the subscription is made anew


class Listener:
    """Calls on_message(message) for each, and on_missed(count) for what was published but never arrived.

    It asks for best effort, which takes from every publisher; where images get lost that way and all publishers offer
    reliable, it asks for that. problem: why nothing comes, '' while something does. silence_s() is asked at each look.
    """

    def __init__(
        self, node, kind, topic: str, on_message, on_missed=lambda count: None, silence_s=lambda: float("inf")
    ):
        self.topic = node.resolve_topic_name(topic)
        self.problem = f"waiting for the first image on {self.topic}"
        self._node, self._kind, self._name = node, kind, topic
        self._on_message, self._on_missed, self._silence_s = on_message, on_missed, silence_s
        self._gaps = SequenceGaps()
        self._arrived = self._missed = self._lossy_looks = 0
        self._seen = (0, 0)  # arrived and missed by the last look
        self._last_s, self._silent, self._refused = time.monotonic(), False, ""
        self._subscribed_s = self._last_s
        # qos_overrides.<topic>.subscription.* parameters let a user decide.
        options = QoSOverridingOptions.with_default_policies()
        # Overrides are written into the profile.
        self._qos = QoSProfile(depth=2, reliability=BEST_EFFORT)
        self._subscription = self._subscribe(qos_overriding_options=options)
        # rclpy has no public question for it.
        self._user_decided = f"qos_overrides.{self.topic}.subscription.reliability" in node._parameter_overrides
        self._timer = node.create_timer(LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)

    def _subscribe(self, **options):
        self._subscribed_s = time.monotonic()
        events = SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible_qos)
        return self._node.create_subscription(
            self._kind, self.topic, self._receive, self._qos, event_callbacks=events, **options
        )

    def _receive(self, message, info) -> None:
        self._last_s = time.monotonic()
        self._arrived += 1
        if missed := self._gaps.missed(info):
            self._missed += missed
            self._on_missed(missed)
        self._on_message(message)

    def _on_incompatible_qos(self, event) -> None:
        self._refused = f"; {event.total_count} publisher(s) offer a QoS that this subscription cannot take"
        self._node.get_logger().error(f"{self.topic}{self._refused}")

    def _look(self) -> None:
        """Say it when the topic falls silent, and when it is back; once each."""
        silence_s = self._silence_s()
        silent = time.monotonic() - self._last_s > silence_s
        if silent and not self._silent:
            self._node.get_logger().warning(self._why_silent(silence_s))
        elif self._silent and not silent:
            self._node.get_logger().info(f"images on {self.topic} again")
        if silent:
            self.problem = self._why_silent(silence_s)
        elif self._arrived:
            self.problem = ""
        self._silent = silent
        # Silence after a gap, or where there never was a stream, is loss too: almost all of it.
        if self._loses_many() or (silent and (self._lossy_looks or self._arrived < FEW)):
            self._ask_for_reliable()
        if silent and time.monotonic() - self._subscribed_s > RENEWAL * silence_s:
            # Rarely a publisher and a new subscription do not find each other, or a driver's restart is missed.
            self._subscribe_anew()

    def _loses_many(self) -> bool:
        arrived, missed = self._arrived - self._seen[0], self._missed - self._seen[1]
        self._seen = (self._arrived, self._missed)
        if missed > LOSSY_SHARE * arrived:
            self._lossy_looks += 1
        elif arrived:
            self._lossy_looks = 0
        return self._lossy_looks >= LOSSY_LOOKS

    def _ask_for_reliable(self) -> None:
        offered = {info.qos_profile.reliability for info in self._node.get_publishers_info_by_topic(self.topic)}
        if self._user_decided or offered != {RELIABLE} or self._qos.reliability == RELIABLE:
            return
        self._node.get_logger().warning(
            f"images on {self.topic} do not arrive ({self._missed} lost, {self._arrived} came): asking for reliable "
            "delivery; faster is a shared-memory profile for the publisher too (config/fastdds.xml)"
        )
        self._qos.reliability, self._lossy_looks = RELIABLE, 0
        self._subscribe_anew()

    def _subscribe_anew(self) -> None:
        """The gaps stay: what is sent between the two subscriptions is missed as well."""
        self._node.destroy_subscription(self._subscription)
        self._subscription = self._subscribe()

    def _why_silent(self, silence_s: float) -> str:
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        said = ", ".join(f"{info.node_name} ({_qos_text(info.qos_profile)})" for info in publishers)
        way_out = f"{said}; is it sending?"
        if not publishers:
            way_out = f"start a camera or remap the topic{remaps(self._node, self._name, self._kind)}"
        mine = _qos_text(self._subscription.qos_profile)
        return (
            f"no image on {self.topic} for {silence_s:g} s: {len(publishers)} publishers, {way_out} "
            f"(subscribed {mine}){self._refused}"
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

    def repeated(self, info: dict) -> bool:
        """Whether this message came before; to be asked before missed()."""
        number = info.get("publication_sequence_number")
        return number is not None and number <= self._last.get(str(info.get("publisher_gid")), 0)
