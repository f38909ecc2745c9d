"""SDKs of cameras, and the cameras that are connected."""

from __future__ import annotations

from pathlib import Path

from ..cameras.connected import RealSense, realsenses, realsenses_on_usb
from ..cameras.v4l2 import Webcam, webcams
from .check import OK, RED, WARN, Check, installed

# What opens which cameras; without it only these are missing.
SDKS = {
    "pyrealsense2": ("RealSense cameras", "pyrealsense2"),
    "pyk4a": ("Azure Kinect cameras", "pyk4a"),
    "av": ("videos and streams", "av"),
    "rosbags": ("ROS bags", "rosbags"),
}
RULES = ("etc/udev/rules.d", "lib/udev/rules.d", "usr/lib/udev/rules.d")


def checks(root: Path) -> list[Check]:
    on_usb = realsenses_on_usb(root)
    found = [sdks(bool(on_usb)), *realsense_checks(on_usb, root), *(webcam(w) for w in webcams(root) if w.captures)]
    return found if len(found) > 1 else [*found, Check("cameras", OK, "none connected")]


def sdks(realsense_there: bool) -> Check:
    versions = {name: installed(package) for name, (_, package) in SDKS.items()}
    found = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    missing = {name: what for name, (what, _) in SDKS.items() if not versions[name]}
    found += "".join(f"; no {name} ({what})" for name, what in missing.items())
    wanted = [name for name in missing if name == "av" or (name == "pyrealsense2" and realsense_there)]
    if wanted:
        return Check("SDKs", WARN, found.strip("; "), f"pip install {' '.join(wanted)}")
    return Check("SDKs", OK, found.strip("; "))


def realsense_checks(on_usb: list[str], root: Path) -> list[Check]:
    """Of those on USB and of those that the SDK sees."""
    try:
        seen = realsenses()
    except RuntimeError as error:  # the SDK's own
        return [Check("RealSense", RED, f"the SDK fails: {error}", "unplug the camera, and plug it in again")]
    if len(seen) >= len(on_usb):
        return [realsense(device) for device in seen]
    ruled = any("realsense" in rules.name for folder in RULES for rules in (root / folder).glob("*.rules"))
    rules = "sudo apt install ros-$ROS_DISTRO-librealsense2 && sudo udevadm control --reload && sudo udevadm trigger"
    if not installed("pyrealsense2"):
        return [Check("RealSense", WARN, f"{', '.join(on_usb)} without its SDK", "pip install pyrealsense2")]
    said = f"{', '.join(on_usb)} on USB, {len(seen)} seen by the SDK" + ("" if ruled else "; no udev rules")
    return [Check("RealSense", RED, said, "unplug the camera, and plug it in again" if ruled else rules)]


def realsense(device: RealSense) -> Check:
    found = f"{device.name}, serial {device.serial}, firmware {device.firmware}, USB {device.usb or '?'}"
    if device.usb.startswith("2"):
        return Check("RealSense", WARN, f"{found}: few sizes and rates", "plug it into USB 3, with a cable for USB 3")
    if _numbers(device.firmware) < _numbers(device.recommended):
        update = f"rs-fw-update -s {device.serial} -f FILE (of librealsense2-utils; the file is on RealSense's pages)"
        return Check("RealSense", WARN, f"{found}; the SDK wants {device.recommended}", update)
    return Check("RealSense", OK, found)


def webcam(device: Webcam) -> Check:
    usb = f", USB at {device.usb_mbps:g} Mbit/s" if device.usb_mbps else ""
    serial = f", serial {device.serial}" if device.serial else ""
    found = f"{device.name or 'a video device'}, {device.path}{serial}{usb}" + f", {device.stable}" * bool(
        device.stable
    )
    if not device.allowed:
        return Check("webcam", RED, f"{found}: no permission", "sudo usermod -aG video $USER, then log in again")
    return Check("webcam", OK, found)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
