"""What waits for the disk, and what came last: messages in memory, bounded in bytes."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import NamedTuple

LATCHED = 100  # of one topic, kept for late readers


class Item(NamedTuple):
    """A message on its way. arrived_s: time.monotonic() when it came; sequence: how many of its topic came before."""

    name: str
    data: bytes
    received_ns: int
    source_ns: int
    sequence: int
    arrived_s: float


class Backlog:
    """First come, first written; when it is full, those of the highest rank are given up, the newest first."""

    def __init__(self, most_bytes: int):
        self.most_bytes, self.bytes = most_bytes, 0
        self._ranks: dict[int, deque[tuple[int, Item]]] = {}
        self._rank_bytes: dict[int, int] = defaultdict(int)
        self._came = 0

    def __len__(self) -> int:
        return sum(map(len, self._ranks.values()))

    def put(self, item: Item, rank: int) -> list[Item]:
        """Those that were given up for it; only itself, where nothing that ranks higher would make room."""
        need = self.bytes + len(item.data) - self.most_bytes
        higher = sorted((other for other, waiting in self._ranks.items() if other > rank and waiting), reverse=True)
        if need > sum(self._rank_bytes[other] for other in higher):
            return [item]
        lost = []
        for other in higher:
            while need > 0 and self._ranks[other]:
                lost.append(self._ranks[other].pop()[1])
                self._count(other, -len(lost[-1].data))
                need -= len(lost[-1].data)
        self._came += 1
        self._ranks.setdefault(rank, deque()).append((self._came, item))
        self._count(rank, len(item.data))
        return lost

    def take(self, most_bytes: float) -> list[Item]:
        """The first ones, until they are so many bytes."""
        items, size = [], 0
        while size < most_bytes and (waiting := [rank for rank, queue in self._ranks.items() if queue]):
            rank = min(waiting, key=lambda rank: self._ranks[rank][0][0])
            items.append(self._ranks[rank].popleft()[1])
            size += len(items[-1].data)
            self._count(rank, -len(items[-1].data))
        return items

    def _count(self, rank: int, size: int) -> None:
        self.bytes += size
        self._rank_bytes[rank] += size


class Ring:
    """The messages of the last seconds, by the time they arrived; of latched topics those before as well.

    seconds: 0: none are kept; most_bytes: 0: of any size.
    """

    def __init__(self, seconds: float, most_bytes: int):
        self.seconds, self.most_bytes, self._bytes = seconds, most_bytes, 0
        self._items: deque[Item] = deque()
        self._latched: dict[str, deque[Item]] = {}

    def put(self, item: Item, latched: bool) -> None:
        if latched:
            self._latched.setdefault(item.name, deque(maxlen=LATCHED)).append(item)
            return
        self._items.append(item)
        self._bytes += len(item.data)
        oldest, most_bytes = item.arrived_s - self.seconds, self.most_bytes or self._bytes
        while self._items and (self._items[0].arrived_s <= oldest or self._bytes > most_bytes):
            self._bytes -= len(self._items.popleft().data)

    def items(self) -> list[Item]:
        """In the order of arrival; latched ones from before come first, as if they had come when the others began."""
        start = self._items[0].received_ns if self._items else 0
        latched = [item for kept in self._latched.values() for item in kept]
        latched = [item._replace(received_ns=max(item.received_ns, start)) for item in latched]
        return sorted([*latched, *self._items], key=lambda item: item.received_ns)
