"""Do identities last? IDF1, HOTA and switches (TrackEval), and which come back after a full occlusion."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from .overlap import SAME_IOU, Overlap, small_px

FIGURES = (
    "idf1", "hota", "hota_detection", "hota_association", "id_switches", "ids_kept_over_s", "occlusions_s",
)  # fmt: skip
MOSTLY = 0.5
# (least, most) seconds of what counts as an occlusion of about so many
OCCLUSIONS_S = {"1": (0.5, 2.0), "3": (2.0, 6.0), "10": (6.0, 20.0)}
GONE = 0.05  # visible by less: fully hidden
AROUND_S = 1.0  # before and after an occlusion, within which its identity is looked for


@dataclass(frozen=True)
class Sight:
    """A true instance in one frame. state: seen, hidden, or between (a sliver, or small). same: id of the estimate."""

    state: str
    same: int | None
    at_border: bool


class Identities:
    """Frames of clips in their order; classes are left aside; masks are the same above an IoU of 0.5 (HOTA: any).

    Small true instances are not judged, nor is what lies mostly in one of them, nor small masks that fit nothing.
    """

    def __init__(self):
        self._metrics = None
        self._frames, self._sights, self._stamps_s = defaultdict(list), defaultdict(list), defaultdict(list)
        self._hidden_known = defaultdict(bool)

    def add(self, clip: str, stamp_s: float, rows: list[dict], overlap: Overlap, size: tuple[int, int]) -> None:
        """The next frame, of (H, W) size, of a clip. rows: its line in frames.jsonl, with the hidden where known."""
        self._metrics = self._metrics or _metrics()  # what is missing is said at the first frame
        judged = overlap.judged
        nothing = overlap.small & (overlap.iou.max(0, initial=0) <= SAME_IOU)
        kept = ~(overlap.of_found[~judged] > MOSTLY).any(0) & ~nothing
        true = [row["id"] for row, here in zip(overlap.rows, judged, strict=True) if here]
        found = [instance.id for instance, here in zip(overlap.found, kept, strict=True) if here]
        self._frames[clip].append((true, found, overlap.iou[judged][:, kept]))
        same = {row["id"]: instance.id for row, instance in overlap.same}
        self._sights[clip].append({row["id"]: _sight(row, same.get(row["id"]), size) for row in rows})
        self._stamps_s[clip].append(stamp_s)
        self._hidden_known[clip] |= any(row.get("visible") is not None for row in rows)

    def result(self) -> dict:
        """Figures by the names FIGURES, of all clips; None where there is no true instance.

        ids_kept_over_s: seconds -> share of those fully hidden for about so long that come back with the id they had;
        occlusions_s: how many there were.
        """
        clips = {name: _numbered(frames) for name, frames in self._frames.items()}
        if not any(data["num_gt_dets"] for data in clips.values()):
            return dict.fromkeys(FIGURES)
        hota, identity, clear = (
            metric.combine_sequences({name: metric.eval_sequence(data) for name, data in clips.items()})
            for metric in self._metrics
        )
        shares = float(identity["IDF1"]), *(float(np.mean(hota[name])) for name in ("HOTA", "DetA", "AssA"))
        kept = self._kept()
        came_back = {about: float(np.mean(kept[about])) if kept[about] else None for about in OCCLUSIONS_S}
        counts = {about: len(kept[about]) for about in OCCLUSIONS_S}
        return dict(zip(FIGURES, (*shares, int(clear["IDSW"]), came_back, counts), strict=True))

    def _kept(self) -> dict[str, list[bool]]:
        """Of each full occlusion of about so many seconds, whether the identity lasted."""
        kept = {about: [] for about in OCCLUSIONS_S}
        for name, sights in self._sights.items():
            for duration_s, came_back in occlusions(sights, self._stamps_s[name], self._hidden_known[name]):
                for about, (least, most) in OCCLUSIONS_S.items():
                    if least <= duration_s < most:
                        kept[about].append(came_back)
        return kept


def _metrics() -> tuple:
    try:
        from trackeval.metrics import CLEAR, HOTA, Identity
    except ImportError:
        raise RuntimeError(
            "IDF1 and HOTA need TrackEval: pip install tabulate && pip install --no-deps trackeval"
        ) from None
    quiet = {"PRINT_CONFIG": False}
    return HOTA(), Identity(quiet), CLEAR(quiet)


def _numbered(frames: list[tuple[list, list, np.ndarray]]) -> dict:
    """One clip as TrackEval takes it: ids counted from 0."""
    places = [{who: n for n, who in enumerate(sorted({w for f in frames for w in f[side]}))} for side in (0, 1)]
    true, found = ([np.array([places[s][w] for w in f[s]], int) for f in frames] for s in (0, 1))
    return {
        "num_timesteps": len(frames),
        "gt_ids": true,
        "tracker_ids": found,
        "similarity_scores": [iou for _, _, iou in frames],
        "num_gt_ids": len(places[0]),
        "num_tracker_ids": len(places[1]),
        "num_gt_dets": sum(map(len, true)),
        "num_tracker_dets": sum(map(len, found)),
    }


def _sight(row: dict, same: int | None, size: tuple[int, int]) -> Sight:
    visible = row.get("visible")
    if not row["area"] or (visible is not None and visible < GONE):
        return Sight("hidden", same, False)
    x, y, w, h = row["box"]
    at_border = x <= 0 or y <= 0 or x + w >= size[1] or y + h >= size[0]
    return Sight("seen" if row["area"] >= small_px(size) else "between", same, at_border)


def occlusions(sights: list[dict[int, Sight]], stamps_s: list[float], hidden_known: bool) -> list[tuple[float, bool]]:
    """(seconds, whether it came back with its id) of each full occlusion of an instance that had an id before it.

    sights: a dict a frame, true id -> Sight; hidden_known: those hidden in the picture are among them. An occlusion
    lies between two frames in which it is seen, and it never left the picture; where the hidden are not known, both are
    away from the picture's border. It must be seen in most frames of the AROUND_S after it; who has no id then did not
    come back.
    """
    absent, found = Sight("out" if hidden_known else "hidden", None, False), []
    for who in sorted({who for frame in sights for who in frame}):
        story = [frame.get(who, absent) for frame in sights]
        seen = [n for n, sight in enumerate(story) if sight.state == "seen"]
        for last, first in zip(seen, seen[1:], strict=False):
            gap = [sight.state for sight in story[last + 1 : first]]
            at_border = story[last].at_border or story[first].at_border
            if "hidden" not in gap or "out" in gap or (at_border and not hidden_known):
                continue
            begin, end = last + 1 + gap.index("hidden"), first - gap[::-1].index("hidden")
            before = story[bisect_left(stamps_s, stamps_s[begin] - AROUND_S) : begin]
            after = story[first : bisect_left(stamps_s, stamps_s[first] + AROUND_S)]
            had = next((sight.same for sight in reversed(before) if sight.same is not None), None)
            has = next((sight.same for sight in after if sight.same is not None), None)
            if had is not None and sum(sight.state == "seen" for sight in after) > len(after) / 2:
                found.append((stamps_s[end] - stamps_s[begin], has == had))
    return found
