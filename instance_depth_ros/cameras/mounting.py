"""How the optical frames of a device stand in its link, the frame by which a robot's description mounts it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# REP 103: an optical frame looks along z with y down, a link along x with z up
LINK_FROM_OPTICAL = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


class Placed(NamedTuple):
    """A frame that never moves in another: parent_from_child (4, 4), metres."""

    parent: str
    child: str
    parent_from_child: np.ndarray


def optical_frames(color_frame: str, color_from_depth: np.ndarray | None) -> tuple[Placed, ...]:
    """camera_depth_optical_frame and camera_color_optical_frame in camera_link, of a pose (4, 4); of None nothing.

    The names are those of realsense2_camera, and so is the link's place: at the depth camera. color_frame: what stands
    for camera_color_optical_frame, and the others are called after it.
    """
    if color_from_depth is None:
        return ()
    name = color_frame.removesuffix("_optical_frame").removesuffix("_color")
    depth = Placed(f"{name}_link", f"{name}_depth_optical_frame", LINK_FROM_OPTICAL)
    return depth, Placed(depth.parent, color_frame, LINK_FROM_OPTICAL @ np.linalg.inv(color_from_depth))
