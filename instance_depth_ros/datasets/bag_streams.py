"""Which topics of a bag are which layer of a sequence, and which of their messages are of one moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ..geometry import Intrinsics
from ..image_encodings import intrinsics_from_info
from ..pairing import Pairer
from ..recording.bag import BagError
from ..recording.bag_topics import (
    SLOP_NS,
    WAITING,
    choose_color,
    choose_depth,
    info_topic,
    kinds_of,
    why_unregistered,
)
from ..recording.indexed import IndexedBag
from ..recording.pictures import Pictures, find_pictures
from ..recording.transforms import Transforms

COLOR, INFO, DEPTH = "/camera/color/image_raw", "/camera/color/camera_info", "/camera/aligned_depth_to_color/image_raw"
ESTIMATE, TRUTH, POSE = "/depth/image", "/simulation/depth/image", "/simulation/camera_pose"
# Whose masks they are -> the topic of id images; TABLE beside it says what each is.
MASKS = {"truth": "/simulation/instances", "given": "/camera/instances", "estimate": "/depth/instances"}
TABLE = "/table"
# What `dataset import` writes beside all this: each line of frames.jsonl, a std_msgs/String.
LINES = "/dataset/frame"
NO_TOPIC = "the bag has no such topic"


@dataclass
class Streams:
    """by_layer: of color, depth_m, truth_m and ids those that there are; missing: layer -> why it is not there.

    above: the namespace of the other topics. depth: 'sensor' or 'estimate'. masks: of MASKS, '' without ids.
    color_from_depth: (4, 4) where depth is not registered to colour, but can be; else None.
    """

    bag: IndexedBag
    above: str
    depth: str
    by_layer: dict[str, Pictures]
    masks: str = ""
    color_from_depth: np.ndarray | None = None
    missing: dict[str, str] = field(default_factory=dict)

    def find(self, topic: str) -> Pictures | None:
        return find_pictures(self.bag, self.above + topic)

    def entries(self, topic: str) -> np.ndarray:
        """Of a topic in the namespace; none where the bag lacks it."""
        return self.bag.entries.get(self.above + topic, np.zeros(0, next(iter(self.bag.entries.values())).dtype))

    def lens(self, topic: str) -> Intrinsics | None:
        """Of the first CameraInfo beside a topic of pictures; None where there is none, or it is not calibrated."""
        info = info_topic(self.bag, topic)
        message = self.bag.first(info) if info else None
        return intrinsics_from_info(message) if message is not None and message.k[0] > 0 else None


def choose(
    bag: IndexedBag, tf: Transforms, without: Iterable[str], depth: str, masks: str, color_topic: str, depth_topic: str
) -> Streams:
    """As of BagSequence. BagError where colour, or a topic asked for, is missing."""
    kinds = kinds_of(bag)
    color = choose_color(bag, kinds, color_topic)
    raw = color.removesuffix("/compressed")
    above = raw.removesuffix(COLOR) if raw.endswith(COLOR) else ""
    streams = Streams(bag, above, depth, {"color": Pictures(bag, color)})
    if "depth_m" not in without:
        topic = _depth_topic(streams, kinds, tf, depth_topic) if depth == "sensor" else None
        pictures = Pictures(bag, topic) if topic else streams.find(ESTIMATE) if depth == "estimate" else None
        _add(streams, "depth_m", pictures)
    if "truth_m" not in without:
        _add(streams, "truth_m", streams.find(TRUTH))
    if "ids" not in without:
        names = (masks,) if masks else MASKS
        streams.masks = next((name for name in names if streams.find(MASKS[name])), "")
        _add(streams, "ids", streams.find(MASKS[streams.masks]) if streams.masks else None)
    return streams


def _add(streams: Streams, layer: str, pictures: Pictures | None) -> None:
    if pictures:
        streams.by_layer[layer] = pictures
    else:
        streams.missing.setdefault(layer, NO_TOPIC)


def _depth_topic(streams: Streams, kinds: dict[str, str], tf: Transforms, wanted: str) -> str | None:
    """Of the sensor's depth, where it is registered or can be."""
    bag, color = streams.bag, streams.by_layer["color"]
    topic = choose_depth(bag, kinds, wanted)
    if topic is None or not (why := why_unregistered(bag, color.topic, topic)):
        return topic
    depth = Pictures(bag, topic)
    if color.frame_id and depth.frame_id and color.frame_id != depth.frame_id:
        at_ns = int(bag.entries[color.topic]["stamp_ns"][0])
        streams.color_from_depth = tf.at(color.frame_id, depth.frame_id, at_ns)
    if streams.color_from_depth is not None and all(streams.lens(name) for name in (color.topic, topic)):
        return topic
    streams.color_from_depth = None
    streams.missing["depth_m"] = f"{topic} is not registered to {color.topic}: {why}; tf and camera_info do not help"
    if wanted:
        raise BagError(f"{bag.path}: {streams.missing['depth_m']}")
    return None


def moments(streams: Streams) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Of each layer (n,) numbers of messages that belong together; how many colours are left out, by what they lack.

    Depth is paired as the replay camera pairs it; what was computed of a colour has its very stamp.
    """
    color = streams.by_layer["color"]
    rows = streams.bag.entries[color.topic]
    found, kept, left_out = {"color": np.arange(len(rows))}, color.good.copy(), {}
    left_out["damaged"] = int((~kept).sum())
    for layer, pictures in streams.by_layer.items():
        if layer != "color":
            others = streams.bag.entries[pictures.topic]
            find = paired if layer == "depth_m" and streams.depth == "sensor" else same
            found[layer] = find(rows["stamp_ns"], others["stamp_ns"], rows["log_ns"], others["log_ns"])
            there = (found[layer] >= 0) & pictures.good[found[layer]]
            left_out[f"without {layer}"] = int((kept & ~there).sum())
            kept &= there
    return {layer: numbers[kept] for layer, numbers in found.items()}, {k: v for k, v in left_out.items() if v}


def same(wanted_ns: np.ndarray, there_ns: np.ndarray, *_) -> np.ndarray:
    """(n,) the number of the last that has the very stamp, -1 where none has."""
    numbers = {stamp: number for number, stamp in enumerate(there_ns.tolist())}
    return np.array([numbers.get(stamp, -1) for stamp in wanted_ns.tolist()], int)


def paired(color_ns: np.ndarray, depth_ns: np.ndarray, color_log_ns: np.ndarray, depth_log_ns: np.ndarray):
    """(n,) the depth of each colour, -1 where it found none, as they came."""
    found = np.full(len(color_ns), -1)
    pairer = Pairer(2, found.__setitem__, SLOP_NS, WAITING)
    stamps, count = np.concatenate([color_ns, depth_ns]).tolist(), len(color_ns)
    for place in np.argsort(np.concatenate([color_log_ns, depth_log_ns]), kind="stable").tolist():
        pairer.add(int(place >= count), stamps[place], place - count * (place >= count))
    return found
