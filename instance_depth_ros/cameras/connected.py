"""`instance-depth cameras`: what is connected, what pictures it gives, and a line to start each."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..sysfs import text
from .v4l2 import Profile, Webcam, webcams

# The vendor number of RealSense cameras on USB; others of Intel's have another name.
INTEL = "8086"


@dataclass(frozen=True)
class RealSense:
    """A device as the SDK tells of it; usb: such as '3.2', '' unknown; firmware: and the one that the SDK asks for."""

    name: str
    serial: str
    firmware: str
    recommended: str
    usb: str
    profiles: tuple[Profile, ...]


def realsenses() -> list[RealSense]:
    """The RealSense devices that the SDK sees; [] without the SDK."""
    if not find_spec("pyrealsense2"):
        return []
    import pyrealsense2 as rs

    return [realsense(device) for device in rs.context().query_devices()]


def realsense(device) -> RealSense:
    """What a pyrealsense2 device says of itself; all rates of a size together."""
    import pyrealsense2 as rs

    def say(name: str) -> str:
        key = getattr(rs.camera_info, name)
        return device.get_info(key) if device.supports(key) else ""

    rates_hz: dict[tuple, set[float]] = {}
    for sensor in device.query_sensors():
        for profile in filter(lambda profile: profile.is_video_stream_profile(), sensor.get_stream_profiles()):
            video = profile.as_video_stream_profile()
            kind = (profile.format().name, video.width(), video.height(), profile.stream_name())
            rates_hz.setdefault(kind, set()).add(profile.fps())
    profiles = tuple(Profile(*kind, tuple(sorted(rates)), stream) for (*kind, stream), rates in rates_hz.items())
    names = ("name", "serial_number", "firmware_version", "recommended_firmware_version", "usb_type_descriptor")
    return RealSense(*map(say, names), profiles)


def realsenses_on_usb(root: str | Path = "/") -> list[str]:
    """Names of the RealSense devices on USB, SDK or not; root: a folder that holds sys/."""
    found = []
    for vendor in sorted(Path(root).glob("sys/bus/usb/devices/*/idVendor")):
        name = text(vendor.with_name("product"))
        if text(vendor) == INTEL and "RealSense" in name:
            found.append(name)
    return found


def color_webcam() -> Webcam | None:
    """The first webcam that gives colour; one that may be infrared where there is no other."""
    return min((webcam for webcam in webcams() if webcam.color), key=lambda webcam: webcam.infrared, default=None)


def sdk_hint() -> str:
    """A line where a RealSense is on USB whose SDK is not installed, else ''."""
    names = () if find_spec("pyrealsense2") else realsenses_on_usb()
    return f"{names[0]} is on USB, and gives its depth with its SDK: pip install pyrealsense2" if names else ""


def main(args: Namespace) -> int:
    """Exit status: 0, also where nothing is connected."""
    shown = [*map(of_realsense, realsenses()), *(of_webcam(w) for w in webcams() if w.captures)]
    for lines in shown:
        print("\n".join(lines), end="\n\n")
    if not shown:
        print("no camera is connected: no RealSense, no /dev/video*; instance-depth doctor looks for the reason")
    return 0


def of_realsense(device: RealSense) -> list[str]:
    firmware = f"firmware {device.firmware}" + f", USB {device.usb}" * bool(device.usb)
    profiles = [f"  {profile}" for profile in device.profiles]
    start = f"  instance-depth run --camera realsense --serial {device.serial}"
    return [f"{device.name}, serial {device.serial}, {firmware}", *profiles, start]


def of_webcam(webcam: Webcam) -> list[str]:
    usb = f", USB at {webcam.usb_mbps:g} Mbit/s" if webcam.usb_mbps else ""
    head = f"{webcam.name or 'a video device'}, {webcam.path}{usb}"
    if not webcam.allowed:
        return [head, "  no permission; sudo usermod -aG video $USER, then log in again"]
    start = f"  instance-depth run --camera webcam --camera-path {webcam.stable or webcam.path}"
    profiles = [f"  {profile}" for profile in webcam.profiles]
    infrared = "  infrared, which seems to be colour" if webcam.infrared else ""
    return [head, *profiles, infrared or start if webcam.color else "  no colour that OpenCV reads"]
