"""A node that publishes the same messages again and again at a pace: a load to measure others by."""

from __future__ import annotations

import time

import rclpy
from rclpy.context import Context
from rclpy.node import Node

from ..transport import prepare_transport
from .messages import header
from .topics import Topics

PATIENCE_S = 60.0
# From this side's seeing the other to the other's seeing this one.
MUTUAL_S = 1.0


class Feeder:
    """Publishes messages (relative topic -> a message with a header) in this namespace, within `with`."""

    def __init__(self, namespace: str, messages: dict[str, object]):
        self._namespace, self._messages, self._context = namespace, messages, Context()

    def __enter__(self) -> Feeder:
        prepare_transport()
        rclpy.init(context=self._context)
        self._node = Node("feeder", namespace=self._namespace, context=self._context)
        self._topics = Topics(self._node, {name: type(message) for name, message in self._messages.items()})
        return self

    def __exit__(self, *exc_info) -> None:
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def wait(self) -> None:
        """Until somebody subscribes to all of it; RuntimeError where nobody does."""
        deadline = time.monotonic() + PATIENCE_S
        while missing := self._messages.keys() - self._topics.wanted():
            if time.monotonic() > deadline:
                raise RuntimeError(f"nobody subscribes to {', '.join(sorted(missing))}")
            time.sleep(0.05)
        time.sleep(MUTUAL_S)

    def run(self, fps: float, seconds: float) -> tuple[int, float]:
        """Publish all messages fps times a second, as well as it goes: how often they were sent, in what time."""
        start, sent = time.monotonic(), 0
        while time.monotonic() - start < seconds:
            stamped = header(time.time_ns(), "camera")
            for name, message in self._messages.items():
                message.header = stamped
                self._topics.publish(name, message)
            sent += 1
            time.sleep(max(0.0, start + sent / fps - time.monotonic()))
        return sent, time.monotonic() - start
