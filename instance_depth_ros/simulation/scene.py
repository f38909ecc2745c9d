"""One simulated scene: the same activity, seed and split always give the same people, places and pictures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from .. import config
from ..geometry import Intrinsics
from . import activities, filming, paths
from .render import Picture
from .world import PERSON, Troupe

SPLITS = ("train", "val", "test")
MAX_DEPTH_M = 80.0
# Poses lie on this grid (4 micrometres): the last bits of a machine's sines do not reach what is drawn or hashed.
GRID = 2.0**18
BLUR_STEPS = 4


@dataclass(frozen=True)
class Moment:
    """What the simulated camera sees, with its truth.

    color: (H, W, 3) uint8 RGB. depth_m: (H, W) float32 along the optical axis, NaN for sky and beyond 80 m.
    world_from_camera: (4, 4) float64, OpenCV axes. centers, rotations: (geoms, 3), (geoms, 3, 3) of all shapes.
    surface: (H, W) int16, the shape seen, -1 sky. ids: (H, W) uint16, 0 background, one lasting id an instance.
    Both None unless asked for.
    """

    time_s: float
    color: np.ndarray
    depth_m: np.ndarray
    world_from_camera: np.ndarray
    intrinsics: Intrinsics
    centers: np.ndarray
    rotations: np.ndarray
    surface: np.ndarray | None = None
    ids: np.ndarray | None = None


class Scene:
    """A world, its actors and a camera. view: which of the scene's cameras; look(view) changes it.

    oversample: draw colours so many times larger, for smooth edges. window_s: how long nobody walks into the camera.
    shutter_s: exposure time of each picture, for motion blur. Use it from one thread at a time, and close it.
    instance_of: (geoms,) the id of each shape, 0 background. classes, still: (instances,) of id 1, 2, ...
    ground, moves: (geoms,) bool. model: the mujoco.MjModel.
    """

    def __init__(
        self,
        activity: str,
        seed: int,
        split: str = "train",
        width: int = 640,
        height: int = 480,
        oversample: int = 1,
        view: int = 0,
        window_s: float = 6.0,
        shutter_s: float = 0.0,
    ):
        if activity not in config.ACTIVITIES:
            raise ValueError(f"activity must be one of {', '.join(config.ACTIVITIES)}, got '{activity}'")
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got '{split}'")
        self.activity, self.seed, self.split = activity, int(seed), split
        self.width, self.height, self.window_s, self.shutter_s = width, height, window_s, shutter_s
        # the split is part of the seed: no two splits share a random number, so neither a person nor a texture
        self.stream = (SPLITS.index(split), config.ACTIVITIES.index(activity), self.seed)
        rng = np.random.default_rng(self.stream)
        self.world = activities.build(activity, rng)
        self._cast = [(troupe, self._dress(troupe, rng)) for troupe in self.world.troupes]
        self._describe()
        world = self.world
        self.model = world.stage.compile(width * oversample, height * oversample, world.shadow_reach_m, world.haze_m)
        self.picture = Picture(self.model, width, height, oversample, world.shadows, world.haze_m > 0)
        # pictures of materials follow from the numbers drawn: as many, from the same seed
        self._state = hashlib.sha256(world.stage.signature() + repr(rng.bit_generator.state).encode())
        self.look(view)

    def _dress(self, troupe: Troupe, rng) -> slice:
        stage = self.world.stage
        first = len(stage.geoms)
        troupe.dress(stage, rng)
        return slice(first, len(stage.geoms))

    def _describe(self) -> None:
        """Which shape belongs to whom."""
        count = len(self.world.stage.geoms)
        self.ground = np.array(self.world.stage.ground)
        self.instance_of, self.moves = np.zeros(count, np.uint16), np.zeros(count, bool)
        classes, still = [], []
        for troupe, geoms in self._cast:
            numbers = len(classes) + 1 + np.arange(len(troupe.geoms_each))
            self.instance_of[geoms] = np.repeat(numbers, troupe.geoms_each)
            self.moves[geoms] = ~np.repeat(troupe.still, troupe.geoms_each)
            classes += [troupe.class_id] * len(troupe.geoms_each)
            still += list(troupe.still)
        self.classes, self.still = np.array(classes, np.uint8), np.array(still, bool)

    @property
    def ids(self) -> np.ndarray:
        """1, 2, ... in the order of the world's troupes."""
        return np.arange(1, len(self.classes) + 1)

    def look(self, view: int) -> None:
        """Take camera number view of this scene: its lens, place and movement."""
        rng = np.random.default_rng((*self.stream, 7, view))
        shot = filming.choose(self, rng)
        self.path, self.intrinsics, self.lens, self.mount = shot.path, shot.intrinsics, shot.lens, shot.mount
        # a camera exposes for what it sees, one that is carried about for all of it; how well differs from view to view
        self._exposure = 1.0
        times_s = np.linspace(0, self.path.period_s, 6)[:-1] if isinstance(self.path, paths.Route) else [0.0]
        level = np.mean([np.mean(self._color(time_s)) for time_s in times_s]) + 1e-3
        self._exposure = float(np.clip(rng.uniform(65, 135) / level, 0.7, 4.0))

    def render(self, time_s: float, truth: bool = False) -> Moment:
        """The view at a time in seconds; truth (surface and ids) costs another pass."""
        self.arrange(time_s)
        pose = self._eye(time_s)
        color, depth_m, surface = self.picture.take(pose, self._fov_deg, truth)
        moment_poses = self.picture.data.geom_xpos.copy(), self.picture.data.geom_xmat.reshape(-1, 3, 3).copy()
        if self.shutter_s:
            offsets = np.linspace(-0.5, 0.5, BLUR_STEPS) * self.shutter_s
            color = np.mean([self._color(max(time_s + o, 0.0)) for o in offsets], 0).astype(np.uint8)
        color = cv2.convertScaleAbs(color, alpha=self._exposure)
        depth_m[depth_m > MAX_DEPTH_M] = np.nan
        ids = None
        if truth:
            # index -1, the sky, reads the 0 that is put last
            ids = np.append(self.instance_of, np.uint16(0))[surface]
        return Moment(time_s, color, depth_m, pose, self.intrinsics, *moment_poses, surface, ids)

    def arrange(self, time_s: float) -> None:
        """Put everything where it is at that time: picture.data.geom_xpos and geom_xmat."""
        data = self.picture.data
        for troupe, geoms in self._cast:
            centers, rotations = troupe.pose(time_s)
            data.geom_xpos[geoms] = np.rint(centers * GRID) / GRID
            data.geom_xmat[geoms] = (np.rint(rotations * GRID) / GRID).reshape(-1, 9)

    def joints(self, time_s: float) -> dict[int, np.ndarray]:
        """(people.JOINTS, 3) metres in the world, by id; people only."""
        found, first = {}, 1
        for troupe, _ in self._cast:
            joints = troupe.joints(time_s) if troupe.class_id == PERSON else None
            if joints is not None:
                found |= {first + i: one for i, one in enumerate(joints)}
            first += len(troupe.geoms_each)
        return found

    def checksum(self, time_s: float) -> str:
        """sha256 of the scene's shapes and materials, and of all poses and the camera at that time.

        The same on every machine: it is of whole numbers on a grid, not of pictures.
        """
        self.arrange(time_s)
        data, state = self.picture.data, self._state.copy()
        for part in (data.geom_xpos, data.geom_xmat, self._eye(time_s), self.intrinsics.K):
            state.update(np.rint(np.asarray(part) * GRID).astype("<i8").tobytes())
        return state.hexdigest()

    def close(self) -> None:
        """Free the renderer; safe to call twice."""
        self.picture.close()

    @property
    def _fov_deg(self) -> float:
        return float(2 * np.degrees(np.arctan(self.height / 2 / self.intrinsics.fy)))

    def _eye(self, time_s: float) -> np.ndarray:
        return np.rint(self.path.pose(time_s) * GRID) / GRID

    def _color(self, time_s: float) -> np.ndarray:
        self.arrange(time_s)
        return self.picture.color(self._eye(time_s), self._fov_deg)
