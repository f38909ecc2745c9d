"""A bag that was killed, cut or damaged: verify names what is wrong, repair saves what can be read and nothing else."""

import os
import random
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from recording_bags import COLOR, DEPTH, PROVENANCE, START_NS, number_of, payload, problems, read, read_files, topic

from instance_depth_ros.cli import main
from instance_depth_ros.recording import repair as mending
from instance_depth_ros.recording.bag_writer import BagWriter
from instance_depth_ros.recording.layout import Opcode
from instance_depth_ros.recording.reading import walk
from instance_depth_ros.recording.repair import repair
from instance_depth_ros.recording.space import RecordingError

KILLS = int(os.environ.get("RECORDER_KILLS", 10))
TOGETHER = 5
FLUSH_S, TICK_S = 1.0, 0.005
CHILD = """
import os, struct, sys, time
from pathlib import Path
from instance_depth_ros.recording.bag_writer import Topic
from instance_depth_ros.recording.recording import Options, Recording
options = Options(queue_bytes=1 << 28, flush_s=float(sys.argv[2]), least_free_bytes=1 << 20, split_s=0.4)
recording = Recording(Path(sys.argv[1]), options, {"serial": "f1234"})
recording.add(Topic("/log", "std_msgs/msg/String", "string data"))
told = os.open(sys.argv[1] + "/told", os.O_WRONLY | os.O_CREAT)
print("ready", flush=True)
for number in range(1_000_000):
    data = bytes(4) + number.to_bytes(4, "little") + os.urandom(1 << number % 16)
    os.write(told, struct.pack("<d", time.monotonic()))
    recording.put("/log", data, time.time_ns(), 0)
    time.sleep(float(sys.argv[3]))
"""


def bag(path: Path, compression: str = "none") -> Path:
    """Three chunks of two topics in each of two files, and a note in between."""
    writer = BagWriter(path, PROVENANCE, compression)
    for name in (COLOR, DEPTH):
        writer.add(topic(name))
    for number in range(24):
        if number == 12:
            writer.split()
        writer.write((COLOR, DEPTH)[number % 2], payload(number), START_NS + number, START_NS + number)
        if number % 4 == 3:
            writer.sync()
            writer.note("losses", {"counts": "{}"})
    writer.close({"counts": "{}"})
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = bag(tmp_path_factory.mktemp("whole") / "bag")
    assert problems(path) == []
    return path


@pytest.fixture
def broken(whole, memory):
    """A copy to be broken."""
    return Path(shutil.copytree(whole, memory / "bag"))


def places(file: Path) -> dict[str, list[tuple[int, int]]]:
    """By kind of record where each begins and ends; those behind the end of the data are called summary_..."""
    found, prefix = {"magic": [(0, 8)]}, ""
    with open(file, "rb") as stream:
        for record in walk(stream):
            found.setdefault(prefix + Opcode(record.opcode).name.lower(), []).append((record.place, record.end))
            prefix = prefix or ("summary_" if record.opcode == Opcode.DATA_END else "")
    found["last_magic"] = [(record.end, record.end + 8)]
    return found


KINDS = {
    *("magic", "header", "schema", "channel", "metadata", "chunk", "message_index", "data_end", "last_magic"),
    *(f"summary_{name}" for name in ("schema", "channel", "statistics", "chunk_index", "metadata_index")),
    *("summary_summary_offset", "summary_footer"),
}


