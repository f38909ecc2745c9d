"""One id for an object through a whole sequence: tracked forwards and backwards in time, and brought together.

Each direction says which sighting follows which, and so do masks of neighbouring frames that overlap (the paper matches
masks to earlier ones by the highest IoU). Sightings are joined in the order of how many say so, then of IoU, as long as
nobody would be in two places at once. People's ids come before all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from ... import association
from ...config import CLASSES
from ...geometry import Intrinsics
from ...motion import camera_motion, pose_motion
from ...tracking import SURE_OVERLAP, Tracks, track
from .observe import Observed
from .prompts import MOST_ID

Place = tuple[int, int]  # frame, and which of its sightings


@dataclass
class _Group:
    """Sightings of one object. at: frame -> which. id: of people, 0 none."""

    at: dict[int, int]
    id: int = 0


@dataclass(frozen=True)
class Identities:
    """ids: of each frame, (K,) int, 0 where it is too little to be told of. classes: id -> class_id.

    disputed: (frame, id, id), where first a direction of time takes the one for the other.
    """

    ids: list[np.ndarray]
    classes: dict[int, int]
    disputed: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def left_out(self) -> int:
        """Sightings without an id."""
        return sum(int((ids == 0).sum()) for ids in self.ids)


def identify(frames: Sequence[Observed], intrinsics: Intrinsics, settings: SimpleNamespace) -> Identities:
    """Who is who in a sequence; settings: of tracking.track. Ids that nobody gave are counted by first appearance.

    What neither direction confirms is left out, unless people drew it.
    """
    order = range(len(frames))
    ways = [_tracked(frames, way, intrinsics, settings) for way in (order, order[::-1])]
    groups = {(t, k): _Group({t: k}, int(n)) for t, frame in enumerate(frames) for k, n in enumerate(frame.given)}
    for links in _same_given(groups), _ranked([*map(_links, ways), _overlapping(frames)], frames):
        for one, other in links:
            _join(groups, one, other)
    told = {place for way in ways for t, ids in enumerate(way) for place in _places(t, ids > 0)}
    told |= {place for t, frame in enumerate(frames) for place in _places(t, frame.certain)}
    ids, classes = _numbered(frames, groups, told)
    disputed = {}
    for one, other in sorted((link for way in ways for link in _links(way)), key=lambda link: link[1]):
        pair = tuple(sorted(int(ids[t][k]) for t, k in (one, other)))
        if groups[one] is not groups[other] and all(pair):
            disputed.setdefault(pair, other[0])
    return Identities(ids, classes, [(frame, *pair) for pair, frame in disputed.items()])


def _tracked(frames, order: Sequence[int], intrinsics: Intrinsics, settings) -> list[np.ndarray]:
    """(K,) ids of each frame, 0 none, as the tracker gives them in this order, in which time goes on."""
    tracks, before, ids = Tracks(), None, [np.zeros(len(frame.given), int) for frame in frames]
    start_ns = frames[order[0]].stamp_ns if frames else 0
    for index in order:
        now = frames[index]
        stamp_ns = abs(now.stamp_ns - start_ns)
        # a cut stands at the first frame of the new scene
        if before is not None and frames[max(index, before)].cut:
            tracks, before = tracks.reset(stamp_ns), None
        motion = None if before is None else _motion(frames[before], now, intrinsics)
        found, tracks = track(now.seen.sightings(), tracks, stamp_ns, motion, settings)
        ids[index] = np.array([one.id if one else 0 for one in found], int)
        before = index
    return ids


def _motion(before: Observed, now: Observed, intrinsics: Intrinsics) -> np.ndarray:
    if before.world_from_camera is not None and now.world_from_camera is not None:
        h, w = now.grey.shape
        return pose_motion(before.world_from_camera, now.world_from_camera, intrinsics.resized(w, h))
    return camera_motion(before.grey, now.grey, before.seen.labels > 0)


def _places(frame: int, which: np.ndarray) -> list[Place]:
    return [(frame, int(k)) for k in np.flatnonzero(which)]


def _links(ids: list[np.ndarray]) -> list[tuple[Place, Place]]:
    """Each sighting with an id, and the next of the same."""
    last, links = {}, []
    for t, of_frame in enumerate(ids):
        for k in np.flatnonzero(of_frame):
            place, number = (t, int(k)), int(of_frame[k])
            if number in last:
                links.append((last[number], place))
            last[number] = place
    return links


def _overlapping(frames) -> list[tuple[Place, Place]]:
    """Sightings of neighbouring frames whose masks overlap so much that they are surely of the same thing."""
    links = []
    for t in range(1, len(frames)):
        if not frames[t].cut:
            iou = _overlap(frames[t - 1], frames[t])
            links += [((t - 1, int(k)), (t, int(n))) for k, n in np.argwhere(iou > SURE_OVERLAP)]
    return links


def _overlap(one: Observed, other: Observed) -> np.ndarray:
    """(K, M) IoU of the masks of two frames."""
    return association.iou(*(association.coarse(_masks(frame)) for frame in (one, other)))


def _masks(frame: Observed) -> np.ndarray:
    return frame.seen.labels == np.arange(1, len(frame.seen) + 1)[:, None, None]


def _ranked(opinions: list[list[tuple[Place, Place]]], frames) -> list[tuple[Place, Place]]:
    """Links in the order in which to believe them."""
    votes, overlaps = defaultdict(int), {}
    for links in opinions:
        for link in links:
            votes[link] += 1

    def rank(link) -> tuple[int, float]:
        (t, k), (later, n) = link
        if (t, later) not in overlaps:
            overlaps[t, later] = _overlap(frames[t], frames[later])
        return -votes[link], -overlaps[t, later][k, n]

    return sorted(votes, key=rank)


def _same_given(groups: dict[Place, _Group]) -> list[tuple[Place, Place]]:
    first, links = {}, []
    for place, group in groups.items():
        if group.id:
            links.append((first.setdefault(group.id, place), place))
    return links


def _join(groups: dict[Place, _Group], one: Place, other: Place) -> None:
    """Make them one object, unless it would be in two places at once, or people say that they are two."""
    small, large = sorted((groups[one], groups[other]), key=lambda group: len(group.at))
    if small.at.keys() & large.at.keys() or (small.id and large.id and small.id != large.id):
        return
    large.at |= small.at
    large.id = large.id or small.id
    for place in small.at.items():
        groups[place] = large


def _numbered(frames, groups: dict[Place, _Group], told: set[Place]) -> tuple[list[np.ndarray], dict[int, int]]:
    """Ids of each frame and the class of each id: what its sightings say, by how sure they are; people before all."""
    ids, classes = [np.zeros(len(frame.given), int) for frame in frames], {}
    taken = {group.id for group in groups.values()}
    free = (number for number in range(1, MOST_ID + 1) if number not in taken)
    for group in {id(groups[place]): groups[place] for place in sorted(told)}.values():
        number = group.id or next(free, None)
        if number is None:
            raise ValueError(f"there are more than {MOST_ID} objects, which a 16-bit mask cannot tell apart")
        votes = np.zeros(len(CLASSES))
        for t, k in group.at.items():
            ids[t][k], seen = number, frames[t].seen
            votes[seen.class_id[k]] += 1e6 if frames[t].certain[k] else max(float(seen.score[k]), 1e-3)
        classes[number] = int(votes.argmax())
    return ids, classes
