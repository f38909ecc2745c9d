"""Lasting identities: what was seen in a frame is told to be what was seen before, also after it was hidden.

What is lost is remembered for a time, not for a number of frames. Only what was seen often or long enough has an
identity. All state is data: track() takes what is remembered, and gives what is remembered then.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import cv2
import numpy as np

from . import association
from .association import Alike, Rules
from .config import CLASSES

log = logging.getLogger(__name__)
PIXELS = 65535
RESERVED_NS = 600 * 10**9  # a pixel value is not given again for so long
UNKNOWN_DEPTH_M, UNKNOWN_DEPTH_VARIANCE = 3.0, 100.0  # of log of metres
LEAST_RELATIVE_SIGMA = 0.05  # of depth
SURE_OVERLAP = 0.5  # IoU of masks that surely are of the same thing
RULES = Rules()


@dataclass(frozen=True)
class Sighting:
    """One instance in one frame, before it has an identity.

    mask: (h, w) bool at the network's output size. class_id: of config.CLASSES. depth_m, sigma_m: depth layer and its
    standard deviation, NaN unknown. embedding: (E,) of unit length, empty where the source has none.
    """

    mask: np.ndarray
    class_id: int
    score: float
    depth_m: float
    sigma_m: float
    embedding: np.ndarray


@dataclass(frozen=True)
class Identity:
    """id: 32 bits, lasting. pixel: its value in id images, 1..65535. class_id: what it was mostly seen as."""

    id: int
    pixel: int
    age_s: float
    class_id: int


@dataclass(frozen=True)
class Tracks:
    """All that is remembered of one stream; track() leaves the one that it is given as it is.

    rows: a row (association.row_type) for each thing, in sight or lost. ids: how many were given. pixel: the last one.
    reserved_ns: until when the pixel values of the forgotten are not given. short: somebody waits for a free one.
    alike: what a likeness of embeddings means.
    """

    rows: np.ndarray = field(default_factory=lambda: np.empty(0, association.row_type((1, 1), 0, len(CLASSES))))
    stamp_ns: int = 0
    ids: int = 0
    pixel: int = 0
    reserved_ns: dict[int, int] = field(default_factory=dict)
    short: bool = False
    alike: Alike = Alike()

    def clone(self) -> Tracks:
        return replace(self, rows=self.rows.copy(), reserved_ns=dict(self.reserved_ns))

    def reset(self, stamp_ns: int) -> Tracks:
        """Nothing is remembered but the ids and pixel values that were given: none is given twice in a run."""
        latest_ns = stamp_ns + RESERVED_NS
        reserved_ns = {pixel: min(until_ns, latest_ns) for pixel, until_ns in self._without(self.rows).items()}
        return Tracks(stamp_ns=stamp_ns, ids=self.ids, pixel=self.pixel, reserved_ns=reserved_ns)

    def keep(self, which: np.ndarray) -> Tracks:
        """Only the rows where which, (N,) bool, is True."""
        if which.all():
            return self
        return replace(self, rows=self.rows[which], reserved_ns=self._without(self.rows[~which]))

    def _without(self, rows: np.ndarray) -> dict[int, int]:
        gone = rows["pixel"][rows["pixel"] > 0].tolist()
        return self.reserved_ns | dict.fromkeys(gone, self.stamp_ns + RESERVED_NS)


def track(
    sightings: Sequence[Sighting],
    tracks: Tracks,
    stamp_ns: int,
    motion: np.ndarray | None,
    settings: SimpleNamespace,
    rules: Rules = RULES,
) -> tuple[list[Identity | None], Tracks]:
    """The identity of each sighting of a frame, None where it is not confirmed (yet), and what is remembered then.

    motion: the camera's since the last frame, of motion.camera_motion or pose_motion; None: unknown. Sightings less
    certain than settings.instance_threshold go on with what is known, and begin nothing. Stamps that go back, and masks
    or embeddings of another size, begin anew, with ids not given before. While all pixel values of ten minutes are
    taken, the newly confirmed wait without identity.
    """
    seen, scores = _rows(sightings, tracks.rows.dtype, stamp_ns, rules)
    if stamp_ns < tracks.stamp_ns or seen.dtype != tracks.rows.dtype:
        tracks = replace(tracks.reset(stamp_ns), rows=seen[:0])
    tracks = foresee(tracks, stamp_ns, motion, rules)
    tracks = tracks.keep((tracks.rows["id"] == 0) | (tracks.rows["lost_s"] <= rules.memory_s))
    rows = tracks.rows

    masks = association.coarse(seen["mask"])
    single = _single(association.iou(masks, masks), scores, rules) & (seen["box"] > 0).all(-1)
    overlap = association.iou(association.coarse_now(rows, rules), masks)
    look = association.likeness(rows, seen)
    costs = association.cost(rows, seen, overlap, look, tracks.alike, rules)
    costs[:, ~single] = np.inf
    of_row, of_sighting = association.assign(costs, rules.new)
    sure = overlap[of_row, of_sighting] > SURE_OVERLAP
    alike = association.learn(tracks.alike, look[of_row, of_sighting][sure], seen[single])
    begin = _begin(masks, seen, scores, single, of_sighting, settings.instance_threshold, rules)
    where = np.full(len(seen), -1)
    where[of_sighting], where[begin] = of_row, len(rows) + np.arange(len(begin))
    rows = np.concatenate([rows, seen[begin]])
    rows[of_row] = association.seen_again(rows[of_row], seen[of_sighting])
    tracks = replace(tracks, rows=rows, alike=alike)
    tracks = _confirmed(tracks, where[where >= 0], rules)
    identities = [identity(tracks.rows[index], stamp_ns) if index >= 0 else None for index in where]
    return identities, _forgotten(tracks, rules)


def foresee(tracks: Tracks, stamp_ns: int, motion: np.ndarray | None, rules: Rules = RULES) -> Tracks:
    """What is remembered, where it is to be expected at stamp_ns; motion: the camera's since the last frame."""
    if motion is None and stamp_ns == tracks.stamp_ns:
        return tracks
    passed_s = (stamp_ns - tracks.stamp_ns) / 1e9 if len(tracks.rows) else 0.0
    return replace(tracks, rows=association.expected(tracks.rows, passed_s, motion, rules), stamp_ns=stamp_ns)


