"""Everything between a message and the disk: a backlog, one thread that writes, the last seconds, and the counts."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from .backlog import Backlog, Item, Ring
from .bag_writer import LOSSES, PROVENANCE, BagWriter, Topic
from .space import RecordingError, free_bytes, megabytes, prepare, write_speed

POLL_S, POLL_BYTES = 0.05, 8 << 20  # the thread looks so often, or when so much waits
BATCH_BYTES = 32 << 20
AFTER_RECEIVING = ("queue_full", "paused", "invalid", "disk_full", "write_failed", "closed")
LATELY_S = 10.0  # how long a loss is a problem, and over how long rates are smoothed
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Limits of a recording; 0: no limit, but for the first three, and no ring for ring_s.

    queue_bytes: what may wait for the disk. flush_s: how old a message may get before it is safe. least_free_bytes:
    of the disk, where the recording ends by itself. split_s, split_bytes: when a next file begins. ring_s, ring_bytes:
    what snapshot() finds. compression: of chunks, none or zstd. encoders: threads that compress pictures.
    """

    queue_bytes: int
    flush_s: float
    least_free_bytes: int
    split_s: float = 0
    split_bytes: int = 0
    ring_s: float = 0
    ring_bytes: int = 0
    compression: str = "none"
    encoders: int = 2


@dataclass
class Counts:
    """Of one topic. received = written + all that were lost + what is on its way."""

    received: int = 0
    written: int = 0
    lost: Counter[str] = field(default_factory=Counter)


