"""Still surfaces keep their depth: what was estimated is carried along with the camera and mixed with what is seen now.

The network's depth trembles from frame to frame though the floor does not. Instances are left alone, since they move,
and so is what changes too much to be the same surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import cv2
import numpy as np

from .model.ranges import MIN_DEPTH_M

# Of a change of log depth as large as this, half is another surface; what is nearer is to be told sooner.
NEARER, FARTHER = 0.08, 0.14


@dataclass(frozen=True)
class Still:
    """Depth of a frame: log_m (h, w) float32, moving (h, w) bool where instances were, its stamp."""

    log_m: np.ndarray
    moving: np.ndarray
    stamp_ns: int


def steady(
    depth_m: np.ndarray,
    moving: np.ndarray,
    stamp_ns: int,
    motion: np.ndarray | None,
    before: Still | None,
    average_s: float,
) -> tuple[np.ndarray, Still]:
    """Depth (h, w) metres averaged over the last average_s where nothing moves, and what the next frame is to know.

    moving: (h, w) bool. motion: the camera's since `before`, as of motion.camera_motion or pose_motion at this size;
    None: unknown, and nothing is averaged.
    """
    log_m = np.log(np.maximum(depth_m, MIN_DEPTH_M, dtype=np.float32))
    if before is None or motion is None or before.log_m.shape != depth_m.shape or average_s <= 0:
        return depth_m, Still(log_m, moving, stamp_ns)
    carried, beyond = _by_pose(before, depth_m, motion) if motion.shape == (4, 4) else _in_picture(before, motion)
    change = np.where(beyond | moving, 0, log_m - carried)
    kept = exp((before.stamp_ns - stamp_ns) / 1e9 / average_s)
    doubt = np.square(change / np.where(change < 0, np.float32(NEARER), np.float32(FARTHER)))
    log_m -= change * (kept / (1 + np.square(doubt)))
    return np.exp(log_m), Still(log_m, moving, stamp_ns)


def _in_picture(before: Still, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log depth before where it is in the picture now, and where nothing still was; motion (2, 3)."""
    size, beyond = before.log_m.shape[::-1], before.moving.view(np.uint8)
    carried = cv2.warpAffine(before.log_m, motion, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return carried, cv2.warpAffine(beyond, motion, size, flags=cv2.INTER_NEAREST, borderValue=1).view(bool)


def _by_pose(before: Still, depth_m: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same by motion (4, 4): looked up where this frame's points were, and moved along the axis as these were."""
    h, w = depth_m.shape
    back = np.linalg.inv(motion).astype(np.float32)
    v, u = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)
    x, y, z = (depth_m * (row[0] * u + (row[1] * v + row[2])) + row[3] for row in back[:3])
    behind, z = z < MIN_DEPTH_M, np.maximum(z, MIN_DEPTH_M)
    x, y = (x / z).astype(np.float32), (y / z).astype(np.float32)
    carried = cv2.remap(before.log_m, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) + np.log(depth_m / z)
    beyond = cv2.remap(before.moving.view(np.uint8), x, y, cv2.INTER_NEAREST, borderValue=1).view(bool)
    return carried, beyond | behind