def named(tracks: Tracks, ids: np.ndarray) -> list[Identity | None]:
    """The identities of these ids, which are remembered."""
    return [identity(row, tracks.stamp_ns) for number in ids for row in tracks.rows[tracks.rows["id"] == number]]


def _rows(sightings: Sequence[Sighting], like: np.dtype, stamp_ns: int, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
    """Sightings as things seen once, and their scores (M,); of the type `like` where there are none."""
    if not sightings:
        return np.empty(0, like), np.empty(0)
    sizes = {(one.mask.shape, one.embedding.shape) for one in sightings}
    if len(sizes) > 1:
        raise ValueError(f"sightings of one frame need masks and embeddings of one size, got {sorted(sizes)}")
    ((size, (length,)),) = sizes
    rows = np.zeros(len(sightings), association.row_type(size, length, len(CLASSES)))
    rows["first_ns"], rows["hits"] = stamp_ns, 1
    rows["warp"] = np.eye(2, 3)
    for mask, one in zip(rows["mask"], sightings, strict=True):
        mask[:] = one.mask
    rows["look"] = [one.embedding for one in sightings]
    scores = np.array([one.score for one in sightings], np.float64)
    rows["votes"][np.arange(len(rows)), [one.class_id for one in sightings]] = np.maximum(scores, 1e-3)
    boxes = np.array([cv2.boundingRect(mask) for mask in rows["mask"]])
    rows["box"] = boxes[:, 2:]
    rows["place"][:, :2] = boxes[:, :2] + (boxes[:, 2:] - 1) / 2
    depth_m = np.array([one.depth_m for one in sightings], np.float64)
    sigma_m = np.array([one.sigma_m for one in sightings], np.float64)
    known = np.isfinite(depth_m) & (depth_m > 0)
    relative = np.maximum(np.divide(sigma_m, depth_m, where=known, out=np.ones_like(depth_m)), LEAST_RELATIVE_SIGMA)
    rows["place"][:, 2] = np.log(np.where(known, depth_m, UNKNOWN_DEPTH_M))
    # outlines of things that are half hidden jump
    rows["noise"][:, :2] = 0.25 + (0.1 * rows["box"]) ** 2
    rows["noise"][:, 2] = np.where(known & np.isfinite(relative), relative**2, UNKNOWN_DEPTH_VARIANCE)
    rows["doubt"][:, :, 0], rows["doubt"][:, :, 2] = rows["noise"], association.usual_speed(rows, rules) ** 2
    return rows, scores


def _single(iou: np.ndarray, scores: np.ndarray, rules: Rules) -> np.ndarray:
    """(M,) bool: no more certain sighting has nearly the same mask."""
    single = np.zeros(len(scores), bool)
    for index in np.argsort(-scores, kind="stable"):
        single[index] = not (iou[index, single] > rules.duplicate).any()
    return single


def _begin(
    masks: np.ndarray, seen: np.ndarray, scores: np.ndarray, single: np.ndarray, known: np.ndarray, threshold: float,
    rules: Rules,
) -> np.ndarray:  # fmt: skip
    """Indices of sightings that are something new: certain enough, and no part of another one of the same class."""
    taken, kind = np.zeros(len(seen), bool), seen["votes"].argmax(-1)
    taken[known] = True
    inside = masks @ masks.T >= rules.part * np.maximum(masks.sum(-1)[:, None], 1)
    begin = []
    for index in np.argsort(-scores, kind="stable"):
        if taken[index] or not single[index] or scores[index] < threshold:
            continue
        if not (inside[index] & taken & (kind == kind[index])).any():
            taken[index] = True
            begin.append(index)
    return np.sort(np.array(begin, int))


def _confirmed(tracks: Tracks, in_sight: np.ndarray, rules: Rules) -> Tracks:
    """Identities for those in sight who have none and have shown themselves enough, in this order."""
    rows = tracks.rows
    age_s = (tracks.stamp_ns - rows["first_ns"]) / 1e9
    enough = (rows["hits"] >= rules.confirm_hits) | ((rows["hits"] >= 2) & (age_s >= rules.confirm_s))
    ready = [index for index in in_sight if enough[index] and rows["id"][index] == 0]
    if not ready:
        return replace(tracks, short=False)
    reserved_ns = {pixel: until_ns for pixel, until_ns in tracks.reserved_ns.items() if until_ns > tracks.stamp_ns}
    # in turn, from the one after the last given
    turn = (tracks.pixel + np.arange(PIXELS)) % PIXELS + 1
    free = turn[~np.isin(turn, [*reserved_ns, *rows["pixel"].tolist()])][: len(ready)]
    ready, short = ready[: len(free)], len(free) < len(ready)
    if short and not tracks.short:
        log.warning("all %d pixel values of ten minutes are taken: new instances wait without identity", PIXELS)
    rows["id"][ready] = tracks.ids + 1 + np.arange(len(ready))
    rows["pixel"][ready] = free
    pixel = int(free[-1]) if len(free) else tracks.pixel
    return replace(tracks, ids=tracks.ids + len(ready), pixel=pixel, reserved_ns=reserved_ns, short=short)


def identity(row: np.void, stamp_ns: int) -> Identity | None:
    """Of a thing that is remembered; None while it is not confirmed."""
    if not row["id"]:
        return None
    age_s = (stamp_ns - int(row["first_ns"])) / 1e9
    return Identity(int(row["id"]), int(row["pixel"]), age_s, int(row["votes"].argmax()))


def _forgotten(tracks: Tracks, rules: Rules) -> Tracks:
    """Without candidates that did not show up again, and the longest lost where there are too many."""
    rows = tracks.rows
    keep = (rows["id"] > 0) | (rows["lost_s"] <= rules.candidate_s)
    latest = np.lexsort((np.arange(len(rows)), rows["lost_s"], rows["id"] == 0))
    keep[latest[rules.most :]] = False
    return tracks.keep(keep)
