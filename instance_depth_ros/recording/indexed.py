"""Any message of a bag by its place, without ROS: MCAP as far as it goes, whole or cut, and sqlite3."""

from __future__ import annotations

import logging
import os
import sqlite3
import struct
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from .bag import INSTALL, BagError, bag_files, typestore
from .cdr import read_stamp

# stamp_ns means nothing of messages that do not begin with a header.
ENTRY = np.dtype([("stamp_ns", "<i8"), ("log_ns", "<i8"), *((name, "<i8") for name in ("file", "chunk", "at", "size"))])
_HELD = 2  # chunks: colour may lie in one, and what belongs to it in the next
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _METADATA, _DATA_END = 0x03, 0x04, 0x05, 0x06, 0x0C, 0x0F
_RECORD, _OF_MESSAGE, _OF_CHUNK = struct.Struct("<BQ"), struct.Struct("<HIQQ"), struct.Struct("<QQQII")
_MAGIC_BYTES, _HEADER_BYTES = 8, 12
log = logging.getLogger(__name__)


class IndexedBag:
    """A folder or file of a bag, opened by one pass over it; to be closed.

    topics: name -> type. entries: name -> (n,) of ENTRY, in the order of their log times: 48 bytes a message are held,
    and two chunks. metadata: what records of that kind say, by their name. BagError names what cannot be read.
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
        self.path, self.topics, self.metadata = path, {}, {}
        self._file, self._schemas, self._names = os.open(path, os.O_RDONLY | os.O_CLOEXEC), {}, {}
        self._chunks: list[tuple[str, int, int, int, int]] = []  # compression, place, bytes, bytes of it, CRC
        self._held: OrderedDict[int, bytes] = OrderedDict()

    def rows(self) -> Iterator[tuple[str, int, bytes, int, int, int]]:
        """(topic, log time, begin of the message, chunk, place, bytes); notes the rest on the way."""
        self._ended = False
        try:
            yield from self._messages(self._pread, _MAGIC_BYTES, os.fstat(self._file).st_size, -1)
            problem = "" if self._ended else "it was cut"
        except (ValueError, struct.error) as error:
            problem = str(error)
        if not self.topics:
            raise BagError(f"{self.path} cannot be read: {problem or 'it holds no messages'}")
        if problem:
            log.warning("%s is read as far as it goes: %s", self.path, problem)

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
        reach = _RECORD.size + _OF_MESSAGE.size + _HEADER_BYTES
        while at + _RECORD.size <= end:
            head = read(at, reach)
            opcode, length = _RECORD.unpack_from(head)
            at += _RECORD.size
            if at + length > end:
                return
            if opcode == _MESSAGE:
                channel, _, log_ns, _ = _OF_MESSAGE.unpack_from(head, _RECORD.size)
                if channel in self._names:
                    first, size = _OF_MESSAGE.size, length - _OF_MESSAGE.size
                    yield self._names[channel], log_ns, head[_RECORD.size + first :][:size], chunk, at + first, size
            elif opcode == _CHUNK:
                yield from self._of_chunk(at, length)
            elif opcode in (_SCHEMA, _CHANNEL, _METADATA):
                self._note(opcode, _Fields(read(at, length)))
            elif opcode == _DATA_END:
                self._ended = True
                return
            elif not opcode:
                raise ValueError(f"there is no record at {at - _RECORD.size}")
            at += length

    def _of_chunk(self, at: int, length: int) -> Iterator:
        _, _, size, crc, name_bytes = _OF_CHUNK.unpack(self._pread(at, _OF_CHUNK.size))
        first = at + _OF_CHUNK.size + name_bytes + 8
        if first > at + length:
            raise ValueError(f"the chunk at {at} is damaged")
        compression = self._pread(at + _OF_CHUNK.size, name_bytes).decode()
        if not compression:
            yield from self._messages(self._pread, first, at + length, -1)
            return
        number = len(self._chunks)
        self._chunks.append((compression, first, at + length - first, size, crc))
        code = self._chunk(number)
        yield from self._messages(lambda place, count: code[place : place + count], 0, len(code), number)

    def _chunk(self, number: int) -> bytes:
        if number not in self._held:
            compression, at, stored, size, crc = self._chunks[number]
            code = _decompressed(compression, self._pread(at, stored), size)
            if len(code) != size or (crc and zlib.crc32(code) != crc):
                raise ValueError(f"{self.path}: the chunk at {at} is damaged")
            self._held[number] = code
            while len(self._held) > _HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(number)
        return self._held[number]

    def _note(self, opcode: int, fields: _Fields) -> None:
        if opcode == _METADATA:
            name, values = fields.text(), fields.map()
            self.metadata.setdefault(name, {}).update(values)
        elif opcode == _SCHEMA:
            number, name = fields.number("H"), fields.text()
            self._schemas[number] = name
        else:
            channel, schema, topic, encoding = fields.number("H"), fields.number("H"), fields.text(), fields.text()
            if encoding == "cdr":
                self._names[channel], self.topics[topic] = topic, self._schemas.get(schema, "")


def _decompressed(compression: str, code: bytes, size: int) -> bytes:
    try:
        if compression == "zstd":
            import zstandard

            return zstandard.ZstdDecompressor().decompress(code, max_output_size=size)
        if compression == "lz4":
            import lz4.frame

            return lz4.frame.decompress(code)
    except ImportError as error:
        raise BagError(f"chunks in {compression} need the package {error.name}: {INSTALL}") from None
    except Exception as error:  # each compression raises its own
        raise ValueError(f"a chunk is damaged: {error}") from error
    raise BagError(f"chunks are compressed by '{compression}', known are zstd and lz4")


class _Fields:
    """The fields of a record one after the other."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def number(self, kind: str) -> int:
        (value,) = struct.unpack_from("<" + kind, self._data, self._at)
        self._at += struct.calcsize("<" + kind)
        return value

    def text(self) -> str:
        size = self.number("I")
        self._at += size
        return self._data[self._at - size : self._at].decode()

    def map(self) -> dict[str, str]:
        values, end = {}, self.number("I") + self._at
        while self._at < end:
            key = self.text()
            values[key] = self.text()
        return values


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
