"""Where the camera was in the world and above the ground, from /tf and /tf_static."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from rclpy.duration import Duration
from rclpy.time import Time

from ..frame import Frame
from ..geometry import floor_of
from ..image_encodings import matrix_from_transform

# A transform may arrive so much later than the image of its time.
WAIT_NS = 50_000_000


class Poses:
    """The camera in a fixed frame (odom, map), and above one on the ground (base_footprint), at the stamps of images.

    Either frame may be ''. missing: how often tf did not know one. ValueError where tf2_ros is not installed.
    """

    def __init__(self, node, fixed_frame: str, ground_frame: str = ""):
        try:
            import tf2_ros
        except ImportError:
            name, frame = ("fixed_frame", fixed_frame) if fixed_frame else ("ground_frame", ground_frame)
            raise ValueError(
                f"{name} '{frame}' needs tf2_ros: apt install ros-$ROS_DISTRO-tf2-ros-py, or {name}:=''"
            ) from None
        self.missing, self._unknown = 0, tf2_ros.TransformException
        self._fixed_frame, self._ground_frame = fixed_frame, ground_frame
        self._known = {fixed_frame: True, ground_frame: True}
        self._logger, self._buffer = node.get_logger(), tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def placed(self, frame: Frame) -> Frame:
        """The frame with world_from_camera and floor, as far as tf knows them in time."""
        if self._fixed_frame:
            frame = replace(frame, world_from_camera=self._at(self._fixed_frame, frame))
        if self._ground_frame:
            frame = replace(frame, floor=self._floor(frame))
        return frame

    def _floor(self, frame: Frame) -> np.ndarray | None:
        ground_from_camera = self._at(self._ground_frame, frame)
        return None if ground_from_camera is None else floor_of(ground_from_camera)

    def _at(self, target: str, frame: Frame) -> np.ndarray | None:
        """(4, 4) target_from_camera."""
        # Frames are not held back for a tf that has nothing to say.
        patience = Duration(nanoseconds=WAIT_NS if self._known[target] else 0)
        try:
            found = self._buffer.lookup_transform(target, frame.frame_id, Time(nanoseconds=frame.stamp_ns), patience)
        except self._unknown as error:
            self._known[target], self.missing = False, self.missing + 1
            self._logger.warning(f"going on without a pose: {error}", once=True)
            return None
        self._known[target] = True
        return matrix_from_transform(found.transform)

    def close(self) -> None:
        """Unsubscribe."""
        self._listener.unregister()
