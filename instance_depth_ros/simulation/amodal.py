"""Amodal masks: what of the picture each instance would cover if it stood alone, hidden parts included.

Every geom is convex, so its silhouette is the convex hull of its projected corners, of the same facets as are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from .render import NEAR_M, mujoco

_CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
SPHERE, CAPSULE, ELLIPSOID, CYLINDER, BOX = (
    getattr(mujoco.mjtGeom, f"mjGEOM_{kind}").value for kind in ("SPHERE", "CAPSULE", "ELLIPSOID", "CYLINDER", "BOX")
)


@dataclass(frozen=True)
class Cutout:
    """A mask (h, w) bool of the part of the picture whose first pixel is (x, y)."""

    x: int
    y: int
    mask: np.ndarray

    @property
    def window(self) -> tuple[slice, slice]:
        """The part's rows and columns."""
        return slice(self.y, self.y + self.mask.shape[0]), slice(self.x, self.x + self.mask.shape[1])

    def full(self, height: int, width: int) -> np.ndarray:
        """(height, width) bool."""
        whole = np.zeros((height, width), bool)
        whole[self.window] = self.mask
        return whole


def amodal_masks(scene, moment) -> dict[int, Cutout]:
    """The mask within the picture of every instance that has one, by id; it contains the visible pixels."""
    geoms, hulls = _hulls(scene, moment)
    owner, rows, first, last = _spans(hulls, *moment.ids.shape)
    owner = scene.instance_of[geoms][owner] if len(geoms) else owner
    visible = visible_boxes(moment.ids)
    masks = {}
    for who in sorted({*owner.tolist(), *visible}):
        of = slice(*np.searchsorted(owner, (who, who + 1)))
        masks[who] = _fill(rows[of], first[of], last[of], moment.ids, who, visible.get(who))
    return masks


def visible_boxes(ids: np.ndarray) -> dict[int, tuple[int, int, int, int]]:
    """(x, y, w, h) of the pixels of each id in (H, W) ids."""
    pixels = np.flatnonzero(ids)
    who = ids.reshape(-1)[pixels]
    order = np.argsort(who, kind="stable")
    pixels, (names, starts) = pixels[order], np.unique(who[order], return_index=True)
    if not len(names):
        return {}
    columns, rows = pixels % ids.shape[1], pixels // ids.shape[1]
    left, right = np.minimum.reduceat(columns, starts), np.maximum.reduceat(columns, starts)
    top, bottom = rows[starts], rows[np.append(starts[1:], len(rows)) - 1]
    boxes = np.stack([left, top, right - left + 1, bottom - top + 1], -1)
    return {int(name): tuple(box) for name, box in zip(names, boxes.tolist(), strict=True)}


def _hulls(scene, moment) -> tuple[np.ndarray, list[np.ndarray]]:
    """The instances' geoms in view, in the order of their instances, and the hull (k, 2) in pixels of each."""
    K, world_from_camera = moment.intrinsics, moment.world_from_camera
    geoms, hulls = [], []
    for found, corners in _corners(scene.model, np.flatnonzero(scene.instance_of)):
        turned = np.einsum("gij,gkj->gki", moment.rotations[found], corners) + moment.centers[found][:, None]
        local = (turned - world_from_camera[:3, 3]) @ world_from_camera[:3, :3]
        cut = local[..., 2].min(1) < NEAR_M
        pixels = _project(np.maximum(local, (-np.inf, -np.inf, NEAR_M)), K)
        low, high = pixels.min(1), pixels.max(1)
        inside = (high >= 0).all(-1) & (low <= (K.width - 1, K.height - 1)).all(-1)
        for index in np.flatnonzero(inside | cut):
            points = _project(_clip(local[index]), K) if cut[index] else pixels[index]
            if len(points):
                geoms.append(found[index])
                hulls.append(cv2.convexHull(points)[:, 0])
    order = np.argsort(scene.instance_of[geoms], kind="stable") if geoms else []
    return np.array(geoms, int)[order], [hulls[index] for index in order]


