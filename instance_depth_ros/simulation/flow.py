"""Optical flow, exact: a pixel's point moves with its geom, and the camera moves too."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..geometry import rays

_RETURNS_PX = 1.5


def flows(scene, here, there):
    """The flow from here to there and the one back: ((flow, valid), (flow, valid)).

    flow: (H, W, 2) float32, pixels right and down; that of the sky, and of what is beyond the depth's range, is the
    camera's rotation. valid: (H, W) bool: the point has a depth, and the pixel it goes to shows the same geom, whose
    flow leads back: the point is neither out of the picture nor hidden.
    """
    forward, back = _moved(scene, here, there), _moved(scene, there, here)
    there_too, here_too = _valid(here, there, forward, back), _valid(there, here, back, forward)
    return (np.stack(forward, -1), there_too), (np.stack(back, -1), here_too)


def flow(scene, here, there) -> tuple[np.ndarray, np.ndarray]:
    """The flow (H, W, 2) from here to there, and where it is valid (H, W); see flows()."""
    return flows(scene, here, there)[0]


def _moved(scene, here, there) -> np.ndarray:
    """(2, H, W) float32: how far each pixel's point moves in the picture, right and down."""
    height, width = here.depth_m.shape
    points = _points(here.intrinsics).copy()
    np.divide(1, here.depth_m.reshape(-1), out=points[3], where=np.isfinite(here.depth_m).reshape(-1))
    where = _between(here, there, None) @ points
    geoms = np.flatnonzero(scene.moves)
    place = np.full(len(scene.moves) + 1, -1)
    place[geoms] = np.arange(len(geoms))
    of = place[here.surface.reshape(-1)]
    moving = np.flatnonzero(of >= 0)
    if len(moving):
        share = points[:, moving]
        rows = _between(here, there, geoms).reshape(-1, 12).T.take(of[moving], 1).reshape(3, 4, -1)
        where[:, moving] = (rows * share).sum(1)
    return (where[:2] / where[2]).reshape(2, height, width) - np.indices(
        (height, width),
        np.float32,
    )[::-1]


@lru_cache(maxsize=4)
def _points(intrinsics) -> np.ndarray:
    """(4, H W) float32: x/z, y/z, 1 and, for 1/z, the 0 of a point at infinity, which only turns."""
    ray = rays(intrinsics).reshape(-1, 2).T
    return np.concatenate([ray, np.ones_like(ray[:1]), np.zeros_like(ray[:1])])


def _between(here, there, geoms) -> np.ndarray:
    """(..., 3, 4) float32: from a point before the camera here to homogeneous pixels there.

    geoms: (n,) whose motion the points share, or None for those at rest.
    """
    move = np.eye(4)
    if geoms is not None:
        turn = there.rotations[geoms] @ here.rotations[geoms].swapaxes(1, 2)
        move = np.tile(move, (len(geoms), 1, 1))
        move[:, :3, :3] = turn
        move[:, :3, 3] = there.centers[geoms] - (turn @ here.centers[geoms][..., None])[..., 0]
    camera = np.linalg.inv(there.world_from_camera) @ move @ here.world_from_camera
    return (there.intrinsics.K @ camera[..., :3, :]).astype(np.float32)


def _valid(here, there, forward: np.ndarray, back: np.ndarray) -> np.ndarray:
    height, width = here.depth_m.shape
    right, down = np.rint(forward)
    rows, columns = np.indices((height, width), np.float32)
    u, v = columns + right, rows + down
    pixels = np.flatnonzero((u >= 0) & (u < width) & (v >= 0) & (v < height) & np.isfinite(here.depth_m))
    right, down = right.take(pixels), down.take(pixels)
    target = pixels + (down * width + right).astype(np.int32)
    back_right, back_down = back.reshape(2, -1).take(target, 1)
    valid = np.zeros(height * width, bool)
    valid[pixels] = (
        (here.surface.take(pixels) == there.surface.take(target))
        & (np.abs(back_right + right) < _RETURNS_PX)
        & (np.abs(back_down + down) < _RETURNS_PX)
    )
    return valid.reshape(height, width)
