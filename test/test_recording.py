"""A recording takes what comes without waiting, gives up the least valuable first, and counts all of it."""

import json
import shutil
import threading
import time
from types import SimpleNamespace

import pytest
import yaml
from recording_bags import (
    CLOUD,
    COLOR,
    DEPTH,
    MINUTE_S,
    PROVENANCE,
    START_NS,
    TF,
    number_of,
    options,
    payload,
    problems,
    read,
    topic,
)

from instance_depth_ros.recording.backlog import Backlog, Item
from instance_depth_ros.recording.recording import Recording
from instance_depth_ros.recording.repair import repair
from instance_depth_ros.recording.space import RecordingError

KB = 1000


def until(true, *, seconds: float = MINUTE_S) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def put(recording: Recording, name: str, numbers, size: int = KB) -> None:
    for number in numbers:
        recording.put(name, payload(number, size), START_NS + number, START_NS + number - 5)


def numbers(path, name: str = COLOR) -> list[int]:
    return [number_of(data) for topic_name, _, data in read(path) if topic_name == name]


class Gate:
    """An encoder that waits until it is opened, as a disk that is too slow; before that it takes one message."""

    def __init__(self):
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, data: bytes) -> bytes:
        self.reached.set()
        assert self.open.wait(MINUTE_S)
        return data


