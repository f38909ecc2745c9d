"""Disks that are full, break or may not be written: what was written stays whole, and one line says what to do."""

import multiprocessing
import os
import resource
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from recording_bags import COLOR, PROVENANCE, number_of, options, problems, read, topic
from test_recording import put, until

from instance_depth_ros.recording.recording import Recording
from instance_depth_ros.recording.repair import repair
from instance_depth_ros.recording.space import RecordingError

MB = 1 << 20


@contextmanager
def small_disk(size: int):
    """A file system of its own, of so many bytes."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("only root may mount a file system of limited size")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def is_prefix_of_what_came(recording: Recording) -> bool:
    found = [number_of(data) for _, _, data in read(recording.path)]
    counts = recording.counts[COLOR]
    assert counts.received == counts.written + sum(counts.lost.values()) and counts.written == len(found)
    return found == list(range(len(found)))


def test_a_disk_that_is_nearly_full_ends_the_recording_with_the_bag_closed():
    with small_disk(64 * MB) as disk:
        recording = Recording(disk, options(least_free_bytes=24 * MB), PROVENANCE)
        recording.add(topic())
        for number in range(100):
            put(recording, COLOR, [number], MB)
            until(lambda number=number: recording.problem or recording.bytes_written >= number * MB)
        assert f"{disk} is nearly full: the bag {recording.path.name} was closed" in recording.problem
        until(lambda: (recording.path / "metadata.yaml").exists())  # without close()
        recording.close()
        assert recording.free_bytes > 10 * MB and recording.counts[COLOR].lost["disk_full"] > 0
        assert problems(recording.path) == [] and is_prefix_of_what_came(recording)


def test_a_disk_that_is_full_costs_nothing_that_was_written():
    with small_disk(32 * MB) as disk:
        recording = Recording(disk, options(least_free_bytes=1), PROVENANCE)
        recording.add(topic())
        (disk / "of others").write_bytes(bytes(8 * MB))
        for number in range(60):
            put(recording, COLOR, [number], MB)
            until(lambda number=number: recording.problem or recording.bytes_written >= number * MB)
        recording.close()
        assert "No space left on device" in recording.problem and "what came before is kept" in recording.problem
        assert recording.counts[COLOR].lost["write_failed"] > 0 and recording.counts[COLOR].written >= 8
        assert problems(recording.path) == [] and is_prefix_of_what_came(recording)


def test_a_disk_without_room_is_refused_before_anything_is_recorded(tmp_path):
    with pytest.raises(RecordingError, match="MB are free, and .* are to stay free; make room or choose"):
        Recording(tmp_path, options(least_free_bytes=1 << 60), PROVENANCE)
    assert list(tmp_path.iterdir()) == []


def _write_until_nothing_is_taken(folder: str, said) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    recording = Recording(Path(folder), options(flush_s=0.01), PROVENANCE)
    recording.add(topic())
    put(recording, COLOR, range(20))
    until(lambda: recording.counts[COLOR].written == 20)
    (file,) = recording.path.glob("*.mcap")
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size,) * 2)
    put(recording, COLOR, range(20, 40))
    until(lambda: recording.ended)
    put(recording, COLOR, range(40, 50))
    recording.close()
    said.put((recording.path, recording.problem, recording.counts[COLOR]))


def test_a_disk_that_takes_nothing_any_more_is_said_and_what_came_before_can_be_mended(memory):
    """A limit on the size of files is a disk that fails, for all that a program sees of it."""
    path, problem, counts = in_a_child(_write_until_nothing_is_taken, str(memory))
    assert "File too large" in problem and "instance-depth dataset repair mends it" in problem
    assert (counts.received, counts.written, counts.lost) == (50, 20, {"write_failed": 30})
    list(repair(path))
    assert problems(path) == [] and [number_of(data) for _, _, data in read(path)] == list(range(20))


def _as_nobody(folder: str, said) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    lines = []
    for place in (Path(folder), Path(folder) / "new"):
        try:
            Recording(place, options(), PROVENANCE)
        except RecordingError as error:
            lines.append(str(error))
    said.put(lines)


def test_an_unprivileged_user_is_told_of_a_folder_that_may_not_be_written():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        lines = in_a_child(_as_nobody, folder)
    told = "cannot record into {}: Permission denied; choose another folder"
    assert lines == [told.format(folder), told.format(f"{folder}/new")]


def in_a_child(work, folder: str):
    """What it says."""
    forks = multiprocessing.get_context("fork")
    said = forks.Queue()
    child = forks.Process(target=work, args=(folder, said))
    child.start()
    told = said.get(timeout=120)
    child.join(120)
    return told
