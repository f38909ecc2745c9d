"""Sensor depth from a topic: taken where registered to colour, registered where that can be done, else left out."""

from __future__ import annotations

import numpy as np
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo

from ..geometry import Intrinsics
from ..image_encodings import matrix_from_transform
from ..registration import register
from . import messages


class SensorDepth:
    """Depth of colour's pixels, or None; problem: why it is left out, '' while it is taken.

    Registered is what is of colour's frame, or has its lens. For the rest the CameraInfo beside the depth topic says
    its lens, and tf where it is. A change is logged once.
    """

    def __init__(self, node, topic: str):
        self.problem = ""
        self._node, self._info, self._buffer, self._poses = node, None, None, {}
        qos = QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)
        name = topic.rpartition("/")[0] + "/camera_info"
        self._subscription = node.create_subscription(CameraInfo, name, self._on_info, qos)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)
        if self._buffer:
            self._listener.unregister()

    def __call__(self, message, frame_id: str, size: tuple[int, int], lens: Intrinsics | None) -> np.ndarray | None:
        """(H, W) float32 metres registered to the picture of that frame, size and lens; NaN invalid.

        ValueError for a message that is no depth.
        """
        depth_m, problem = messages.depth_from_image(message), ""
        if not self._registered(message.header.frame_id, depth_m.shape, frame_id, size, lens):
            try:
                pose = self._pose(frame_id, message.header.frame_id)
                depth_m = register(depth_m, self._lens(), self._known(lens), pose)
            except ValueError as error:
                depth_m, problem = None, f"sensor depth is left out, it is not registered to colour: {error}"
        if problem != self.problem:
            self.problem = problem
            self._node.get_logger().warning(problem or "sensor depth is taken again")
        return depth_m

    def _registered(self, its_frame: str, its_size, frame_id: str, size, lens: Intrinsics | None) -> bool:
        if its_size != size:
            return False
        same_lens = self._info is not None and lens is not None and self._lens() == lens
        return its_frame in ("", frame_id) or same_lens

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def _lens(self) -> Intrinsics:
        if self._info is None:
            raise ValueError(f"its lens is unknown, nothing comes on {self._subscription.topic_name}")
        return messages.intrinsics_from_info(self._info)

    @staticmethod
    def _known(lens: Intrinsics | None) -> Intrinsics:
        if lens is None:
            raise ValueError("colour's lens is unknown; give camera_info")
        return lens

    def _pose(self, frame_id: str, its_frame: str) -> np.ndarray:
        """(4, 4) color_from_depth; both are on one camera, so that it is asked for once."""
        if (frame_id, its_frame) not in self._poses:
            if frame_id == its_frame:
                raise ValueError("it is of colour's frame, but of another size")
            try:
                import tf2_ros
            except ImportError:
                raise ValueError("tf2_ros, which knows where it is, is not installed") from None
            if self._buffer is None:
                self._buffer = tf2_ros.Buffer()
                self._listener = tf2_ros.TransformListener(self._buffer, self._node)
            try:
                found = self._buffer.lookup_transform(frame_id, its_frame, Time())
            except tf2_ros.TransformException as error:
                raise ValueError(f"tf does not know where it is ({error})") from None
            self._poses[frame_id, its_frame] = matrix_from_transform(found.transform)
        return self._poses[frame_id, its_frame]
