"""metadata.yaml of rosbag2, version 9 (Jazzy and later): what a bag holds, without opening its files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import yaml

if TYPE_CHECKING:
    from .bag_writer import Topic

METADATA = "metadata.yaml"
VERSION = 9
ROOT = "rosbag2_bagfile_information"


class FileInfo(NamedTuple):
    """A file of a bag: its name, log times of its first and last message in nanoseconds, and how many there are."""

    name: str
    start_ns: int
    end_ns: int
    messages: int


def metadata_yaml(
    files: Sequence[FileInfo], topics: Iterable[tuple[Topic, int]], custom: Mapping[str, str], whole: bool = True
) -> str:
    """The text. topics: with their counts; custom: custom_data, of which ros_distro is known to rosbag2.

    whole: as the file; else without its root, as a file of the bag carries it.
    """
    filled = [file for file in files if file.messages]
    start = min((file.start_ns for file in filled), default=0)
    end = max((file.end_ns for file in filled), default=0)
    information = {
        "version": VERSION,
        "storage_identifier": "mcap",
        **_times(start, end),
        "message_count": sum(file.messages for file in files),
        "topics_with_message_count": [_topic(topic, count) for topic, count in topics],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file.name for file in files],
        "files": [
            {"path": file.name, **_times(file.start_ns, file.end_ns), "message_count": file.messages} for file in files
        ],
        "custom_data": dict(custom) or None,
        "ros_distro": custom.get("ros_distro", ""),
    }
    return yaml.safe_dump({ROOT: information} if whole else information, sort_keys=False, allow_unicode=True)


def _times(start_ns: int, end_ns: int) -> dict:
    return {"duration": {"nanoseconds": end_ns - start_ns}, "starting_time": {"nanoseconds_since_epoch": start_ns}}


def _topic(topic: Topic, count: int) -> dict:
    metadata = {
        "name": topic.name,
        "type": topic.type,
        "serialization_format": "cdr",
        "offered_qos_profiles": yaml.safe_load(topic.qos) or [],
        "type_description_hash": topic.type_hash,
    }
    return {"topic_metadata": metadata, "message_count": count}
