"""What is connected, from a tree like sysfs, from a driver's answers, and from the RealSense SDK."""

import errno
import fcntl
import struct
from argparse import Namespace
from pathlib import Path

import pytest

from instance_depth_ros.cameras import connected, v4l2
from instance_depth_ros.cameras.v4l2 import Profile, webcams

# As a driver would answer: pixel format -> size -> intervals in seconds as numerator, denominator.
FORMATS = {
    b"MJPG": {(1280, 720): [(1, 30), (1, 15)], (640, 480): [(1, 30)]},
    b"YUYV": {(640, 480): [(1, 30), (2, 15)]},
}
METADATA = 0x00800000  # V4L2_CAP_META_CAPTURE


def usb_webcam(root: Path, number: int, name: str, serial: str, index: int = 0) -> Path:
    """A device as sysfs and /dev show one on USB; its file in dev/."""
    interface = root / f"sys/devices/pci0/usb1/1-{number}/1-{number}:1.0"
    node = interface / "video4linux" / f"video{number}"
    node.mkdir(parents=True)
    (interface.parent / "speed").write_text("480\n")
    (interface.parent / "serial").write_text(f"{serial}\n")
    (node / "name").write_text(f"{name}\n")
    (node / "index").write_text(f"{index}\n")
    (node / "device").symlink_to("../..")
    links = root / "sys/class/video4linux"
    links.mkdir(parents=True, exist_ok=True)
    (links / node.name).symlink_to(node)
    device = root / "dev" / node.name
    (root / "dev/v4l/by-id").mkdir(parents=True, exist_ok=True)
    device.touch()
    (root / f"dev/v4l/by-id/usb-{serial}-video-index{index}").symlink_to(f"../../{node.name}")
    return device


def driver(formats=FORMATS, capabilities=v4l2.CAPTURE):
    """An ioctl that answers as the kernel's documentation says; anything else is EINVAL."""

    def ioctl(descriptor, request, structure):
        index, asked = struct.unpack_from("=I4s", structure)
        try:
            if request == 0x80685600:
                return bytes(84) + struct.pack("=II", 0xFFFFFFFF, capabilities) + bytes(12)
            if request == 0xC0405602:
                return structure[:44] + list(formats)[index] + structure[48:]
            if request == 0xC02C564A:
                size = list(formats[asked])[index]
                return structure[:8] + struct.pack("=III", 1, *size) + bytes(24)
            if request == 0xC034564B:
                size = struct.unpack_from("=II", structure, 8)
                return structure[:16] + struct.pack("=III", 1, *formats[asked][size][index]) + bytes(24)
        except (IndexError, KeyError):
            pass
        raise OSError(errno.EINVAL, "Invalid argument")

    return ioctl


def test_devices_have_their_names_stable_ids_and_usb_speed(tmp_path):
    usb_webcam(tmp_path, 10, "Rear: Rear", "R2")
    usb_webcam(tmp_path, 2, "Front: Front", "F1")
    front, rear = webcams(tmp_path)
    assert (front.name, front.serial, front.usb_mbps, front.path.name) == ("Front: Front", "F1", 480.0, "video2")
    assert front.stable.endswith("/dev/v4l/by-id/usb-F1-video-index0")
    assert (rear.path.name, rear.allowed, rear.captures) == ("video10", True, True)


def test_a_machine_without_video_has_none(tmp_path):
    assert webcams(tmp_path) == [] and connected.realsenses_on_usb(tmp_path) == []


def test_sizes_and_rates_are_those_of_the_driver(tmp_path, monkeypatch):
    usb_webcam(tmp_path, 0, "Cam", "C")
    monkeypatch.setattr(fcntl, "ioctl", driver())
    (webcam,) = webcams(tmp_path)
    assert webcam.color and webcam.profiles == (
        Profile("MJPG", 1280, 720, (30.0, 15.0)),
        Profile("MJPG", 640, 480, (30.0,)),
        Profile("YUYV", 640, 480, (30.0, 7.5)),
    )


@pytest.mark.parametrize(
    "answers, color",
    [
        (driver(capabilities=METADATA), False),
        (driver({b"Z16 ": {(640, 480): [(1, 30)]}}), False),
        (driver({b"YUYV": {}}), True),
        (driver(), True),
    ],
)
def test_what_gives_no_colour_is_no_webcam(tmp_path, monkeypatch, answers, color):
    usb_webcam(tmp_path, 0, "Cam", "C")
    monkeypatch.setattr(fcntl, "ioctl", answers)
    assert webcams(tmp_path)[0].color == color


def test_a_device_that_answers_nothing_is_taken_by_its_place(tmp_path):
    usb_webcam(tmp_path, 0, "Cam", "C")
    usb_webcam(tmp_path, 1, "Cam", "C", index=1)
    assert [webcam.captures for webcam in webcams(tmp_path)] == [True, False]


def test_the_verb_names_a_line_to_start_each(tmp_path, monkeypatch, capsys):
    usb_webcam(tmp_path, 0, "Cam", "C")
    monkeypatch.setattr(fcntl, "ioctl", driver())
    print("\n".join(connected.of_webcam(*webcams(tmp_path))))
    said = capsys.readouterr().out
    assert "Cam, " in said and "MJPG 1280x720 at 30, 15 Hz" in said
    assert f"instance-depth run --camera webcam --camera-path {tmp_path}/dev/v4l/by-id/usb-C-video-index0" in said


def test_the_verb_runs_here(capsys):
    assert connected.main(Namespace()) == 0
    said = capsys.readouterr().out
    assert "instance-depth run --camera" in said or "no camera is connected" in said or "permission" in said


def test_a_realsense_tells_serial_firmware_and_profiles():
    rs = pytest.importorskip("pyrealsense2")
    device = rs.software_device()
    for key, value in {"name": "D455", "serial_number": "42", "firmware_version": "5.16.0.1"}.items():
        device.register_info(getattr(rs.camera_info, key), value)
    sensor = device.add_sensor("Color")
    for number, fps in enumerate((15, 30)):
        stream = rs.video_stream()
        stream.type, stream.fmt, stream.uid = rs.stream.color, rs.format.rgb8, number
        stream.width, stream.height, stream.fps, stream.bpp = 640, 480, fps, 3
        sensor.add_video_stream(stream)
    told = connected.realsense(device)
    assert (told.name, told.serial, told.firmware, told.usb) == ("D455", "42", "5.16.0.1", "")
    assert told.profiles == (Profile("rgb8", 640, 480, (15, 30), "Color"),)
    assert str(told.profiles[0]) == "Color rgb8 640x480 at 15, 30 Hz"
