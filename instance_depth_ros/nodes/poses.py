"""Where the camera was, from /tf and /tf_static."""

from __future__ import annotations

import cv2
import numpy as np
from rclpy.duration import Duration
from rclpy.time import Time

# A transform may arrive so much later than the image of its time.
WAIT_NS = 50_000_000


class Poses:
    """The camera in a fixed frame (odom, map) at the stamps of images; missing: how often tf did not know it.

    ValueError where tf2_ros is not installed.
    """

    def __init__(self, node, fixed_frame: str):
        try:
            import tf2_ros
        except ImportError:
            raise ValueError(
                f"fixed_frame '{fixed_frame}' needs tf2_ros: apt install ros-$ROS_DISTRO-tf2-ros-py, or fixed_frame:=''"
            ) from None
        self.missing, self._known = 0, True
        self._fixed_frame, self._unknown = fixed_frame, tf2_ros.TransformException
        self._logger, self._buffer = node.get_logger(), tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def at(self, frame_id: str, stamp_ns: int) -> np.ndarray | None:
        """(4, 4) world_from_camera; None where tf does not know it in time."""
        # Frames are not held back for a tf that has nothing to say.
        patience = Duration(nanoseconds=WAIT_NS if self._known else 0)
        try:
            found = self._buffer.lookup_transform(self._fixed_frame, frame_id, Time(nanoseconds=stamp_ns), patience)
        except self._unknown as error:
            self._known, self.missing = False, self.missing + 1
            self._logger.warning(f"tracking goes on without a pose: {error}", once=True)
            return None
        self._known = True
        return matrix_from_transform(found.transform)

    def close(self) -> None:
        """Unsubscribe."""
        self._listener.unregister()


def matrix_from_transform(transform) -> np.ndarray:
    """(4, 4) of a geometry_msgs/Transform."""
    q, p = transform.rotation, transform.translation
    vector = np.array([q.x, q.y, q.z])
    length = np.linalg.norm(vector)
    angle = 2 * np.arctan2(length, q.w)
    matrix = np.eye(4)
    matrix[:3, :3] = cv2.Rodrigues(vector * (angle / max(length, 1e-12)))[0]
    matrix[:3, 3] = p.x, p.y, p.z
    return matrix