class Recording:
    """A bag named by its UTC start in a folder, begun with its first message; only close() waits for the disk.

    Losses by reason: not_received (told by lost()), queue_full, paused, invalid (not encoded), disk_full, write_failed,
    closed. ended: for which of them no more is written, '' while it is. RecordingError: the folder may not be written
    or is nearly full.
    """

    def __init__(
        self, folder: Path, options: Options, provenance: Mapping[str, str], paused: bool = False, name: str = "bag"
    ):
        prepare(folder, options.least_free_bytes)
        self.folder, self.options, self.ended, self._name = folder, options, "", name
        self.path = _unused(folder, name)
        self.counts: dict[str, Counts] = {}
        self.bytes_written, self.free_bytes = 0, free_bytes(folder)
        self.disk_bytes_per_s: float | None = None
        self._provenance, self._news = dict(provenance), {}
        self._topics: dict[str, Topic] = {}
        self._encoders: dict[str, Callable[[bytes], bytes]] = {}
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._backlog, self._ring = Backlog(options.queue_bytes), Ring(options.ring_s, options.ring_bytes)
        self._paused, self._split, self._problem = paused, False, ""
        self._bag: BagWriter | None = None
        self._early: list[Item] = []  # of latched topics, while the bag has not begun
        self._taken_bytes, self._arrived_bytes, self._rate = 0, 0, None
        # When the first message came that is not safe yet, and the first of the file.
        self._unsafe_since: float | None = None
        self._file_since: float | None = None
        self._measured = time.monotonic(), 0
        self._last_loss = -LATELY_S
        self._noted_losses = 0
        self._snapshots: dict[Path, threading.Thread] = {}
        self._pool = ThreadPoolExecutor(max(options.encoders, 1), "encoder")
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def add(self, topic: Topic, encode: Callable[[bytes], bytes] | None = None) -> None:
        """Before its first message. encode: from what put() is given to what the bag gets, off the caller's thread."""
        with self._lock:
            self._topics[topic.name] = topic
            self.counts[topic.name] = Counts()
            if encode:
                self._encoders[topic.name] = encode

    def put(self, name: str, data: bytes, received_ns: int, source_ns: int) -> None:
        """A serialised message; received_ns becomes its log time, source_ns its publish time."""
        wake = False
        with self._lock:
            topic, counts = self._topics[name], self.counts[name]
            item = Item(name, data, received_ns, source_ns, counts.received, time.monotonic())
            counts.received += 1
            self._arrived_bytes += len(data)
            self._ring.put(item, topic.latched)
            if self.ended or (self._paused and not topic.latched):
                self._lose(name, self.ended or "paused")
                return
            for lost in self._backlog.put(item, topic.rank):
                self._lose(lost.name, "queue_full")
            wake = self._backlog.bytes >= POLL_BYTES
        if wake:
            self._wake.set()

    def lost(self, name: str, reason: str, count: int = 1) -> None:
        """Of messages that never came here."""
        with self._lock:
            self._lose(name, reason, count)

    def pause(self, paused: bool) -> None:
        """What comes while it is paused goes only to the ring, but for latched topics."""
        with self._lock:
            if self._paused and not paused and self._bag is None:  # the bag is named when it begins
                self.path = _unused(self.folder, self._name)
            self._paused = paused

    def limit(self, options: Options) -> None:
        """From now on; compression and encoders stay as they are."""
        with self._lock:
            self.options = replace(options, compression=self.options.compression, encoders=self.options.encoders)
            self._backlog.most_bytes = options.queue_bytes
            self._ring.seconds, self._ring.most_bytes = options.ring_s, options.ring_bytes

    def note(self, provenance: Mapping[str, str]) -> None:
        """What became known later of where the messages come from."""
        with self._lock:
            self._provenance |= provenance
            self._news |= provenance

    def split(self) -> None:
        """A next file begins soon."""
        self._split = True
        self._wake.set()

    def snapshot(self) -> Path:
        """Where the last seconds will be as a bag of its own, whole as soon as its metadata.yaml is there."""
        with self._lock:
            items, topics, encoders = self._ring.items(), dict(self._topics), dict(self._encoders)
        if not items:
            raise RecordingError("nothing came in the last seconds; is a camera running, and is the ring switched on?")
        size = sum(len(item.data) for item in items)
        if free_bytes(self.folder) - size < self.options.least_free_bytes:
            raise RecordingError(f"{self.folder} has no room for a snapshot of {megabytes(size)}; make room")
        self._snapshots = {path: thread for path, thread in self._snapshots.items() if thread.is_alive()}
        path = _unused(self.folder, f"{self._name}_snapshot", self._snapshots)
        thread = threading.Thread(target=self._write_snapshot, args=(path, items, topics, encoders), name="snapshot")
        self._snapshots[path] = thread
        thread.start()
        return path

    @property
    def problem(self) -> str:
        """What a user should know and do, in one line; '' while all is well."""
        if self._problem or time.monotonic() - self._last_loss > LATELY_S:
            return self._problem
        with self._lock:
            full = {name: counts.lost["queue_full"] for name, counts in self.counts.items()}
        lost = ", ".join(f"{name} {count}" for name, count in full.items() if count)
        return f"{self.folder} is too slow: messages given up by now: {lost}; record less, or to a faster disk"

    @property
    def minutes_left(self) -> float | None:
        """Until the disk is as full as it may be, by what arrives; None while nothing does."""
        if not self._rate:
            return None
        kept = self.bytes_written / self._taken_bytes if self._taken_bytes and self.bytes_written else 1.0
        return max(self.free_bytes - self.options.least_free_bytes, 0) / (self._rate * kept) / 60

    def close(self, provenance: Mapping[str, str] | None = None) -> None:
        """Write what waits, finish the bag; provenance: more of it. Says in problem what did not go well."""
        self.note(provenance or {})
        with self._lock:
            self.ended = self.ended or "closed"
        self._wake.set()
        for thread in (self._thread, *self._snapshots.values()):
            thread.join()
        self._pool.shutdown()

    def _run(self) -> None:
        with suppress(OSError):  # a disk that is too small for this may do for the recording
            self.disk_bytes_per_s = write_speed(self.folder)
        try:
            while not self.ended or len(self._backlog):
                self._step()
        except Exception as error:
            log.debug("writing failed", exc_info=True)
            self._end("write_failed", f"writing {self.path} failed ({_reason(error)}); what came before is kept")
        self._finish()

    def _step(self) -> None:
        with self._lock:
            batch = self._backlog.take(BATCH_BYTES)
        for item, data in self._encoded(batch):
            self._write(item, data)
            self._flush_and_split()
        self._wake.clear()
        self._flush_and_split()
        self._count_written()
        self._measure()
        self._watch_space()
        if not self.ended and self._backlog.bytes < POLL_BYTES:
            self._wake.wait(POLL_S)

    def _encoded(self, batch: list[Item]) -> Iterator[tuple[Item, bytes]]:
        """In their order, each encoded as its topic asks; those that cannot be are counted as invalid."""
        jobs = [
            self._pool.submit(self._encoders[item.name], item.data) if item.name in self._encoders else None
            for item in batch
        ]
        for item, job in zip(batch, jobs, strict=True):
            try:
                yield item, job.result() if job else item.data
            except Exception as error:  # each codec raises its own
                log.warning("a message of %s was not encoded: %s", item.name, _reason(error))
                self.lost(item.name, "invalid")

    def _write(self, item: Item, data: bytes) -> None:
        if self._bag is None:
            if self._paused:
                self._early.append(item._replace(data=data))
                return
            if self.path.exists():  # begun by another in the same second
                self.path = _unused(self.folder, self._name)
            self._bag = BagWriter(self.path, self._provenance, self.options.compression)
            self._news = {}
            early, self._early = self._early, []
            for latched in early:
                self._write(latched._replace(received_ns=max(latched.received_ns, item.received_ns)), latched.data)
        if item.name not in self._bag.topics:
            self._bag.add(self._topics[item.name])
        self._taken_bytes += len(item.data)
        self._unsafe_since = self._unsafe_since or item.arrived_s
        self._file_since = self._file_since or item.arrived_s
        self._bag.write(item.name, data, item.received_ns, item.source_ns, item.sequence)

    def _flush_and_split(self) -> None:
        """Where it is time; half the interval is for the way to the disk."""
        options, bag, now = self.options, self._bag, time.monotonic()
        if bag is None:
            return
        if self._unsafe_since and now - self._unsafe_since >= options.flush_s / 2:
            self._note_news()
            bag.sync()
            self._unsafe_since = None
        if self._file_since is None:  # nothing to split
            return
        if (
            self._split
            or (options.split_s and now - self._file_since >= options.split_s)
            or (options.split_bytes and bag.file_bytes >= options.split_bytes)
        ):
            self._split, self._file_since = False, None
            bag.split()

    def _note_news(self) -> None:
        """Provenance and losses into the file, as far as they are new: a crash would take them along."""
        with self._lock:
            losses = sum(sum(counts.lost.values()) for counts in self.counts.values())
            news, self._news = self._news, {}
        if news:
            self._bag.provenance |= news
            self._bag.note(PROVENANCE, news)
        if losses != self._noted_losses:
            self._noted_losses = losses
            self._bag.note(LOSSES, {"counts": self._counts_json()})

    def _measure(self) -> None:
        """Once a second, how much arrives."""
        now, (then, before) = time.monotonic(), self._measured
        if now - then < 1:
            return
        rate = (self._arrived_bytes - before) / (now - then)
        self._measured = now, self._arrived_bytes
        self._rate = rate if self._rate is None else self._rate + (rate - self._rate) / LATELY_S

    def _watch_space(self) -> None:
        self.free_bytes = free_bytes(self.folder)
        if not self.ended and self.free_bytes < self.options.least_free_bytes:
            self._end("disk_full", f"{self.folder} is nearly full: the bag {self.path.name} was closed; make room")

    def _end(self, reason: str, problem: str) -> None:
        """By itself: what waits and what still comes is lost for this reason."""
        log.error("%s", problem)
        with self._lock:
            self.ended, self._problem = reason, problem
            for item in self._backlog.take(math.inf):
                self._lose(item.name, reason)

    def _finish(self) -> None:
        try:
            if self._bag:
                with suppress(OSError):  # what it does not take is counted below
                    self._bag.sync()
            self._count_written()
            self._count_missing()
            if self._bag:
                self._bag.close({**self._provenance, "counts": self._counts_json()})
                self.bytes_written = self._bag.bytes
        except Exception as error:
            problem = f"{self.path} was not finished ({_reason(error)}); instance-depth dataset repair mends it"
            self._end("write_failed", f"{self._problem}; {problem}" if self._problem else problem)

    def _count_missing(self) -> None:
        """What neither is in the bag nor was counted as lost: of a chunk that failed, or latched and never begun."""
        with self._lock:
            for name, counts in self.counts.items():
                missing = counts.received - counts.written - sum(counts.lost[reason] for reason in AFTER_RECEIVING)
                if missing:
                    self._lose(name, self.ended if self._problem else "paused", missing)

    def _write_snapshot(self, path: Path, items: list[Item], topics: dict[str, Topic], encoders: dict) -> None:
        try:
            bag = BagWriter(path, self._provenance, self.options.compression)
            for name in dict.fromkeys(item.name for item in items):
                bag.add(topics[name])
            for item in items:
                data = encoders[item.name](item.data) if item.name in encoders else item.data
                bag.write(item.name, data, item.received_ns, item.source_ns, item.sequence)
            bag.close({"counts": self._counts_json()})
        except Exception as error:
            self._problem = f"the snapshot {path} failed: {_reason(error)}"
            log.error("%s", self._problem)

    def _count_written(self) -> None:
        if self._bag is None:
            return
        for name, written in self._bag.written.items():
            self.counts[name].written = written
        self.bytes_written = self._bag.bytes

    def _counts_json(self) -> str:
        with self._lock:
            return json.dumps({name: vars(counts) for name, counts in self.counts.items()})

    def _lose(self, name: str, reason: str, count: int = 1) -> None:
        self.counts[name].lost[reason] += count
        if reason == "queue_full":
            self._last_loss = time.monotonic()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__


def _unused(folder: Path, name: str, promised: Collection[Path] = ()) -> Path:
    """A place for a bag: the time, the name, and a number behind it where need be. promised: soon to be taken."""
    name = f"{datetime.now(timezone.utc):%Y-%m-%dT%H-%M-%SZ}_{name}"
    path, number = folder / name, 1
    while path.exists() or path in promised:
        number += 1
        path = folder / f"{name}_{number}"
    return path
