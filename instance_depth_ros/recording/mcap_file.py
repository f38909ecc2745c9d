"""One MCAP file as it is written: a chunk ends when it is full or when it is told to, and messages are not copied.

Records are laid out by the package mcap (https://mcap.dev/spec), but for the two that carry messages. Its own writer
ends chunks by size alone and copies each message four times; foxglove-sdk's gives no message a publish time.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

from . import layout
from .layout import MAGIC, Opcode, laid_out
from .layout import records as mcap

COMPRESSIONS = ("none", "zstd")
CHUNK_BYTES = 4 << 20
ZSTD_LEVEL = 1  # what a recorder has time for
SMALL = 4096  # bytes of a message that are rather copied than given to the kernel as a piece
_PIECES = 1000  # of a chunk: the kernel takes 1024 at once
_MESSAGE = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, log time, publish time
_CHUNK = struct.Struct("<BQQQQI")  # opcode, length, first and last log time, size and CRC before compression
_LENGTH, _FOOTER = struct.Struct("<Q"), struct.Struct("<BQQQ")


class McapFile:
    """A new file; OSError where the disk refuses, and then what was written before is whole and the pending chunk lost.

    size: bytes in the file. schemas, channels: by id. counts: messages in the file by channel. start_ns, end_ns: first
    and last log time. It is locked (flock) while it is open, by which others see that it is being written.
    """

    def __init__(self, path: Path, compression: str = "none", chunk_bytes: int = CHUNK_BYTES):
        self.path, self.size = path, 0
        self.schemas: dict[int, mcap.Schema] = {}
        self.channels: dict[int, mcap.Channel] = {}
        self.counts: dict[int, int] = defaultdict(int)
        self.start_ns, self.end_ns = 0, 0
        self._compressor = layout.zstandard.ZstdCompressor(level=ZSTD_LEVEL) if compression == "zstd" else None
        self._chunk_bytes = chunk_bytes
        self._chunks: list[mcap.ChunkIndex] = []
        self._metadata: list[mcap.MetadataIndex] = []
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with suppress(OSError):  # some network disks know no locks
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._new_chunk()
        try:
            self._append([MAGIC, laid_out(mcap.Header("ros2", "instance_depth_ros"))])
        except OSError:
            self.close()
            path.unlink()
            raise

    def add_channel(self, topic: str, kind: str, definition: str, metadata: Mapping[str, str]) -> int:
        """The id for write(). definition: ros2msg; messages are CDR."""
        schema = next((schema for schema in self.schemas.values() if schema.name == kind), None)
        if schema is None:
            schema = mcap.Schema(len(self.schemas) + 1, definition.encode(), "ros2msg", kind)
            self.add(schema)
        channel = mcap.Channel(len(self.channels) + 1, topic, "cdr", dict(metadata), schema.id)
        self.add(channel)
        return channel.id

    def add(self, record: mcap.Schema | mcap.Channel) -> None:
        """With the id that it has."""
        self._append([laid_out(record)])
        (self.schemas if isinstance(record, mcap.Schema) else self.channels)[record.id] = record

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        record = laid_out(mcap.Metadata(name, dict(values)))
        self._metadata.append(mcap.MetadataIndex(self._append([record]), len(record), name))

    def write(self, channel: int, data: bytes, log_ns: int, publish_ns: int, sequence: int = 0) -> None:
        """Into the pending chunk, which goes to the file when it is full."""
        head = _MESSAGE.pack(Opcode.MESSAGE, 22 + len(data), channel, sequence & 0xFFFFFFFF, log_ns, publish_ns)
        pieces = [head + data] if len(data) < SMALL else [head, data]
        self._entries[channel].append((log_ns, self.pending))
        self._pieces += pieces
        for piece in pieces:
            self._crc = zlib.crc32(piece, self._crc)
            self.pending += len(piece)
        if self.pending >= self._chunk_bytes or len(self._pieces) >= _PIECES:
            self.end_chunk()

    def end_chunk(self) -> None:
        """The pending messages go to the file; where that fails they are dropped."""
        if not self.pending:
            return
        pieces, entries, size, crc = self._pieces, self._entries, self.pending, self._crc
        self._new_chunk()
        if self._compressor:
            pieces = [self._compressor.compress(b"".join(pieces))]
        self.append_chunk(pieces, entries, "zstd" if self._compressor else "", size, crc)

    def append_chunk(self, pieces: list[bytes], entries: dict[int, list], compression: str, size: int, crc: int):
        """A chunk of which the pieces are what is stored; entries: by channel (log_ns, place before compression)."""
        stored = sum(map(len, pieces))
        times = [log_ns for log_ns, _ in chain.from_iterable(entries.values())]
        name = compression.encode()
        length = 40 + len(name) + stored
        head = _CHUNK.pack(Opcode.CHUNK, length, min(times), max(times), size, crc)
        head += struct.pack("<I", len(name)) + name + _LENGTH.pack(stored)
        indexes, places = b"", {}
        for channel, found in entries.items():
            places[channel] = self.size + len(head) + stored + len(indexes)
            indexes += laid_out(mcap.MessageIndex(channel, found))
        start = self._append([head, *pieces, indexes])
        self._chunks.append(
            mcap.ChunkIndex(
                message_start_time=min(times),
                message_end_time=max(times),
                chunk_start_offset=start,
                chunk_length=len(head) + stored,
                message_index_offsets=places,
                message_index_length=len(indexes),
                compression=compression,
                compressed_size=stored,
                uncompressed_size=size,
            )
        )
        self.start_ns = min(times) if len(self._chunks) == 1 else min(self.start_ns, *times)
        self.end_ns = max(self.end_ns, *times)
        for channel, found in entries.items():
            self.counts[channel] += len(found)

    def sync(self) -> None:
        """All before is on the disk when this returns, also for a loss of power."""
        self.end_chunk()
        os.fdatasync(self._file)

    def finish(self) -> None:
        """With the summary by which readers find their way; then closed."""
        self.end_chunk()
        end = laid_out(mcap.DataEnd(0))
        summary_start = self.size + len(end)
        summary, offsets = b"", b""
        groups = list(self.schemas.values()), list(self.channels.values()), [self._statistics()]
        opcodes = Opcode.SCHEMA, Opcode.CHANNEL, Opcode.STATISTICS, Opcode.CHUNK_INDEX, Opcode.METADATA_INDEX
        for opcode, group in zip(opcodes, (*groups, self._chunks, self._metadata), strict=True):
            if group:
                records = b"".join(map(laid_out, group))
                offsets += laid_out(mcap.SummaryOffset(opcode, summary_start + len(summary), len(records)))
                summary += records
        offsets_start = summary_start + len(summary)
        crc = zlib.crc32(_FOOTER.pack(Opcode.FOOTER, 20, summary_start, offsets_start), zlib.crc32(summary + offsets))
        self._append([end, summary, offsets, laid_out(mcap.Footer(summary_start, offsets_start, crc)), MAGIC])
        os.fsync(self._file)
        self.close()

    def close(self) -> None:
        """Without a summary, where finish() failed; safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _new_chunk(self) -> None:
        self._pieces, self._entries, self.pending, self._crc = [], defaultdict(list), 0, 0

    def _append(self, pieces: list[bytes]) -> int:
        """Where they begin in the file: all of them, or the file ends as before and OSError says why."""
        start, at, left = self.size, self.size, [memoryview(piece) for piece in pieces]
        try:
            while left:
                written = os.pwritev(self._file, left, at)
                at += written
                while left and written >= len(left[0]):
                    written -= len(left.pop(0))
                if left:
                    left[0] = left[0][written:]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, start)
            raise
        self.size = at
        return start

    def _statistics(self) -> mcap.Statistics:
        return mcap.Statistics(
            attachment_count=0,
            channel_count=len(self.channels),
            channel_message_counts=dict(self.counts),
            chunk_count=len(self._chunks),
            message_count=sum(self.counts.values()),
            message_end_time=self.end_ns,
            message_start_time=self.start_ns,
            metadata_count=len(self._metadata),
            schema_count=len(self.schemas),
        )