def test_all_that_came_is_in_the_bag_with_provenance_and_counts(memory):
    recording = Recording(memory / "new", options(), PROVENANCE)
    recording.add(topic())
    recording.add(topic(DEPTH))
    put(recording, COLOR, range(50))
    put(recording, DEPTH, range(50, 60))
    recording.lost(DEPTH, "not_received", 3)
    recording.close({"engine": "eager"})
    assert numbers(recording.path) == list(range(50)) and numbers(recording.path, DEPTH) == list(range(50, 60))
    assert recording.problem == "" and problems(recording.path) == []
    said = yaml.safe_load((recording.path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]["custom_data"]
    assert said.items() >= {**PROVENANCE, "engine": "eager"}.items()
    depth = {"received": 10, "written": 10, "lost": {"not_received": 3}}
    assert json.loads(said["counts"]) == {COLOR: {"received": 50, "written": 50, "lost": {}}, DEPTH: depth}
    assert recording.bytes_written == sum(file.stat().st_size for file in recording.path.glob("*.mcap"))


def test_a_backlog_gives_up_the_highest_rank_first_and_never_more_than_it_must():
    backlog, ranks = Backlog(1000), {"color": 0, "estimate": 1, "cloud": 2, "overlay": 3}

    def come(name: str, size: int = 100) -> list[str]:
        return [item.name for item in backlog.put(Item(name, bytes(size), 0, 0, 0, 0.0), ranks[name])]

    for name in ("overlay", "color", "cloud", "estimate", "overlay"):
        assert come(name, 200) == []
    assert come("overlay") == ["overlay"]  # itself: nothing is worth less
    assert come("estimate") == ["overlay"]
    assert come("color", 300) == ["overlay"]
    assert come("color", 200) == ["cloud"]
    assert come("color", 400) == ["color"]  # all that is worth less would not make room for it
    assert come("color", 300) == ["estimate", "estimate"]
    assert come("color", 100) == ["color"] and backlog.bytes == 1000
    assert [len(item.data) for item in backlog.take(10_000)] == [200, 300, 200, 300] and backlog.bytes == 0


def test_when_the_disk_is_too_slow_the_least_valuable_go_first_and_nobody_waits(memory):
    recording, gate = Recording(memory, options(queue_bytes=20 * KB), PROVENANCE), Gate()
    recording.add(topic(COLOR), gate)
    recording.add(topic(CLOUD, rank=2))
    put(recording, COLOR, [0])
    assert gate.reached.wait(MINUTE_S)  # from here on the thread takes nothing more
    put(recording, CLOUD, range(30))
    assert recording.counts[CLOUD].lost == {"queue_full": 10}
    put(recording, COLOR, range(1, 26))
    assert recording.counts[CLOUD].lost == {"queue_full": 30}
    assert recording.counts[COLOR].lost == {"queue_full": 5}
    assert f"{memory} is too slow" in recording.problem and f"{CLOUD} 30, {COLOR} 5" not in recording.problem
    assert f"{COLOR} 5, {CLOUD} 30" in recording.problem
    gate.open.set()
    recording.close()
    assert numbers(recording.path) == list(range(21))
    for counts in recording.counts.values():
        assert counts.received == counts.written + sum(counts.lost.values())


def test_files_split_by_size_by_time_and_when_told(memory):
    for limits, told in (({"split_bytes": 40 * KB}, False), ({"split_s": 0.1}, False), ({}, True)):
        recording = Recording(memory, options(**limits), PROVENANCE)
        recording.add(topic())
        for part in range(3):
            put(recording, COLOR, range(part * 50, part * 50 + 50))
            if told:
                recording.split()
            until(lambda part=part, path=recording.path: len(list(path.glob("*.mcap"))) > part + 1)
        recording.close()
        assert len(list(recording.path.glob("*.mcap"))) >= 4
        assert numbers(recording.path) == list(range(150)) and problems(recording.path) == []


def test_pause_leaves_out_what_comes_meanwhile_but_for_latched_topics(memory):
    recording = Recording(memory, options(), PROVENANCE, paused=True)
    recording.add(topic())
    recording.add(topic(TF))
    put(recording, TF, [7])
    put(recording, COLOR, range(10))
    time.sleep(0.2)
    assert not recording.path.exists()  # nothing is begun without need
    recording.pause(False)
    put(recording, COLOR, range(10, 20))
    until(lambda: recording.bytes_written)
    recording.pause(True)
    put(recording, COLOR, range(20, 30))
    recording.pause(False)
    put(recording, COLOR, range(30, 40))
    recording.close()
    assert numbers(recording.path) == [*range(10, 20), *range(30, 40)] and numbers(recording.path, TF) == [7]
    assert recording.counts[COLOR].lost == {"paused": 20} and not recording.counts[TF].lost


def test_a_recording_that_was_always_paused_makes_no_bag_and_says_what_came(memory):
    recording = Recording(memory, options(), PROVENANCE, paused=True)
    recording.add(topic())
    recording.add(topic(TF))
    put(recording, COLOR, range(3))
    put(recording, TF, [1])
    recording.close()
    assert list(memory.iterdir()) == []
    assert recording.counts[COLOR].lost == {"paused": 3} == {**recording.counts[TF].lost, "paused": 3}


def test_a_snapshot_has_the_last_seconds_and_what_is_latched(memory, monkeypatch):
    now_s = 1000.0
    monkeypatch.setattr("instance_depth_ros.recording.recording.time", SimpleNamespace(monotonic=lambda: now_s))
    recording = Recording(memory, options(ring_s=0.5, ring_bytes=30 * KB), PROVENANCE, paused=True)
    recording.add(topic(COLOR), lambda data: data + b"encoded")
    recording.add(topic(TF))
    with pytest.raises(RecordingError, match="nothing came in the last seconds"):
        recording.snapshot()
    put(recording, TF, [1])
    put(recording, COLOR, range(5))
    now_s += 0.6
    put(recording, COLOR, range(5, 50))
    by_bytes = recording.snapshot()
    now_s += 0.6
    put(recording, COLOR, [50, 51])
    by_time = recording.snapshot()  # in the same second, before the other is written
    recording.close()
    assert numbers(by_bytes) == list(range(20, 50)) and numbers(by_time) == [50, 51]
    for path in (by_bytes, by_time):
        assert numbers(path, TF) == [1] and problems(path) == []
        times = [at for _, at, _ in read(path)]
        assert times[-1] - times[0] < 100  # what is latched does not stretch it
        assert all(data.endswith(b"encoded") for name, _, data in read(path) if name == COLOR)
    assert not recording.path.exists()


def test_a_message_that_cannot_be_encoded_is_counted_and_the_rest_goes_on(memory):
    def encode(data: bytes) -> bytes:
        if number_of(data) % 3 == 0:
            raise ValueError("no picture")
        return data[:8]

    recording = Recording(memory, options(), PROVENANCE)
    recording.add(topic(), encode)
    put(recording, COLOR, range(30))
    recording.close()
    assert numbers(recording.path) == [number for number in range(30) if number % 3]
    assert all(len(data) == 8 for _, _, data in read(recording.path))
    assert recording.counts[COLOR].lost == {"invalid": 10} and recording.counts[COLOR].written == 20


def test_what_comes_is_in_the_file_soon_and_the_minutes_are_told(memory):
    recording = Recording(memory, options(flush_s=0.2), PROVENANCE)
    recording.add(topic())
    assert recording.minutes_left is None and recording.free_bytes > 0
    for number in range(3):
        put(recording, COLOR, [number])
        until(lambda number=number: recording.counts[COLOR].written == number + 1)
    until(lambda: recording.minutes_left)
    assert recording.disk_bytes_per_s > 0
    recording.close()
    put(recording, COLOR, [3])
    assert recording.counts[COLOR].lost == {"closed": 1}


def test_what_becomes_known_later_is_in_a_bag_that_is_never_closed(memory):
    recording = Recording(memory, options(flush_s=0.1), PROVENANCE)
    recording.add(topic())
    put(recording, COLOR, [0])
    until(lambda: recording.counts[COLOR].written)
    recording.note({"intrinsics": "fx 600"})
    recording.lost(COLOR, "not_received", 2)
    put(recording, COLOR, [1])
    until(lambda: recording.counts[COLOR].written == 2)
    killed = shutil.copytree(recording.path, memory / "killed")
    list(repair(killed))
    said = yaml.safe_load((killed / "metadata.yaml").read_text())["rosbag2_bagfile_information"]["custom_data"]
    assert said.items() >= {**PROVENANCE, "intrinsics": "fx 600"}.items() and said["repaired"]
    assert json.loads(said["counts"])[COLOR]["lost"] == {"not_received": 2} and numbers(killed) == [0, 1]
    recording.close()
    assert problems(recording.path) == []


def test_limits_act_while_it_records(memory):
    recording, gate = Recording(memory, options(queue_bytes=10 * KB), PROVENANCE), Gate()
    recording.add(topic(), gate)
    put(recording, COLOR, [0])
    assert gate.reached.wait(MINUTE_S)
    put(recording, COLOR, range(1, 21))
    assert recording.counts[COLOR].lost == {"queue_full": 10}
    recording.limit(options(queue_bytes=20 * KB, ring_s=MINUTE_S))
    put(recording, COLOR, range(21, 31))
    gate.open.set()
    snapshot = recording.snapshot()
    recording.close()
    assert numbers(recording.path) == [*range(11), *range(21, 31)] and numbers(snapshot) == list(range(21, 31))
    assert recording.ended == "closed"


def test_two_recordings_of_one_second_have_two_names(memory):
    recordings = [Recording(memory, options(), PROVENANCE, name="front") for _ in range(2)]
    for recording in recordings:
        recording.add(topic())
        put(recording, COLOR, [1])
    for recording in recordings:
        recording.close()
        assert numbers(recording.path) == [1]
    assert len({recording.path for recording in recordings}) == 2 and "front" in recording.path.name
