"""Where cameras stand, how they are aimed and how they move."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class CameraPath:
    """A camera that stands, is held in a hand, pans, or drives to and fro about its place."""

    place: np.ndarray
    target: np.ndarray
    fov_deg: float
    roll: float = 0.0
    pan: float = 0.0
    pan_rate: float = 0.0
    drive: np.ndarray = field(default_factory=lambda: np.zeros(3))
    drive_rate: float = 0.0
    shake: float = 0.0
    phases: np.ndarray = field(default_factory=lambda: np.zeros((6, 3)))

    def pose(self, time_s: float) -> np.ndarray:
        """world_from_camera (4, 4) with OpenCV axes: x right, y down, z forward."""
        waves = np.sin(2 * np.pi * np.array([0.35, 0.9, 2.1]) * time_s + self.phases) @ np.array([1, 0.6, 0.25])
        place = self.place + self.drive * np.sin(self.drive_rate * time_s + self.phases[0, 0])
        place = place + 0.02 * self.shake * waves[:3]
        forward = (self.target - self.place) / np.linalg.norm(self.target - self.place)
        yaw = np.arctan2(forward[1], forward[0]) + self.pan * np.sin(self.pan_rate * time_s + self.phases[1, 0])
        yaw = yaw + 0.008 * self.shake * waves[3]
        pitch = np.arcsin(forward[2]) + 0.008 * self.shake * waves[4]
        roll = self.roll + 0.006 * self.shake * waves[5]
        ahead = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
        right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
        down = np.cross(ahead, right)
        x, y = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = np.stack([x, y, ahead], -1), place
        return pose


def moves(rng: np.random.Generator, path: CameraPath, mount: str, room_to_drive_m: float) -> CameraPath:
    """Give a camera the movement of its mount: a third stay still; robots drive, hands shake, masts pan."""
    path.phases = rng.uniform(0, 2 * np.pi, (6, 3))
    path.roll = rng.normal(0, np.radians(1.5 if mount != "hand" else 3))
    if rng.random() < 0.33:
        return path
    if mount == "robot" or rng.random() < 0.35:
        reach, speed = rng.uniform(0.3, 1) * room_to_drive_m, rng.uniform(0.3, 1.5)
        ahead = path.target - path.place
        turn = rng.choice([0, 0, np.pi / 2]) + rng.normal(0, 0.2)
        yaw = np.arctan2(ahead[1], ahead[0]) + turn
        path.drive = reach * np.array([np.cos(yaw), np.sin(yaw), 0])
        path.drive_rate = speed / max(reach, 0.2)
    if mount == "hand" or mount == "robot":
        path.shake = rng.uniform(0.3, 1.5)
    if rng.random() < 0.4:
        path.pan = np.radians(rng.uniform(2, 12)) * path.fov_deg / 60
        path.pan_rate = np.radians(rng.uniform(5, 20)) / path.pan * path.fov_deg / 60
    return path
