"""The depth that a camera would give, from the true one. Figures and their sources: docs/sensors.md.

Depth is registered to the picture: (H, W) float32 metres along the optical axis, NaN invalid.
How surfaces reflect infrared light is not known: their brightness, relative to the picture's, stands for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, cos, pi, radians, sin, sqrt, tan
from statistics import NormalDist

import cv2
import numpy as np

from ..geometry import Intrinsics, rays

MILLIMETRE = np.float32(1e-3)
NOISE_MARGIN = 256


@dataclass(frozen=True)
class Stereo:
    """Active stereo: Intel RealSense D455."""

    # how far right of the picture's camera the left imager stands: realsense-ros, _d455.urdf.xacro
    place_m: float = -0.059
    # between the imagers: D400 datasheet (337029), D450 module
    baseline_m: float = 0.095
    # each imager: D400 datasheet, D455
    fov_deg: tuple[float, float] = (87.0, 58.0)
    # the resolution that Intel recommends for the D455: librealsense issue 9241
    width_px: int = 848
    # how well it matches, root mean square: Intel, "Tuning depth cameras for best performance"; librealsense issue 3904
    subpixel_px: float = 0.08
    # of its variance, that of slow waves over the picture, and how wide: assumed (waves: librealsense issue 2723)
    waves: float = 0.35
    wave_px: float = 14.0
    # how far the error of one pixel is that of its neighbours, and how ragged edges are: assumed, from a 7 px window
    window_px: float = 2.0
    ragged_px: float = 0.8
    # disparity comes in steps of 1/32 px: librealsense issue 3904 (0.032 px)
    step_px: float = 1 / 32
    # librealsense issue 9977 (the search over 126 px would begin at 0.34 m); the far end is assumed
    range_m: tuple[float, float] = (0.4, 20.0)
    # a white wall is matched as far by the projected pattern alone, in grey levels what texture is without it: assumed
    projector_m: float = 14.0
    texture: float = 10.0
    # steeper surfaces are missed: assumed
    grazing_deg: float = 84.0

    @property
    def color_from_depth(self) -> np.ndarray:
        """(4, 4) pose in the picture's camera, metres."""
        return _pose(self.place_m, 0.0)

    @property
    def focal_px(self) -> float:
        """Of the imagers, in pixels of width_px."""
        return self.width_px / 2 / tan(radians(self.fov_deg[0]) / 2)

    def measure(self, depth_m: np.ndarray, color: np.ndarray, lens: Intrinsics, rng) -> np.ndarray:
        """(H, W) true depth and (H, W, 3) RGB, both without noise -> (H, W) float32 what it gives."""
        inverse = _inverse(depth_m)
        scale = lens.fx / self.focal_px
        blob = smooth_noise(rng, inverse.shape, self.window_px * scale)
        wave = smooth_noise(rng, inverse.shape, self.wave_px * scale)
        light, grey = _reflectivity(color, inverse)
        facing = _facing(inverse, lens)
        signal = light * facing * (inverse * self.projector_m) ** 2 / 0.8
        signal += cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) * np.float32(1 / self.texture)
        seen = cv2.blur(signal, (7, 7)) > 1 + 0.4 * wave[::-1, ::-1]
        seen &= facing > cos(radians(self.grazing_deg))
        for imager_m in (self.place_m, self.place_m + self.baseline_m):
            seen &= _seen_from(inverse, imager_m, lens.fx) & _within(inverse, lens, imager_m, self.fov_deg)
        error_px = self.subpixel_px * (sqrt(1 - self.waves) * blob + sqrt(self.waves) * wave)
        disparity = inverse * np.float32(self.focal_px * self.baseline_m) + error_px
        disparity = np.rint(disparity / self.step_px) * self.step_px
        disparity[~seen] = 0
        disparity = _ragged(disparity, blob, self.ragged_px * scale)
        with np.errstate(divide="ignore"):
            return _rounded(np.float32(self.focal_px * self.baseline_m) / disparity, self.range_m)


