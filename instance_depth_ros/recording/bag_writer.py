"""A rosbag2 bag as it is written: NAME/NAME_0.mcap, NAME_1.mcap, ... and metadata.yaml, which comes last."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .mcap_file import CHUNK_BYTES, McapFile
from .metadata import METADATA, FileInfo, metadata_yaml

PROVENANCE, LOSSES = "provenance", "losses"  # MCAP Metadata records of each file
RESERVE = ".reserve"
RESERVE_BYTES = 4 << 20  # of the disk, kept for summary and metadata.yaml when it is full


@dataclass(frozen=True)
class Topic:
    """A topic as a bag knows it.

    name: with its leading slash. type: such as sensor_msgs/msg/Image. definition: full ros2msg text, dependencies
    included. type_hash: RIHS01_... qos: offered_qos_profiles, YAML as rosbag2 has it since version 9 of its metadata.
    rank: the higher, the earlier its messages are given up when the disk is too slow.
    """

    name: str
    type: str
    definition: str
    type_hash: str = ""
    qos: str = ""
    rank: int = 0

    @property
    def latched(self) -> bool:
        """Whether a late reader still wants its messages, such as those of /tf_static."""
        return "transient_local" in self.qos


class BagWriter:
    """A new bag, in a folder that does not exist yet; after an OSError close() saves what there is.

    written: messages in the files by topic, without those of the pending chunk. bytes: of all files.
    """

    def __init__(
        self, path: Path, provenance: Mapping[str, str], compression: str = "none", chunk_bytes: int = CHUNK_BYTES
    ):
        path.mkdir(parents=True)
        self.path, self.provenance = path, dict(provenance)
        self.topics: dict[str, Topic] = {}
        self._made = compression, chunk_bytes
        self._done: list[FileInfo] = []
        self._done_counts, self._done_bytes = Counter(), 0
        self._file: McapFile | None = None
        self._reserve()
        self._open()

    @property
    def written(self) -> Counter[str]:
        return self._done_counts + Counter(self._counts())

    @property
    def bytes(self) -> int:
        return self._done_bytes + self.file_bytes

    @property
    def file_bytes(self) -> int:
        """Of the file that is being written, the pending chunk included."""
        return self._file.size + self._file.pending if self._file else 0

    def add(self, topic: Topic) -> None:
        self.topics[topic.name] = topic
        self._add(topic)

    def write(self, name: str, data: bytes, received_ns: int, source_ns: int, sequence: int = 0) -> None:
        """received_ns becomes the log time, source_ns the publish time."""
        self._file.write(self._ids[name], data, received_ns, source_ns, sequence)

    def note(self, name: str, values: Mapping[str, str]) -> None:
        """A Metadata record of the file, which outlives a crash."""
        self._file.add_metadata(name, values)

    def sync(self) -> None:
        """What was written until now outlives a kill, and on a disk that keeps its word a loss of power."""
        if self._file:  # a split may have failed in between
            self._file.sync()

    def split(self) -> None:
        """The file is finished, and the next begun."""
        self._finish_file()
        self._open()

    def close(self, custom: Mapping[str, str] | None = None) -> None:
        """All is finished; custom: more of custom_data, which begins with the provenance. OSError: it was not."""
        (self.path / RESERVE).unlink(missing_ok=True)
        self.provenance |= custom or {}
        if self._file:
            try:
                self._finish_file()
            except OSError:
                self._file.close()
                raise
        counts = [(topic, self._done_counts[name]) for name, topic in self.topics.items()]
        write_whole(self.path / METADATA, metadata_yaml(self._done, counts, self.provenance))

    def _open(self) -> None:
        name = f"{self.path.name}_{len(self._done)}.mcap"
        self._file, self._ids = McapFile(self.path / name, *self._made), {}
        sync_folder(self.path)
        self._file.add_metadata(PROVENANCE, self.provenance)
        for topic in self.topics.values():
            self._add(topic)

    def _add(self, topic: Topic) -> None:
        metadata = {"offered_qos_profiles": topic.qos, "topic_type_hash": topic.type_hash}
        self._ids[topic.name] = self._file.add_channel(topic.name, topic.type, topic.definition, metadata)

    def _finish_file(self) -> None:
        file = self._file
        file.end_chunk()
        counts = self._counts()
        info = FileInfo(file.path.name, file.start_ns, file.end_ns, sum(counts.values()))
        # rosbag2 reads a file that stands alone by its own copy of metadata.yaml.
        rows = [(topic, counts.get(name, 0)) for name, topic in self.topics.items()]
        file.add_metadata("rosbag2", {"serialized_metadata": metadata_yaml([info], rows, self.provenance, whole=False)})
        file.finish()
        self._done.append(info)
        self._done_counts.update(counts)
        self._done_bytes += file.size
        self._file, self._ids = None, {}

    def _counts(self) -> dict[str, int]:
        return {name: self._file.counts[channel] for name, channel in self._ids.items()}

    def _reserve(self) -> None:
        with suppress(OSError):  # a disk without so much room is refused elsewhere
            file = os.open(self.path / RESERVE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, RESERVE_BYTES)
            finally:
                os.close(file)


def write_whole(path: Path, text: str) -> None:
    """A file that is there as a whole or as it was before."""
    part = path.with_name(path.name + ".part")
    with open(part, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """What was made or renamed in it stays so after a loss of power."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
