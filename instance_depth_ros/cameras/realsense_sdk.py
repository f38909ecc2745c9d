"""pyrealsense2 in our terms: which device, which profiles, which options, and what a started pipeline's frames hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import NamedTuple

import cv2
import numpy as np

from ..geometry import Intrinsics, depth_from_codes, rays
from ..registration import register
from .base import CameraError
from .calibration import fit

DEFAULT_FPS = 30
# The lens that frames tell of must be the SDK's within this.
LENS_ERROR_PX = 0.25
# To RGB, of frames seen as bytes.
TO_RGB = {
    "rgb8": None,
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "y8": cv2.COLOR_GRAY2RGB,
}


@contextmanager
def speaking(what: str):
    """What the SDK refuses within `with`, as a CameraError that begins with `what`."""
    try:
        yield
    except CameraError:
        raise
    except RuntimeError as error:
        raise CameraError(f"{what}: {error}") from None


def load_sdk():
    """The module pyrealsense2; CameraError says what to install."""
    try:
        import pyrealsense2
    except ImportError as error:
        if "libusb" in str(error):
            raise CameraError("pyrealsense2 needs libusb: sudo apt-get install libusb-1.0-0") from None
        raise CameraError("RealSense cameras and their recordings need the SDK: pip install pyrealsense2") from None
    return pyrealsense2


def connected(context) -> list:
    """The RealSense devices on this machine."""
    return list(context.query_devices())


def identity(device) -> dict[str, str]:
    """What a device says of itself: name, serial, firmware, usb (2.1, 3.2); '' where it does not say."""
    info = load_sdk().camera_info
    kinds = {"name": info.name, "serial": info.serial_number, "firmware": info.firmware_version}
    kinds["usb"] = info.usb_type_descriptor
    return {key: device.get_info(kind) if device.supports(kind) else "" for key, kind in kinds.items()}


def choose_device(devices: list, serial: str):
    """The device with this serial number, the first for ''; CameraError tells which there are."""
    by_serial = {identity(device)["serial"]: device for device in devices}
    if not devices:
        raise CameraError("there is no RealSense; is it plugged in, and are librealsense's udev rules installed?")
    if serial and serial not in by_serial:
        raise CameraError(f"there is no RealSense with serial {serial}; there is {', '.join(by_serial)}")
    return by_serial[serial] if serial else devices[0]


def choose_profiles(device, width: int, height: int, fps: float) -> list:
    """[colour, depth] video profiles: colour nearest to what is asked for, depth of its rate and nearest to its size.

    [colour] of a device without depth; CameraError of one without colour.
    """
    rs = load_sdk()
    every = [profile for sensor in device.query_sensors() for profile in sensor.get_stream_profiles()]

    def nearest(stream, form, width: int, height: int, fps: float, key) -> list:
        found = [p.as_video_stream_profile() for p in every if p.stream_type() == stream and p.format() == form]
        off = [(abs(p.width() - width) + abs(p.height() - height), abs(p.fps() - fps)) for p in found]
        return [found[min(range(len(found)), key=lambda i: key(*off[i]))]] if found else []

    color = nearest(rs.stream.color, rs.format.rgb8, width, height, fps or DEFAULT_FPS, lambda size, rate: (size, rate))
    if not color:
        raise CameraError(f"RealSense {identity(device)['serial']} has no colour; take a model that has")
    like = color[0].width(), color[0].height(), color[0].fps()
    return color + nearest(rs.stream.depth, rs.format.z16, *like, lambda size, rate: (rate, size))


def configure(device, exposure_us: int, laser_power_mw: float) -> None:
    """Set a device's options; exposure_us 0: automatic, laser_power_mw -1: as it is. CameraError where it refuses."""
    option, sensors = load_sdk().option, device.query_sensors()
    for sensor in sensors:
        if sensor.supports(option.global_time_enabled):
            sensor.set_option(option.global_time_enabled, 1)
        if sensor.supports(option.exposure) and _gives_color(sensor):
            if sensor.supports(option.enable_auto_exposure):
                sensor.set_option(option.enable_auto_exposure, exposure_us == 0)
            if exposure_us:
                # UVC counts in 100 us, a stereo module, which may give the colour too, in 1
                in_us = "usec" in sensor.get_option_description(option.exposure).lower()
                _set(sensor, option.exposure, "exposure_us", exposure_us, 1 if in_us else 100)
    lasers = [sensor for sensor in sensors if sensor.supports(option.emitter_enabled)]
    if laser_power_mw > 0 and not lasers:
        raise CameraError(f"this RealSense has no laser: laser_power_mw must be -1 or 0, got {laser_power_mw:g}")
    for sensor in lasers if laser_power_mw >= 0 else ():
        sensor.set_option(option.emitter_enabled, laser_power_mw > 0)
        if laser_power_mw:
            _set(sensor, option.laser_power, "laser_power_mw", laser_power_mw)


