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
    """(H/stride, W/stride, 2) float32: x/z and y/z of each pixel's ray, distortion removed. Computed once a lens."""
    u, v = np.meshgrid(np.arange(0, intrinsics.width, stride), np.arange(0, intrinsics.height, stride))
    if not any(intrinsics.distortion):
        x, y = (u - intrinsics.cx) / intrinsics.fx, (v - intrinsics.cy) / intrinsics.fy
        directions = np.stack([x, y], -1)
    else:
        pixels = np.stack([u, v], -1).reshape(-1, 1, 2).astype(np.float64)
        undistort = cv2.fisheye.undistortPoints if intrinsics.model == "equidistant" else cv2.undistortPoints
        directions = undistort(pixels, intrinsics.K, np.array(intrinsics.distortion)).reshape(*u.shape, 2)
    directions = directions.astype(np.float32)
    directions.setflags(write=False)
    return directions


def valid(depth_m: np.ndarray) -> np.ndarray:
    """Boolean mask of depths that mean something: finite and positive."""
    return np.isfinite(depth_m) & (depth_m > 0)


def depth_from_millimetres(depth_mm: np.ndarray) -> np.ndarray:
    """(H, W) uint16 millimetres, 0 invalid (REP 118) -> float32 metres, NaN invalid."""
    depth_m = depth_mm.astype(np.float32) * np.float32(1e-3)
    depth_m[depth_mm == 0] = np.nan
    return depth_m


def millimetres_from_depth(depth_m: np.ndarray) -> np.ndarray:
    """float32 metres -> uint16 millimetres; invalid, and beyond 65.535 m, becomes 0."""
    with np.errstate(invalid="ignore"):
        depth_mm = np.where(valid(depth_m), np.rint(depth_m * 1000), 0)
    return np.where(depth_mm > 65535, 0, depth_mm).astype(np.uint16)


def unproject(depth_m: np.ndarray, ray: np.ndarray) -> np.ndarray:
    """(..., ) depth along the optical axis and (..., 2) rays -> (..., 3) points in the optical frame, metres."""
    return np.concatenate([ray * depth_m[..., None], depth_m[..., None]], -1)


def depth_steps(depth_m: np.ndarray, ratio: float) -> np.ndarray:
    """Boolean mask of pixels within one pixel of a step: the 3x3 neighbourhood's max / min exceeds 1 + ratio.

    Interpolated depth there belongs to neither side; a cloud must leave it out.
    """
    kernel = np.ones((3, 3), np.uint8)
    # NaN would poison the comparison; invalid pixels take no part in it.
    missing = ~valid(depth_m)
    far = cv2.dilate(np.where(missing, np.float32(0), depth_m), kernel)
    near = cv2.erode(np.where(missing, np.float32(np.inf), depth_m), kernel)
    return far > near * np.float32(1 + ratio)


def cloud(
    depth_m: np.ndarray, intrinsics: Intrinsics, color: np.ndarray, stride: int = 2, step_ratio: float = 0.1
) -> np.ndarray:
    """Organised cloud, (ceil(H/stride), ceil(W/stride)) of POINT; invalid pixels and depth steps are NaN."""
    z = depth_m[::stride, ::stride].copy()
    z[depth_steps(depth_m, step_ratio)[::stride, ::stride]] = np.nan
    ray = rays(intrinsics, stride)
    points = np.empty(z.shape, POINT)
    points["x"], points["y"], points["z"] = ray[..., 0] * z, ray[..., 1] * z, z
    rgb = color[::stride, ::stride].astype(np.uint32)
    points["rgb"] = (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]
    points["instance_id"] = 0
    return points
