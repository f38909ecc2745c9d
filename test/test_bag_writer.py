"""Bags are what rosbags and mcap open: the same bytes, definitions, QoS and times; nothing waits for a full chunk."""

import pytest
import yaml
from recording_bags import (
    CLOUD,
    COLOR,
    DEPTH,
    PROVENANCE,
    START_NS,
    TF,
    payload,
    problems,
    qos,
    read,
    read_files,
    topic,
)

from instance_depth_ros.recording.bag_writer import BagWriter
from instance_depth_ros.recording.reading import Cut, walk

MB = 1 << 20
ROWS = [(COLOR, 300_000), (DEPTH, 200_000), (COLOR, 300_000), (CLOUD, 5 * MB), (DEPTH, 10), (COLOR, 0), (TF, 90)]


def write(path, rows=ROWS, split_before=(), **made):
    """Bag of (topic, size); message i is received at START_NS + i, and its source says 1000 ns before."""
    bag = BagWriter(path, PROVENANCE, **made)
    for name in dict.fromkeys(name for name, _ in rows):
        bag.add(topic(name))
    for number, (name, size) in enumerate(rows):
        if number in split_before:
            bag.split()
        bag.write(name, payload(number, size), START_NS + number, START_NS + number - 1000, number)
    bag.close({"late": "1"})
    return path


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("split_before", [(), (2, 3)])
def test_a_bag_is_read_by_rosbags_and_mcap_as_it_was_given(memory, compression, split_before):
    path = write(memory / "bag", split_before=split_before, compression=compression, chunk_bytes=MB)
    given = [(name, START_NS + i, payload(i, size)) for i, (name, size) in enumerate(ROWS)]
    assert read(path) == given
    found = read_files(path)
    assert [(name, m.log_time, m.data) for name, m in found] == given
    assert [m.publish_time for _, m in found] == [at - 1000 for _, at, _ in given]
    assert [m.sequence for _, m in found] == list(range(len(given)))
    assert problems(path) == []
    files = sorted(file.name for file in path.iterdir())
    assert files == [*(f"bag_{i}.mcap" for i in range(len(split_before) + 1)), "metadata.yaml"]


def test_a_bag_says_what_it_holds_and_where_it_comes_from(memory):
    from mcap.reader import make_reader
    from rosbags.rosbag2 import Reader

    path = write(memory / "bag", split_before=(3,))
    with Reader(path) as reader:
        connections = {connection.topic: connection for connection in reader.connections}
        assert reader.message_count == len(ROWS) and reader.duration == len(ROWS)
    for name, connection in connections.items():
        asked = topic(name)
        assert (connection.msgtype, connection.digest) == (asked.type, asked.type_hash)
        assert connection.msgdef.data == asked.definition
        assert connection.msgcount == sum(row[0] == name for row in ROWS)
        (profile,) = connection.ext.offered_qos_profiles
        assert profile.durability.name.lower() == ("transient_local" if name == TF else "volatile")
    said = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert [file["message_count"] for file in said["files"]] == [3, len(ROWS) - 3]
    assert said["custom_data"] == {**PROVENANCE, "late": "1"} and said["ros_distro"] == "jazzy"
    with open(path / "bag_1.mcap", "rb") as stream:
        reader = make_reader(stream)
        notes = {record.name: record.metadata for record in reader.iter_metadata()}
        summary = reader.get_summary()
    # each file says it all, for who takes one away
    assert PROVENANCE.items() <= notes["provenance"].items()
    alone = yaml.safe_load(notes["rosbag2"]["serialized_metadata"])
    assert alone["version"] == 9 and alone["relative_file_paths"] == ["bag_1.mcap"]
    assert {channel.topic for channel in summary.channels.values()} == {COLOR, DEPTH, CLOUD, TF}
    assert all(schema.encoding == "ros2msg" for schema in summary.schemas.values())
    channel = next(channel for channel in summary.channels.values() if channel.topic == TF)
    assert channel.metadata["topic_type_hash"].startswith("RIHS01_")
    assert yaml.safe_load(channel.metadata["offered_qos_profiles"])[0]["durability"] == "transient_local"


def test_a_bag_without_messages_is_one(memory):
    bag = BagWriter(memory / "bag", PROVENANCE)
    bag.add(topic(COLOR, qos=qos("best_effort")))
    bag.close()
    assert read(memory / "bag") == [] and problems(memory / "bag") == []


def test_what_is_synced_is_in_the_file_and_a_full_chunk_is_not_waited_for(memory):
    bag = BagWriter(memory / "bag", {})
    bag.add(topic())

    def chunks() -> int:
        count = 0
        with open(memory / "bag/bag_0.mcap", "rb") as file, pytest.raises(Cut):
            for record in walk(file):
                count += record.opcode == 6
        return count

    for number in range(3):
        bag.write(COLOR, payload(number), START_NS, START_NS)
        assert chunks() == number
        bag.sync()
        assert chunks() == number + 1 and bag.written[COLOR] == number + 1
    bag.sync()  # nothing new, no empty chunk
    assert chunks() == 3
    bag.close()


def test_a_topic_that_comes_late_is_in_its_file_and_the_next(memory):
    bag = BagWriter(memory / "bag", {})
    bag.add(topic())
    bag.write(COLOR, payload(0), START_NS, START_NS)
    bag.add(topic(TF))
    bag.write(TF, payload(1), START_NS + 1, START_NS + 1)
    bag.split()
    bag.write(TF, payload(2), START_NS + 2, START_NS + 2)
    bag.close()
    assert [name for name, _, _ in read(memory / "bag")] == [COLOR, TF, TF]
    assert problems(memory / "bag") == []


def test_a_bag_never_overwrites_another(memory):
    write(memory / "bag")
    with pytest.raises(FileExistsError):
        BagWriter(memory / "bag", {})
    assert problems(memory / "bag") == []
