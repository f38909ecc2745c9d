"""How the camera moved between two frames, and where what was seen then is to be expected now."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from .geometry import Intrinsics
from .model.preprocess import DEVIATION, MEAN

STILL = np.eye(2, 3, dtype=np.float32)
CORNERS, LEAST_CORNERS = 80, 8
LEAST_AGREEING = 0.4  # of the corners; fewer tell of things that move, not of the camera
MOST_ZOOM = 1.3  # from one frame to the next
NEAREST_M = 0.1
KEEPS_S = 1.0  # how long things keep their speed; later on nothing is known of where they turned


def brightness(image: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """(h, w) uint8 of the network's input (1, 3, H, W): how bright its green is."""
    green = cv2.resize(image[0, 1].cpu().numpy(), size[::-1], interpolation=cv2.INTER_AREA)
    return cv2.convertScaleAbs(green, alpha=255 * DEVIATION[1], beta=255 * MEAN[1])


def camera_motion(before: np.ndarray, now: np.ndarray, mask_before: np.ndarray | None = None) -> np.ndarray:
    """(2, 3) float32: where a point of the background in the picture before is now, in pixels.

    before, now: (h, w) uint8 grey, of the size of the masks that are tracked. mask_before: (h, w) bool, what may move
    by itself. No motion where the background shows none: too few corners, or they disagree.
    """
    if before.shape != now.shape:
        raise ValueError(f"both pictures must be of one size, got {before.shape} and {now.shape}")
    free = None
    if mask_before is not None:
        # a corner at the outline of a person moves with the person
        free = cv2.erode((~mask_before).astype(np.uint8), np.ones((5, 5), np.uint8))
    corners = cv2.goodFeaturesToTrack(before, CORNERS, 0.01, 6, mask=free)
    if corners is None or len(corners) < LEAST_CORNERS:
        return STILL
    levels = max(0, int(np.log2(min(before.shape) / 16)))
    found, known, _ = cv2.calcOpticalFlowPyrLK(before, now, corners, None, winSize=(15, 15), maxLevel=levels)
    known = known.reshape(-1) > 0
    if known.sum() < LEAST_CORNERS:
        return STILL
    affine, agree = cv2.estimateAffinePartial2D(corners[known], found[known], ransacReprojThreshold=1.5)
    if affine is None or agree.sum() < max(LEAST_CORNERS, LEAST_AGREEING * len(corners)):
        return STILL
    zoom = np.hypot(*affine[:, 0])
    return affine.astype(np.float32) if 1 / MOST_ZOOM < zoom < MOST_ZOOM else STILL


def pose_motion(world_from_before: np.ndarray, world_from_now: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    """(4, 4) float64: takes (u z, v z, z, 1) of a still point before to the same now; u, v in pixels of intrinsics.

    intrinsics: of the size of the masks that are tracked; distortion is left out.
    """
    lens = np.eye(4)
    lens[:3, :3] = intrinsics.K
    return lens @ np.linalg.inv(world_from_now) @ world_from_before @ np.linalg.inv(lens)


def moved(motion: np.ndarray | None, center_px: np.ndarray, depth_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the camera's motion does to still things: (N, 2, 3) affines of the picture, and (N,) metres of depth now.

    motion: of camera_motion, the same for all; of pose_motion, by their depth; or None. center_px: (N, 2).
    """
    if motion is None or not np.isfinite(motion).all():
        motion = STILL
    if motion.shape == (2, 3):
        return np.tile(motion.astype(np.float64), (len(center_px), 1, 1)), depth_m
    if motion.shape != (4, 4):
        raise ValueError(f"motion must be (2, 3) of the picture or (4, 4) of pixels with depth, got {motion.shape}")
    # the center and a pixel to the right of it and below: how a small plane there is seen
    corners = center_px[:, None] + np.array([(0, 0), (1, 0), (0, 1)])
    z = np.broadcast_to(depth_m[:, None], corners.shape[:2])
    now = np.concatenate([corners * z[..., None], z[..., None], np.ones_like(z)[..., None]], -1) @ motion.T
    depth_now = np.maximum(now[..., 2], NEAREST_M)
    points = now[..., :2] / depth_now[..., None]
    linear = np.stack([points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]], -1)
    offset = points[:, 0] - np.einsum("nij,nj->ni", linear, center_px)
    return np.concatenate([linear, offset[..., None]], -1), depth_now[:, 0]


def expect(
    place: np.ndarray, speed: np.ndarray, doubt: np.ndarray, usual_speed: np.ndarray, dt_s: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, speeds and doubt after dt_s of a Kalman filter whose speeds are kept for about KEEPS_S.

    place, speed, usual_speed: (N, 3). doubt: (N, 3, 3), variance of place, covariance, variance of speed of each axis.
    An Ornstein-Uhlenbeck process: at first a constant velocity, in the long run a walk of usual_speed.
    """
    keep = np.exp(-dt_s / KEEPS_S)
    reach_s = KEEPS_S * (1 - keep)
    power = usual_speed**2
    of_place, shared, of_speed = np.moveaxis(doubt, -1, 0)
    after = (
        of_place + 2 * reach_s * shared + reach_s**2 * of_speed
        + power * KEEPS_S**2 * max(2 * dt_s / KEEPS_S - 3 + 4 * keep - keep**2, 0.0),
        keep * (shared + reach_s * of_speed) + power * KEEPS_S * (1 - keep) ** 2,
        keep**2 * of_speed + power * (1 - keep**2),
    )  # fmt: skip
    return place + reach_s * speed, keep * speed, np.stack(after, -1)


def correct(
    place: np.ndarray, speed: np.ndarray, doubt: np.ndarray, seen: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same filter after it was seen at a place (N, 3) with noise, the variance of that."""
    of_place, shared, of_speed = np.moveaxis(doubt, -1, 0)
    total = of_place + noise
    gain, push, off = of_place / total, shared / total, seen - place
    after = np.stack([gain * noise, push * noise, of_speed - push * shared], -1)
    return place + gain * off, speed + push * off, after
