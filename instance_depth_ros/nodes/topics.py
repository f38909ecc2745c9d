"""Publishers that cost nothing while nobody listens, and what is published of a camera and of an estimate."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from ..overlay import Overlay
from . import instances, messages
from .static_frames import StaticFrames

COLOR, COLOR_INFO = "camera/color/image_raw", "camera/color/camera_info"
TRUE_DEPTH, TRUE_IDS, TRUE_POSE = "simulation/depth/image", "simulation/instances", "simulation/camera_pose"
TRUE_TABLE = "simulation/instances/table"
ALIGNED_DEPTH = "camera/aligned_depth_to_color/image_raw"
GIVEN_IDS = "camera/instances"
DEPTH, DEPTH_INFO = "depth/image", "depth/camera_info"
IDS, TABLE, CLASSES = "depth/instances", "depth/instances/table", "depth/instances/classes"
MARKERS, OBJECTS, LABELS = (f"depth/instances/{name}" for name in ("markers", "objects", "label_info"))


class Topics:
    """Publishers by relative topic name, each with the one message that it fills again and again.

    depth: how many messages each keeps for reliable subscribers that lag.
    """

    def __init__(self, node, kinds: dict[str, type], depth: int = 2):
        self._node, self._depth = node, depth
        self._publishers = {name: self._publisher(kind, name) for name, kind in kinds.items()}
        self.messages = {name: kind() for name, kind in kinds.items()}

    def _publisher(self, kind: type, name: str):
        # qos_overrides.<topic>.publisher.* parameters let a user change what suits most.
        options = QoSOverridingOptions.with_default_policies()
        # Reliable and volatile: both kinds of subscriber can take it.
        return self._node.create_publisher(kind, name, QoSProfile(depth=self._depth), qos_overriding_options=options)

    def wanted(self) -> set[str]:
        """The names somebody subscribes to; asked once a frame."""
        return {name for name, publisher in self._publishers.items() if publisher.get_subscription_count()}

    def publish(self, name: str, message) -> None:
        self._publishers[name].publish(message)

    def close(self) -> None:
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)


class CameraTopics(Topics):
    """What a camera gives: colour; where it has them calibration and depth; where it is simulated the truth.

    Made for the first frame, lest a topic be advertised on which nothing will come. placed: frames for tf.
    """

    def __init__(self, node, frame, truth=None, placed=(), depth: int = 2):
        kinds = {COLOR: Image, COLOR + "/compressed": CompressedImage}
        if frame.intrinsics is not None:
            kinds[COLOR_INFO] = CameraInfo
        if frame.depth_m is not None:
            kinds[ALIGNED_DEPTH] = Image
        if truth is not None:
            kinds |= {TRUE_DEPTH: Image, TRUE_IDS: Image, TRUE_TABLE: PointCloud2, TRUE_POSE: PoseStamped}
        super().__init__(node, kinds, depth)
        self._frames = StaticFrames(node, placed)

    def close(self) -> None:
        super().close()
        self._frames.close()

    def publish_frame(self, frame, truth=None) -> None:
        """Publish a Frame; truth: depth_m, ids, table and world_from_camera of a simulated one."""
        stamped = messages.header(frame.stamp_ns, frame.frame_id)
        wanted = self.wanted()
        # The calibration goes first, so that it is there when the image is.
        if COLOR_INFO in wanted:
            self.publish(COLOR_INFO, messages.info_from_intrinsics(frame.intrinsics, stamped))
        if ALIGNED_DEPTH in wanted:
            self._publish_image(ALIGNED_DEPTH, messages.millimetres_from_depth(frame.depth_m), stamped)
        if TRUE_DEPTH in wanted:
            self._publish_image(TRUE_DEPTH, truth.depth_m.astype(np.float32, copy=False), stamped)
        if TRUE_IDS in wanted:
            self._publish_image(TRUE_IDS, truth.ids.astype(np.uint16, copy=False), stamped)
        if TRUE_TABLE in wanted:
            self.publish(TRUE_TABLE, messages.fill_cloud(self.messages[TRUE_TABLE], truth.table, stamped))
        if TRUE_POSE in wanted:
            in_world = Header(stamp=stamped.stamp, frame_id="world")
            self.publish(TRUE_POSE, messages.pose(truth.world_from_camera, in_world))
        if COLOR in wanted:
            self._publish_image(COLOR, frame.color, stamped)
        if COLOR + "/compressed" in wanted:
            self.publish(COLOR + "/compressed", messages.jpeg(frame.color, stamped))

    def _publish_image(self, name: str, pixels: np.ndarray, stamped) -> None:
        self.publish(name, messages.fill_image(self.messages[name], pixels, stamped))


class DepthTopics(Topics):
    """What an estimate gives."""

    KINDS = {
        DEPTH: Image,
        DEPTH + "/compressedDepth": CompressedImage,
        DEPTH_INFO: CameraInfo,
        "depth/confidence": Image,
        "depth/source": Image,
        "depth/points": PointCloud2,
        IDS: Image,
        IDS + "/compressedDepth": CompressedImage,
        TABLE: PointCloud2,
        CLASSES: Image,
        MARKERS: MarkerArray,
        "depth/overlay": Image,
        "depth/overlay/compressed": CompressedImage,
    } | ({OBJECTS: instances.Detection3DArray} if instances.Detection3DArray else {})

    def __init__(self, node, settings, cloud):
        """cloud: what makes points of a depth image, Estimator.cloud."""
        super().__init__(node, self.KINDS, settings.publish_queue)
        self._settings, self._make_cloud = settings, cloud
        self._overlay = Overlay()
        self._labels = _Labels(node) if instances.LabelInfo else None

    def publish_estimate(self, frame, estimate) -> None:
        """Publish what somebody wants of a metric Estimate, but for publish_info(); all with the frame's stamp."""
        stamped = messages.header(estimate.stamp_ns, estimate.frame_id)
        wanted = self.wanted()
        ids, found = _ids(estimate), estimate.instances
        makers = {
            DEPTH: lambda m: messages.fill_image(m, estimate.depth_m, stamped),
            "depth/confidence": lambda m: messages.fill_image(m, estimate.confidence, stamped, "8UC1"),
            "depth/source": lambda m: messages.fill_image(m, estimate.source, stamped, "8UC1"),
            "depth/points": lambda m: messages.fill_cloud(m, self._cloud(frame, estimate), stamped),
            DEPTH + "/compressedDepth": lambda _: messages.compressed_depth(estimate.depth_m, stamped),
            IDS: lambda m: messages.fill_image(m, ids, stamped),
            IDS + "/compressedDepth": lambda _: messages.compressed_codes(ids, stamped),
            TABLE: lambda m: messages.fill_cloud(m, instances.table_from_instances(found), stamped),
            CLASSES: lambda m: messages.fill_image(
                m, instances.of_pixels(estimate, "class_id", np.uint8), stamped, "mono8"
            ),
            MARKERS: lambda _: instances.markers(found, stamped),
            OBJECTS: lambda _: instances.detections(found, stamped),
        }
        for name in wanted & makers.keys():
            self.publish(name, makers[name](self.messages[name]))
        if any(name.startswith("depth/overlay") for name in wanted):
            far_m = self._settings.overlay_max_depth_m
            self._publish_overlay(self._overlay.draw(frame.color, estimate, far_m), stamped, wanted)
        if self._labels:
            self._labels.publish(self._settings.instance_threshold, stamped)

    def publish_info(self, estimate) -> None:
        """The calibration of the depth image, the last message of each frame."""
        stamped = messages.header(estimate.stamp_ns, estimate.frame_id)
        self.publish(DEPTH_INFO, messages.info_from_intrinsics(estimate.intrinsics, stamped))

    def close(self) -> None:
        super().close()
        if self._labels:
            self._labels.close()

    def _cloud(self, frame, estimate) -> np.ndarray:
        stride, how = self._settings.cloud_stride, (self._settings.cloud_step_ratio, estimate.detail_px)
        points = self._make_cloud(estimate.depth_m, estimate.intrinsics, frame.color, stride, *how)
        if estimate.instances:
            points["instance_id"] = instances.of_pixels(estimate, "id", np.uint32, stride)
        return points

    def _publish_overlay(self, picture, stamped, wanted) -> None:
        if "depth/overlay" in wanted:
            message = messages.fill_image(self.messages["depth/overlay"], picture, stamped)
            self.publish("depth/overlay", message)
        if "depth/overlay/compressed" in wanted:
            self.publish("depth/overlay/compressed", messages.jpeg(picture, stamped))


class _Labels:
    """What class ids mean, once for all who come later, and again when the threshold changed."""

    def __init__(self, node):
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._node, self._publisher = node, node.create_publisher(instances.LabelInfo, LABELS, latched)
        self._threshold = None

    def publish(self, threshold: float, stamped) -> None:
        if threshold != self._threshold:
            self._threshold = threshold
            self._publisher.publish(instances.label_info(threshold, stamped))

    def close(self) -> None:
        self._node.destroy_publisher(self._publisher)


def _ids(estimate) -> np.ndarray:
    """(H, W) uint16: the id image, empty where instances are not looked for."""
    return np.zeros(estimate.source.shape, np.uint16) if estimate.ids is None else estimate.ids
