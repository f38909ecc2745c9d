"""One simulated scene: the same activity, seed and split always give the same people, places and pictures."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .. import config
from ..geometry import Intrinsics
from . import paths, worlds
from .actors import WEARS
from .render import Picture, mujoco

SPLITS = ("train", "val", "test")
MAX_DEPTH_M = 80.0
HEIGHTS_M = {"robot": (0.3, 0.8), "hand": (1.2, 1.8), "stand": (2.0, 4.0), "mast": (4.0, 8.5)}
_UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Moment:
    """What the simulated camera sees, with its truth.

    color: (H, W, 3) uint8 RGB. depth_m: (H, W) float32 along the optical axis, NaN for sky and beyond 80 m.
    ids: (H, W) uint16, 0 background, one lasting id a person; None unless asked for.
    world_from_camera: (4, 4) float64, OpenCV axes.
    """

    color: np.ndarray
    depth_m: np.ndarray
    ids: np.ndarray | None
    world_from_camera: np.ndarray


class Scene:
    """A world, its people and cameras. view: which of the scene's cameras; look(view) changes it.

    oversample: draw so many times larger, for smooth edges. window_s: how long nobody walks into the camera.
    """

    def __init__(
        self, activity: str, seed: int, split="train", width=352, height=256, oversample=1, view=0, window_s=6.0
    ):
        if activity not in config.ACTIVITIES:
            raise ValueError(f"activity must be one of {', '.join(config.ACTIVITIES)}, got '{activity}'")
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got '{split}'")
        self._stream = (SPLITS.index(split), config.ACTIVITIES.index(activity), int(seed))
        self.activity, self.width, self.height, self._window_s = activity, width, height, window_s
        rng = np.random.default_rng(self._stream)
        self.world = worlds.BUILD[activity](rng)
        self.people = self.world.people
        first = self.world.stage.people(rng, self.people)
        reach, haze = self.world.shadow_reach_m, bool(activity == "plaza" and rng.random() < 0.25)
        model = self.world.stage.compile(width * oversample, height * oversample, abs(reach), rng.uniform(120, 300))
        self._picture = Picture(model, width, height, oversample, shadow=reach > 0, haze=haze)
        self._bodies = slice(first, first + self.people.count * len(WEARS))
        self.geom_ids = np.zeros(model.ngeom, np.uint16)
        self.geom_ids[self._bodies] = np.repeat(np.arange(self.people.count) + 1, len(WEARS))
        self.look(view)

    def look(self, view: int) -> None:
        """Take camera number view of this scene: its lens, place and movement."""
        rng = np.random.default_rng((*self._stream, 7, view))
        self._start_s = 10.0 * view
        best, best_seen = None, -1.0
        for _ in range(60):
            path = self._camera(rng)
            seen = self._seen(path)
            if seen > best_seen:
                best, best_seen = path, seen
            if best_seen >= min(3, self.people.count):
                break
        self.path = best
        self.intrinsics = Intrinsics.from_fov(self.width, self.height, best.fov_deg)
        # a camera exposes for what it sees; how well it does differs from view to view
        self._exposure = 1.0
        level = np.mean(self.render(0.0).color) + 1e-3
        self._exposure = float(np.clip(rng.uniform(65, 135) / level, 0.8, 3.0))

    def render(self, time_s: float, ids: bool = False) -> Moment:
        """The view at a time in seconds since it began; ids costs another pass."""
        center, rotation = self.people.pose(self._start_s + time_s)
        self._picture.data.geom_xpos[self._bodies] = center.reshape(-1, 3)
        self._picture.data.geom_xmat[self._bodies] = rotation.reshape(-1, 9)
        pose = self.path.pose(time_s)
        fov = 2 * np.degrees(np.arctan(self.height / 2 / self.intrinsics.fy))
        color, depth_m, who = self._picture.take(pose, fov, self.geom_ids if ids else None)
        color = cv2.convertScaleAbs(color, alpha=self._exposure)
        depth_m[depth_m > MAX_DEPTH_M] = np.nan
        return Moment(color, depth_m, who, pose)

    def close(self) -> None:
        """Free the renderer; safe to call twice."""
        self._picture.close()

    def _camera(self, rng) -> paths.CameraPath:
        world = self.world
        mount = rng.choice(list(world.mounts), p=list(world.mounts.values()))
        low, high = HEIGHTS_M[mount]
        height = min(rng.uniform(low, high), world.height_limit_m)
        fov = rng.uniform(45, 100) if self.activity != "plaza" else rng.uniform(30, 50 if mount == "mast" else 90)
        places = self.people.track(self._start_s)[0]
        target = places[rng.integers(len(places))] * 0.6 + 0.4 * places.mean(0) + rng.normal(0, 0.4, 2)
        if self.activity == "room":
            place = rng.uniform(-1, 1, 2) * (world.half - 0.5)
            place = place / np.max(np.abs(place) / (world.half - 0.4)) * rng.uniform(0.7, 1)
        else:
            far = rng.uniform(0.7, 2.2) * max(world.crowd_m, 4) if mount != "mast" else rng.uniform(14, 34)
            if self.activity == "court":
                far = min(far, np.linalg.norm(world.half))
            azimuth = rng.uniform(0, 2 * np.pi)
            place = target + far * np.array([np.cos(azimuth), np.sin(azimuth)])
        place = np.clip(place, 0.4 - world.half, world.half - 0.4)
        aim = np.array([*target, rng.uniform(0.7, 1.4)])
        path = paths.CameraPath(np.array([*place, height]), aim, float(np.clip(fov, 30, 100)))
        distance = max(np.linalg.norm(aim - path.place), 0.5)
        path.target = aim + _UP * distance * np.tan(np.radians(rng.normal(0, 0.06 * path.fov_deg)))
        free = min(4.0, 0.2 * distance)
        return paths.moves(rng, path, str(mount), free)

    def _seen(self, path) -> float:
        """How many people the camera sees large enough on average; negative where it would stand in something."""
        if not self._free(path):
            return -1.0
        focal = self.width / 2 / np.tan(np.radians(path.fov_deg) / 2)
        seen = 0.0
        for time_s in np.linspace(0, self._window_s, 3):
            pose = path.pose(time_s)
            ground = self.people.track(self._start_s + time_s)[0]
            chest = np.concatenate([ground, 0.7 * self.people.stature_m[:, None]], -1)
            local = (chest - pose[:3, 3]) @ pose[:3, :3]
            depth = np.maximum(local[:, 2], 1e-3)
            inside = (np.abs(local[:, 0]) * focal / depth < 0.48 * self.width) & (local[:, 2] > 0.8)
            inside &= np.abs(local[:, 1]) * focal / depth < 0.48 * self.height
            inside &= focal * self.people.stature_m / depth > 0.07 * self.height
            seen += sum(self._ray(pose[:3, 3], point - pose[:3, 3]) >= 1 for point in chest[inside]) / 3
        return seen

    def _free(self, path) -> bool:
        times = np.linspace(0, self._window_s, int(2 * self._window_s) + 1)
        camera = np.stack([path.pose(t)[:3, 3] for t in times])
        if (np.abs(camera[:, :2]) > self.world.half - 0.3).any():
            return False
        people = np.stack([self.people.track(self._start_s + t)[0] for t in times])
        near = np.linalg.norm(people - camera[:, None, :2], axis=-1) < 0.9
        if near.any() and camera[0, 2] < 2.4:
            return False
        around = [np.array([np.cos(a), np.sin(a), 0.5 * (i % 4) - 0.75]) for i, a in enumerate(np.arange(0, 12.4, 0.7))]
        ends = camera[:: len(camera) // 4] if path.drive_rate else camera[:1]
        return all(self._ray(end, direction) > 0.55 for end in ends for direction in around)

    def _ray(self, start, direction) -> float:
        """Distance to the first standing thing in units of direction; inf if none."""
        hit = np.zeros(1, np.int32)
        group = np.array([1, 0, 0, 0, 0, 0], np.uint8)
        distance = mujoco.mj_ray(self._picture.model, self._picture.data, start, direction, group, 1, -1, hit)
        return distance if hit[0] >= 0 else np.inf
