"""A recording replayed: a ROS 2 bag, or a sequence folder (docs/dataset.md)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import starmap
from pathlib import Path

from ..datasets.sequence import Sequence
from ..frame import Frame
from ..image_encodings import intrinsics_from_info, stamp_ns
from ..pairing import Pairer
from ..recording.bag import Bag, BagError
from ..recording.bag_topics import (
    WAITING,
    apart_ns,
    choose_color,
    choose_depth,
    info_topic,
    kinds_of,
    lens_of,
    pixels_of,
    why_unregistered,
)
from ..recording.extrinsics import color_from_depth
from ..recording.transforms import STATIC, TF, Transforms
from ..registration import register
from .base import CameraError
from .mounting import Placed, optical_frames
from .source import StampedRecording

log = logging.getLogger(__name__)


class ReplayCamera(StampedRecording):
    """Frames as they were recorded, bit for bit, with their stamps: from a bag or a sequence folder.

    Depth that is not registered to colour is registered where the bag tells both lenses and where one is in the other.
    Else it is refused: an error where replay_depth_topic names it, else left out, which describe() and the log say.
    """

    def __init__(self, settings):
        super().__init__(settings)
        self._told, self._unregistered = {}, None

    def describe(self) -> dict[str, object]:
        return {"camera_stamps": "as recorded", **self._told}

    def _frames(self) -> Iterator[Frame]:
        path = Path(self.settings.camera_path).expanduser()
        if not path.exists():
            raise CameraError(f"there is no bag or folder {path}; camera_path names it")
        return self._of_sequence(path) if (path / "sequence.json").is_file() else self._of_bag(path)

    def _of_sequence(self, path: Path) -> Iterator[Frame]:
        try:
            sequence = Sequence(path)
            layers = [name for name in ("color", "depth_m", "ids") if name in sequence.layers]
            sequence.frame(0)
        except (OSError, ValueError, IndexError) as error:
            raise CameraError(str(error)) from None
        self.placed = optical_frames(self.settings.camera_frame, sequence.camera.get("color_from_depth"))
        for index in range(len(sequence)):
            if frame := self._kept(self._frame_of_sequence, sequence, index, layers):
                yield frame

    def _frame_of_sequence(self, sequence: Sequence, index: int, layers: list[str]) -> Frame:
        row = sequence.read(index, layers)
        return Frame(
            color=row["color"],
            stamp_ns=row["stamp_ns"],
            frame_id=self.settings.camera_frame,
            intrinsics=sequence.intrinsics,
            depth_m=row.get("depth_m"),
            ids=row.get("ids"),
            world_from_camera=row["world_from_camera"],
        )

    def _of_bag(self, path: Path) -> Iterator[Frame]:
        try:
            with closing(Bag(path)) as bag:
                yield from self._of_opened(bag)
        except BagError as error:
            raise CameraError(str(error)) from error

    def _of_opened(self, bag: Bag) -> Iterator[Frame]:
        static = [topic for topic, kind in bag.topics.items() if kind == TF and topic.endswith(STATIC)]
        tf = Transforms(pair for pair in bag.messages(static) if pair[1] is not None)
        self.placed = tuple(starmap(Placed, tf.static()))
        color, depth = self._choose(bag, tf)
        last_info = bag.first(info) if (info := info_topic(bag, color)) else None
        moments, slop_ns = deque(), apart_ns(*(_stamps_ns(bag, topic) for topic in (color, depth) if topic))
        pairer = Pairer(2, lambda *pair: moments.append(pair), slop_ns, WAITING, self._on_unpaired)
        for topic, message in bag.messages({color, depth, info} - {None}):
            if message is None:
                self.skipped += topic == color
            elif topic == info:
                last_info = message
            elif depth is None:
                moments.append((message,))
            else:
                pairer.add(int(topic == depth), stamp_ns(message), message)
            while moments:
                if frame := self._kept(self._frame_of_messages, last_info, *moments.popleft()):
                    yield frame
        pairer.flush()

    def _choose(self, bag: Bag, tf: Transforms) -> tuple[str, str | None]:
        """The topics of colour and of depth, None where there is none or it is refused."""
        wanted, kinds = self.settings.replay_depth_topic, kinds_of(bag)
        color = choose_color(bag, kinds, self.settings.replay_color_topic)
        depth = choose_depth(bag, kinds, wanted)
        why, how = why_unregistered(bag, color, depth) if depth else "", ""
        self._unregistered = None
        if why:
            try:
                why, how = "", f", registered by {self._prepare(bag, tf, color, depth)}"
            except ValueError as error:
                why = f"{why}; {error}"
        if why and wanted:
            raise CameraError(f"{depth} in {bag.path} is not registered to {color}: {why}")
        self._told = {
            "camera_color_topic": color,
            "camera_depth_topic": f"{depth} left out: {why}" if why else f"{depth or 'none'}{how}",
        }
        if why:
            log.warning("%s is left out, as it is not registered to %s: %s", depth, color, why)
        return color, None if why else depth

    def _prepare(self, bag: Bag, tf: Transforms, color: str, depth: str) -> str:
        """Get what registering takes, and say what told where the cameras are; ValueError where the bag lacks it."""
        color_lens, depth_lens = (lens_of(bag, topic) for topic in (color, depth))
        if depth_lens is None:
            raise ValueError("its lens is unknown, as there is no camera_info beside it")
        if not (color_lens or self._lens):
            raise ValueError("colour's lens is unknown; give camera_info")
        frames = (bag.first(topic).header.frame_id for topic in (color, depth))
        pose, told_by = color_from_depth(bag, tf, *frames, depth)
        self._unregistered = depth_lens, pose
        return told_by

    def _frame_of_messages(self, info, color, depth=None) -> Frame:
        pixels = pixels_of(color)
        # A driver without a calibration sends zeros.
        lens = intrinsics_from_info(info) if info is not None and info.k[0] > 0 else self._lens_of(pixels)
        depth_m = None if depth is None else pixels_of(depth, depth=True)
        if depth is not None and self._unregistered:
            depth_lens, pose = self._unregistered
            depth_m = register(depth_m, depth_lens, lens, pose)
        return Frame(
            color=pixels,
            stamp_ns=stamp_ns(color),
            frame_id=color.header.frame_id or self.settings.camera_frame,
            intrinsics=lens,
            depth_m=depth_m,
        )

    def _kept(self, make, *of) -> Frame | None:
        """The frame that make makes; None, counted, where it is damaged."""
        try:
            return make(*of)
        except (ValueError, FileNotFoundError) as error:
            self.skipped, self._why = self.skipped + 1, str(error)
            return None

    def _on_unpaired(self, stream: int, _message) -> None:
        self.unpaired += stream == 0


def _stamps_ns(bag: Bag, topic: str) -> Iterator[int]:
    # where the bag breaks off is said when it is played
    with suppress(BagError):
        yield from (stamp_ns(message) for _, message in bag.messages([topic]) if message is not None)
