"""Whoever installs the package, by pip or by colcon, finds its executables, launch files, settings and weights."""

import ast
import os
import subprocess
import sys
import zipfile
from graphlib import TopologicalSorter
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXECUTABLES = {"camera_node", "depth_node", "recorder_node", "viewer_node", "instance-depth"}
WHERE = "from instance_depth_ros.shared import shared_file; print(shared_file('launch/depth.launch.py'))"


def run(*command, cwd=None, **env):
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The files that git would give, so that building leaves nothing behind in this checkout."""
    copy = tmp_path_factory.mktemp("checkout") / "instance_depth_ros"
    listed = run("git", "-C", str(ROOT), "ls-files").split("\n") if (ROOT / ".git").exists() else None
    files = listed or [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    for name in filter(lambda name: (ROOT / name).is_file() and not name.startswith(("test/", ".")), files):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    return copy


def test_a_wheel_holds_weights_launch_and_config_and_puts_its_commands_on_path(checkout, tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(checkout))
    (wheel,) = tmp_path.glob("*.whl")
    inside = zipfile.ZipFile(wheel).namelist()
    share = "data/share/instance_depth_ros/"
    for folder, kinds in {"launch": "*.py", "config": "**/*.yaml"}.items():
        for path in (checkout / folder).glob(kinds):
            assert any(name.endswith(f"{share}{path.relative_to(checkout)}") for name in inside), path
    for path in (checkout / "instance_depth_ros" / "weights").iterdir():
        assert f"instance_depth_ros/weights/{path.name}" in inside
    prefix = tmp_path / "prefix"
    # --ignore-installed: else pip takes the package out of the environment that runs this
    run(*pip, "install", "-q", "--no-deps", "--ignore-installed", "--prefix", str(prefix), str(wheel))
    assert {path.name for path in (prefix / "bin").iterdir()} == EXECUTABLES
    (packages,) = prefix.glob("lib/python3*/site-packages")
    found = run(sys.executable, "-c", WHERE, cwd="/", PYTHONPATH=str(packages))
    assert Path(found.strip()) == prefix / "share/instance_depth_ros/launch/depth.launch.py"


@pytest.mark.parametrize("how", [[], ["--symlink-install"]], ids=["copied", "linked"])
def test_colcon_builds_it_with_executables_where_ros2_run_looks(checkout, tmp_path, how):
    pytest.importorskip("colcon_ros", reason="needs: pip install colcon-ros")
    run(sys.executable, "-m", "colcon", "build", *how, "--base-paths", str(checkout), cwd=tmp_path)
    prefix = tmp_path / "install" / "instance_depth_ros"
    assert {path.name for path in (prefix / "lib/instance_depth_ros").iterdir()} == EXECUTABLES
    assert (prefix / "share/ament_index/resource_index/packages/instance_depth_ros").exists()
    assert (prefix / "share/instance_depth_ros/launch/depth.launch.py").exists()
    assert (prefix / "share/instance_depth_ros/package.xml").exists()


def test_package_xml_and_setup_py_tell_the_same_version():
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    stated = run(sys.executable, "setup.py", "--version", cwd=ROOT, PYTHONWARNINGS="ignore").split()[-1]
    assert manifest.findtext("version") == stated
    assert manifest.findtext("export/build_type") == "ament_python"


def test_nothing_but_the_nodes_needs_ros():
    code = """
import importlib, pkgutil, sys
class NoRos:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("rclpy", "message_filters", "launch", "launch_ros") or name.endswith("_msgs"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, NoRos())
import instance_depth_ros
for module in pkgutil.walk_packages(instance_depth_ros.__path__, "instance_depth_ros."):
    if not module.name.startswith("instance_depth_ros.nodes."):
        try:
            importlib.import_module(module.name)
        except RuntimeError as error:  # no OpenGL here; rclpy is named otherwise
            assert "libegl1" in str(error), error
"""
    run(sys.executable, "-c", code, cwd=ROOT)


def imported(path: Path) -> set[str]:
    """What a module of the package imports from it, at its top or in functions: 'nodes.observer.Observer', ..."""
    package, found = path.relative_to(ROOT).parent.parts, set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            found |= {".".join((*above, *filter(None, [node.module]), alias.name)) for alias in node.names}
    return {name.removeprefix("instance_depth_ros.") for name in found if name.startswith("instance_depth_ros.")}


def test_a_node_is_seen_before_torch_is_there():
    """torch takes seconds, in which a camera node would go on without the depth node."""
    pytest.importorskip("rclpy", reason="needs ROS")
    code = "import sys, instance_depth_ros.nodes.depth, instance_depth_ros.nodes.camera; print('torch' in sys.modules)"
    assert run(sys.executable, "-c", code, cwd=ROOT).strip() == "False"


def test_sub_packages_form_no_cycle():
    package = ROOT / "instance_depth_ros"
    rooms = {path.parent.name: set() for path in package.glob("*/__init__.py")}
    assert rooms.keys() >= {"model", "nodes", "training", "evaluation", "datasets", "simulation", "cameras", "demo"}
    for room, others in rooms.items():
        for path in (package / room).rglob("*.py"):
            others |= {name.split(".")[0] for name in imported(path)} & rooms.keys() - {room}
    assert rooms["training"] >= {"model", "datasets"} and "nodes" in rooms["demo"], "imports are seen"
    list(TopologicalSorter(rooms).static_order())  # CycleError names the cycle


def test_the_set_up_refuses_an_environment_made_from_other_pins(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import set_up

    python = set_up.find_python()
    made = {set_up.fingerprint(python, ros) for ros in ("kilted", "jazzy", "sourced jazzy")}
    monkeypatch.setenv("TORCH", "torch==2.8.0")
    assert len(made | {set_up.fingerprint(python, "kilted")}) == 4


def test_a_sourced_ros_keeps_the_numpy_and_opencv_that_its_cv_bridge_was_made_for(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import set_up

    pins = (ROOT / "requirements" / "python.txt").read_text()
    lines = set_up.beside_ros(pins, has_cv2=True).splitlines()
    assert [line for line in lines if line.startswith("numpy")] == ["numpy<2"]
    assert not [line for line in lines if line.startswith("opencv")]
    assert "opencv-python-headless<4.12" in set_up.beside_ros(pins, has_cv2=False).splitlines()
    commands = [command for _, command in set_up.installs(Path("/venv"), "sourced jazzy", ["torch==2.13.0"])]
    for command in commands:
        files = [word for flag, word in zip(command, command[1:], strict=False) if flag in ("-r", "-c")]
        assert files == ["/venv/beside-ros.txt"] or "--no-deps" in command, "nothing else may bring a NumPy"
    assert any("-r" in command for command in commands)
    assert any(word.startswith("rerun-sdk==") for word in commands[-2])
