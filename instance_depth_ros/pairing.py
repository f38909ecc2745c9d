"""Items of several streams that belong to one moment, found by their stamps.

Bounded, never stalled by time jumping back, silent losses excluded: what finds no partner is handed to on_drop.
"""

from __future__ import annotations

import threading
from collections import deque


class Pairer:
    """Calls on_set with one item of each stream, stamps within slop_ns of the one that completed the set.

    on_drop(stream, item) hears of each item that was left without partners. Callbacks run outside the lock.
    capacity: items of a stream that wait at most. horizon_ns: one stream may be so much later than another; farther
    apart, time has jumped back.
    """

    def __init__(
        self, streams: int, on_set, slop_ns: int = 0, capacity: int = 8, on_drop=None, horizon_ns: int = 1_000_000_000
    ):
        self._horizon_ns = horizon_ns
        self.slop_ns = slop_ns
        self.capacity = capacity
        self._queues = [deque() for _ in range(streams)]
        self._on_set = on_set
        self._on_drop = on_drop or (lambda stream, item: None)
        self._lock = threading.Lock()

    def add(self, stream: int, stamp_ns: int, item) -> None:
        """Take an item; hands over the set that it completes, if it does."""
        with self._lock:
            dropped = self._forget_the_future(stamp_ns)
            self._queues[stream].append((stamp_ns, item))
            matched = self._match(stamp_ns)
            if matched:
                dropped += self._forget_until(matched)
            elif len(self._queues[stream]) > self.capacity:
                dropped.append((stream, self._queues[stream].popleft()[1]))
        for lost in dropped:
            self._on_drop(*lost)
        if matched:
            self._on_set(*(item for _, item in matched))

    def flush(self) -> None:
        """Drop all that waits."""
        with self._lock:
            dropped = [(stream, item) for stream, queue in enumerate(self._queues) for _, item in queue]
            for queue in self._queues:
                queue.clear()
        for lost in dropped:
            self._on_drop(*lost)

    def _match(self, stamp_ns: int):
        """The nearest item of each stream, or None when one of them has none within the slop."""
        nearest = [min(queue, key=lambda entry: abs(entry[0] - stamp_ns), default=None) for queue in self._queues]
        if any(entry is None or abs(entry[0] - stamp_ns) > self.slop_ns for entry in nearest):
            return None
        return nearest

    def _forget_until(self, matched) -> list:
        """Streams are in order, so what is older than a match will not be matched any more."""
        dropped = []
        for stream, (queue, entry) in enumerate(zip(self._queues, matched, strict=True)):
            while (first := queue.popleft()) is not entry:
                dropped.append((stream, first[1]))
        return dropped

    def _forget_the_future(self, stamp_ns: int) -> list:
        """What waits from long after now was stamped before time jumped back (a looped bag)."""
        dropped = []
        for stream, queue in enumerate(self._queues):
            kept = [entry for entry in queue if entry[0] <= stamp_ns + self._horizon_ns]
            if len(kept) < len(queue):
                dropped += [(stream, entry[1]) for entry in queue if entry[0] > stamp_ns + self._horizon_ns]
                queue.clear()
                queue.extend(kept)
        return dropped
