"""The records of an MCAP file, none of them trusted: what is damaged is said, and what comes behind it is found."""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, NamedTuple

from .layout import MAGIC, Opcode, ReadDataStream, get_chunk_data_stream, records, zstandard

MOST_BYTES = 1 << 30  # of one record; a length above is damage
_HEAD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
_BLOCK = 16 << 20
# opcode, length, times, size, CRC, name of the compression, stored size
_CHUNK = re.compile(rb"(?=\x06(.{8}).{28}(\0{4}|\x04\0{3}zstd|\x03\0{3}lz4)(.{8}))", re.DOTALL)
_LONGEST = 64  # bytes that the expression looks at, at most
_KINDS = {
    Opcode.HEADER: records.Header,
    Opcode.FOOTER: records.Footer,
    Opcode.SCHEMA: records.Schema,
    Opcode.CHANNEL: records.Channel,
    Opcode.CHUNK: records.Chunk,
    Opcode.MESSAGE_INDEX: records.MessageIndex,
    Opcode.CHUNK_INDEX: records.ChunkIndex,
    Opcode.ATTACHMENT: records.Attachment,
    Opcode.ATTACHMENT_INDEX: records.AttachmentIndex,
    Opcode.STATISTICS: records.Statistics,
    Opcode.METADATA: records.Metadata,
    Opcode.METADATA_INDEX: records.MetadataIndex,
    Opcode.SUMMARY_OFFSET: records.SummaryOffset,
    Opcode.DATA_END: records.DataEnd,
}
_OPCODES = {*_KINDS, Opcode.MESSAGE}


class Damage(ValueError):
    """What is wrong at a place of a file."""


class Cut(Damage):
    """The file ends within the record at a place, or before its footer: what was not yet written when all stopped."""

    def __init__(self, what: str, place: int):
        super().__init__(what)
        self.place = place


class Record(NamedTuple):
    """Where it begins, what it is, and its bytes without opcode and length."""

    place: int
    opcode: int
    body: bytes

    @property
    def end(self) -> int:
        return self.place + _HEAD.size + len(self.body)

    def parsed(self) -> records.McapRecord:
        """Damage where it is not what its opcode says."""
        kind = _KINDS[self.opcode]
        stream = ReadDataStream(BytesIO(self.body))
        try:
            record = kind.read(stream)
        except Exception as error:  # whatever strange lengths lead to
            raise Damage(f"{kind.__name__} at byte {self.place} cannot be read: {error!r}") from None
        if stream.count != len(self.body) or (kind is records.Chunk and self._stored() != len(record.data)):
            raise Damage(f"{kind.__name__} at byte {self.place} is longer or shorter than it says")
        return record

    def _stored(self) -> int:
        (name,) = struct.unpack_from("<I", self.body, 28)
        return struct.unpack_from("<Q", self.body, 32 + name)[0]


class Message(NamedTuple):
    channel: int
    sequence: int
    log_ns: int
    publish_ns: int
    data: bytes


class Contents(NamedTuple):
    """Of a chunk. entries: by channel (log_ns, place before compression), as its MessageIndex records have them."""

    entries: dict[int, list[tuple[int, int]]]
    described: list[records.Schema | records.Channel]

    @property
    def times(self) -> list[int]:
        return [log_ns for found in self.entries.values() for log_ns, _ in found]


