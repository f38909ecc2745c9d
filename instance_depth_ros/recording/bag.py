"""A ROS 2 bag read message by message, without ROS: MCAP and sqlite3, by the packages rosbags and mcap."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path

from ..picture_files import natural

INSTALL = 'pip install "instance_depth_ros[replay]"'
SUFFIXES = (".mcap", ".db3")
METADATA = "metadata.yaml"
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
log = logging.getLogger(__name__)


class BagError(RuntimeError):
    """A bag that cannot be read, or lacks what is asked for; the message names it and the way out."""


class Bag:
    """A folder with metadata.yaml, or .mcap and .db3 files without one; to be closed.

    topics: name -> message type. Nothing but an index is held in memory. BagError names what cannot be read.
    """

    def __init__(self, path: Path):
        self._types = typestore()
        self.path, self._parts = path, _open(path)
        self.topics = {topic: kind for part in self._parts for topic, kind in part.topics.items()}

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, object | None]]:
        """(topic, message) in the order of recording; None for one that is damaged. BagError where the bag is."""
        for part in self._parts:
            try:
                for topic, data in part.raw(topics):
                    yield topic, self._decoded(data, part.topics[topic])
            except Exception as error:  # each storage and each compression raises its own
                raise BagError(f"{part.path} broke off: {_reason(error)}") from error

    def first(self, topic: str):
        """The first message of a topic that is not damaged; None where there is none."""
        return next((message for _, message in self.messages([topic]) if message is not None), None)

    def close(self) -> None:
        for part in self._parts:
            part.close()

    def _decoded(self, data: bytes, kind: str):
        try:
            return self._types.deserialize_cdr(data, kind)
        except Exception:  # damage shows itself as one of many kinds
            return None


@lru_cache(maxsize=1)
def typestore():
    """What reads and writes serialised messages of the usual types, by rosbags."""
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError:
        raise BagError(f"bags need the package rosbags: {INSTALL}") from None
    # Images and CameraInfo are the same in every distribution, so bags without definitions are read as well.
    return get_typestore(Stores.ROS2_HUMBLE)


def bag_files(path: Path) -> list[Path]:
    """The .mcap and .db3 files of a bag in the order of recording; BagError where there is none."""
    files = [path] if path.is_file() else [file for file in path.glob("*") if file.suffix in SUFFIXES]
    if not files:
        raise BagError(f"{path} is no bag: it has no file {' or '.join(SUFFIXES)}")
    return sorted(files, key=natural)


def is_bag(path: Path) -> bool:
    """Whether a folder or file looks like a bag; it is not opened."""
    return path.suffix in SUFFIXES if path.is_file() else any(file.suffix in SUFFIXES for file in path.glob("*"))


def _open(path: Path) -> list[_Whole | _Cut]:
    """The bag as one; else, where metadata.yaml is missing or says what is not so, each of its files by itself."""
    if not (path / METADATA).is_file():
        return [_open_file(file) for file in bag_files(path)]
    try:
        return [_Whole(path)]
    except Exception as error:  # of metadata, storage or compression
        if not is_bag(path):
            raise BagError(f"{path} cannot be read: {_reason(error)}") from error
        log.warning("%s: %s; its files are read one by one", path, _reason(error))
        return [_open_file(file) for file in bag_files(path)]


def _open_file(path: Path) -> _Whole | _Cut:
    try:
        return _Whole(path)
    except Exception as error:
        if path.suffix == ".mcap" and (cut := _Cut(path)).topics:
            log.warning("%s has no index (%s): it is read from the front, as far as it goes", path, _reason(error))
            return cut
        mend = f"; sqlite3 {path} .recover may save some of it" if path.suffix == ".db3" else ""
        raise BagError(f"{path} cannot be read: {_reason(error)}{mend}") from error


class _Whole:
    """A bag or a file of one with its index, by rosbags."""

    def __init__(self, path: Path):
        from rosbags.rosbag2 import Reader

        self.path, self._reader = path, Reader(path)
        self._reader.open()
        self.topics = {connection.topic: connection.msgtype for connection in self._reader.connections}

    def raw(self, topics: Collection[str]) -> Iterator[tuple[str, bytes]]:
        # None asked for would be all.
        if wanted := [connection for connection in self._reader.connections if connection.topic in topics]:
            for connection, _, data in self._reader.messages(wanted):
                yield connection.topic, data

    def close(self) -> None:
        self._reader.close()


class _Cut:
    """An MCAP file without its index, chunk by chunk from the front, by mcap; the topics cost a pass of their own."""

    def __init__(self, path: Path):
        try:
            import mcap.stream_reader  # noqa: F401 - said here, lest it look like damage
        except ImportError:
            raise BagError(f"{path} was cut, and needs the package mcap: {INSTALL}") from None
        self.path, self._names = path, {}
        self.topics = {}
        for _ in self._messages():
            pass

    def raw(self, topics: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for message in self._messages():
            if (topic := self._names.get(message.channel_id)) in topics:
                yield topic, message.data

    def close(self) -> None:
        """Nothing is held open between two passes."""

    def _messages(self) -> Iterator:
        """Those in the order of recording within each chunk; notes channels on the way."""
        from mcap.records import Channel, Chunk, Message, Schema
        from mcap.stream_reader import StreamReader, breakup_chunk

        schemas = {}
        with open(self.path, "rb") as file:
            records = iter(StreamReader(file, emit_chunks=True).records)
            while True:
                try:
                    record = next(records)
                    found = breakup_chunk(record, validate_crc=True) if isinstance(record, Chunk) else [record]
                except Exception:  # the end that was cut off, or what is behind the first damage
                    return
                for record in found:
                    if isinstance(record, Schema):
                        schemas[record.id] = record.name
                    elif isinstance(record, Channel) and record.message_encoding == "cdr":
                        self._names[record.id] = record.topic
                        self.topics[record.topic] = schemas.get(record.schema_id, "")
                yield from sorted((m for m in found if isinstance(m, Message)), key=lambda m: m.log_time)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
