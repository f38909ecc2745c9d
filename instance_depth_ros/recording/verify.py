"""`instance-depth dataset verify BAG`: is each chunk, each index and metadata.yaml as it should be? A line a fault."""

from __future__ import annotations

import fcntl
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import yaml

from .layout import MAGIC, Opcode
from .layout import records as mcap
from .metadata import METADATA, ROOT, FileInfo
from .reading import Contents, Damage, Record, crc_of, message, readable
from .space import RecordingError

UNFINISHED = (".part", ".repaired")


def main(args: Namespace) -> int:
    """args: bag, a folder or a file. 1 where something is wrong."""
    problems, checks = check_bag(Path(args.bag))
    for problem in problems:
        print(problem)
    chunks, messages = (sum(getattr(check, what) for check in checks) for what in ("chunk_count", "message_count"))
    print(f"{args.bag}: {len(checks)} files, {chunks} chunks, {messages} messages, {len(problems) or 'no'} problems")
    return 1 if problems else 0


def check_bag(path: Path) -> tuple[list[str], list[Check]]:
    """What is wrong with a bag or with one file of it, and what its files hold."""
    files = mcap_files(path)
    checks = [Check(file) for file in files]
    problems = [f"{check.path.name}: {problem}" for check in checks for problem in check.problems]
    if path.is_dir():
        problems += [f"{METADATA}: {problem}" for problem in _check_metadata(path, checks)]
        left = sorted(file.name for file in path.iterdir() if file.suffix in UNFINISHED)
        problems += [f"{name}: left by a writer that was stopped" for name in left]
    return problems, checks


def mcap_files(path: Path) -> list[Path]:
    """In the order of their numbers; RecordingError where there is none."""
    files = sorted(path.glob("*.mcap"), key=lambda file: (len(file.name), file.name)) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise RecordingError(f"{path} is no bag in MCAP: it has no file .mcap")
    return files


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """For reading; RecordingError while a recorder writes it."""
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecordingError(f"{path} is being written; stop the recorder first") from None
        except OSError:  # some network disks know no locks
            pass
        yield file


