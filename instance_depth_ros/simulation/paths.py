"""Cameras: their lenses, where they are mounted, and how they move."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..geometry import Intrinsics

# Field of view, horizontal and vertical degrees. D455: Intel RealSense D400 series datasheet. Kinect: Azure Kinect DK
# hardware specification. Phone: a main camera of 26 mm equivalent focal length.
LENSES = {
    "d455_color": (90.0, 65.0),
    "d455_depth": (87.0, 58.0),
    "kinect_color": (90.0, 74.3),
    "kinect_narrow": (75.0, 65.0),
    "kinect_wide": (120.0, 120.0),
    "phone": (67.0, 53.0),
    "mast_30": (30.0, 30.0),
    "mast_45": (45.0, 45.0),
}
LENS_TOLERANCE = 0.03  # of the focal length, from one camera to the next: the datasheets allow 3 degrees
# height over the ground, metres
MOUNTS = {"robot": (0.3, 0.8), "hand": (1.2, 1.8), "tripod": (1.2, 2.2), "stand": (2.0, 4.0), "mast": (4.0, 8.0)}


def lens(name: str, width: int, height: int, scale: float = 1.0) -> Intrinsics:
    """The largest picture of this shape within the lens's field of view; scale: of the focal length."""
    across, down = np.radians(LENSES[name]) / 2
    focal_px = scale * max(width / 2 / np.tan(across), height / 2 / np.tan(down))
    return Intrinsics.from_fov(width, height, float(np.degrees(2 * np.arctan(width / 2 / focal_px))))


def _looking(place, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """world_from_camera (4, 4) with OpenCV axes: x right, y down, z forward."""
    ahead = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    down = np.cross(ahead, right)
    x, y = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.stack([x, y, ahead], -1), place
    return pose


@dataclass
class CameraPath:
    """A camera that stands, is held in a hand, pans, or drives to and fro about its place."""

    place: np.ndarray
    target: np.ndarray
    roll: float = 0.0
    pan: float = 0.0
    pan_rate: float = 0.0
    drive: np.ndarray = field(default_factory=lambda: np.zeros(3))
    drive_rate: float = 0.0
    shake: float = 0.0
    phases: np.ndarray = field(default_factory=lambda: np.zeros((6, 3)))

    def pose(self, time_s: float) -> np.ndarray:
        """world_from_camera (4, 4), OpenCV axes."""
        place = self.place + self.drive * np.sin(self.drive_rate * time_s + self.phases[0, 0])
        ahead = (self.target - self.place) / np.linalg.norm(self.target - self.place)
        yaw = np.arctan2(ahead[1], ahead[0]) + self.pan * np.sin(self.pan_rate * time_s + self.phases[1, 0])
        return _looking(*_shaken(self.shake, self.phases, time_s, place, yaw, np.arcsin(ahead[2]), self.roll))


@dataclass
class Route:
    """A camera that is carried through a closed route: at places (k, 3), looking at aims (k, 3), at times_s (k,).

    The last key is the first again: it goes round for ever. Corners are rounded by a second each way.
    """

    times_s: np.ndarray
    places: np.ndarray
    aims: np.ndarray
    shake: float = 0.0
    phases: np.ndarray = field(default_factory=lambda: np.zeros((6, 3)))

    @property
    def period_s(self) -> float:
        return float(self.times_s[-1] - self.times_s[0])

    def pose(self, time_s: float) -> np.ndarray:
        """world_from_camera (4, 4), OpenCV axes."""
        around = (time_s + np.linspace(-1, 1, 21)) % self.period_s + self.times_s[0]
        weights = np.hanning(23)[1:-1]
        place, aim = (
            weights @ np.stack([np.interp(around, self.times_s, keys[:, i]) for i in range(3)], -1) / weights.sum()
            for keys in (self.places, self.aims)
        )
        ahead = (aim - place) / np.linalg.norm(aim - place)
        yaw, pitch = np.arctan2(ahead[1], ahead[0]), np.arcsin(ahead[2])
        return _looking(*_shaken(self.shake, self.phases, time_s, place, yaw, pitch, 0.0))


def _shaken(shake, phases, time_s, place, yaw, pitch, roll):
    """Centimetres and fractions of a degree of a hand or of wheels."""
    waves = shake * (np.sin(2 * np.pi * np.array([0.35, 0.9, 2.1]) * time_s + phases) @ np.array([1, 0.6, 0.25]))
    return place + 0.02 * waves[:3], yaw + 0.008 * waves[3], pitch + 0.008 * waves[4], roll + 0.006 * waves[5]


def moves(rng: np.random.Generator, path: CameraPath, mount: str, view_deg: float, room_to_drive_m: float) -> None:
    """Give a camera the movement of its mount: robots drive, hands shake and wander, tripods and masts pan or stand.

    view_deg: horizontal field of view. Driving: 0.3 to 1.5 m/s at the fastest.
    """
    path.phases = rng.uniform(0, 2 * np.pi, (6, 3))
    path.roll = rng.normal(0, np.radians(3 if mount == "hand" else 1.5))
    if mount in ("hand", "robot"):
        path.shake = rng.uniform(0.3, 1.5)
    if mount == "robot" or mount == "hand" and rng.random() < 0.35:
        reach = max(rng.uniform(0.3, 1) * room_to_drive_m, 0.2)
        speed_m_s = rng.uniform(0.3, min(1.5, np.sqrt(1.5 * reach) + 0.3))  # it turns round with at most 1.5 m/s2 or so
        ahead = path.target - path.place
        yaw = np.arctan2(ahead[1], ahead[0]) + rng.choice([0, 0, np.pi / 2]) + rng.normal(0, 0.2)
        path.drive = reach * np.array([np.cos(yaw), np.sin(yaw), 0])
        path.drive_rate = speed_m_s / reach
    if rng.random() < {"tripod": 0.7, "hand": 0.5}.get(mount, 0.35):
        path.pan = np.radians(rng.uniform(2, 12)) * view_deg / 60
        path.pan_rate = np.radians(rng.uniform(5, 20)) / path.pan * view_deg / 60