def _corners(model, geoms: np.ndarray):
    """Yield geoms of one kind and their corners (geoms, k, 3), each in its own axes."""
    ball = _ball(model.vis.quality.numslices, model.vis.quality.numstacks)
    rim = ball[np.abs(ball[:, 2]) < 1e-9] * (1, 1, 0)
    for kind in np.unique(model.geom_type[geoms]):
        of = geoms[model.geom_type[geoms] == kind]
        size = model.geom_size[of][:, None]
        if kind == SPHERE:
            yield of, ball * size[..., :1]
        elif kind == ELLIPSOID:
            yield of, ball * size
        elif kind == BOX:
            yield of, _CORNERS * size
        elif kind == CAPSULE:
            halves = ball[ball[:, 2] > -1e-9], ball[ball[:, 2] < 1e-9]
            middles = [size[..., 1:2] * (0, 0, end) for end in (1, -1)]
            yield of, np.concatenate([half * size[..., :1] + at for half, at in zip(halves, middles, strict=True)], 1)
        elif kind == CYLINDER:
            yield of, np.concatenate([rim + (0, 0, end) for end in (-1, 1)]) * size[..., [0, 0, 1]]
        else:
            raise ValueError(f"an instance is made of convex shapes, geom {of[0]} is of MuJoCo's type {kind}")


@lru_cache(maxsize=4)
def _ball(slices: int, stacks: int) -> np.ndarray:
    """(corners, 3) of a unit ball as MuJoCo draws it."""
    around = 2 * np.pi * np.arange(slices) / slices
    up = np.pi * (np.arange(1, stacks) / stacks - 0.5)
    rings = [
        np.stack([np.cos(u) * np.cos(around), np.cos(u) * np.sin(around), np.full(slices, np.sin(u))], -1) for u in up
    ]
    return np.concatenate([*rings, [(0, 0, -1), (0, 0, 1)]])


def _project(local: np.ndarray, K) -> np.ndarray:
    return (local[..., :2] / local[..., 2:] * (K.fx, K.fy) + (K.cx, K.cy)).astype(np.float32)


def _clip(local: np.ndarray) -> np.ndarray:
    """The corners in front of the near plane, and where the lines between them and the others cross it."""
    front = local[:, 2] >= NEAR_M
    near, far = local[~front][:, None], local[front][None]
    share = (NEAR_M - near[..., 2:]) / (far[..., 2:] - near[..., 2:])
    return np.concatenate([local[front], (near + share * (far - near)).reshape(-1, 3)])


def _spans(hulls: list[np.ndarray], height: int, width: int):
    """Rows of pixel centres within each hull: (owner, row, first column, last column), in the order of the hulls."""
    if not hulls:
        return (np.zeros(0, int),) * 4
    counts = np.array([len(hull) for hull in hulls])
    ends = np.cumsum(counts)
    here = np.concatenate(hulls).astype(np.float64)
    following = np.arange(1, len(here) + 1)
    following[ends - 1] = ends - counts
    there, owner = here[following], np.repeat(np.arange(len(hulls)), counts)
    # an edge crosses the rows from its upper end on, its lower end left out: each row of a hull is crossed twice
    upper, lower = np.minimum(here[:, 1], there[:, 1]), np.maximum(here[:, 1], there[:, 1])
    top, bottom = np.clip(np.ceil([upper, lower]), 0, height).astype(int)
    edge = np.repeat(np.arange(len(here)), bottom - top)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(bottom - top) - bottom, bottom - top)
    step = there[edge] - here[edge]
    column = here[edge, 0] + (row - here[edge, 1]) * step[:, 0] / step[:, 1]
    # hulls are given all the same way round: one side goes up, the other down
    crossed = np.full((2, len(hulls) * height), np.nan)
    crossed[(step[:, 1] > 0).astype(int), owner[edge] * height + row] = column
    # rows that a hull does not have stay NaN
    first = np.ceil(np.maximum(np.minimum(*crossed), 0))
    last = np.floor(np.minimum(np.maximum(*crossed), width - 1))
    found = np.flatnonzero(first <= last)
    return found // height, found % height, first[found].astype(int), last[found].astype(int)


def _fill(rows, first, last, ids: np.ndarray, who: int, visible) -> Cutout:
    """Spans and the visible pixels of one instance as one mask."""
    x, y, w, h = visible or (first.min(), rows.min(), 1, 1)
    left, top = min(x, first.min(initial=x)), min(y, rows.min(initial=y))
    width = max(x + w, last.max(initial=0) + 1) - left
    height = max(y + h, rows.max(initial=0) + 1) - top
    # +1 where a span begins, -1 after its end; a column more keeps an end in its row
    start = (rows - top) * (width + 1) - left
    size = height * (width + 1)
    change = np.bincount(start + first, minlength=size) - np.bincount(start + last + 1, minlength=size)
    mask = (np.cumsum(change) > 0).reshape(height, width + 1)[:, :-1]
    cutout = Cutout(int(left), int(top), mask)
    mask |= ids[cutout.window] == who
    return cutout
