"""Sets up the virtual environment that `make` uses; needs python3 alone. A finished set-up is found by its stamp file.

Wheels are pinned in requirements/. A sourced ROS installation is used as it is, with the system's NumPy and OpenCV,
and so is a torch that the system's Python already has; TORCH in the environment asks pip for another build (a
requirement with pip's options, or a wheel).
"""

import argparse
import ctypes.util
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.13.0"
PYTHONS = ("python3", "python3.12", "python3.11", "python3.13", "python3.10")
SUPPORTED = ("3.10", "3.11", "3.12", "3.13")
GL_PACKAGES = {"EGL": "libegl1", "GL": "libgl1"}
USB_PACKAGES = {"usb-1.0": "libusb-1.0-0"}
BESIDE_ROS = "beside-ros.txt"
TRACKEVAL = "trackeval==1.3.0"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--ros", choices=("kilted", "jazzy"), help="wheels of this distribution; none: the sourced ROS")
    parser.add_argument("--tests", action="store_true", help="also the browser of the viewer's test")
    args = parser.parse_args()
    python = find_python()
    sourced = not args.ros and has_module(python, "rclpy") and os.environ.get("ROS_DISTRO")
    ros = f"sourced {sourced}" if sourced else args.ros or "kilted"
    stamp, key = args.venv / "set-up.sha256", fingerprint(python, ros)
    made = stamp.exists() and stamp.read_text() == key and (args.venv / "bin" / "instance-depth").exists()
    if not made:
        build(python, args.venv, ros)
        stamp.write_text(key)
    install_system_packages(args.tests)


def find_python():
    """The first supported interpreter on PATH."""
    for name in PYTHONS:
        if shutil.which(name) and version(name) in SUPPORTED:
            return name
    sys.exit(f"no Python {SUPPORTED[0]} to {SUPPORTED[-1]} on PATH; install one: apt-get install python3 python3-venv")


def version(python):
    return ask(python, "import sys; print('%d.%d' % sys.version_info[:2])")


def has_module(python, name):
    """Whether the interpreter below a virtual environment that may be active finds the module."""
    base = ask(python, "import sys; print(getattr(sys, '_base_executable', sys.executable))")
    return ask(base, f"from importlib.util import find_spec; print(bool(find_spec('{name}')))") == "True"


def ask(python, code):
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd="/")
    return run.stdout.strip()


def fingerprint(python, ros):
    """Changes when anything does that the environment was made from."""
    made_from = [version(python), ros, os.environ.get("TORCH", TORCH), str(ROOT)]
    made_from += [path.read_text() for path in (Path(__file__), ROOT / "setup.py", *requirements(ros))]
    return hashlib.sha256("\0".join(made_from).encode()).hexdigest()


def requirements(ros):
    files = [ROOT / "requirements" / "python.txt"]
    if not ros.startswith("sourced"):
        files.append(ROOT / "requirements" / f"ros-{ros}.txt")
    return files


def build(python, venv, ros):
    """A new environment; what an interrupted set-up left is removed first."""
    began = time.monotonic()
    sourced = ros.startswith("sourced")
    own_torch = "TORCH" not in os.environ and has_module(python, "torch")
    torch = [] if own_torch else shlex.split(os.environ.get("TORCH", TORCH))
    steps = installs(venv, ros, torch)
    chosen = torch[0] if torch else "the torch found"
    print(f"[1/{len(steps) + 1}] {venv.name}: Python {version(python)}, ROS {ros}, {chosen}")
    shutil.rmtree(venv, ignore_errors=True)
    make_venv(python, venv, shared=own_torch or sourced)
    if sourced:
        (venv / BESIDE_ROS).write_text(beside_ros(requirements(ros)[0].read_text(), has_module(python, "cv2")))
    for number, (what, command) in enumerate(steps, 2):
        print(f"[{number}/{len(steps) + 1}] {what}", flush=True)
        if subprocess.run(command, cwd=ROOT).returncode:
            sys.exit(f"the set-up stopped at step {number} (pip's reason is above); run make again to start over")
    print(f"{venv.name} is set up ({time.monotonic() - began:.0f} s)", flush=True)


