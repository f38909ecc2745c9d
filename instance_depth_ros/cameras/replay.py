"""A recording replayed: a ROS 2 bag, or a sequence folder (docs/dataset.md)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ..datasets.sequence import Sequence
from ..frame import Frame
from ..image_encodings import intrinsics_from_info, stamp_ns
from ..pairing import Pairer
from ..recording.bag import Bag, BagError
from ..recording.bag_topics import (
    SLOP_NS,
    WAITING,
    choose_color,
    choose_depth,
    info_topic,
    kinds_of,
    pixels_of,
    why_unregistered,
)
from .base import CameraError
from .source import StampedRecording

log = logging.getLogger(__name__)


class ReplayCamera(StampedRecording):
    """Frames as they were recorded, bit for bit, with their stamps: from a bag or a sequence folder.

    Depth that is not registered to colour is refused: an error where replay_depth_topic names it, else it is left out,
    which describe() and the log say.
    """

    def __init__(self, settings):
        super().__init__(settings)
        self._told = {}

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
        color, depth = self._choose(bag)
        last_info = bag.first(info) if (info := info_topic(bag, color)) else None
        moments = deque()
        pairer = Pairer(2, lambda *pair: moments.append(pair), SLOP_NS, WAITING, self._on_unpaired)
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

    def _choose(self, bag: Bag) -> tuple[str, str | None]:
        """The topics of colour and of depth, None where there is none or it is refused."""
        wanted, kinds = self.settings.replay_depth_topic, kinds_of(bag)
        color = choose_color(bag, kinds, self.settings.replay_color_topic)
        depth = choose_depth(bag, kinds, wanted)
        why = why_unregistered(bag, color, depth) if depth else ""
        if why and wanted:
            raise CameraError(f"{depth} in {bag.path} is not registered to {color}: {why}")
        self._told = {
            "camera_color_topic": color,
            "camera_depth_topic": f"{depth} left out: {why}" if why else depth or "none",
        }
        if why:
            log.warning("%s is left out, as it is not registered to %s: %s", depth, color, why)
        return color, None if why else depth

    def _frame_of_messages(self, info, color, depth=None) -> Frame:
        pixels = pixels_of(color)
        # A driver without a calibration sends zeros.
        lens = intrinsics_from_info(info) if info is not None and info.k[0] > 0 else self._lens_of(pixels)
        return Frame(
            color=pixels,
            stamp_ns=stamp_ns(color),
            frame_id=color.header.frame_id or self.settings.camera_frame,
            intrinsics=lens,
            depth_m=None if depth is None else pixels_of(depth, depth=True),
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
