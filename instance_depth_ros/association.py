"""Which sighting of a frame is which thing that is remembered: one cost of how much they differ, and the assignment.

Things and sightings are rows of one kind of array, ROW fields: a sighting is a thing that was seen once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from .motion import correct, expect, moved

MASK_ROWS = 64  # at least so many are left of masks where overlaps are counted
KEPT_LOOK = 0.8  # of the embedding, at each sighting
KEPT_BOX = 0.97  # of its extent, though less is seen
HALF_SEEN = 0.3  # deviation of the middle as a share of the extent that is not seen
KEPT_ALIKE = 0.95  # of what is known of likenesses, at each frame
LEAST_DEVIATION = 0.03
CLEAR = 4.0  # deviations between the same and others; looks count for less where they are less clear


class Alike(NamedTuple):
    """Usual cosines of embeddings: of one thing in two frames, of two things of one class, deviation of the first."""

    same: float = 0.8
    other: float = 0.3
    deviation: float = 0.12


@dataclass(frozen=True)
class Rules:
    """What counts for how much. The first six weigh evidence from 0, the same, to 1, another. Times in seconds."""

    overlap: float = 1.0  # 1 - IoU of the masks; of what was not seen for overlap_s, soon the constant `unseen`
    look: float = 1.5  # embeddings, where there are any
    place: float = 1.0
    depth: float = 0.5
    kind: float = 0.5
    lost: float = 0.5  # what was seen just now is likelier
    new: float = 0.6  # of a higher cost, a sighting is not taken for a thing
    strange: float = 0.8  # nor of another look, unless masks overlap
    gate: float = 4.0  # nor so many standard deviations away, unless masks overlap
    overlapping: float = 0.3  # IoU
    overlap_s: float = 0.5
    unseen: float = 0.8
    duplicate: float = 0.6  # IoU with a more certain sighting
    part: float = 0.8  # share of a mask inside another of its class: begins nothing
    confirm_hits: int = 3
    confirm_s: float = 0.2  # or seen twice over so long
    candidate_s: float = 0.5  # forgotten when lost for longer, unless confirmed
    memory_s: float = 15.0
    leaving: float = 3.0  # what left the picture is forgotten so much faster
    most: int = 256  # things remembered at once
    speeds_m_s: tuple[float, ...] = (1.0, 1.5, 1.5, 6.0, 4.0, 4.0, 1.0)  # usual ones, by class


def row_type(size: tuple[int, int], length: int, classes: int) -> np.dtype:
    """Fields of a thing whose mask is of this size (h, w) and whose embedding is of this length.

    place: x, y in pixels and log of metres, expected now; with speed a second and doubt, see motion.expect.
    noise: variance of the place as seen. box: width and height, of all of it. warp: from the mask as last seen to now.
    lost_s: since it was seen, faster outside the picture. votes: for each class. id: 0 unless confirmed.
    """
    return np.dtype(
        [
            ("id", "u4"), ("pixel", "u2"), ("hits", "i4"), ("first_ns", "i8"), ("lost_s", "f8"),
            ("votes", "f8", (classes,)), ("place", "f8", (3,)), ("speed", "f8", (3,)), ("doubt", "f8", (3, 3)),
            ("noise", "f8", (3,)), ("box", "f8", (2,)), ("warp", "f8", (2, 3)),
            ("look", "f4", (length,)), ("mask", "u1", size),
        ]
    )  # fmt: skip


def usual_speed(rows: np.ndarray, rules: Rules) -> np.ndarray:
    """(N, 3) pixels, pixels and log metres a second; the focal length is taken to be the picture's width."""
    speed = np.array(rules.speeds_m_s)[rows["votes"].argmax(-1)] / np.exp(rows["place"][:, 2])
    return speed[:, None] * np.array([rows["mask"].shape[2], rows["mask"].shape[2], 1.0])


def expected(rows: np.ndarray, dt_s: float, motion: np.ndarray | None, rules: Rules) -> np.ndarray:
    """Things as they should be dt_s later: moved with the camera and by themselves, and lost for longer."""
    rows = rows.copy()
    if not len(rows):
        return rows
    center, depth_m = rows["place"][:, :2], np.exp(rows["place"][:, 2])
    affine, depth_now_m = moved(motion, center, depth_m)
    linear = affine[:, :, :2]
    still = np.einsum("nij,nj->ni", linear, center) + affine[:, :, 2]
    speed = rows["speed"].copy()
    speed[:, :2] = np.einsum("nij,nj->ni", linear, speed[:, :2])
    # the motion of the background is not quite that of what stands before it
    rows["doubt"][:, :2, 0] += (0.1 * (still - center)) ** 2
    place = np.column_stack([still, np.log(depth_now_m)])
    rows["place"], rows["speed"], rows["doubt"] = expect(place, speed, rows["doubt"], usual_speed(rows, rules), dt_s)
    warp = np.einsum("nij,njk->nik", linear, rows["warp"])
    warp[:, :, 2] += affine[:, :, 2] + rows["place"][:, :2] - still
    rows["warp"] = warp
    rows["lost_s"] += dt_s * np.where(_inside(rows) < 0.7, rules.leaving, 1.0)
    return rows


def _inside(rows: np.ndarray) -> np.ndarray:
    """(N,) share of each box, where it is expected, that is in the picture."""
    height, width = rows["mask"].shape[1:]
    low, high = rows["place"][:, :2] - rows["box"] / 2, rows["place"][:, :2] + rows["box"] / 2
    within = np.clip(np.minimum(high, (width - 0.5, height - 0.5)) - np.maximum(low, -0.5), 0, None)
    return (within / rows["box"]).prod(-1)


