"""Any message of a bag by its place, without ROS: MCAP as far as it goes, whole or cut, and sqlite3."""

from __future__ import annotations

import logging
import os
import sqlite3
import struct
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from .bag import BagError, bag_files, typestore
from .cdr import read_stamp
from .layout import MAGIC, Opcode, records
from .reading import Damage, Record, uncompressed

# stamp_ns means nothing of messages that do not begin with a header.
ENTRY = np.dtype([("stamp_ns", "<i8"), ("log_ns", "<i8"), *((name, "<i8") for name in ("file", "chunk", "at", "size"))])
_HELD = 2  # chunks: colour may lie in one, and what belongs to it in the next
_RECORD, _MESSAGE = struct.Struct("<BQ"), struct.Struct("<HIQQ")
_HEADER_BYTES, _CHUNK_NAME = 12, 28  # of a message, those that tell its stamp; of a chunk, before its compression
_held: OrderedDict[tuple[_Mcap, int], bytes] = OrderedDict()  # of all bags: a data set may have hundreds
log = logging.getLogger(__name__)


class IndexedBag:
    """A folder or file of a bag, opened by one pass over it; to be closed.

    topics: name -> type. entries: name -> (n,) of ENTRY, in the order of their log times: 48 bytes a message are held,
    and two chunks of all bags. metadata: what records of that kind say, by their name. BagError: it cannot be read.
    """

    def __init__(self, path: Path):
        self.path, self._types = path, typestore()
        self._files = [_Sqlite(file) if file.suffix == ".db3" else _Mcap(file) for file in bag_files(path)]
        self.topics: dict[str, str] = {}
        self.metadata: dict[str, dict[str, str]] = {}
        found = defaultdict(list)
        for number, file in enumerate(self._files):
            for topic, log_ns, head, chunk, at, size in file.rows():
                stamp_ns = read_stamp(head) if len(head) == _HEADER_BYTES else log_ns
                found[topic].append((stamp_ns, log_ns, number, chunk, at, size))
            self.topics |= file.topics
            for name, values in file.metadata.items():
                self.metadata.setdefault(name, {}).update(values)
        self.entries = {topic: np.array(found[topic], ENTRY) for topic in self.topics}
        for topic, rows in self.entries.items():
            self.entries[topic] = rows[np.argsort(rows["log_ns"], kind="stable")]

    def data(self, topic: str, number: int) -> bytes:
        """The serialised message of that number; ValueError where it is damaged."""
        _, _, file, chunk, at, size = self.entries[topic][number].item()
        return self._files[file].read(chunk, at, size)

    def message(self, topic: str, number: int):
        """The message of that number; ValueError where it is damaged."""
        try:
            return self._types.deserialize_cdr(self.data(topic, number), self.topics[topic])
        except Exception as error:  # damage shows itself as one of many kinds
            raise ValueError(f"{self.path}: message {number} of {topic} is damaged: {error}") from error

    def first(self, topic: str):
        """The first message of a topic that is not damaged; None where there is none."""
        for number in range(len(self.entries[topic])):
            try:
                return self.message(topic, number)
            except ValueError:
                continue
        return None

    def messages(self, kind: str) -> Iterator[tuple[str, object]]:
        """(topic, message) of all topics of a type, one topic after the other; what is damaged is left out."""
        for topic in (name for name, its_kind in self.topics.items() if its_kind == kind):
            for number in range(len(self.entries[topic])):
                with suppress(ValueError):
                    yield topic, self.message(topic, number)

    def close(self) -> None:
        """Safe to call twice."""
        for file in self._files:
            file.close()


