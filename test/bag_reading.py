"""What is in a bag, by the package mcap: message by message as bytes, with both of its times."""

from pathlib import Path
from typing import NamedTuple

import yaml
from mcap.reader import make_reader


class Recorded(NamedTuple):
    topic: str
    data: bytes
    log_ns: int
    publish_ns: int


def files(bag: Path) -> list[Path]:
    return sorted(bag.glob("*.mcap"), key=lambda path: int(path.stem.rpartition("_")[2]))


def recorded(bag: Path) -> list[Recorded]:
    """All messages, file by file in the order of their log times."""
    found = []
    for path in files(bag):
        with open(path, "rb") as file:
            rows = make_reader(file, validate_crcs=True).iter_messages()
            found += [Recorded(c.topic, bytes(m.data), m.log_time, m.publish_time) for _, c, m in rows]
    return found


def of_topic(bag: Path, topic: str) -> list[bytes]:
    return [row.data for row in recorded(bag) if row.topic == topic]


def schemas(bag: Path) -> dict[str, tuple[str, str]]:
    """Of each topic its type and the text of its definition."""
    with open(files(bag)[0], "rb") as file:
        summary = make_reader(file).get_summary()
    kinds = summary.schemas
    return {c.topic: (kinds[c.schema_id].name, kinds[c.schema_id].data.decode()) for c in summary.channels.values()}


def metadata(bag: Path) -> dict:
    return yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
