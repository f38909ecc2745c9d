"""What is true of a moment beyond its picture: instances, classes, ground, what stands still."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .actors.people import JOINTS
from .amodal import BOX, CAPSULE, CYLINDER, ELLIPSOID, SPHERE, Cutout, amodal_masks, visible_boxes
from .flow import flow, flows

__all__ = [
    "Cutout", "Instance", "amodal_masks", "class_image", "flow", "flows", "ground_mask", "instances", "static_mask",
]  # fmt: skip
_HIDES_PX = 4


@dataclass(frozen=True)
class Instance:
    """One instance in a picture.

    box_px: (x, y, w, h) of its visible pixels, None where there are none; area_px: their number; depth_m: their mean
    depth, NaN where unknown. box_amodal_px, visible (share of the amodal mask that is visible), hides (ids of those it
    covers some of): None, NaN and () unless asked for.
    center_m, size_m (3,), yaw_rad: the 3D box in the world, upright, hidden parts included; its first axis is the way a
    person's hips face, or the longest axis of the largest geom where that lies, or the world's x.
    joints_m: (JOINTS, 3) in the world, of people.
    """

    id: int
    class_id: int
    still: bool
    box_px: tuple[int, int, int, int] | None
    area_px: int
    depth_m: float
    box_amodal_px: tuple[int, int, int, int] | None
    visible: float
    hides: tuple[int, ...]
    center_m: np.ndarray
    size_m: np.ndarray
    yaw_rad: float
    joints_m: np.ndarray | None


def ground_mask(scene, moment) -> np.ndarray:
    """(H, W) bool: what people stand on."""
    return np.append(scene.ground, False)[moment.surface]


def static_mask(scene, moment) -> np.ndarray:
    """(H, W) bool: what does not move in the world; the sky, and instances that are parked, do not."""
    return ~np.append(scene.moves, False)[moment.surface]


def class_image(scene, moment) -> np.ndarray:
    """(H, W) uint8: the class of each pixel, 0 background."""
    return np.insert(scene.classes, 0, 0)[moment.ids]


def instances(scene, moment, amodal: dict[int, Cutout] | None = None) -> list[Instance]:
    """Those with visible pixels, or, where amodal masks are given, with any in the picture; in the order of ids."""
    ids = moment.ids
    boxes = visible_boxes(ids)
    known = np.isfinite(moment.depth_m)
    areas = np.bincount(ids.reshape(-1), minlength=len(scene.ids) + 1)
    depths = np.bincount(ids[known], moment.depth_m[known], minlength=len(areas))
    counts = np.bincount(ids[known], minlength=len(areas))
    hides = _hides(ids, amodal) if amodal else {}
    joints = scene.joints(moment.time_s)
    found = []
    for who in sorted(set(boxes) | set(amodal or ())):
        cutout = amodal[who] if amodal else None
        found.append(
            Instance(
                id=who,
                class_id=int(scene.classes[who - 1]),
                still=bool(scene.still[who - 1]),
                box_px=boxes.get(who),
                area_px=int(areas[who]),
                depth_m=float(depths[who] / counts[who]) if counts[who] else np.nan,
                box_amodal_px=(cutout.x, cutout.y, *cutout.mask.shape[::-1]) if cutout else None,
                visible=float(areas[who] / cutout.mask.sum()) if cutout else np.nan,
                hides=hides.get(who, ()),
                **_box3d(scene, moment, who, joints.get(who)),
                joints_m=joints.get(who),
            )
        )
    return found


def _hides(ids: np.ndarray, amodal: dict[int, Cutout]) -> dict[int, tuple[int, ...]]:
    """Whom each id hides: those in whose amodal mask some of its pixels lie. Were they farther, the other were seen."""
    hides = {}
    for hidden, cutout in amodal.items():
        over = np.bincount(ids[cutout.window][cutout.mask])
        for who in np.flatnonzero(over >= _HIDES_PX):
            if who not in (0, hidden):
                hides.setdefault(int(who), []).append(hidden)
    return {who: tuple(hidden) for who, hidden in hides.items()}


def _box3d(scene, moment, who: int, joints) -> dict:
    geoms = np.flatnonzero(scene.instance_of == who)
    yaw = _yaw(scene, moment, geoms, joints)
    along = np.array([(np.cos(yaw), np.sin(yaw), 0), (-np.sin(yaw), np.cos(yaw), 0), (0, 0, 1)])
    middle = moment.centers[geoms] @ along.T
    reach = _reach(scene.model, geoms, moment.rotations[geoms].swapaxes(1, 2) @ along.T)
    low, high = (middle - reach).min(0), (middle + reach).max(0)
    return {"center_m": (low + high) / 2 @ along, "size_m": high - low, "yaw_rad": yaw}


def _yaw(scene, moment, geoms: np.ndarray, joints) -> float:
    if joints is not None:
        left, right = (joints[JOINTS.index(name)] for name in ("hip_l", "hip_r"))
        x, y = (left - right)[:2]
        return float(np.arctan2(-x, y))
    size = scene.model.geom_size[geoms]
    largest = int(np.argmax(size.max(1)))
    kind, longest = scene.model.geom_type[geoms[largest]], 2
    if kind in (BOX, ELLIPSOID):
        longest = int(np.argmax(size[largest]))
    x, y, up = moment.rotations[geoms[largest], :, longest]
    lies = kind != SPHERE and abs(up) < 0.7
    return float(np.arctan2(y, x)) if lies else 0.0


def _reach(model, geoms: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """(geoms, 3): how far geoms reach from their centres along the columns of ways (geoms, 3, 3), in their axes."""
    size, kind = model.geom_size[geoms], model.geom_type[geoms][:, None]
    radius, half = size[:, :1], size[:, 1:2]
    up = np.abs(ways[:, 2])
    return np.select(
        [
            kind == SPHERE,
            kind == CAPSULE,
            kind == CYLINDER,
            kind == BOX,
        ],
        [
            np.broadcast_to(radius, up.shape),
            half * up + radius,
            half * up + radius * np.sqrt(np.clip(1 - up**2, 0, 1)),
            (size[..., None] * np.abs(ways)).sum(1),
        ],
        np.sqrt(((size[..., None] * ways) ** 2).sum(1)),
    )
