"""What tools/loop.sh shows works: nothing is lost between the camera and the data set, which is annotated, counted,
learned from and judged by."""

import json
import math
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml

# looked for, not imported: the simulation sets up MuJoCo before it is first imported
if missing := [name for name in ("rclpy", "mujoco", "rosbags") if not find_spec(name)]:
    pytest.skip(f"needs {', '.join(missing)}", allow_module_level=True)
from ros_graph import own_domain  # noqa: E402

from instance_depth_ros.cli import main  # noqa: E402
from instance_depth_ros.datasets.partition import PARTS, read_split  # noqa: E402
from instance_depth_ros.datasets.sequence import open_folder  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
FRAMES = 6
COLOR, DEPTH = "/camera/color/image_raw", "/camera/aligned_depth_to_color/image_raw"


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """Where all of it lies, and what was said."""
    folder = tmp_path_factory.mktemp("loop")
    own_domain()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "FRAMES": str(FRAMES), "PATH": path}
    command = [str(ROOT / "tools" / "loop.sh")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "out" / "loop", done.stdout + done.stderr


def test_what_the_camera_gave_is_in_the_bags_and_in_the_data_set(loop):
    folder, said = loop
    assert re.findall(r"camera has ended after (\d+) frames", said) == [str(FRAMES)] * 3
    bags, sequences = sorted((folder / "bags").iterdir()), open_folder(folder / "data")
    assert [bag.name for bag in bags] == [sequence.folder.name for sequence in sequences] and len(bags) == 3
    for bag, sequence in zip(bags, sequences, strict=True):
        assert re.search(rf"{bag.name} is closed: \d+ messages, \d+ MB, none lost", said)
        assert re.search(rf"{bag.name}: .* no problems", said)
        told = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        counts = {row["topic_metadata"]["name"]: row["message_count"] for row in told["topics_with_message_count"]}
        assert counts[COLOR] == counts[DEPTH] == len(sequence) == FRAMES and counts["/depth/image"] > 0
        assert {"color", "depth_m", "ids", "ground"} <= set(sequence.layers)


def test_annotation_and_statistics_tell_of_the_same_objects(loop):
    folder, _ = loop
    rows, pixels = 0, 0
    for sequence in open_folder(folder / "data"):
        for index in range(FRAMES):
            frame = sequence.read(index, ("ids",))
            areas = dict(zip(*np.unique(frame["ids"][frame["ids"] > 0], return_counts=True), strict=True))
            assert areas == {row["id"]: row["area"] for row in frame["instances"]}
            rows, pixels = rows + len(areas), pixels + sum(areas.values())
    counted = json.loads((folder / "data" / "statistics.json").read_text())["all"]
    assert rows and pixels > 1000, "somebody is in the room"
    assert (counted["videos"], counted["frames"], sum(counted["objects_by_class"].values())) == (3, 3 * FRAMES, rows)
    judged = json.loads((folder / "data" / "quality.json").read_text())["sequences"]
    assert all(0 < row["holes"] < 0.9 and row["frames"] == FRAMES for row in judged.values()) and len(judged) == 3


def test_it_is_learned_from_and_judged_by_what_was_kept_for_it(loop):
    folder, said = loop
    parts = read_split(folder / "data")
    assert [len(parts[part]) for part in PARTS] == [1, 1, 1]
    log = [json.loads(line) for line in (folder / "train" / "loop" / "log.jsonl").read_text().splitlines()]
    numbers = [value for row in log for value in row.values() if not isinstance(value, str)]
    assert any("silog" in row for row in log) and any("sigma1" in row for row in log)
    assert all(map(math.isfinite, numbers))
    result = json.loads((folder / "eval" / "gid.json").read_text())
    assert list(result["by_clip"]) == parts["test"] and result["frames"] == FRAMES
    assert 0 < result["all"]["rel"] < 1 and 0 < result["published"]["rel"] < 1
    assert result["weights"].endswith("out/loop/train/loop/loop.safetensors")


def test_bags_are_counted_judged_and_split_as_they_are(loop, tmp_path):
    bags = str(loop[0] / "bags")
    for action, *options in (["statistics", "--out", str(tmp_path)], ["quality", "--out", str(tmp_path)], ["split"]):
        assert main(["dataset", action, bags, *options]) == 0
    counted = json.loads((tmp_path / "statistics.json").read_text())
    assert counted["all"]["videos"] == 3 and counted["all"]["objects_unknown_videos"] == 0
    assert counted["all"]["frames"] + sum(counted["left_out"].values()) == 3 * FRAMES
    assert len(json.loads((tmp_path / "quality.json").read_text())["sequences"]) == 3
    assert sorted(sum(read_split(bags).values(), [])) == [sequence.about["name"] for sequence in open_folder(bags)]