def test_a_bag_cut_at_every_kind_of_place_is_mended(whole, memory):
    file = whole / "bag_1.mcap"
    kinds = places(file)
    assert kinds.keys() == KINDS
    cuts = {at for found in kinds.values() for start, end in found[-1:] for at in (start, (start + end) // 2, end)}
    cuts.remove(file.stat().st_size)
    for cut in sorted(cuts):
        path = memory / f"cut_{cut}" / "bag"
        shutil.copytree(whole, path)
        os.truncate(path / file.name, cut)
        if cut % 2:
            (path / "metadata.yaml").unlink()
        assert any(line.startswith(f"{file.name}: ") for line in problems(path)), cut
        list(repair(path))
        assert problems(path) == [], cut
        # Whole messages of 1000 bytes behind heads of 31, from the 49 bytes of a chunk's head on.
        kept = 12 + sum(min(4, max(0, cut - start - 49) // 1031) for start, _ in kinds["chunk"])
        assert [data for _, _, data in read(path)] == [payload(number) for number in range(kept)], cut
        assert [m.log_time - START_NS for _, m in read_files(path)] == list(range(kept)), cut
        said = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        assert said["message_count"] == kept and PROVENANCE.items() <= said["custom_data"].items()
        profiles = {row["topic_metadata"]["name"]: row["topic_metadata"] for row in said["topics_with_message_count"]}
        assert profiles[COLOR]["type_description_hash"] == topic().type_hash
        assert profiles[COLOR]["offered_qos_profiles"] == yaml.safe_load(topic().qos)
        assert sorted(f.name for f in path.iterdir()) == ["bag_0.mcap", "bag_1.mcap", "metadata.yaml"]


# No CRC covers the header and the notes.
@pytest.mark.parametrize("kind", sorted(KINDS - {"magic", "header", "metadata"}))
def test_a_flipped_bit_in_every_kind_of_record_is_named_and_costs_no_more_than_its_chunk(broken, kind):
    file = broken / "bag_0.mcap"
    start, end = places(file)[kind][-1]
    content = bytearray(file.read_bytes())
    content[(start + end) // 2] ^= 16
    file.write_bytes(content)
    assert any(line.startswith("bag_0.mcap: ") for line in problems(broken))
    list(repair(broken))
    assert problems(broken) == []
    lost = {8, 9, 10, 11} if kind == "chunk" else set()
    assert [number_of(data) for _, _, data in read(broken)] == [n for n in range(24) if n not in lost]
    kept = broken / "bag_0.mcap.damaged"
    if lost:
        assert kept.read_bytes() == content  # more than a torn end was left out


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("length", [0, 1 << 60, None])
def test_chunks_behind_a_damaged_length_are_found_again(memory, length, compression):
    path = bag(memory / "bag", compression)
    file = path / "bag_0.mcap"
    (first, _), (start, end), (last, _) = places(file)["chunk"]
    content = bytearray(file.read_bytes())
    content[start + 1 : start + 9] = struct.pack("<Q", last + 50 - start if length is None else length)
    file.write_bytes(content)
    assert any(f"byte {start}" in line for line in problems(path))
    list(repair(path))
    assert [number_of(data) for _, _, data in read(path)] == [*range(4), *range(8, 24)]


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda said: said.update(message_count=23), "says of the bag"),
        (lambda said: said["relative_file_paths"].pop(), "does not name bag_1.mcap"),
        (lambda said: said["relative_file_paths"].append("bag_2.mcap"), "names bag_2.mcap, which is not there"),
        (lambda said: said["files"][1].update(message_count=11), "says of bag_1.mcap"),
        (lambda said: said["topics_with_message_count"][0].update(message_count=1), f"says of {COLOR}"),
        (lambda said: said.pop("files"), "cannot be read"),
    ],
)
def test_metadata_that_does_not_fit_is_named_and_made_new(broken, change, named, capsys):
    document = yaml.safe_load((broken / "metadata.yaml").read_text())
    change(document["rosbag2_bagfile_information"])
    (broken / "metadata.yaml").write_text(yaml.safe_dump(document))
    files = {file: file.stat().st_ino for file in broken.glob("*.mcap")}
    assert main(["dataset", "verify", str(broken)]) == 1
    assert f"metadata.yaml: {named}" in capsys.readouterr().out
    assert main(["dataset", "repair", str(broken)]) == 0
    assert main(["dataset", "verify", str(broken)]) == 0 and "no problems" in capsys.readouterr().out
    assert {file: file.stat().st_ino for file in broken.glob("*.mcap")} == files  # whole ones are left alone
    assert main(["dataset", "repair", str(broken)]) == 0 and "nothing to do" in capsys.readouterr().out


def test_a_single_file_is_checked_and_mended_by_itself(broken, capsys):
    file = broken / "bag_0.mcap"
    os.truncate(file, file.stat().st_size - 10)
    assert main(["dataset", "verify", str(file)]) == 1 and "ends at byte" in capsys.readouterr().out
    assert main(["dataset", "repair", str(file)]) == 0
    assert main(["dataset", "verify", str(file)]) == 0 and "12 messages" in capsys.readouterr().out


def test_where_a_copy_is_not_whole_the_damaged_one_stays(broken, monkeypatch):
    file = broken / "bag_0.mcap"
    os.truncate(file, file.stat().st_size - 10)
    before = file.read_bytes()

    class Failing(mending.McapFile):
        def finish(self):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(mending, "McapFile", Failing)
    with pytest.raises(OSError, match="No space"):
        list(repair(broken))
    assert file.read_bytes() == before
    monkeypatch.undo()
    list(repair(broken))
    assert problems(broken) == [] and len(read(broken)) == 24


def test_a_bag_that_is_being_written_is_left_alone(memory):
    writer = BagWriter(memory / "bag", {})
    for work in (problems, lambda path: list(repair(path))):
        with pytest.raises(RecordingError, match="is being written; stop the recorder first"):
            work(memory / "bag")
    writer.close()
    assert problems(memory / "bag") == []


def test_what_is_no_bag_is_said(memory, capsys):
    for path in (memory, memory / "missing.mcap"):
        assert main(["dataset", "verify", str(path)]) == 1
        assert f"{path} is no bag in MCAP" in capsys.readouterr().err


def test_kills_at_random_moments_cost_no_more_than_the_flush_interval(memory):
    moments, most, oldest_s = random.Random(0), 0, 0.0
    for first in range(0, KILLS, TOGETHER):
        folders = [memory / str(kill) for kill in range(first, min(first + TOGETHER, KILLS))]
        children, killed_s = [killable(folder) for folder in folders], []
        for child in children:
            assert child.stdout.readline() == b"ready\n"
        for child in children:
            time.sleep(moments.uniform(0.05, 0.6))
            killed_s.append(time.monotonic())
            child.kill()
        for folder, child, moment_s in zip(folders, children, killed_s, strict=True):
            child.communicate()
            told = list(struct.iter_unpack("<d", (folder / "told").read_bytes()))
            found = []
            for path in folder.glob("*_bag"):  # none before its first message is taken
                assert problems(path), "a kill leaves something to mend"
                list(repair(path))
                assert problems(path) == []
                found = [number_of(data) for _, _, data in read(path)]
            assert found == list(range(len(found)))
            most = max(most, len(told) - len(found))
            oldest_s = max([oldest_s, *(moment_s - put_s for (put_s,) in told[len(found) :])])
    print(
        f"{KILLS} kills, flush interval {FLUSH_S} s: at most {most} messages of {TICK_S} s lost, {oldest_s:.3f} s old"
    )
    # In steps of the child, which is as slow as the machine lets it be.
    assert most * TICK_S <= FLUSH_S


def killable(folder: Path) -> subprocess.Popen:
    folder.mkdir()
    return subprocess.Popen([sys.executable, "-c", CHILD, folder, str(FLUSH_S), str(TICK_S)], stdout=subprocess.PIPE)
