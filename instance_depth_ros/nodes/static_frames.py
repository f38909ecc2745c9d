"""Static transforms, where tf2_ros is installed."""

from __future__ import annotations

from collections.abc import Iterable

from geometry_msgs.msg import Transform, TransformStamped, Vector3

from ..cameras.mounting import Placed
from . import messages


class StaticFrames:
    """Tells tf where frames stand, once, and whoever comes later as well; nothing without tf2_ros."""

    def __init__(self, node, frames: Iterable[Placed]):
        self._node, self._broadcaster = node, None
        now_ns = node.get_clock().now().nanoseconds
        transforms = [transform(placed, now_ns) for placed in frames]
        try:
            from tf2_ros import StaticTransformBroadcaster
        except ImportError:
            return
        if transforms:
            self._broadcaster = StaticTransformBroadcaster(node)
            self._broadcaster.sendTransform(transforms)

    def close(self) -> None:
        if self._broadcaster:
            self._node.destroy_publisher(self._broadcaster.pub_tf)


def transform(placed: Placed, stamp_ns: int) -> TransformStamped:
    """The message of a frame that stands in another."""
    stamped = messages.header(stamp_ns, placed.parent)
    pose = messages.pose(placed.parent_from_child, stamped).pose
    place = Vector3(x=pose.position.x, y=pose.position.y, z=pose.position.z)
    turned = Transform(translation=place, rotation=pose.orientation)
    return TransformStamped(header=stamped, child_frame_id=placed.child, transform=turned)
