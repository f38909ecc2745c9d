"""Intrinsics, rays, units and validity of depth, clouds. The only home of what a metre and a valid depth are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import radians, tan

import cv2
import numpy as np

MODELS = ("plumb_bob", "rational_polynomial", "equidistant")
POINT = np.dtype(
    {
        "names": ["x", "y", "z", "rgb", "instance_id"],
        "formats": ["<f4", "<f4", "<f4", "<u4", "<u4"],
        "offsets": [0, 4, 8, 12, 16],
        "itemsize": 20,
    }
)


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole lens, in pixels of a width x height image; pixel centres at integers (OpenCV, ROS).

    model: one of MODELS (ROS names); distortion: its coefficients D. assumed: guessed, not calibrated.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    model: str = "plumb_bob"
    distortion: tuple[float, ...] = ()
    assumed: bool = False

    @classmethod
    def from_fov(cls, width: int, height: int, horizontal_fov_deg: float, assumed: bool = False) -> Intrinsics:
        """Square pixels, centred, no distortion."""
        focal = width / 2 / tan(radians(horizontal_fov_deg) / 2)
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2, assumed=assumed)

    @property
    def K(self) -> np.ndarray:
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    @property
    def focal_px(self) -> float:
        """One focal length for both axes: their geometric mean."""
        return float((self.fx * self.fy) ** 0.5)

    def check(self, size: tuple[int, int]) -> None:
        """Raise ValueError unless these can belong to an image of size (height, width)."""
        if not (np.isfinite([self.fx, self.fy, self.cx, self.cy]).all() and self.fx > 0 and self.fy > 0):
            raise ValueError(
                f"intrinsics need finite fx, fy > 0, got fx={self.fx} fy={self.fy} cx={self.cx} cy={self.cy}; "
                "calibrate the camera or publish no CameraInfo to let a field of view be assumed"
            )
        if (self.height, self.width) != tuple(size):
            raise ValueError(f"intrinsics are for {self.width}x{self.height}, the image is {size[1]}x{size[0]}")
        if self.model not in MODELS:
            raise ValueError(f"distortion model must be one of {', '.join(MODELS)}, got '{self.model}'")
        counts = (0, 4) if self.model == "equidistant" else (0, 4, 5, 8, 12, 14)
        if len(self.distortion) not in counts or not np.isfinite(self.distortion).all():
            raise ValueError(f"{self.model} needs {counts} finite distortion coefficients, got {self.distortion}")

    def resized(self, width: int, height: int) -> Intrinsics:
        """The same lens after the image was resized to width x height."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )


@lru_cache(maxsize=16)
def rays(intrinsics: Intrinsics, stride: int = 1) -> np.ndarray:
    """(ceil(H/stride), ceil(W/stride), 2) float32: x/z and y/z of each pixel's ray, distortion removed; read-only.

    NaN where the lens model has no ray in front of the camera. Computed once a lens.
    """
    u, v = np.meshgrid(np.arange(0, intrinsics.width, stride), np.arange(0, intrinsics.height, stride))
    if intrinsics.model != "equidistant" and not any(intrinsics.distortion):
        x, y = (u - intrinsics.cx) / intrinsics.fx, (v - intrinsics.cy) / intrinsics.fy
        directions = np.stack([x, y], -1)
    else:
        directions = _undistort(np.stack([u, v], -1).astype(np.float64), intrinsics)
    directions = directions.astype(np.float32)
    directions.setflags(write=False)
    return directions


def _undistort(pixels: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    """(H, W, 2) pixels -> (H, W, 2) x/z and y/z; NaN where they do not project back to within half a pixel."""
    K, D, flat = intrinsics.K, _coefficients(intrinsics), pixels.reshape(-1, 1, 2)
    # OpenCV's default of five rounds is pixels off in the corners of a strong lens.
    until = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-9)
    if intrinsics.model == "equidistant":
        flat = cv2.fisheye.undistortPoints(flat, K, D, criteria=until)
    else:
        # OpenCV 4 has the criteria in a function of its own.
        undistort = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)
        flat = undistort(flat, K, D, R=None, P=None, criteria=until)
    directions = flat.reshape(pixels.shape)
    off = np.abs(project(directions, intrinsics) - pixels).max(-1)
    directions[~(off < 0.5)] = np.nan
    return directions


