"""V4L2 devices as Linux shows them: names and USB speed from sysfs, formats and sizes from the driver by ioctl.

Numbers and layouts are those of the kernel's userspace API, "Video for Linux API": VIDIOC_QUERYCAP, VIDIOC_ENUM_FMT,
VIDIOC_ENUM_FRAMESIZES and VIDIOC_ENUM_FRAMEINTERVALS.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..sysfs import text

CAPTURE = 1  # V4L2_CAP_VIDEO_CAPTURE, and V4L2_BUF_TYPE_VIDEO_CAPTURE
DISCRETE = 1  # V4L2_FRMSIZE_TYPE_DISCRETE, and of intervals
DEVICE_CAPABILITIES_AT, FOURCC_AT, SIZE_AT, INTERVAL_AT = 88, 44, 12, 20
# What OpenCV makes a colour picture from; a depth camera's other nodes give Z16, infrared or metadata.
COLOR_FORMATS = {"MJPG", "JPEG", "YUYV", "UYVY", "NV12", "NV21", "YU12", "RGB3", "BGR3"}
# A RealSense's infrared node gives UYVY, too, beside these (librealsense, src/ds/d400/d400-device.cpp).
INFRARED_FORMATS = {"Z16", "GREY", "Y8I", "Y16", "Y12I"}


def _request(number: int, size: int, write: bool = True) -> int:
    """_IOR or _IOWR('V', number, a structure of that size)."""
    return (3 if write else 2) << 30 | size << 16 | ord("V") << 8 | number


QUERYCAP, ENUM_FMT = _request(0, 104, write=False), _request(2, 64)
ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS = _request(74, 44), _request(75, 52)


@dataclass(frozen=True)
class Profile:
    """Pictures that a device gives: pixel format, width and height in pixels, rates in Hz.

    A driver may say no size (0) and no rates. stream: which of a device's, '' where it has one.
    """

    format: str
    width: int
    height: int
    rates_hz: tuple[float, ...] = ()
    stream: str = ""

    def __str__(self) -> str:
        rates = ", ".join(f"{rate:g}" for rate in self.rates_hz)
        size = f" {self.width}x{self.height}" * bool(self.width)
        return f"{self.stream} {self.format}{size}".strip() + f" at {rates} Hz" * bool(rates)


@dataclass(frozen=True)
class Webcam:
    """A video device. stable: its name in /dev/v4l/by-id, '' without. usb_mbps: 0 unknown. allowed: to open it.

    captures: it gives pictures, as far as may be known; a driver's node of metadata does not.
    """

    path: Path
    name: str
    stable: str
    serial: str
    usb_mbps: float
    allowed: bool
    captures: bool
    profiles: tuple[Profile, ...] = ()

    @property
    def color(self) -> bool:
        """Whether it may be a colour camera; one that may not be asked may."""
        return self.captures and (not self.allowed or any(p.format in COLOR_FORMATS for p in self.profiles))

    @property
    def infrared(self) -> bool:
        """Whether what seems to be colour may be a depth camera's infrared."""
        return any(p.format in INFRARED_FORMATS for p in self.profiles)


def webcams(root: str | Path = "/") -> list[Webcam]:
    """All video devices by number; root: a folder that holds sys/ and dev/."""
    root = Path(root)
    stable = {link.resolve().name: str(link) for link in sorted((root / "dev/v4l/by-id").glob("*"), reverse=True)}
    nodes = sorted(root.glob("sys/class/video4linux/video*"), key=lambda node: int(node.name.removeprefix("video")))
    return [_webcam(node, root / "dev" / node.name, stable.get(node.name, "")) for node in nodes]


def _webcam(node: Path, path: Path, stable: str) -> Webcam:
    usb = _usb_device(node)
    allowed = os.access(path, os.R_OK | os.W_OK)
    answer = _ask(path) if allowed else None
    # A driver's first node is the one that gives pictures.
    captures, profiles = answer or (text(node / "index") in ("", "0"), ())
    speed, serial = text(usb / "speed"), text(usb / "serial")
    speed = float(speed) if speed.replace(".", "").isdigit() else 0.0
    return Webcam(path, text(node / "name"), stable, serial, speed, allowed, captures, profiles)


def _usb_device(node: Path) -> Path:
    """The folder of the USB device above a video node; a folder without any of it where it hangs on another bus."""
    device = (node / "device").resolve()
    return next((folder for folder in (device, *device.parents) if (folder / "speed").exists()), device)


def _ask(path: Path) -> tuple[bool, tuple[Profile, ...]] | None:
    """Whether the driver gives pictures, and which; None where it does not answer."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        answer = _call(descriptor, QUERYCAP, bytes(104))
        if answer is None:
            return None
        captures = bool(struct.unpack_from("=I", answer, DEVICE_CAPABILITIES_AT)[0] & CAPTURE)
        return captures, tuple(_profiles(descriptor)) if captures else ()
    finally:
        os.close(descriptor)


def _profiles(descriptor: int) -> Iterator[Profile]:
    for answer in _each(descriptor, ENUM_FMT, 64, lambda index: struct.pack("=II", index, CAPTURE)):
        fourcc = answer[FOURCC_AT : FOURCC_AT + 4]
        for width, height in list(_sizes(descriptor, fourcc)) or [(0, 0)]:
            name = fourcc.decode("ascii", "replace").strip()
            yield Profile(name, width, height, tuple(_rates(descriptor, fourcc, width, height)))


def _sizes(descriptor: int, fourcc: bytes) -> Iterator[tuple[int, int]]:
    """Each size; of a range only the largest."""
    for answer in _each(descriptor, ENUM_FRAMESIZES, 44, lambda index: struct.pack("=I", index) + fourcc):
        kind, *size = struct.unpack_from("=6I", answer, SIZE_AT - 4)
        yield (size[0], size[1]) if kind == DISCRETE else (size[1], size[4])
        if kind != DISCRETE:
            return


def _rates(descriptor: int, fourcc: bytes, width: int, height: int) -> Iterator[float]:
    """Each rate; of a range only the fastest."""
    asked = fourcc + struct.pack("=II", width, height)
    for answer in _each(descriptor, ENUM_FRAMEINTERVALS, 52, lambda index: struct.pack("=I", index) + asked):
        kind, numerator, denominator = struct.unpack_from("=3I", answer, INTERVAL_AT - 4)
        if numerator:
            yield round(denominator / numerator, 2)
        if kind != DISCRETE:
            return


def _each(descriptor: int, request: int, size: int, asked) -> Iterator[bytes]:
    """The driver's answers to asked(0), asked(1), ... until it has no more."""
    for index in range(1000):
        answer = _call(descriptor, request, asked(index).ljust(size, b"\0"))
        if answer is None:
            return
        yield answer


def _call(descriptor: int, request: int, structure: bytes) -> bytes | None:
    try:
        return fcntl.ioctl(descriptor, request, structure)
    except OSError:
        return None