def size_of(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def crc_of(file: BinaryIO, start: int, end: int) -> int:
    """Of the bytes between two places."""
    file.seek(start)
    crc = 0
    while left := end - file.tell():
        crc = zlib.crc32(file.read(min(left, _BLOCK)), crc)
    return crc


def walk(file: BinaryIO, start: int = len(MAGIC)) -> Iterator[Record]:
    """Each from a place on, up to the footer; Damage at the first that is none."""
    place, size = start, size_of(file)
    while True:
        file.seek(place)
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise Cut(f"ends at byte {size} without a summary", place)
        opcode, length = _HEAD.unpack(head)
        if opcode not in _OPCODES or length > MOST_BYTES:
            raise Damage(f"holds no record at byte {place}")
        if place + _HEAD.size + length > size:
            kind = Opcode(opcode).name.lower()
            raise Cut(f"ends at byte {size}, within the {kind} that begins at byte {place}", place)
        record = Record(place, opcode, file.read(length))
        yield record
        if opcode == Opcode.FOOTER:
            return
        place = record.end


def next_chunk(file: BinaryIO, start: int) -> int | None:
    """Where the first one at or behind a place begins, by what a chunk looks like."""
    size = size_of(file)
    for place in range(start, size, _BLOCK):
        file.seek(place)
        for found in _CHUNK.finditer(file.read(_BLOCK + _LONGEST)):
            length, name, stored = found.groups()
            length, stored = int.from_bytes(length, "little"), int.from_bytes(stored, "little")
            begin = place + found.start()
            if length == 36 + len(name) + stored and begin + _HEAD.size + length <= size:
                return begin
    return None


def readable(file: BinaryIO, problems: list[Damage]) -> Iterator[tuple[Record, Contents | None]]:
    """Each record that is whole, up to the footer, and of a chunk the contents; the others are told in problems."""
    place, end = len(MAGIC), None
    while place is not None:
        try:
            for record in walk(file, place):
                place, end = record.place, record.end
                yield record, contents(record.parsed(), place) if record.opcode == Opcode.CHUNK else None
                place, end = end, None
            return
        except Damage as damage:
            problems.append(damage)
            # Its length may be what is damaged, and then it hides what is within.
            place, end = min(filter(None, (end, next_chunk(file, place + 1))), default=None), None


def torn_chunk(file: BinaryIO, place: int) -> Iterator[Record]:
    """The whole records within a chunk that the end of the file cuts off; no CRC covers them."""
    file.seek(place)
    if not (head := _CHUNK.match(file.read(_LONGEST))):
        return
    file.seek(place + head.end(3))
    data, compression = file.read(), head.group(2)[4:]
    if compression == b"zstd":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    elif compression:
        return
    at = 0
    while at + _HEAD.size <= len(data):
        opcode, length = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        if end > len(data) or opcode not in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE):
            return
        yield Record(place, opcode, data[at + _HEAD.size : end])
        at = end


def message(record: Record) -> Message:
    if len(record.body) < _MESSAGE.size:
        raise Damage(f"message at byte {record.place} is too short")
    return Message(*_MESSAGE.unpack_from(record.body), record.body[_MESSAGE.size :])


def uncompressed(chunk: records.Chunk, place: int) -> bytes:
    """The records in it; Damage where its CRC or its size is not right."""
    try:
        stream, _ = get_chunk_data_stream(chunk)
        data = stream.read(chunk.uncompressed_size + 1) if chunk.uncompressed_size else b""
    except Exception as error:  # of the compression
        raise Damage(f"chunk at byte {place} cannot be decompressed: {error}") from None
    if chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc:
        raise Damage(f"chunk at byte {place} is damaged: its CRC is not that of its {len(data)} bytes")
    if len(data) != chunk.uncompressed_size:
        raise Damage(f"chunk at byte {place} holds {len(data)} bytes instead of {chunk.uncompressed_size}")
    return data


def contents(chunk: records.Chunk, place: int) -> Contents:
    """Damage where its CRC, its size or a record in it is not right; place: for the error."""
    data = uncompressed(chunk, place)
    entries, described, at = defaultdict(list), [], 0
    while at < len(data):
        opcode, length = _HEAD.unpack_from(data, at) if at + _HEAD.size <= len(data) else (0, 0)
        end = at + _HEAD.size + length
        if not length or end > len(data) or (opcode == Opcode.MESSAGE and length < _MESSAGE.size):
            raise Damage(f"chunk at byte {place} is damaged: no record at {at} of its contents")
        if opcode == Opcode.MESSAGE:
            channel, _, log_ns, _ = _MESSAGE.unpack_from(data, at + _HEAD.size)
            entries[channel].append((log_ns, at))
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
            described.append(Record(place, opcode, data[at + _HEAD.size : end]).parsed())
        at = end
    return Contents(dict(entries), described)
