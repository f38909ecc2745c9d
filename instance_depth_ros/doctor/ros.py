"""Whose Python runs the nodes, and which ROS that finds."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .check import OK, RED, Check

NODE = "depth_node"
PATIENCE_S = 60
DISTRIBUTIONS = {"3": "humble", "7": "jazzy", "9": "kilted"}
# Asked of the Python of the scripts, which may not be this one; rclpy of wheels starts its process anew.
QUESTION = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
said = {"version": "%d.%d" % sys.version_info[:2], "torch": bool(find_spec("torch")), "rmw": "", "error": ""}
try:
    import rclpy
    said["rmw"] = rclpy.get_rmw_implementation_identifier()
except Exception as error:
    said["error"] = f"{type(error).__name__}: {error}"
try:
    said["rclpy"] = version("rclpy")
except PackageNotFoundError:
    said["rclpy"] = ""
print(json.dumps(said))
"""


def checks(root: Path, environ: Mapping[str, str]) -> tuple[list[Check], str]:
    """The checks, and which RMW is in use ('' unknown)."""
    python, runs = python_of_scripts(environ)
    said = ask(python, environ)
    return [scripts(python, runs, said, environ), distribution(root, said, environ)], said["rmw"]


def python_of_scripts(environ: Mapping[str, str]) -> tuple[str, str]:
    """The interpreter of the nodes, and the script that names it.

    colcon's depth_node, else that on PATH, else that beside this Python, else ros2; without any ('') this Python.
    """
    prefixes = [Path(prefix) for prefix in environ.get("AMENT_PREFIX_PATH", "").split(":") if prefix]
    places = [prefix / "lib/instance_depth_ros" / NODE for prefix in prefixes]
    on_path = {name: shutil.which(name, path=environ.get("PATH")) for name in (NODE, "ros2")}
    places += [Path(on_path[NODE] or ""), Path(sys.executable).with_name(NODE), Path(on_path["ros2"] or "")]
    script = next((place for place in places if place.is_file()), None)
    if script is None:
        return sys.executable, ""
    words = shlex.split(script.read_text(errors="replace").partition("\n")[0].removeprefix("#!"))
    if words and Path(words[0]).name == "env":
        words = [shutil.which(words[-1], path=environ.get("PATH")) or words[-1]]
    return (words or [sys.executable])[0], str(script)


def ask(python: str, environ: Mapping[str, str]) -> dict:
    """version, torch, rclpy, rmw and error of that Python."""
    nothing = {"version": "", "torch": False, "rmw": "", "rclpy": ""}
    try:
        done = subprocess.run(
            [python, "-c", QUESTION], capture_output=True, text=True, timeout=PATIENCE_S, env=dict(environ), cwd="/"
        )
        return json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired) as error:
        return nothing | {"error": str(error)}
    except (IndexError, ValueError):  # it said nothing, or died
        return nothing | {"error": (done.stderr.strip().splitlines() or ["it ends at once"])[-1]}


def scripts(python: str, script: str, said: dict, environ: Mapping[str, str]) -> Check:
    name, found = "Python of the nodes", f"{said['version'] or 'none'}, {python}"
    if not script:
        found += " (this one; neither depth_node nor ros2 is installed)"
    if said["torch"]:
        return Check(name, OK, f"{found}, with torch")
    build = "python3 -m venv --system-site-packages ~/depth_venv && source ~/depth_venv/bin/activate && "
    build += "pip install torch safetensors colcon-common-extensions && "
    build += "python -m colcon build --packages-select instance_depth_ros"
    by_colcon = script and environ.get("AMENT_PREFIX_PATH")
    mend = build if by_colcon else f"{shlex.quote(python)} -m pip install torch safetensors"
    return Check(name, RED, f"{found}, finds no torch" + f"; named by {script}" * bool(script), mend)


def distribution(root: Path, said: dict, environ: Mapping[str, str]) -> Check:
    name = environ.get("ROS_DISTRO") or DISTRIBUTIONS.get(said["rclpy"].split(".")[0], "ROS")
    if said["rmw"]:
        source = "sourced" if environ.get("ROS_DISTRO") else f"wheels, rclpy {said['rclpy']}"
        return Check("ROS", OK, f"{name} ({source}), {said['rmw']}")
    if wanted := environ.get("RMW_IMPLEMENTATION"):
        package = wanted.replace("_", "-")
        return Check("ROS", RED, f"{wanted}: {said['error']}", f"sudo apt install ros-{name}-{package}")
    there = sorted(path.name for path in root.glob("opt/ros/*") if (path / "setup.bash").exists())
    mend = f"source /opt/ros/{there[-1]}/setup.bash" if there else "make setup (in the checkout; ROS comes as wheels)"
    return Check("ROS", RED, f"rclpy does not load: {said['error']}", mend)
