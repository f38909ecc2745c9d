"""`instance-depth dataset repair BAG`: a bag that was never closed, or is damaged, becomes one that all tools open.

Each damaged file is copied, but for what cannot be read, and takes its place when the copy is whole and checked. Of a
chunk that the end cut off the whole messages are saved. Where more was left out than the torn end, the original stays
beside the copy as NAME.mcap.damaged.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

import yaml

from .bag_writer import LOSSES, PROVENANCE, RESERVE, Topic, sync_folder, write_whole
from .layout import Opcode
from .layout import records as mcap
from .mcap_file import McapFile
from .metadata import METADATA, ROOT, metadata_yaml
from .reading import Contents, Cut, Damage, Record, crc_of, message, readable, torn_chunk, walk
from .space import RecordingError, free_bytes, megabytes
from .verify import UNFINISHED, Check, check_bag, counted, mcap_files, opened

FOOTER_AND_MAGIC = 37  # bytes at the end of a whole file


def main(args: Namespace) -> int:
    """args: bag, a folder or a file. 1 where something stays wrong."""
    for line in repair(Path(args.bag)):
        print(line)
    return 0


def repair(path: Path) -> Iterable[str]:
    """Mends it, and tells what was done; RecordingError where it cannot be, and then all is as before."""
    files = mcap_files(path)
    problems, _ = check_bag(path)
    if not problems:
        yield f"{path} is whole: nothing to do"
        return
    for file in files:
        if Check(file).problems:
            yield _mend(file)
    if path.is_dir():
        checks = [Check(file) for file in files]
        custom = _custom(path, checks) | {"repaired": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"}
        write_whole(path / METADATA, metadata_yaml([check.info for check in checks], _topics(checks), custom))
        for left in [path / RESERVE, *(file for file in path.iterdir() if file.suffix in UNFINISHED)]:
            left.unlink(missing_ok=True)
        yield f"{METADATA} tells what {len(files)} files hold"
    problems, _ = check_bag(path)
    if problems:
        raise RecordingError(f"{path} is still not whole: {problems[0]}")


def _mend(path: Path) -> str:
    """A copy of what can be read takes the file's place."""
    copy = path.with_name(path.name + ".repaired")
    with opened(path) as source:
        size = os.fstat(source.fileno()).st_size
        if free_bytes(path.parent) < size:
            raise RecordingError(f"{path} is copied to be mended, and {path.parent} has no room for {megabytes(size)}")
        copy.unlink(missing_ok=True)
        target = McapFile(copy)
        try:
            left_out = _copy(source, target)
            target.finish()
        finally:
            target.close()
        check = Check(copy)
        if check.problems:
            copy.unlink()
            raise RecordingError(f"{path} cannot be mended: {check.problems[0]}")
        if any(not isinstance(damage, Cut) for damage in left_out):
            damaged = path.with_name(path.name + ".damaged")
            damaged.unlink(missing_ok=True)
            os.link(path, damaged)
        copy.replace(path)
        sync_folder(path.parent)
    said = "; ".join(map(str, left_out)) or "its data is whole"
    return f"{path.name}: {check.message_count} messages in {check.chunk_count} chunks, summary new ({said})"


def _copy(source: BinaryIO, target: McapFile) -> list[Damage]:
    """The data section; what was left out of it."""
    left_out: list[Damage] = []
    for described in _described_in_summary(source):
        _describe(target, described)
    for record, found in _all_that_can_be_read(source, left_out):
        try:
            _copy_record(record, found, target)
        except Damage as damage:
            left_out.append(damage)
    return left_out


def _all_that_can_be_read(source: BinaryIO, left_out: list[Damage]) -> Iterator[tuple[Record, Contents | None]]:
    for record, found in readable(source, left_out):
        if record.opcode == Opcode.DATA_END:
            return
        yield record, found
    for cut in [damage for damage in left_out if isinstance(damage, Cut)]:
        yield from ((record, None) for record in torn_chunk(source, cut.place))


def _copy_record(record: Record, found: Contents | None, target: McapFile) -> None:
    if record.opcode == Opcode.MESSAGE:
        one = message(record)
        _known(target, [one.channel], record)
        target.write(one.channel, one.data, one.log_ns, one.publish_ns, one.sequence)
        return
    parsed = record.parsed()
    if isinstance(parsed, mcap.Schema | mcap.Channel):
        _describe(target, parsed)
    elif isinstance(parsed, mcap.Metadata) and parsed.name != "rosbag2":
        target.add_metadata(parsed.name, parsed.metadata)
    elif isinstance(parsed, mcap.Attachment):
        raise Damage(f"attachment {parsed.name} at byte {record.place} is not copied")
    elif isinstance(parsed, mcap.Chunk):
        for described in found.described:
            _describe(target, described)
        _known(target, found.entries, record)
        if found.entries:
            sizes = parsed.uncompressed_size, parsed.uncompressed_crc
            target.append_chunk([parsed.data], found.entries, parsed.compression, *sizes)


def _describe(target: McapFile, record: mcap.Schema | mcap.Channel) -> None:
    known = target.schemas if isinstance(record, mcap.Schema) else target.channels
    if record.id not in known:
        target.add(record)


def _known(target: McapFile, channels: Iterable[int], record: Record) -> None:
    if unknown := sorted(set(channels) - target.channels.keys()):
        raise Damage(f"messages at byte {record.place} are of channel {unknown[0]}, whose description is lost")


def _described_in_summary(source: BinaryIO) -> list[mcap.Schema | mcap.Channel]:
    """Schemas and channels as the summary repeats them; none where it is not there or not whole."""
    try:
        source.seek(-FOOTER_AND_MAGIC, os.SEEK_END)
        (record,) = walk(source, source.tell())
        footer: mcap.Footer = record.parsed()
        if not footer.summary_crc or footer.summary_crc != crc_of(source, footer.summary_start, record.end - 4):
            return []
        summary = walk(source, footer.summary_start)
        return [record.parsed() for record in summary if record.opcode in (Opcode.SCHEMA, Opcode.CHANNEL)]
    except (OSError, ValueError):  # too short, or damaged
        return []


def _topics(checks: list[Check]) -> list[tuple[Topic, int]]:
    counts, topics = counted(checks), {}
    for check in checks:
        for channel in check.channels.values():
            said, kind = channel.metadata, counts[channel.topic][0]
            qos = _yaml_or_none(said.get("offered_qos_profiles", ""))
            topics.setdefault(channel.topic, Topic(channel.topic, kind, "", said.get("topic_type_hash", ""), qos))
    return [(topic, counts[name][1]) for name, topic in topics.items()]


def _yaml_or_none(text: str) -> str:
    try:
        yaml.safe_load(text)
    except yaml.YAMLError:
        return ""
    return text


def _custom(folder: Path, checks: list[Check]) -> dict[str, str]:
    """custom_data as it was, else what the files say of where they come from and of what was lost."""
    try:
        if said := yaml.safe_load((folder / METADATA).read_text())[ROOT]["custom_data"]:
            return dict(said)
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        pass
    custom = {}
    for _, record in (found for check in checks for found in check.metadata):
        if record.name in (PROVENANCE, LOSSES):
            custom |= record.metadata
    return custom
