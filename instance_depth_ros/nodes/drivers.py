"""Under which names camera drivers publish, and which images are live on the graph; all names move with a namespace."""

from __future__ import annotations

from typing import NamedTuple

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from .topics import ALIGNED_DEPTH, COLOR, COLOR_INFO

try:
    from realsense2_camera_msgs.msg import RGBD
except ImportError:  # it comes with realsense2_camera
    RGBD = None

# So many live topics are listed; a robot may have dozens.
LISTED = 5


class ImageTopics(NamedTuple):
    """Relative names of a camera's topics; depth: registered to colour, subscribed to with use_depth alone.

    Drivers advertise depth that never comes (a stream turned off), and a pair that waits for it would hold back colour.
    rgbd: color names messages of realsense2_camera_msgs that hold a picture, its lens and its registered depth.
    """

    color: str
    info: str
    depth: str
    rgbd: bool = False

    def images(self, compressed: bool) -> tuple[type, str]:
        """Message type and name of the colour topic."""
        if self.rgbd:
            return RGBD, self.color
        return (CompressedImage, self.color + "/compressed") if compressed else (Image, self.color)


OURS = ImageTopics(COLOR, COLOR_INFO, ALIGNED_DEPTH)
# realsense2_camera, README: "Camera Name And Camera Namespace", both `camera` where nobody says otherwise; its depth is
# there with align_depth.enable:=true (issue 3377 of realsense-ros).
REALSENSE = ImageTopics(
    "camera/camera/color/image_raw",
    "camera/camera/color/camera_info",
    "camera/camera/aligned_depth_to_color/image_raw",
)
# ibidem, "RGBD Topic": there with enable_rgbd:=true, and only with colour, aligned depth and enable_sync.
REALSENSE_RGBD = REALSENSE._replace(color="camera/camera/rgbd", rgbd=True)
# azure_kinect_ros_driver, docs/usage.md: "Topics"; its launch/driver.launch.py gives the node no namespace.
AZURE_KINECT = ImageTopics("rgb/image_raw", "rgb/camera_info", "depth_to_rgb/image_raw")
# OrbbecSDK_ROS2, docs/all_available_topics.md; depth_registration:=true registers that depth (its issue 35).
ORBBEC = ImageTopics("camera/color/image_raw", "camera/color/camera_info", "camera/depth/image_raw")
# What a value of the camera setting may listen to, in this order.
SOURCES = {
    "topic": (OURS,),
    "realsense_driver": (REALSENSE,),
    "kinect_driver": (AZURE_KINECT, ORBBEC),
    "auto": (OURS, REALSENSE, AZURE_KINECT),  # Orbbec's colour has our name
}


def sources(settings) -> tuple[ImageTopics, ...]:
    """What the camera setting listens to, the first that is there; () for a camera that is opened."""
    together = RGBD and settings.camera == "realsense_driver" and settings.use_depth and not settings.use_compressed
    return ((REALSENSE_RGBD,) if together else ()) + SOURCES.get(settings.camera, ())


def published(node, kind: type) -> list[str]:
    """Topics of this message that other nodes publish, by name."""
    text = f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"
    own = {name for name, _ in node.get_publisher_names_and_types_by_node(node.get_name(), node.get_namespace())}
    topics = (name for name, kinds in node.get_topic_names_and_types() if text in kinds and name not in own)
    return sorted(name for name in topics if node.count_publishers(name))


def remaps(node, topic: str, kind: type) -> str:
    """The live images that might be meant by this topic, as arguments to paste; '' where there are none."""
    infos, here = set(published(node, CameraInfo)), node.resolve_topic_name(topic)
    lines = [_remap(topic, live, infos) for live in published(node, kind) if live != here]
    more = f" and {len(lines) - LISTED} more" if len(lines) > LISTED else ""
    return f"; images are live elsewhere: {', '.join(lines[:LISTED])}{more}" if lines else ""


def _remap(topic: str, live: str, infos: set[str]) -> str:
    """Calibration lies beside its image, as image_transport has it."""
    wanted, there = (name.removesuffix("/compressed").rpartition("/")[0] + "/camera_info" for name in (topic, live))
    return f"-r {topic}:={live}" + (f" -r {wanted}:={there}" if there in infos else "")
