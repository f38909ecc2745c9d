"""What the README shows is what there is: its Python runs as it stands, its tables are those of the code."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest

from instance_depth_ros import cli, config

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
FRAMES = 4


def python(*arguments, cwd=ROOT):
    """A Python process that finds the package of this checkout."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(not find_spec("rclpy"), reason="the table of topics needs rclpy")
def test_tables_are_those_of_the_code():
    check = python("tools/readme.py", "--check")
    assert check.returncode == 0, check.stdout + check.stderr


def test_the_twelve_lines_run_as_they_stand(tmp_path):
    with av.open(str(tmp_path / "video.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for index in range(FRAMES):
            picture = np.full((96, 128, 3), 40 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line]) == 12
    run = python("-c", code, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    thing = r"#\d+: class [1-6], [0-9.]+ \+- [0-9.]+ m; "
    said = run.stdout.splitlines()
    assert len(said) == FRAMES
    assert all(re.fullmatch(rf"({thing})*nearest surface ([0-9.]+|nan) m", line) for line in said), run.stdout


def test_line_five_says_what_the_weights_are():
    line = README.splitlines()[4]
    assert "trained on simulated scenes" in line and "metric_video_depth_anything_vits.pth" in line
    assert "Apache-2.0" in line and "CC-BY-NC-4.0" in line


def test_verbs_parameters_and_files_exist():
    assert set(re.findall(r"`instance-depth (\w+)", README)) <= cli.VERBS.keys()
    launch = {"namespace", "cameras", "params", "remap", "record", "viewer", "rviz"}
    assert set(re.findall(r"(?<![\w/])(\w+):=", README)) <= config.BY_NAME.keys() | launch
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).is_file(), f"README.md points to {link}, which is not there"