@dataclass(frozen=True)
class TimeOfFlight:
    """Amplitude modulated time of flight: Azure Kinect DK; by default narrow and binned, registered to its colour."""

    # how far right of the picture's camera it stands, and how far it looks down: factory calibrations of two units
    # agree on 32 mm; Microsoft, "Azure Kinect DK coordinate systems"
    place_m: float = -0.032
    tilt_deg: float = 6.0
    # a hexagon so wide and high, or a circle where both are equal: Microsoft, "Azure Kinect DK hardware specifications"
    fov_deg: tuple[float, float] = (75.0, 65.0)
    # ibidem, for surfaces that reflect 15 %
    range_m: tuple[float, float] = (0.5, 5.46)
    # of a binned pixel: factory calibrations
    focal_px: float = 252.0
    # standard deviation on 15 % at the end of the range: the bound of the specification
    sigma_m: float = 0.017
    # amplitude, wave length and slope of the systematic error: half the bound of the specification; its form is assumed
    bias_m: float = 0.0055
    bias_wave_m: float = 1.5
    bias_slope: float = 0.0005
    # the share of that signal (15 % at the end of the range) below which depth is refused: assumed
    least_signal: float = 0.3
    # what share of the pixels between two surfaces is refused; the others fly: assumed
    edges_lost: float = 0.6

    @property
    def color_from_depth(self) -> np.ndarray:
        """(4, 4) pose in the picture's camera, metres."""
        return _pose(self.place_m, self.tilt_deg)

    def measure(self, depth_m: np.ndarray, color: np.ndarray, lens: Intrinsics, rng) -> np.ndarray:
        """(H, W) true depth and (H, W, 3) RGB, both without noise -> (H, W) float32 what it gives."""
        inverse = _inverse(depth_m)
        pixel = lens.fx / self.focal_px
        light = _reflectivity(color, inverse)[0]
        signal = light * _facing(inverse, lens) * (inverse * self.range_m[1]) ** 2 / 0.15
        seen = _footprint(lens, self) & (signal > self.least_signal) & _seen_from(inverse, self.place_m, lens.fx)
        mixed = _mixed(inverse, light, pixel)
        flies = np.abs(mixed - inverse) > 0.02 * inverse
        seen &= ~flies | (smooth_noise(rng, inverse.shape, 0) > NormalDist().inv_cdf(self.edges_lost))
        depth_m = 1 / np.maximum(mixed, 1e-3)
        noise = smooth_noise(rng, inverse.shape, 0.5 * pixel) * (self.sigma_m / np.sqrt(np.maximum(signal, 1e-3)))
        depth_m += noise + self.bias_m * np.sin(depth_m * (2 * pi / self.bias_wave_m)) + self.bias_slope * depth_m
        depth_m[~seen] = np.nan
        return _rounded(depth_m, self.range_m)


def _pose(place_m: float, tilt_deg: float) -> np.ndarray:
    """(4, 4) of a camera so far right, and looking down by so much."""
    pose = np.eye(4)
    pose[:3, :3], pose[0, 3] = cv2.Rodrigues(np.array([-radians(tilt_deg), 0, 0]))[0], place_m
    return pose


def _mixed(inverse: np.ndarray, light: np.ndarray, pixel_px: float) -> np.ndarray:
    """1/depth of all that a pixel as large as pixel_px sees, by how much light each returns."""
    weight = light * inverse * inverse + np.float32(1e-9)
    size = 2 * ceil(pixel_px) + 1
    total = cv2.GaussianBlur(weight, (size, size), 0.5 * pixel_px)
    return cv2.GaussianBlur(weight * inverse, (size, size), 0.5 * pixel_px) / total


@lru_cache(maxsize=8)
def _footprint(lens: Intrinsics, sensor: TimeOfFlight) -> np.ndarray:
    """(H, W) bool: the part of the picture that the depth camera sees, as from far away."""
    x, y = rays(lens)[..., 0], rays(lens)[..., 1]
    tilt = radians(sensor.tilt_deg)
    ahead = sin(tilt) * y + cos(tilt)
    x, y = np.abs(x / ahead), np.abs((cos(tilt) * y - sin(tilt)) / ahead)
    wide, high = (tan(radians(angle) / 2) for angle in sensor.fov_deg)
    if wide == high:
        return x * x + y * y <= wide * wide
    # its corners are left and right, its upper and lower edges half as long
    return (y <= high) & (x <= wide * (1 - 0.5 * y / high))


def _inverse(depth_m: np.ndarray) -> np.ndarray:
    """1/depth, which is linear on planes; 0 where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / depth_m.astype(np.float32, copy=False)
        inverse[~(depth_m > 0)] = 0
    return inverse


def _rounded(depth_m: np.ndarray, range_m: tuple[float, float]) -> np.ndarray:
    """In whole millimetres, NaN out of range."""
    depth_m = np.rint(depth_m * 1000) * MILLIMETRE
    with np.errstate(invalid="ignore"):
        depth_m[(depth_m < range_m[0]) | (depth_m > range_m[1])] = np.nan
    return depth_m


def smooth_noise(rng, shape: tuple[int, int], sigma_px: float) -> np.ndarray:
    """(H, W) float32 normal noise of standard deviation 1, correlated as by a blur of sigma_px; read-only.

    A random window of one larger field, mirrored or not: drawing as much anew would cost more than all else.
    """
    field = _field(*shape, round(sigma_px, 1))
    row, column, flip = rng.integers(NOISE_MARGIN), rng.integers(NOISE_MARGIN), rng.integers(4)
    window = field[row : row + shape[0], column : column + shape[1]]
    return window[:: 1 - 2 * (flip & 1), :: 1 - (flip & 2)]


@lru_cache(maxsize=16)
def _field(height: int, width: int, sigma_px: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal((height + NOISE_MARGIN, width + NOISE_MARGIN), np.float32)
    if sigma_px > 0:
        noise = cv2.GaussianBlur(noise, (0, 0), sigma_px)
    noise /= noise.std()
    noise.setflags(write=False)
    return noise


def _reflectivity(color: np.ndarray, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What stands for it, (H, W) float32 in 0..1, and the grey picture.

    The brightest twentieth of the surfaces counts as 0.8, so that neither exposure nor night matters. Its fall is
    less steep than that of light on a screen (2.2), as dark cloth is brighter in infrared: assumed.
    """
    grey = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
    surfaces = grey[::8, ::8][inverse[::8, ::8] > 0]
    white = max(float(np.percentile(surfaces, 95)), 64.0) if len(surfaces) else 255.0
    table = np.minimum(0.8 * (np.arange(256) / white) ** 1.5, 1).astype(np.float32)
    return cv2.LUT(grey, table), grey