def installs(venv, ros, torch):
    """[(what, command)]: all that pip does, in order. torch: pip's arguments for it; none where there is one."""
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    sourced = ros.startswith("sourced")
    files = [str(venv / BESIDE_ROS)] if sourced else [str(path) for path in requirements(ros)]
    steps = [("the other wheels", [*pip, *(word for file in files for word in ("-r", file))])]
    if torch:
        steps.insert(0, (f"{torch[0]} (choose another build with TORCH=...)", [*pip, "-c", files[0], *torch]))
    steps.append(("TrackEval, without the second OpenCV that it asks for", [*pip, "--no-deps", TRACKEVAL]))
    if sourced:
        viewer = [line for line in requirements(ros)[0].read_text().splitlines() if line.startswith("rerun-sdk")]
        steps.append(("the viewer, which runs on NumPy 1 but asks for 2", [*pip, "--no-deps", *viewer]))
    steps.append(("instance_depth_ros itself", [*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)]))
    return steps


def beside_ros(pins, has_cv2):
    """The pins for use with a sourced ROS: its cv_bridge is compiled for the system's NumPy 1 and crashes on another.

    The system's OpenCV stays too. What needs NumPy 2 comes in its last release for NumPy 1, but for rerun-sdk, which
    asks for 2 and runs on 1 as well: it is installed by itself, and what it needs stands here.
    """
    replaced = ("numpy", "opencv", "pyarrow", "rerun-sdk")
    kept = [line for line in pins.splitlines() if not line.startswith(replaced)]
    opencv = [] if has_cv2 else ["opencv-python-headless<4.12"]
    older = [f'{name}; python_version < "3.11"' for name in ("attrs", "pillow", "psutil", "typing_extensions")]
    return "\n".join([*kept, "numpy<2", "pyarrow==22.0.0", *opencv, *older, ""])


def make_venv(python, venv, shared):
    command = [python, "-m", "venv", *(["--system-site-packages"] if shared else []), str(venv)]
    if subprocess.run(command, capture_output=True).returncode == 0:
        return
    package = f"python{version(python)}-venv"
    apt_install([package], "virtual environments; Debian and Ubuntu split them from python3")
    if subprocess.run(command).returncode:
        sys.exit(f"no virtual environment without it: apt-get install {package}, then run make again")


def install_system_packages(tests):
    """What pip cannot bring. Without root the rest still runs, and what does not is said."""
    for packages, why in (
        (GL_PACKAGES, "OpenGL without a screen; without them there is no simulated camera"),
        (USB_PACKAGES, "USB for pyrealsense2; without it there is no RealSense, and no recording of one"),
    ):
        missing = [package for library, package in packages.items() if not ctypes.util.find_library(library)]
        if missing:
            apt_install(missing, why)
    if tests and not any(map(shutil.which, BROWSERS)):
        if "ID=ubuntu" in Path("/etc/os-release").read_text():
            print("no Chromium (on Ubuntu: snap install chromium): the test of the viewer's page will be skipped")
        else:
            apt_install(["chromium"], "the test of the viewer's page; it is skipped without")


def apt_install(packages, why):
    """Installs Debian packages as root or by sudo; otherwise says what to install and goes on."""
    print(f"system packages: {' '.join(packages)} ({why})", flush=True)
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    allowed = not sudo or sys.stdin.isatty() or run_quietly(["sudo", "-n", "true"])
    if not shutil.which("apt-get") or (sudo and not shutil.which("sudo")) or not allowed:
        print(f"  not installed (no apt-get, or neither root nor sudo); later: apt-get install {' '.join(packages)}")
        return
    install = [*sudo, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    run_quietly([*sudo, "apt-get", "update", "-qq"])
    if not run_quietly(install):
        print(f"  apt-get failed; see why with: {' '.join(install)}")


def run_quietly(command):
    try:
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        return subprocess.run(command, env=env, stdout=subprocess.DEVNULL).returncode == 0
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    main()
