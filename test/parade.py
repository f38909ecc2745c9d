"""A small world whose every motion is a formula: for tests of the truth, through the real Scene."""

import numpy as np

from instance_depth_ros.simulation import activities
from instance_depth_ros.simulation.actors.people import JOINTS
from instance_depth_ros.simulation.filming import Shot
from instance_depth_ros.simulation.scene import Scene
from instance_depth_ros.simulation.sets.stage import Stage
from instance_depth_ros.simulation.world import BALL, PERSON, VEHICLE, World

WALKER = (
    ("sphere", (0.12,), (0, 0, 1.6)),
    ("capsule", (0.16, 0.25), (0, 0, 1.15)),
    ("ellipsoid", (0.2, 0.13, 0.12), (0, 0, 0.9)),
    ("capsule", (0.06, 0.4), (0.1, 0, 0.45)),
    ("capsule", (0.06, 0.4), (-0.1, 0, 0.45)),
    ("box", (0.05, 0.12, 0.3), (0.3, 0, 1.2)),
)
CART = (("box", (0.6, 0.35, 0.25), (0, 0, 0.5)), ("cylinder", (0.2, 0.05), (0.3, 0, 0.2)))


class Troupe:
    """Figures of shapes that go round about their own place and turn as they go.

    Their joints are the centres of the shapes, over and over: the hips are those of the legs.
    """

    def __init__(self, class_id, figure, places, spin=1.0, still=False):
        self.class_id, self.places, self.figure, self.spin = class_id, np.array(places, float), figure, spin
        self.geoms_each, self.still = [len(figure)] * len(places), [still] * len(places)

    def dress(self, stage, rng):
        for _ in self.places:
            for kind, size, _ in self.figure:
                stage.moving(kind, size, texture(stage, rng, 1.0))

    def pose(self, time_s):
        centers, rotations = [], []
        time_s = 0.0 if self.still[0] else time_s
        for index, place in enumerate(self.places):
            angle = self.spin * time_s + index
            upright = np.array([(np.cos(angle), -np.sin(angle), 0), (np.sin(angle), np.cos(angle), 0), (0, 0, 1)])
            lean = 0.3 * np.sin(2 * time_s + index) * (not self.still[0])
            leaning = np.array([(1, 0, 0), (0, np.cos(lean), -np.sin(lean)), (0, np.sin(lean), np.cos(lean))])
            middle = np.array([*place[:2] + 0.5 * np.array([np.sin(angle), np.cos(angle)]), 0])
            for _, _, offset in self.figure:
                centers.append(middle + upright @ leaning @ offset)
                rotations.append(upright @ leaning)
        return np.array(centers), np.array(rotations)

    def joints(self, time_s):
        centers = self.pose(time_s)[0].reshape(len(self.places), len(self.figure), 3)
        return centers[:, np.arange(len(JOINTS)) % len(self.figure)]


class Path:
    """A camera that drives past and pans."""

    def __init__(self, place, target, speed=1.2):
        self.place, self.target, self.speed = np.array(place, float), np.array(target, float), speed

    def pose(self, time_s):
        place = self.place + (self.speed * time_s, 0.3 * np.sin(time_s), 0.1 * time_s)
        ahead = self.target + (0.3 * time_s, 0, 0) - place
        ahead /= np.linalg.norm(ahead)
        right = np.cross(ahead, (0, 0.05, 1))
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(ahead, right), ahead], -1)
        pose[:3, 3] = place
        return pose


def texture(stage, rng, period_m):
    """Soft blotches: what is drawn hardly depends on how a renderer samples them."""
    u, v = np.meshgrid(*[np.arange(64) / 64 * 2 * np.pi] * 2)
    image = np.zeros((64, 64, 3))
    for _ in range(6):
        a, b = rng.integers(-3, 4, 2)
        image += rng.normal(0, 22, 3) * np.sin(a * u + b * v + rng.uniform(0, 6))[..., None]
    return stage.material(image=np.clip(image + 128, 0, 255).astype(np.uint8), period_m=period_m)


def world(rng, count=5):
    """Walkers and balls that move, carts that are parked, walls, a floor without end."""
    stage = Stage()
    stage.headlight = (0.9, 0.0)  # light without direction: a point keeps its colour
    stage.floor(60, texture(stage, rng, 3.0))
    for azimuth in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        at = 7 * np.array([np.cos(azimuth), np.sin(azimuth)])
        stage.box((*at, 1.0), (0.5, 0.3, 1.0), texture(stage, rng, 1.5), azimuth)
    stage.rod((-1.5, -2.2, 0), (-1.5, -2.2, 2.5), 0.05, texture(stage, rng, 1.0))
    walkers = [(x, y) for y in (-1.0, 1.2) for x in np.linspace(-2.5, 2.5, count)]
    troupes = [
        Troupe(PERSON, WALKER, walkers),
        Troupe(BALL, (("sphere", (0.12,), (0.2, 0, 1.0)),), [(0.4, -2.5), (-0.6, -2.0)], 2.0),
        Troupe(VEHICLE, CART, [(1.8, -2.6), (-3.2, 0.2)], still=True),
    ]
    return World(stage, half=np.array([8.0, 8.0]), troupes=troupes)


def scene(monkeypatch, width=320, height=240, place=(-0.8, -6, 1.5), target=(0, 0, 0.9), fov_deg=70, **options):
    """A Scene of this world, seen by a camera that moves."""
    from instance_depth_ros.geometry import Intrinsics
    from instance_depth_ros.simulation import filming

    lens = Intrinsics.from_fov(width, height, fov_deg)
    monkeypatch.setattr(activities, "build", lambda activity, rng: world(rng))
    monkeypatch.setattr(filming, "choose", lambda scene, rng: Shot(Path(place, target), lens, "test", "hand"))
    return Scene("room", 0, "test", width, height, **options)