class Check:
    """Of one file. problems: each a line; and what it holds: channels and schemas by id, counts by channel, ..."""

    def __init__(self, path: Path):
        self.path = path
        self.problems: list[str] = []
        self.schemas: dict[int, mcap.Schema] = {}
        self.channels: dict[int, mcap.Channel] = {}
        self.counts: Counter[int] = Counter()
        self.metadata: list[tuple[mcap.MetadataIndex, mcap.Metadata]] = []
        self.chunk_count, self.start_ns, self.end_ns = 0, 0, 0
        self._chunks: dict[int, mcap.ChunkIndex] = {}
        self._waiting: tuple[mcap.ChunkIndex, dict] | None = None  # the last chunk, and what of its index is to come
        self._attachments = 0
        self._summary: dict[int, list] = {}
        with opened(path) as file:
            self._read(file)

    @property
    def message_count(self) -> int:
        return sum(self.counts.values())

    @property
    def info(self) -> FileInfo:
        return FileInfo(self.path.name, self.start_ns, self.end_ns, self.message_count)

    def _read(self, file: BinaryIO) -> None:
        if file.read(len(MAGIC)) != MAGIC:
            self.problems.append("does not begin as an MCAP file")
        damages, data_end, footer = [], None, None
        for record, found in readable(file, damages):
            if record.opcode != Opcode.MESSAGE_INDEX:
                self._end_index()
            try:
                if record.opcode == Opcode.DATA_END:
                    data_end = record
                elif record.opcode == Opcode.FOOTER:
                    footer = record
                elif data_end:
                    self._summary.setdefault(record.opcode, []).append(record.parsed())
                else:
                    self._take(record, found)
            except Damage as damage:
                damages.append(damage)
        self._end_index()
        self.problems += map(str, damages)
        if footer and not data_end:
            self.problems.append("has no end of its data before the footer")
        if footer and data_end:
            self._check_ends(file, data_end, footer)

    def _take(self, record: Record, found: Contents | None) -> None:
        """A record of the data section."""
        if record.opcode == Opcode.MESSAGE:
            one = message(record)
            self._count({one.channel: [(one.log_ns, record.place)]}, record.place)
            return
        parsed = record.parsed()
        if isinstance(parsed, mcap.Schema | mcap.Channel):
            self._describe(parsed)
        elif isinstance(parsed, mcap.Metadata):
            size = record.end - record.place
            self.metadata.append((mcap.MetadataIndex(record.place, size, parsed.name), parsed))
        elif isinstance(parsed, mcap.Attachment):
            self._attachments += 1
        elif isinstance(parsed, mcap.MessageIndex):
            self._take_index(record, parsed)
        elif isinstance(parsed, mcap.Chunk):
            self._take_chunk(record, parsed, found)

    def _describe(self, parsed: mcap.Schema | mcap.Channel) -> None:
        known = self.schemas if isinstance(parsed, mcap.Schema) else self.channels
        if known.setdefault(parsed.id, parsed) != parsed:
            self.problems.append(f"{type(parsed).__name__.lower()} {parsed.id} is described twice, differently")

    def _count(self, entries: dict[int, list], place: int) -> None:
        for channel, found in entries.items():
            if channel not in self.channels:
                self.problems.append(f"messages at byte {place} are of channel {channel}, which is not described")
            times = [log_ns for log_ns, _ in found]
            self.start_ns = min(times) if not self.message_count else min(self.start_ns, *times)
            self.end_ns = max(self.end_ns, *times)
            self.counts[channel] += len(found)

    def _take_chunk(self, record: Record, chunk: mcap.Chunk, found: Contents) -> None:
        for described in found.described:
            self._describe(described)
        self._count(found.entries, record.place)
        self.chunk_count += 1
        times = found.times or [0]
        if (chunk.message_start_time, chunk.message_end_time) != (min(times), max(times)):
            self.problems.append(f"chunk at byte {record.place} says other times than its messages")
        index = mcap.ChunkIndex(
            message_start_time=chunk.message_start_time,
            message_end_time=chunk.message_end_time,
            chunk_start_offset=record.place,
            chunk_length=record.end - record.place,
            message_index_offsets={},
            message_index_length=0,
            compression=chunk.compression,
            compressed_size=len(chunk.data),
            uncompressed_size=chunk.uncompressed_size,
        )
        self._chunks[record.place] = index
        self._waiting = index, dict(found.entries)

    def _take_index(self, record: Record, index: mcap.MessageIndex) -> None:
        chunk, missing = self._waiting or (None, {})
        if chunk is None:
            self.problems.append(f"message index at byte {record.place} follows no chunk")
            return
        if sorted(index.records) != sorted(missing.pop(index.channel_id, [])):
            where = f"channel {index.channel_id} in the chunk at byte {chunk.chunk_start_offset}"
            self.problems.append(f"message index at byte {record.place} is not that of {where}")
        chunk.message_index_offsets[index.channel_id] = record.place
        chunk.message_index_length += record.end - record.place

    def _end_index(self) -> None:
        chunk, missing = self._waiting or (None, {})
        self._waiting = None
        for channel in missing:
            self.problems.append(f"chunk at byte {chunk.chunk_start_offset} has no index of channel {channel}")

    def _check_ends(self, file: BinaryIO, data_end: Record, record: Record) -> None:
        """Footer, CRCs and summary against what was read."""
        footer: mcap.Footer = record.parsed()
        file.seek(record.end)
        if file.read(len(MAGIC) + 1) != MAGIC:
            self.problems.append(f"does not end behind its footer at byte {record.end}")
        if (crc := data_end.parsed().data_section_crc) and crc != crc_of(file, 0, data_end.place):
            self.problems.append("data section is damaged: its CRC is not that of its bytes")
        if not footer.summary_start:
            self.problems.append("has no summary")
            return
        if footer.summary_start != data_end.end:
            self.problems.append(f"footer says that the summary begins at byte {footer.summary_start}")
        if footer.summary_crc and footer.summary_crc != crc_of(file, data_end.end, record.end - 4):
            self.problems.append("summary is damaged: its CRC is not that of its bytes")
        self._check_summary()

    def _check_summary(self) -> None:
        summary = self._summary
        indexes = {index.chunk_start_offset: index for index in summary.get(Opcode.CHUNK_INDEX, [])}
        for place in sorted(indexes.keys() | self._chunks.keys()):
            if place not in indexes:
                self.problems.append(f"chunk at byte {place} is not in the summary")
            elif place not in self._chunks:
                self.problems.append(f"summary names a chunk at byte {place}, where no whole one is")
            elif indexes[place] != self._chunks[place]:
                self.problems.append(f"summary says of the chunk at byte {place} what is not so")
        if sorted(map(str, summary.get(Opcode.METADATA_INDEX, []))) != sorted(str(index) for index, _ in self.metadata):
            self.problems.append("summary names other metadata than there are")
        for kind, opcode, known in (
            ("schema", Opcode.SCHEMA, self.schemas),
            ("channel", Opcode.CHANNEL, self.channels),
        ):
            said = {record.id: record for record in summary.get(opcode, [])}
            for number in sorted(said.keys() | known.keys()) if said else ():  # to repeat them is not asked for
                if said.get(number) != known.get(number):
                    self.problems.append(f"summary says of {kind} {number} what is not so")
        for statistics in summary.get(Opcode.STATISTICS, []):
            self._check_statistics(statistics)

    def _check_statistics(self, said: mcap.Statistics) -> None:
        true = {
            "message_count": self.message_count,
            "chunk_count": self.chunk_count,
            "channel_count": len(self.channels),
            "schema_count": len(self.schemas),
            "metadata_count": len(self.metadata),
            "attachment_count": self._attachments,
            "message_start_time": self.start_ns,
            "message_end_time": self.end_ns,
        }
        for name, value in true.items():
            if getattr(said, name) != value:
                self.problems.append(f"statistics say {name} {getattr(said, name)}, and it is {value}")
        if {channel: count for channel, count in said.channel_message_counts.items() if count} != dict(self.counts):
            self.problems.append("statistics say other counts of messages by channel than there are")