def coarse(masks: np.ndarray) -> np.ndarray:
    """(N, h, w) masks -> (N, n) float32 of a grid of their pixels: enough to tell how they overlap."""
    step = _step(masks)
    masks = masks[:, ::step, ::step]
    return masks.reshape(len(masks), masks.shape[1] * masks.shape[2]).astype(np.float32)


def coarse_now(rows: np.ndarray, rules: Rules) -> np.ndarray:
    """(N, n) as of coarse(): masks where they are expected; empty for what was lost for long."""
    step = _step(rows["mask"])
    before = rows["mask"][:, ::step, ::step]
    now = np.zeros(before.shape, np.uint8)
    warps = rows["warp"] / ((1, 1, step), (1, 1, step))
    for index in np.flatnonzero(rows["lost_s"] < 4 * rules.overlap_s):
        mask = np.ascontiguousarray(before[index])
        cv2.warpAffine(mask, warps[index], mask.shape[::-1], dst=now[index], flags=cv2.INTER_NEAREST)
    return now.reshape(len(now), now.shape[1] * now.shape[2]).astype(np.float32)


def _step(masks: np.ndarray) -> int:
    return max(1, masks.shape[1] // MASK_ROWS)


def iou(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, M) of coarse masks."""
    shared = masks @ others.T
    return shared / np.maximum(masks.sum(-1)[:, None] + others.sum(-1) - shared, 1)


def likeness(rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(N, M) cosines of embeddings, 0 where there are none."""
    return rows["look"] @ seen["look"].T


def cost(
    rows: np.ndarray, seen: np.ndarray, overlap: np.ndarray, look: np.ndarray, alike: Alike, rules: Rules
) -> np.ndarray:
    """(N, M) from 0, surely the same, to 1; infinite beyond the gates. overlap: IoU; look: of likeness().

    alike: what a cosine means, one embedding or another: see learn().
    """
    off = seen["place"] - rows["place"][:, None]
    noise = _noise(rows[:, None], seen[None])
    away = off**2 / (rows["doubt"][:, None, :, 0] + noise) / rules.gate**2
    place, depth = away[..., :2].sum(-1), away[..., 2]
    contrast = max(alike.same - alike.other, 1e-3)
    strange = np.clip((alike.same - look) / contrast, 0, 1)
    clear = min(contrast / (CLEAR * alike.deviation), 1.0) if rows["look"].shape[1] else 0.0
    votes = rows["votes"] / rows["votes"].sum(-1, keepdims=True)
    fresh = np.exp(-rows["lost_s"] / rules.overlap_s)[:, None]
    evidence = (
        (rules.overlap, fresh * (1 - overlap) + (1 - fresh) * rules.unseen),
        (rules.look * clear, strange),
        (rules.place, place),
        (rules.depth, depth),
        (rules.kind, 1 - votes @ (seen["votes"] > 0).T),
        (rules.lost, np.minimum(rows["lost_s"] / rules.memory_s, 1)[:, None]),
    )
    total = sum(weight * np.minimum(differs, 1) for weight, differs in evidence) / sum(w for w, _ in evidence)
    far = (place > 1) | (depth > 1)
    if clear:
        far |= (strange > rules.strange) & (look < alike.same - CLEAR * alike.deviation)
    return np.where(far & (overlap < rules.overlapping), np.inf, total)


def assign(cost: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices of rows and columns that belong together at the least cost; pairs of `most` or more do not."""
    # of equal costs, the first takes the first
    order = np.outer(np.arange(cost.shape[0]), np.arange(cost.shape[1])) * -1e-9
    row, column = linear_sum_assignment(np.minimum(cost, most) + order)
    fits = cost[row, column] < most
    return row[fits], column[fits]


def learn(alike: Alike, same: np.ndarray, seen: np.ndarray) -> Alike:
    """After a frame. same: cosines of things seen again for sure; seen: its sightings, all different."""
    if not seen["look"].shape[1]:
        return alike
    kind = seen["votes"].argmax(-1)
    others = likeness(seen, seen)[np.triu(kind[:, None] == kind, 1)]
    off = np.abs(same - alike.same) * 1.25  # a deviation from a mean distance
    now = Alike(
        *(found.mean() if len(found) else usual for found, usual in zip((same, others, off), alike, strict=True))
    )
    mixed = Alike(*(float(KEPT_ALIKE * usual + (1 - KEPT_ALIKE) * new) for usual, new in zip(alike, now, strict=True)))
    return mixed._replace(deviation=max(mixed.deviation, LEAST_DEVIATION))


def _noise(rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(..., 3) variance of places as seen: of a part of a thing, the middle is not where the thing's middle is."""
    noise = seen["noise"] + np.zeros_like(rows["noise"])
    noise[..., :2] += (HALF_SEEN * np.maximum(rows["box"] - seen["box"], 0)) ** 2
    return noise


def seen_again(rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Things after the sightings beside them; the rows given are changed."""
    rows["place"], rows["speed"], rows["doubt"] = correct(
        rows["place"], rows["speed"], rows["doubt"], seen["place"], _noise(rows, seen)
    )
    look = KEPT_LOOK * rows["look"] + (1 - KEPT_LOOK) * seen["look"]
    rows["look"] = look / np.maximum(np.linalg.norm(look, axis=-1, keepdims=True), 1e-6)
    rows["votes"] += seen["votes"]
    rows["hits"] += 1
    rows["box"] = np.maximum(KEPT_BOX * rows["box"], seen["box"])
    for name in ("lost_s", "noise", "warp", "mask"):
        rows[name] = seen[name]
    return rows