def _gives_color(sensor) -> bool:
    return any(profile.stream_type() == load_sdk().stream.color for profile in sensor.get_stream_profiles())


def _set(sensor, option, name: str, value: float, unit: float = 1) -> None:
    """Set an option, which has this unit of the setting `name`, to the step nearest to value, or CameraError."""
    span, steps = sensor.get_option_range(option), value / unit
    if not span.min <= steps <= span.max:
        raise CameraError(f"this RealSense takes {name} from {span.min * unit:g} to {span.max * unit:g}, got {value:g}")
    step = span.step or 1
    sensor.set_option(option, span.min + round((steps - span.min) / step) * step)


def lens_of(sdk) -> Intrinsics:
    """The Intrinsics of an rs.intrinsics; CameraError for a distortion that no model of ROS has.

    kannala_brandt4 is equidistant, any other plumb_bob, whose coefficients the SDK has in the same order. Modified and
    inverse Brown-Conrady are projected by the SDK alike, and like plumb_bob but for the tangential part, taken after
    the radial one: almost the same for lenses of cameras as they are. So the SDK is asked.
    """
    rs = load_sdk()
    fisheye = sdk.model == rs.distortion.kannala_brandt4
    distortion = tuple(sdk.coeffs[:4] if fisheye else sdk.coeffs if any(sdk.coeffs) else ())
    model = "equidistant" if fisheye else "plumb_bob"
    lens = Intrinsics(sdk.width, sdk.height, sdk.fx, sdk.fy, sdk.ppx, sdk.ppy, model, distortion)
    try:
        lens.check((sdk.height, sdk.width))
        stride = max(1, sdk.width // 16)
        for (v, u), (x, y) in _sampled(rays(lens, stride), stride):
            back = rs.rs2_project_point_to_pixel(sdk, [x, y, 1.0])
            if not np.hypot(back[0] - u, back[1] - v) < LENS_ERROR_PX:
                raise ValueError(f"at ({u}, {v}) it is {np.hypot(back[0] - u, back[1] - v):.2f} px from {model}")
    except ValueError as error:
        name, coefficients = str(sdk.model).split(".")[-1], ", ".join(f"{k:g}" for k in sdk.coeffs)
        raise CameraError(
            f"a RealSense lens with distortion {name} ({coefficients}) cannot be told as {model}: {error}; "
            "calibrate its colour, and give that as camera_info"
        ) from None
    return lens


def _sampled(ray: np.ndarray, stride: int):
    """((v, u), (x, y)) of the pixels that have a ray."""
    for at in np.argwhere(np.isfinite(ray).all(-1)):
        yield (at * stride).tolist(), ray[tuple(at)].tolist()


class Moment(NamedTuple):
    """What the colour and the depth of one frameset are.

    color: (H, W, 3) uint8 RGB. depth_m: registered, or None. device_ns: its stamp, by the clock named domain
    (global_time, system_time, hardware_clock). arrived_ns: when the host had it. number: of the colour frame.
    """

    color: np.ndarray
    depth_m: np.ndarray | None
    device_ns: int
    domain: str
    arrived_ns: int
    number: int


class Moments:
    """Takes framesets of a started pipeline apart; copies, so that the SDK gets its buffers back.

    lens: that of colour; given, it is known better than the device knows. unpaired(): called for a colour picture that
    came without depth of its moment. color_from_depth: pose (4, 4), metres, None without depth. CameraError for lenses
    that cannot be told, and for depth whose place is unknown.
    """

    def __init__(self, profile, lens: Intrinsics | None, unpaired: Callable[[], None]):
        rs = load_sdk()
        videos = {p.stream_type(): p.as_video_stream_profile() for p in profile.get_streams()}
        color, depth = videos[rs.stream.color], videos.get(rs.stream.depth)
        self.lens = fit(lens, color.width(), color.height()) if lens else lens_of(color.get_intrinsics())
        self.fps, self._unpaired = color.fps(), unpaired
        self._number, self._given = None, True
        self._apart_ms = 500 / min(p.fps() for p in (color, depth) if p) + 1
        self._depth_lens = depth and lens_of(depth.get_intrinsics())
        self.color_from_depth = depth and _pose(depth, color)

    def take(self, frameset) -> Moment | None:
        """What is new in a frameset; None where its colour was given before, or its depth is not here yet.

        The pipeline fills a frameset up with the last frame of each stream: a colour comes again until its depth does,
        or another colour.
        """
        color, depth = frameset.get_color_frame(), frameset.get_depth_frame()
        if not color:
            return None
        if color.get_frame_number() != self._number:
            self.end()
            self._number, self._given = color.get_frame_number(), False
        if self._given or (self._depth_lens and not (depth and self._together(color, depth))):
            return None
        self._given = True
        domain, arrived_ns = color.get_frame_timestamp_domain().name, _arrived_ns(color)
        depth_m = self._registered(depth) if self._depth_lens else None
        return Moment(_rgb(color), depth_m, round(color.get_timestamp() * 1e6), domain, arrived_ns, self._number)

    def end(self) -> None:
        """The last colour waits no longer for its depth."""
        if not self._given:
            self._unpaired()
        self._given = True

    def _together(self, color, depth) -> bool:
        """Whether they are of one moment; of different clocks, the pipeline has the say."""
        if color.get_frame_timestamp_domain() != depth.get_frame_timestamp_domain():
            return True
        return abs(color.get_timestamp() - depth.get_timestamp()) <= self._apart_ms

    def _registered(self, depth) -> np.ndarray:
        depth_m = depth_from_codes(np.asanyarray(depth.get_data()), depth.get_units())
        return register(depth_m, self._depth_lens, self.lens, self.color_from_depth)


def _pose(depth, color) -> np.ndarray:
    """(4, 4) color_from_depth of two profiles."""
    with speaking("depth cannot be registered to colour, as the camera does not tell where they are"):
        sdk = depth.get_extrinsics_to(color)
    pose = np.eye(4)
    # the SDK's matrices are column-major
    pose[:3, :3], pose[:3, 3] = np.reshape(sdk.rotation, (3, 3)).T, sdk.translation
    return pose


def _arrived_ns(frame) -> int:
    """When the SDK got a frame, on the host's clock; now, where it does not say."""
    told = load_sdk().frame_metadata_value.time_of_arrival
    return frame.get_frame_metadata(told) * 1_000_000 if frame.supports_frame_metadata(told) else time.time_ns()


def _rgb(frame) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a colour frame, a copy."""
    form = frame.get_profile().format().name
    if form not in TO_RGB:
        raise CameraError(f"colour in format {form} cannot be read; record one of {', '.join(TO_RGB)}")
    pixels = np.ascontiguousarray(frame.get_data())
    pixels = pixels.view(np.uint8).reshape(*pixels.shape[:2], -1)
    return pixels.copy() if TO_RGB[form] is None else cv2.cvtColor(pixels, TO_RGB[form])