def project(directions: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    """(..., 2) float64 x/z and y/z -> (..., 2) pixels, distortion applied."""
    model, origin = cv2.fisheye if intrinsics.model == "equidistant" else cv2, np.zeros(3)
    points = cv2.convertPointsToHomogeneous(directions.reshape(-1, 1, 2))
    pixels, _ = model.projectPoints(points, origin, origin, intrinsics.K, _coefficients(intrinsics))
    return pixels.reshape(directions.shape)


def _coefficients(intrinsics: Intrinsics) -> np.ndarray:
    """D for OpenCV, whose order is that of ROS; an uncalibrated one of a fisheye means none of higher order."""
    return np.array(intrinsics.distortion or (0.0,) * 4)


def valid(depth_m: np.ndarray) -> np.ndarray:
    """Boolean mask of depths that mean something: finite and positive."""
    return np.isfinite(depth_m) & (depth_m > 0)


def within(depth_m: np.ndarray, most_m: float) -> np.ndarray:
    """(H, W) uint8, 255 where a depth is valid and not beyond most_m, else 0; depth_m: (H, W) float32."""
    return cv2.inRange(depth_m, float(np.finfo(np.float32).tiny), most_m)


def sampled(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, ...) -> the pixel in the middle of each of (h, w) cells."""
    rows, columns = (((np.arange(n) + 0.5) * of / n).astype(int) for n, of in zip(size, picture.shape, strict=False))
    return picture[rows[:, None], columns]


def depth_from_codes(codes: np.ndarray, unit_m: float = 1e-3) -> np.ndarray:
    """(H, W) uint16 multiples of a unit, 0 invalid -> float32 metres, NaN invalid."""
    depth_m = codes.astype(np.float32) * np.float32(unit_m)
    depth_m[codes == 0] = np.nan
    return depth_m


def codes_from_depth(depth_m: np.ndarray, unit_m: float = 1e-3) -> np.ndarray:
    """float32 metres -> uint16 multiples of a unit; invalid, and beyond 65535 of them, becomes 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        codes = depth_m / unit_m
        np.rint(codes, out=codes)
    told = codes > 0
    told &= codes <= 65535
    codes[~told] = 0
    return codes.astype(np.uint16)


def depth_from_millimetres(depth_mm: np.ndarray) -> np.ndarray:
    """(H, W) uint16 millimetres, 0 invalid (REP 118) -> float32 metres, NaN invalid."""
    return depth_from_codes(depth_mm)


def millimetres_from_depth(depth_m: np.ndarray) -> np.ndarray:
    """float32 metres -> uint16 millimetres; invalid, and beyond 65.535 m, becomes 0."""
    return codes_from_depth(depth_m)


def unproject(depth_m: np.ndarray, ray: np.ndarray) -> np.ndarray:
    """(..., ) depth along the optical axis and (..., 2) rays -> (..., 3) points in the optical frame, metres."""
    return np.concatenate([ray * depth_m[..., None], depth_m[..., None]], -1)


def floor_of(ground_from_camera: np.ndarray) -> np.ndarray | None:
    """(3,) plane of a pose (4, 4) above the ground z = 0, 1 / z = plane @ (x / z, y / z, 1); None where not above."""
    above_m = ground_from_camera[2, 3]
    return -ground_from_camera[2, :3] / above_m if above_m > 0 else None


def depth_steps(depth_m: np.ndarray, ratio: float, reach: int = 1) -> np.ndarray:
    """(H, W) boolean mask of pixels on the way from one surface to another: their depth belongs to neither.

    depth_m: (H, W) float32, NaN invalid. Marked is where, over +-reach pixels, depth changes by more than the share
    `ratio` beyond what it changes just before or just after: the disparity of a plane, however steep, is linear.
    """
    disparity = 1 / depth_m
    steps = np.zeros(depth_m.shape, bool)
    for values, marked in ((disparity, steps), (disparity.T, steps.T)):
        if len(values) <= 2 * reach:
            continue
        one, other = values[: -2 * reach], values[2 * reach :]
        change = np.abs(other - one)
        slope = np.full_like(change, np.nan)
        slope[2 * reach :] = change[: -2 * reach]
        slope[: -2 * reach] = np.fmin(slope[: -2 * reach], change[2 * reach :])
        slope[np.isnan(slope)] = 0
        marked[reach:-reach] |= change - slope > ratio * np.minimum(one, other)
    return steps


def cloud(
    depth_m: np.ndarray,
    intrinsics: Intrinsics,
    color: np.ndarray,
    stride: int = 2,
    step_ratio: float = 0.1,
    detail_px: float = 1.0,
) -> np.ndarray:
    """Organised cloud, (ceil(H/stride), ceil(W/stride)) of POINT; invalid pixels and depth steps are NaN.

    detail_px: how many pixels of depth_m were interpolated from one of the network's; steps are as wide.
    """
    ray = rays(intrinsics, stride)
    z = depth_m[::stride, ::stride].copy()
    z[depth_steps(z, step_ratio, max(1, round(detail_px / (2 * stride)))) | np.isnan(ray[..., 0])] = np.nan
    points = np.zeros(z.shape, POINT)
    points["z"] = z
    np.multiply(ray[..., 0], z, out=points["x"])
    np.multiply(ray[..., 1], z, out=points["y"])
    # rgb is packed as 0x00RRGGBB, little-endian: written a byte at a time, it needs no wider copy.
    packed = points.view(np.uint8).reshape(*z.shape, POINT.itemsize)
    for channel in range(3):
        packed[..., POINT.fields["rgb"][1] + 2 - channel] = color[::stride, ::stride, channel]
    return points
