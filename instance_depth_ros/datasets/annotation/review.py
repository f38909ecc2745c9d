"""What a person should look at in an annotated sequence: suspected switches, jumps, and masks that cover two depths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import cv2
import numpy as np

from ...association import iou
from ...geometry import sampled
from ...motion import camera_motion
from ..sequence import Sequence
from .depth_layer import depth_layer

WIDTH = 160  # of the pictures in which masks are compared
SWAPPED = 0.3  # IoU that a swap of two ids would gain
CONTINUED = 0.5  # IoU with the last mask of an id that is not there any more
RETURN_S, RETURN_BOXES = 2.0, 1.5  # after how long, and how many of its sizes away, an id may come back as another
JUMPED_BOXES, JUMPED_TIMES = 1.0, 4.0  # of its size, and of what it usually moves between two frames
GREW_TIMES = 2.5
TWO_DEPTHS = 0.25  # share of the pixels that are not at the depth of the thing
KINDS = {
    "switch": "an identity may have gone from one object to another",
    "jump": "a mask moved or grew too much from one frame to the next",
    "depth": "a mask covers things at different depths",
    "once": "seen in one frame only",
}


class Suspect(NamedTuple):
    """kind: of KINDS. ids: whose. what: in words."""

    kind: str
    frame: int
    ids: tuple[int, ...]
    what: str


class _Sight(NamedTuple):
    frame: int
    stamp_s: float
    kind: str
    box: np.ndarray
    area: int
    alone: bool  # away from the picture's border and others' boxes


class Review:
    """Frames of a sequence in their order, as Sequence.read() gives them; what is suspect in them."""

    def __init__(self):
        self._before: tuple[np.ndarray, np.ndarray, list[int]] | None = None  # grey, ids, whose
        self._sights: dict[int, list[_Sight]] = defaultdict(list)
        self._suspects: list[Suspect] = []
        self._two_depths: dict[int, int] = {}  # id -> the last frame in which it had

    def add(self, frame: Mapping) -> None:
        """color, ids, instances, and depth_m where a sensor measured it."""
        rows, index = [row for row in frame["instances"] if row["area"]], frame["index"]
        boxes = np.array([row["box"] for row in rows], float).reshape(-1, 4)
        alone = _alone(boxes, frame["ids"].shape)
        for row, box, free in zip(rows, boxes, alone, strict=True):
            sight = _Sight(index, frame["stamp_ns"] / 1e9, row["class"], box, row["area"], bool(free))
            self._sights[row["id"]].append(sight)
            if "depth_m" in frame:
                self._look_at_depth(index, row, frame["ids"], frame["depth_m"])
        self._look_for_swaps(index, frame, [row["id"] for row in rows])

    def suspects(self) -> list[Suspect]:
        """Of all frames, in their order."""
        found = [*self._suspects, *self._returns()]
        for number, sights in self._sights.items():
            if len(sights) == 1:
                found.append(Suspect("once", sights[0].frame, (number,), f"a {sights[0].kind}, in no other frame"))
            found += _jumps(number, sights)
        return sorted(found, key=lambda suspect: (suspect.frame, suspect.kind, suspect.ids))

    def _look_at_depth(self, index: int, row: dict, ids: np.ndarray, depth_m: np.ndarray) -> None:
        x, y, w, h = row["box"]
        part = np.s_[y : y + h, x : x + w]
        layer_m, off = depth_layer(depth_m[part][ids[part] == row["id"]], row["class"])
        if off > TWO_DEPTHS:
            before = self._two_depths.get(row["id"])
            self._two_depths[row["id"]] = index
            if before != index - 1:  # of a run, the first says enough
                what = f"{off:.0%} of its pixels are not near {layer_m:.1f} m"
                self._suspects.append(Suspect("depth", index, (row["id"],), what))

    def _look_for_swaps(self, index: int, frame: Mapping, whose: list[int]) -> None:
        height, width = frame["ids"].shape
        size = (max(1, round(height * min(WIDTH / width, 1))), min(WIDTH, width))
        grey = cv2.resize(cv2.cvtColor(frame["color"], cv2.COLOR_RGB2GRAY), size[::-1], interpolation=cv2.INTER_AREA)
        ids, before = sampled(frame["ids"], size), self._before
        self._before = grey, ids, whose
        if before is None or not before[2] or not whose:
            return
        old_grey, old_ids, old = before
        motion = camera_motion(old_grey, grey, old_ids > 0)
        moved = cv2.warpAffine(old_ids, motion, size[::-1], flags=cv2.INTER_NEAREST)
        masks, others = ((picture == np.array(who)[:, None, None]) for picture, who in ((moved, old), (ids, whose)))
        overlap = iou(*(stack.reshape(len(stack), -1).astype(np.float32) for stack in (masks, others)))
        place = {number: n for n, number in enumerate(whose)}
        for k, one in enumerate(old):
            if one not in place:
                n = int(overlap[k].argmax())
                if overlap[k, n] > CONTINUED and whose[n] not in old:
                    self._switch(index, one, whose[n], f"{one} ends where {whose[n]} begins")
                continue
            for m in range(k + 1, len(old)):
                if (other := old[m]) in place:
                    gain = overlap[k, place[other]] + overlap[m, place[one]] - overlap[k, place[one]]
                    if gain - overlap[m, place[other]] > SWAPPED:
                        self._switch(index, one, other, f"{one} and {other} change places")

    def _switch(self, index: int, one: int, other: int, what: str) -> None:
        self._suspects.append(Suspect("switch", index, (one, other), what))

    def _returns(self) -> Iterable[Suspect]:
        """Who disappears within the picture for good, and is perhaps another who appears there soon after."""
        said = {suspect.ids for suspect in self._suspects if suspect.kind == "switch"}
        first = [(sights[0], number) for number, sights in self._sights.items()]
        for one, sights in self._sights.items():
            gone = sights[-1]
            for came, other in first if gone.alone else ():
                soon = 0 < came.stamp_s - gone.stamp_s <= RETURN_S
                if soon and came.alone and came.kind == gone.kind and (one, other) not in said:
                    if _apart(gone, came) < RETURN_BOXES and _ratio(gone.area, came.area) < GREW_TIMES:
                        what = f"{one}, last seen in frame {gone.frame}, may be {other}"
                        yield Suspect("switch", came.frame, (one, other), what)


def review(sequence: Sequence) -> list[Suspect]:
    """What is suspect in a sequence that has masks."""
    looked, layers = Review(), [name for name in ("color", "ids", "depth_m") if name in sequence.layers]
    for index in range(len(sequence)):
        looked.add(sequence.read(index, layers))
    return looked.suspects()


def _jumps(number: int, sights: list[_Sight]) -> Iterable[Suspect]:
    """Between frames that follow one another."""
    pairs = [(a, b) for a, b in zip(sights, sights[1:], strict=False) if b.frame == a.frame + 1]
    usual = np.median([_apart(*pair) for pair in pairs]) if pairs else 0.0
    for before, now in pairs:
        apart, grew = _apart(before, now), _ratio(before.area, now.area)
        if apart > max(JUMPED_BOXES, JUMPED_TIMES * usual):
            yield Suspect("jump", now.frame, (number,), f"it moved by {apart:.1f} of its size")
        elif grew > GREW_TIMES and before.alone and now.alone:
            yield Suspect("jump", now.frame, (number,), f"from {before.area} to {now.area} pixels")


def _apart(one: _Sight, other: _Sight) -> float:
    """How far their middles are from each other, in diagonals of the larger box."""
    middles = [sight.box[:2] + sight.box[2:] / 2 for sight in (one, other)]
    return float(np.hypot(*(middles[0] - middles[1])) / max(np.hypot(*sight.box[2:]) for sight in (one, other)))


def _ratio(one: float, other: float) -> float:
    return max(one, other) / max(min(one, other), 1)


def _alone(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N,) bool of boxes x, y, w, h: neither at the picture's border nor over another."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    inside = (low > 0).all(1) & (high < size[::-1]).all(1)
    over = ((low[:, None] <= high) & (low <= high[:, None])).all(-1)
    return inside & (over.sum(1) == 1)
