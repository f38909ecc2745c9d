"""Where a bag's depth camera stands in its colour camera: by tf, else as realsense2_camera says it."""

from __future__ import annotations

import numpy as np

from .bag import EXTRINSICS, Bag
from .indexed import IndexedBag
from .transforms import Transforms


def color_from_depth(
    bag: Bag | IndexedBag, tf: Transforms, color_frame: str, depth_frame: str, depth_topic: str, at_ns: int = 0
) -> tuple[np.ndarray, str]:
    """(4, 4) pose of the depth camera in the colour camera, metres, and what of the bag tells it.

    By the frames of both images in tf, else by the topic extrinsics/depth_to_color that realsense2_camera publishes
    beside depth_topic. ValueError where the bag does not tell, and for images of one frame, of which one is wrong.
    """
    if not (color_frame and depth_frame) or color_frame == depth_frame:
        raise ValueError("their frames do not tell where one camera is in the other")
    if (pose := tf.at(color_frame, depth_frame, at_ns)) is not None:
        return pose, "tf"
    topic = depth_topic.partition("/depth/")[0] + "/extrinsics/depth_to_color"
    message = bag.first(topic) if bag.topics.get(topic) == EXTRINSICS else None
    if message is None:
        raise ValueError(f"neither tf nor {topic} in the bag tells where it is")
    pose = np.eye(4)
    # column by column, as the SDK has it
    pose[:3, :3], pose[:3, 3] = np.reshape(message.rotation, (3, 3)).T, message.translation
    return pose, topic
