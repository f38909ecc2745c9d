"""Which topics of a bag are the camera's, by type and by the names of drivers; and whether depth is registered."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..image_encodings import (
    DEPTH_ENCODINGS,
    color_from_compressed,
    color_from_image,
    depth_from_compressed,
    depth_from_image,
    intrinsics_from_info,
)
from .bag import COMPRESSED, IMAGE, Bag, BagError

# This package's and realsense2_camera's (Orbbec's are the first, too), azure_kinect_ros_driver's, and any namespace.
COLOR_NAMES = ("camera/color/image_raw", "camera/camera/color/image_raw", "rgb/image_raw", "color/image_raw")
# The same; registered ones first, what is not registered is refused by what it says of its lens.
DEPTH_NAMES = (
    "camera/aligned_depth_to_color/image_raw",
    "camera/camera/aligned_depth_to_color/image_raw",
    "depth_to_rgb/image_raw",
    "aligned_depth_to_color/image_raw",
    "depth_registered/image_raw",
    "camera/depth/image_raw",
    "camera/camera/depth/image_rect_raw",
    "depth/image_raw",
)
GREY = ("mono8", "8UC1", "mono16")
TRANSPORTS = ("/compressedDepth", "/compressed")
# A picture and its depth are of one moment when their stamps are so near; half a frame at 30 Hz is more.
SLOP_NS = 15_000_000
# Of each of both, so many wait for the other at most.
WAITING = 30


def kinds_of(bag: Bag) -> dict[str, str]:
    """Of each topic of pictures 'color', 'grey' or 'depth', by its first message; the raw ones of a picture only."""
    kinds = {}
    for topic, message_type in sorted(bag.topics.items()):
        compressed = message_type == COMPRESSED
        if not (compressed or message_type == IMAGE) or (compressed and bag.topics.get(_base(topic)) == IMAGE):
            continue
        if (message := bag.first(topic)) is None:
            continue
        if compressed:
            kinds[topic] = "depth" if "compressedDepth" in message.format else "color"
        else:
            kinds[topic] = "depth" if message.encoding in DEPTH_ENCODINGS else "color"
            kinds[topic] = "grey" if message.encoding in GREY else kinds[topic]
    return kinds


def choose_color(bag: Bag, kinds: dict[str, str], wanted: str) -> str:
    """The topic wanted, or by name, or the only one in colour, or in grey; BagError lists the candidates."""
    if wanted:
        return _given("replay_color_topic", wanted, bag, kinds)
    pictures = [topic for topic, kind in kinds.items() if kind != "depth"]
    for candidates in (_named(pictures, COLOR_NAMES), _of(kinds, "color"), _of(kinds, "grey")):
        if candidates:
            return _only("replay_color_topic", "colour", candidates, bag)
    raise BagError(f"{bag.path} holds no colour pictures; its topics: {_listed(bag.topics) or 'none'}")


def choose_depth(bag: Bag, kinds: dict[str, str], wanted: str) -> str | None:
    """The topic wanted, or by name; None where there is none. BagError lists the candidates."""
    if wanted:
        return None if wanted == "none" else _given("replay_depth_topic", wanted, bag, kinds)
    candidates = _named(_of(kinds, "depth"), DEPTH_NAMES)
    return _only("replay_depth_topic", "depth", candidates, bag) if candidates else None


def info_topic(bag: Bag, topic: str) -> str | None:
    """The camera_info beside a topic, where the bag has one."""
    beside = f"{_base(topic).rpartition('/')[0]}/camera_info"
    return beside if beside in bag.topics else None


def pixels_of(message, depth: bool = False) -> np.ndarray:
    """(H, W, 3) uint8 RGB, or (H, W) float32 metres, of an Image or a CompressedImage; ValueError when it is none."""
    if message.__msgtype__ == COMPRESSED:
        return depth_from_compressed(message) if depth else color_from_compressed(message)
    return depth_from_image(message) if depth else color_from_image(message)


def why_unregistered(bag: Bag, color: str, depth: str) -> str:
    """Why depth is not registered to colour, '' where it is, by the first messages of both topics."""
    images = [bag.first(topic) for topic in (color, depth)]
    infos = [bag.first(topic) if topic else None for topic in (info_topic(bag, color), info_topic(bag, depth))]
    try:
        sizes = [pixels_of(image, number == 1).shape[:2] for number, image in enumerate(images)]
    except ValueError as error:
        return str(error)
    if sizes[0] != sizes[1]:
        (height, width), (depth_height, depth_width) = sizes
        return f"depth is {depth_width}x{depth_height} and colour {width}x{height}"
    frames = [image.header.frame_id for image in images]
    if all(frames) and frames[0] != frames[1]:
        return f"depth is in frame '{frames[1]}' and colour in '{frames[0]}'"
    if all(infos):
        color, depth = (intrinsics_from_info(info) for info in infos)
        if not np.allclose(color.K, depth.K, rtol=1e-3, atol=0.5):
            return f"its camera_info is of another lens (fx {depth.fx:.1f}, colour's {color.fx:.1f})"
    return ""


def _named(topics: list[str], names: Iterable[str]) -> list[str]:
    """Those of the first name that there are: with that name, else ending with it."""
    for name in names:
        if found := [topic for topic in topics if _base(topic) == f"/{name}"]:
            return found
    for name in names:
        if found := [topic for topic in topics if _base(topic).endswith(f"/{name}")]:
            return found
    return []


def _given(setting: str, wanted: str, bag: Bag, kinds: dict[str, str]) -> str:
    wanted = f"/{wanted.lstrip('/')}"
    if bag.topics.get(wanted) in (IMAGE, COMPRESSED) and bag.first(wanted) is not None:
        return wanted
    raise BagError(f"{setting} must be a topic of pictures in {bag.path}, got '{wanted}'; it has {_listed(kinds)}")


def _only(setting: str, what: str, candidates: list[str], bag: Bag) -> str:
    if len(candidates) > 1:
        raise BagError(f"{bag.path} holds several topics of {what}: {_listed(candidates)}; choose with {setting}")
    return candidates[0]


def _of(kinds: dict[str, str], kind: str) -> list[str]:
    return [topic for topic, one in kinds.items() if one == kind]


def _base(topic: str) -> str:
    """The topic of the image itself, without its transport."""
    for transport in TRANSPORTS:
        topic = topic.removesuffix(transport)
    return topic


def _listed(topics: Iterable[str]) -> str:
    return ", ".join(sorted(topics))
