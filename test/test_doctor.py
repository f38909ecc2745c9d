"""What instance-depth doctor finds: on this machine, and on machines made of files."""

import json
import os
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from instance_depth_ros import transport
from instance_depth_ros.doctor import compute, network, ros, sources
from instance_depth_ros.doctor.check import OK, RED, WARN, Check
from instance_depth_ros.doctor.main import table

ROOT = Path(__file__).parent.parent
TEGRA = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64"
NVRM = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024"
SEGMENT = (
    "<profiles xmlns='http://x'><transport_descriptor><segment_size>{}</segment_size></transport_descriptor></profiles>"
)
CYCLONE, FAST = "rmw_cyclonedds_cpp", "rmw_fastrtps_cpp"


PCI = "sys__bus__pci__devices__a__"


def machine(root: Path, **files: str) -> Path:
    """Files of a machine; a name's __ are slashes."""
    for name, content in files.items():
        file = root / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


@pytest.fixture
def nothing_on_path(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory) -> Path:
    """A Python without torch and ROS."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin" / "python"


def alone(environ=None) -> dict:
    """An environment in which a Python finds only its own packages."""
    return {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ} | (environ or {})


def test_it_tells_of_this_machine_as_a_table_and_as_json():
    run = [sys.executable, "-m", "instance_depth_ros.cli", "doctor", "--json"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, timeout=300)
    said = json.loads(done.stdout)
    checks = [Check(**check) for check in said["checks"]]  # refuses one that is red without a command that mends it
    states = [check.state for check in checks]
    assert said["red"] == states.count(RED) and done.returncode == int(RED in states)
    assert set(states) <= {OK, WARN, RED}
    names = {check.name for check in checks}
    assert {"GPU", "torch", "ROS", "Python of the nodes", "kernel sockets", "shared memory", "SDKs"} <= names
    shown = table(checks)
    assert all(check.found in shown and check.mend in shown for check in checks)


@pytest.mark.parametrize(
    "files, state, found, mend",
    [
        ({"etc__nv_tegra_release": TEGRA, "proc__device-tree__model": "Orin\0"}, OK, "Orin, L4T R36", ""),
        ({"proc__driver__nvidia__version": NVRM}, OK, "driver 550.54.15", ""),
        (
            {PCI + "vendor": "0x10de\n", PCI + "class": "0x030000\n"},
            RED,
            "without its driver",
            "ubuntu-drivers install",
        ),
        ({PCI + "vendor": "0x10de\n", PCI + "class": "0x040300\n"}, OK, "no NVIDIA", ""),  # its sound
    ],
)
def test_a_gpu_and_its_driver(tmp_path, nothing_on_path, files, state, found, mend):
    check = compute.gpu(machine(tmp_path, **files))
    assert check.state == state and found in check.found and mend in check.mend


@pytest.mark.parametrize("status, state", [(0, OK), (9, RED)])
def test_a_driver_that_does_not_answer_is_red(tmp_path, nothing_on_path, status, state):
    tool = nothing_on_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho 'Thing, 550.1, 24564 MiB'\nexit {status}\n")
    tool.chmod(0o755)
    check = compute.gpu(machine(tmp_path, proc__driver__nvidia__version=NVRM))
    assert check.state == state and "Thing" in check.found and check.mend == ("" if state == OK else "sudo reboot")


@pytest.mark.parametrize(
    "rmem, fragments, seconds, rmw, state",
    [
        (8388608, 134217728, 3, CYCLONE, OK),
        (212992, 134217728, 3, CYCLONE, RED),
        (212992, 134217728, 3, FAST, WARN),
        (4194304, 134217728, 3, CYCLONE, WARN),
        (8388608, 4194304, 30, FAST, WARN),
    ],
)
def test_socket_buffers_against_an_image(tmp_path, rmem, fragments, seconds, rmw, state):
    files = {"core__rmem_max": rmem, "ipv4__ipfrag_high_thresh": fragments, "ipv4__ipfrag_time": seconds}
    machine(tmp_path, **{f"proc__sys__net__{name}": f"{value}\n" for name, value in files.items()})
    check = network.sockets(tmp_path, rmw)
    assert check.state == state
    assert ("rmem_max=8388608" in check.mend) == (rmem < 8388608) and ("ipfrag_time=3" in check.mend) == (seconds > 3)


def test_a_kernel_that_says_nothing_is_not_blamed(tmp_path):
    assert network.sockets(tmp_path, CYCLONE).state == OK


@pytest.mark.parametrize(
    "profile, state",
    [(SEGMENT.format(67108864), OK), (SEGMENT.format(524288), RED), ("<profiles/>", WARN), ("<", WARN)],
)
def test_the_segment_of_fast_dds_against_an_image(tmp_path, profile, state):
    (tmp_path / "profile.xml").write_text(profile)
    variable = "FASTDDS_DEFAULT_PROFILES_FILE"
    check = network.segment({variable: str(tmp_path / "profile.xml")})
    assert check.state == state and (state == OK or check.mend.startswith(f"export {variable}="))


def test_the_profile_that_comes_along_has_room_and_none_has_not():
    assert network.segment({}).state == OK
    assert network.segment({"FASTRTPS_DEFAULT_PROFILES_FILE": ""}).mend == "unset FASTRTPS_DEFAULT_PROFILES_FILE"
    assert network.segment({"FASTRTPS_DEFAULT_PROFILES_FILE": "/none.xml"}).state == WARN


def test_nodes_take_the_profiles_unless_the_user_chose(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    transport.prepare_transport()
    cyclone = os.environ["CYCLONEDDS_URI"]
    assert Path(cyclone.removeprefix("file://")).is_file() and network.wanted_socket_bytes() > 2 * transport.IMAGE_BYTES
    own = {"CYCLONEDDS_URI": "<x/>", "FASTDDS_DEFAULT_PROFILES_FILE": "mine.xml"}
    monkeypatch.setattr(os, "environ", dict(own))
    transport.prepare_transport()
    assert os.environ == own


def test_shared_memory_that_is_not_there(tmp_path):
    assert network.shared_memory(tmp_path).state == WARN


def test_nodes_of_colcon_whose_python_has_no_torch_are_built_anew(tmp_path, bare_python):
    script = machine(tmp_path, lib__instance_depth_ros__depth_node=f"#!{bare_python}\n")
    environ = alone({"AMENT_PREFIX_PATH": f"/none:{script}"})
    of_python, of_ros = ros.checks(tmp_path, environ)[0]
    assert of_python.state == RED and str(bare_python) in of_python.found and "-m colcon build" in of_python.mend
    assert of_ros.state == RED and "rclpy" in of_ros.found
    machine(tmp_path, opt__ros__jazzy__setup="", **{"opt__ros__jazzy__setup.bash": ""})
    assert ros.checks(tmp_path, environ)[0][1].mend == "source /opt/ros/jazzy/setup.bash"


@pytest.mark.parametrize("name", ["depth_node", "ros2"])
def test_a_script_on_the_path_names_its_python_by_env(nothing_on_path, bare_python, monkeypatch, name):
    monkeypatch.setattr(sys, "executable", str(bare_python))  # beside which no script lies
    (nothing_on_path / "python3").symlink_to(bare_python)
    (nothing_on_path / name).write_text("#!/usr/bin/env python3\n")
    (nothing_on_path / name).chmod(0o755)
    python, script = ros.python_of_scripts({"PATH": str(nothing_on_path)})
    assert (python, script) == (str(nothing_on_path / "python3"), str(nothing_on_path / name))


@pytest.mark.skipif(not find_spec("rclpy"), reason="needs ROS")
def test_a_middleware_that_is_not_installed_is_named_with_its_package(tmp_path):
    environ = {**os.environ, "RMW_IMPLEMENTATION": "rmw_none_cpp", "ROS_DISTRO": "jazzy"}
    environ.pop("AMENT_PREFIX_PATH", None)
    check = ros.checks(tmp_path, environ)[0][1]
    assert check.state == RED and check.mend == "sudo apt install ros-jazzy-rmw-none-cpp"


def test_a_realsense_that_the_sdk_does_not_see_lacks_the_sdk_or_udev_rules(tmp_path):
    usb = "sys__bus__usb__devices__2-1__"
    machine(tmp_path, **{usb + "idVendor": "8086\n", usb + "product": "Intel(R) RealSense(TM) D455\n"})
    (check,) = sources.realsense_checks(sources.realsenses_on_usb(tmp_path), tmp_path)
    assert "D455" in check.found and check.state != OK
    assert ("librealsense2" if find_spec("pyrealsense2") else "pip install pyrealsense2") in check.mend
    if find_spec("pyrealsense2"):
        machine(tmp_path, **{"etc__udev__rules.d__99-realsense-libusb.rules": ""})
        assert "plug" in sources.realsense_checks(["D455"], tmp_path)[0].mend


@pytest.mark.parametrize(
    "usb, firmware, state", [("3.2", "5.16.0.1", OK), ("2.1", "5.16.0.1", WARN), ("3.2", "5.9.0", WARN)]
)
def test_a_realsense_on_usb_2_or_with_old_firmware_is_said(usb, firmware, state):
    check = sources.realsense(sources.RealSense("D455", "123", firmware, "5.16.0.1", usb, ()))
    assert check.state == state and "serial 123" in check.found and usb in check.found


AS_NOBODY = """
import os, sys
from instance_depth_ros.cameras.v4l2 import webcams
from instance_depth_ros.doctor.sources import webcam
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for device in webcams(sys.argv[1]):
    check = webcam(device)
    print(check.state, check.found, check.mend)
"""


def test_who_may_not_open_a_webcam_is_told_of_the_group():
    with TemporaryDirectory() as folder:
        machine(Path(folder), sys__class__video4linux__video3__name="Cam\n", dev__video3="")
        Path(folder).chmod(0o755)
        (Path(folder) / "dev/video3").chmod(0)
        run = [sys.executable, "-c", AS_NOBODY, folder]
        done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT)
    assert "red Cam" in done.stdout and "usermod -aG video" in done.stdout, done.stderr