def _check_metadata(folder: Path, checks: list[Check]) -> Iterator[str]:
    """metadata.yaml against what the files hold."""
    try:
        said = yaml.safe_load((folder / METADATA).read_text())[ROOT]
        topics = {row["topic_metadata"]["name"]: row for row in said["topics_with_message_count"]}
        kinds = {name: (row["topic_metadata"]["type"], row["message_count"]) for name, row in topics.items()}
        files = {row["path"]: _times(row) for row in said["files"]}
        names, total = said["relative_file_paths"], _times(said)
    except FileNotFoundError:
        yield "is missing: the bag was never closed"
        return
    except (yaml.YAMLError, KeyError, TypeError) as error:
        yield f"cannot be read: {' '.join(str(error).split())}"
        return
    there = {check.path.name: check for check in checks}
    for name in sorted({*names, *files} - there.keys()):
        yield f"names {name}, which is not there"
    for name in sorted(there.keys() - {*names}):
        yield f"does not name {name}"
    for name in sorted(files.keys() & there.keys()):
        if files[name] != (found := _info_times(there[name].info)):
            yield f"says of {name} (messages, start, duration) {files[name]}, and it is {found}"
    found = counted(checks)
    for name in sorted(kinds.keys() | found.keys()):
        if kinds.get(name) != found.get(name):
            yield f"says of {name} {kinds.get(name, 'nothing')}, and it is {found.get(name, 'not there')}"
    filled = [check.info for check in checks if check.message_count] or [FileInfo("", 0, 0, 0)]
    whole = FileInfo(
        "", min(f.start_ns for f in filled), max(f.end_ns for f in filled), sum(f.messages for f in filled)
    )
    if total != _info_times(whole):
        yield f"says of the bag (messages, start, duration) {total}, and it is {_info_times(whole)}"


def counted(checks: list[Check]) -> dict[str, tuple[str, int]]:
    """By topic its type and number of messages in all files."""
    found: dict[str, tuple[str, int]] = {}
    for check in checks:
        for channel in check.channels.values():
            schema = check.schemas.get(channel.schema_id)
            before = found.get(channel.topic, ("", 0))[1]
            found[channel.topic] = schema.name if schema else "", before + check.counts[channel.id]
    return found


def _times(row: dict) -> tuple[int, int, int]:
    start = row["starting_time"]["nanoseconds_since_epoch"] if row["message_count"] else 0
    return row["message_count"], start, row["duration"]["nanoseconds"] if row["message_count"] else 0


def _info_times(info: FileInfo) -> tuple[int, int, int]:
    return info.messages, info.start_ns, info.end_ns - info.start_ns