class _Mcap:
    """One .mcap file. What is compressed is read chunk by chunk, else only the messages asked for."""

    def __init__(self, path: Path):
        self.path, self.topics, self.metadata = path, {}, defaultdict(dict)
        self._file, self._schemas, self._names = os.open(path, os.O_RDONLY | os.O_CLOEXEC), {}, {}
        self._chunks: list[tuple[int, int]] = []  # place and length of the record

    def rows(self) -> Iterator[tuple[str, int, bytes, int, int, int]]:
        """(topic, log time, begin of the message, chunk, place, bytes); notes the rest on the way."""
        self._ended, problem = False, ""
        try:
            yield from self._messages(self._pread, len(MAGIC), os.fstat(self._file).st_size, -1)
        except (ValueError, struct.error) as error:
            problem = str(error)
        if not self.topics:
            raise BagError(f"{self.path} cannot be read: {problem or 'it holds no messages'}")
        if problem or not self._ended:
            mend = "instance-depth dataset repair may save more"
            log.warning("%s is read as far as it goes: %s; %s", self.path, problem or "it was cut", mend)

    def read(self, chunk: int, at: int, size: int) -> bytes:
        return self._pread(at, size) if chunk < 0 else self._chunk(chunk)[at : at + size]

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _pread(self, at: int, size: int) -> bytes:
        # without a position of its own, so that forked workers can share it
        return os.pread(self._file, size, at)

    def _messages(self, read: Callable[[int, int], bytes], at: int, end: int, chunk: int) -> Iterator:
        """Only the beginnings of records are read: an index of a bag that is not compressed costs no pass over it."""
        reach = _RECORD.size + _MESSAGE.size + _HEADER_BYTES
        while at + _RECORD.size <= end:
            head, place = read(at, reach), at
            opcode, length = _RECORD.unpack_from(head)
            at += _RECORD.size
            if at + length > end:
                return
            if opcode == Opcode.MESSAGE:
                channel, _, log_ns, _ = _MESSAGE.unpack_from(head, _RECORD.size)
                if channel in self._names:
                    first, size = _MESSAGE.size, length - _MESSAGE.size
                    yield self._names[channel], log_ns, head[_RECORD.size + first :][:size], chunk, at + first, size
            elif opcode == Opcode.CHUNK:
                yield from self._of_chunk(place, length)
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.METADATA):
                self._note(Record(place, opcode, read(at, length)).parsed())
            elif opcode == Opcode.DATA_END:
                self._ended = True
                return
            elif not opcode:
                raise Damage(f"it holds no record at byte {place}")
            at += length

    def _of_chunk(self, place: int, length: int) -> Iterator:
        at = place + _RECORD.size
        (name_bytes,) = struct.unpack("<I", self._pread(at + _CHUNK_NAME, 4))
        if not name_bytes:
            yield from self._messages(self._pread, at + _CHUNK_NAME + 12, at + length, -1)
            return
        number = len(self._chunks)
        self._chunks.append((place, length))
        code = self._chunk(number)
        yield from self._messages(lambda start, count: code[start : start + count], 0, len(code), number)

    def _chunk(self, number: int) -> bytes:
        key = self, number
        if key not in _held:
            place, length = self._chunks[number]
            record = Record(place, Opcode.CHUNK, self._pread(place + _RECORD.size, length))
            _held[key] = uncompressed(record.parsed(), place)
            while len(_held) > _HELD:
                _held.popitem(last=False)
        _held.move_to_end(key)
        return _held[key]

    def _note(self, record: records.McapRecord) -> None:
        if isinstance(record, records.Metadata):
            self.metadata[record.name] |= record.metadata
        elif isinstance(record, records.Schema):
            self._schemas[record.id] = record.name
        elif record.message_encoding == "cdr":
            self._names[record.id] = record.topic
            self.topics[record.topic] = self._schemas.get(record.schema_id, "")


class _Sqlite:
    """One .db3 file; a message is found by its row."""

    metadata: dict[str, dict[str, str]] = {}

    def __init__(self, path: Path):
        self.path, self.topics = path, {}
        # forked workers only read
        self._database = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True, check_same_thread=False)

    def rows(self) -> Iterator[tuple[str, int, bytes, int, int, int]]:
        try:
            topics = {row[0]: row[1:] for row in self._database.execute("SELECT id, name, type FROM topics")}
            self.topics = dict(topics.values())
            columns = f"topic_id, timestamp, substr(data, 1, {_HEADER_BYTES}), id, length(data)"
            for topic, log_ns, head, row, size in self._database.execute(f"SELECT {columns} FROM messages"):
                yield topics[topic][0], log_ns, head, 0, row, size
        except sqlite3.Error as error:
            mend = f"sqlite3 {self.path} .recover may save some of it"
            raise BagError(f"{self.path} cannot be read: {error}; {mend}") from error

    def read(self, _chunk: int, row: int, _size: int) -> bytes:
        return self._database.execute("SELECT data FROM messages WHERE id = ?", (row,)).fetchone()[0]

    def close(self) -> None:
        self._database.close()
