"""A subscription to the bytes of a topic, whatever they mean: with the QoS that is offered, knowing what it missed."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.callback_groups import CallbackGroup
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from .listening import SequenceGaps

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
LATCHED, VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE
# What the middleware holds while this process is busy: a second of the fastest camera, or of the busiest tf.
PICTURES, OTHERS = 120, 1000


class Aside(CallbackGroup):
    """Of what the executor leaves alone: to wait for a dozen subscriptions costs it more than their messages do."""

    def can_execute(self, entity) -> bool:
        return False

    def beginning_execution(self, entity) -> bool:
        return False

    def ending_execution(self, entity) -> None:
        """Nothing was begun."""


class Tap:
    """take() calls on_data(data, received_ns, source_ns) for each message that came since, and on_missed(count) for
    those that never did.

    data: the serialised message. offers: the QoSProfiles of the topic's publishers, to be told anew by look(): a
    subscription asks for reliable or latched delivery only where all of them offer it, as else it gets nothing of some.
    """

    def __init__(self, node, topic: str, kind: type, offers: list, on_data: Callable, on_missed: Callable):
        self.topic, self._node, self._kind = topic, node, kind
        self._on_data, self._on_missed, self._gaps = on_data, on_missed, SequenceGaps()
        self._qos, self._group, self._renewed = _request(kind, offers), Aside(), False
        self._subscription = self._subscribe()

    def look(self, offers: list) -> None:
        """Subscribe anew where the publishers do not offer the same any more."""
        qos = _request(self._kind, offers)
        if (qos.reliability, qos.durability) != (self._qos.reliability, self._qos.durability):
            self.close()
            self._qos, self._renewed = qos, True
            self._subscription = self._subscribe()

    def take(self) -> None:
        """At most as many as the middleware holds: there are other topics."""
        handle = self._subscription.handle
        with handle:
            for _ in range(self._qos.depth):
                if (taken := handle.take_message(self._kind, True)) is None:
                    return
                self._receive(*taken)

    def close(self) -> None:
        """Take what has arrived, and unsubscribe."""
        self.take()
        self._node.destroy_subscription(self._subscription)

    def _subscribe(self):
        return self._node.create_subscription(
            self._kind, self.topic, self._receive, self._qos, raw=True, callback_group=self._group
        )

    def _receive(self, data: bytes, info: dict) -> None:
        if self._renewed and self._gaps.repeated(info):  # latched, and sent again to the new subscription
            return
        if missed := self._gaps.missed(info):
            self._on_missed(missed)
        # Not each middleware tells the times.
        received_ns = info["received_timestamp"] or time.time_ns()
        self._on_data(data, received_ns, info["source_timestamp"] or received_ns)


def _request(kind: type, offers: list) -> QoSProfile:
    reliable = all(offer.reliability == RELIABLE for offer in offers)
    latched = all(offer.durability == LATCHED for offer in offers)
    return QoSProfile(
        depth=PICTURES if kind.__name__ in ("Image", "CompressedImage", "PointCloud2") else OTHERS,
        reliability=RELIABLE if reliable else BEST_EFFORT,
        durability=LATCHED if latched else VOLATILE,
    )