def _facing(inverse: np.ndarray, lens: Intrinsics) -> np.ndarray:
    """(H, W) float32 cosine of the angle between a surface's normal and its ray; 0 where there is no surface.

    1/Z = a x + b y + c on a plane whose normal is (a, b, c). At edges it is that of the smoother side.
    """
    ray = rays(lens)
    x, y = ray[..., 0], ray[..., 1]
    a = _slope(inverse, 1) * np.float32(lens.fx)
    b = _slope(inverse, 0) * np.float32(lens.fy)
    c = inverse - a * x - b * y
    return inverse / np.sqrt(np.maximum((a * a + b * b + c * c) * _length2(lens), 1e-12))


@lru_cache(maxsize=8)
def _length2(lens: Intrinsics) -> np.ndarray:
    return 1 + (rays(lens) ** 2).sum(-1)


def _slope(values: np.ndarray, axis: int) -> np.ndarray:
    """Change per pixel along an axis, the lesser of that before and after."""
    change = np.diff(values, axis=axis)
    first, last = (change[:, :1], change[:, -1:]) if axis else (change[:1], change[-1:])
    before, after = np.concatenate([first, change], axis), np.concatenate([change, last], axis)
    return np.where(np.abs(before) < np.abs(after), before, after)


def _seen_from(inverse: np.ndarray, place_m: float, focal_px: float) -> np.ndarray:
    """(H, W) bool: whether a camera place_m to the right of this one sees the same surface.

    Pixels are drawn into its picture in an order in which nearer ones come last.
    """
    if not place_m:
        return np.ones(inverse.shape, bool)
    if place_m < 0:
        return _seen_from(inverse[:, ::-1], -place_m, focal_px)[:, ::-1]
    height, width = inverse.shape
    shift = inverse * np.float32(focal_px * place_m)
    # columns to the left take what leaves the picture
    margin = 1 + int(min(shift.max(), width))
    column = np.maximum(np.rint(np.arange(margin, margin + width, dtype=np.float32) - shift), 0).astype(np.intp)
    column += np.arange(height)[:, None] * (width + margin)
    there = np.zeros((height, width + margin), np.float32)
    there.ravel()[column.ravel()] = shift.ravel()
    # a surface that is wider there has gaps
    there = cv2.morphologyEx(there, cv2.MORPH_CLOSE, np.ones((1, 3), np.uint8))
    return there.ravel()[column] - shift < 1


def _within(inverse: np.ndarray, lens: Intrinsics, place_m: float, fov_deg) -> np.ndarray:
    """(H, W) bool: whether the field of view of a camera place_m to the right holds the surface."""
    ray = rays(lens)
    x, y = tan(radians(fov_deg[0]) / 2), tan(radians(fov_deg[1]) / 2)
    return (np.abs(ray[..., 0] - np.float32(place_m) * inverse) <= x) & (np.abs(ray[..., 1]) <= y)


def _ragged(values: np.ndarray, noise: np.ndarray, size_px: float) -> np.ndarray:
    """Each value is taken from about size_px away."""
    height, width = values.shape
    u = np.arange(width, dtype=np.float32) + size_px * noise
    v = np.arange(height, dtype=np.float32)[:, None] + size_px * noise[::-1, ::-1]
    return cv2.remap(values, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


# by the name of the lens through which a scene is seen; others (phones, masts) have none
SENSORS: dict[str, Stereo | TimeOfFlight] = {
    "d455_color": Stereo(),
    "d455_depth": Stereo(place_m=0.0),
    "kinect_color": TimeOfFlight(),
    "kinect_narrow": TimeOfFlight(place_m=0.0, tilt_deg=0.0),
    "kinect_wide": TimeOfFlight(place_m=0.0, tilt_deg=0.0, fov_deg=(120.0, 120.0), range_m=(0.25, 2.88)),
}
