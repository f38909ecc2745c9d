"""Choosing a camera for a scene: one that stands free, sees many of the actors, and is not walked into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry import Intrinsics
from . import paths
from .render import mujoco
from .world import ANIMAL, BALL, RACKET

_TRIES, _ROUNDS = 40, 5
_CLEAR_M = 0.55  # of any thing, at the camera
_APART_M = 0.8  # of any actor
_FAR = 0.25  # what an actor too far away takes from the worth of a view


@dataclass(frozen=True)
class Shot:
    """A camera: how it moves, its lens (both what it is and what it is called), and what carries it."""

    path: paths.CameraPath | paths.Route
    intrinsics: Intrinsics
    lens: str
    mount: str


def choose(scene, rng: np.random.Generator) -> Shot:
    """Of some that stand free, one that sees many of the actors, most of them at the distance that the plan asks."""
    if scene.world.route is not None:
        return _carried(scene, rng)
    actors = ~np.isin(scene.classes, (BALL, RACKET))
    times = np.linspace(0, scene.window_s, 4)
    moments = [_instances(scene, time_s)[actors] for time_s in times]
    # who goes to a zoo looks at the animals
    counts = np.where(scene.classes[actors] == ANIMAL, 2.0, 1.0)
    moving, best, most = _moving(scene), None, -np.inf
    for _ in range(_ROUNDS):
        # what carries the camera and its lens are given: else those that see most would always be chosen
        mount, lens = _mount(rng, scene.world.filming), str(rng.choice(scene.world.filming.lenses))
        shots = [_candidate(scene, rng, moments[0], mount, lens) for _ in range(_TRIES)]
        # not always the very best: views of a scene shall differ
        luck = rng.uniform(0.7, 1.0, _TRIES)
        worth = [
            luck[i] * _seen(scene, shot, times, moments, counts) if _free(scene, shot.path, moving) else -np.inf
            for i, shot in enumerate(shots)
        ]
        if max(worth) > most:
            best, most = shots[int(np.argmax(worth))], max(worth)
        if most > 0:
            break
    if best is not None:
        return best
    raise RuntimeError(f"{scene.activity} {scene.seed} has no free place for a camera: take another seed")


def _mount(rng, plan) -> str:
    return str(rng.choice(list(plan.mounts), p=np.array(list(plan.mounts.values())) / sum(plan.mounts.values())))


def _carried(scene, rng) -> Shot:
    name = str(rng.choice(scene.world.filming.lenses))
    path = paths.Route(*scene.world.route, rng.uniform(0.3, 1.2), rng.uniform(0, 2 * np.pi, (6, 3)))
    return Shot(path, paths.lens(name, scene.width, scene.height, _tolerance(rng)), name, "hand")


def _tolerance(rng) -> float:
    return 1 + rng.uniform(-paths.LENS_TOLERANCE, paths.LENS_TOLERANCE)


def _candidate(scene, rng, actors: np.ndarray, mount: str, name: str) -> Shot:
    world, plan = scene.world, scene.world.filming
    intrinsics = paths.lens(name, scene.width, scene.height, _tolerance(rng))
    height_m = rng.uniform(*(plan.height_m or paths.MOUNTS[mount]))
    if world.ceiling_m:
        height_m = min(height_m, world.ceiling_m - 0.3)
    if plan.focus is not None:
        focus = np.asarray(plan.focus(0.0), float) + rng.normal(0, 0.4, 2)
    else:
        focus = 0.6 * actors[rng.integers(len(actors)), :2] + 0.4 * actors[:, :2].mean(0) + rng.normal(0, 0.4, 2)
    azimuth = rng.uniform(0, 2 * np.pi)
    place = focus + rng.uniform(*plan.distance_m) * np.array([np.cos(azimuth), np.sin(azimuth)])
    place = np.clip(place, 0.4 - world.half, world.half - 0.4)
    aim = np.array([*focus, rng.uniform(0.7, 1.3)])
    path = paths.CameraPath(np.array([*place, height_m]), aim)
    away_m, view_deg = (
        max(np.linalg.norm(aim - path.place), 0.5),
        np.degrees(2 * np.arctan(intrinsics.cx / intrinsics.fx)),
    )
    path.target = aim + [0, 0, away_m * np.tan(np.radians(rng.normal(0, 0.04 * view_deg)))]
    paths.moves(rng, path, mount, view_deg, min(4.0, 0.2 * away_m))
    return Shot(path, intrinsics, name, mount)


def _instances(scene, time_s: float) -> np.ndarray:
    """(instances, 3): the middle of each."""
    scene.arrange(time_s)
    of, count = scene.instance_of, len(scene.classes)
    places = scene.picture.data.geom_xpos
    sums = np.stack([np.bincount(of, places[:, i], count + 1) for i in range(3)], -1)
    return (sums / np.maximum(np.bincount(of, minlength=count + 1), 1)[:, None])[1:]


def _moving(scene) -> tuple[np.ndarray, np.ndarray]:
    """(times,) and (times, shapes, 3): every shape of every actor over the window, three times a second."""
    times = np.linspace(0, scene.window_s, int(3 * scene.window_s) + 1)
    places = []
    for time_s in times:
        scene.arrange(time_s)
        places.append(scene.picture.data.geom_xpos[scene.instance_of > 0])
    return times, np.stack(places)


def _seen(scene, shot: Shot, times, moments, counts) -> float:
    """How many actors are in the picture, large enough and not behind something that stands there, on average.

    counts: (actors,) what each counts; those nearer than the plan asks count nothing, those farther against it.
    """
    lens, (least, most), seen = shot.intrinsics, scene.world.filming.distance_m, 0.0
    for time_s, places in zip(times, moments, strict=True):
        pose = shot.path.pose(time_s)
        local = (places - pose[:3, 3]) @ pose[:3, :3]
        depth_m = np.maximum(local[:, 2], 1e-3)
        off = np.abs(local[:, :2]) * lens.fx / depth_m[:, None] / [lens.width, lens.height]
        inside = (local[:, 2] > 1.0) & (off < 0.47).all(1) & (lens.fy * 1.7 / depth_m > 0.07 * lens.height)
        weight = np.where(depth_m > most + 0.5, -_FAR, np.where(depth_m > 0.75 * least, counts, 0))
        seen += sum(weight[i] for i in np.flatnonzero(inside) if _ray(scene, pose[:3, 3], places[i] - pose[:3, 3]) >= 1)
    return seen / len(times)


def _free(scene, path: paths.CameraPath, moving) -> bool:
    times, places = moving
    camera = np.stack([path.pose(t)[:3, 3] for t in times])
    if (np.abs(camera[:, :2]) > scene.world.half - 0.3).any():
        return False
    if places.size and np.linalg.norm(places - camera[:, None], axis=-1).min() < _APART_M:
        return False
    around = [np.array([np.cos(a), np.sin(a), 0.5 * (i % 4) - 0.75]) for i, a in enumerate(np.arange(0, 12.4, 0.7))]
    ends = camera[:: max(len(camera) // 4, 1)] if path.drive_rate else camera[:1]
    return all(_ray(scene, end, direction) > _CLEAR_M for end in ends for direction in around)


def _ray(scene, start, direction) -> float:
    """Distance to the first standing thing in units of direction; inf if none."""
    hit = np.zeros(1, np.int32)
    group = np.array([1, 0, 0, 0, 0, 0], np.uint8)
    distance = mujoco.mj_ray(scene.model, scene.picture.data, start, direction, group, 1, -1, hit)
    return distance if hit[0] >= 0 else np.inf
