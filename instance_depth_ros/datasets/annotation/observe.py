"""What each frame of a sequence shows, before it is known who is who: prompts, and masks from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from ... import sightings
from ...config import CLASSES
from ...estimator import Estimator
from ...frame import Frame
from ...geometry import sampled, valid
from ...ground import Ground
from ...labels import boxes
from ...sightings import UNKNOWN_SPREAD, Seen
from ..sequence import Sequence
from .depth_layer import depth_layer
from .ground_mask import ground_mask, refined
from .prompts import Box, Prompts
from .sam import Sam

LEAST_SCORE = 0.2  # of what the network is not sure of, but people point to
SAME_BOX = 0.3  # IoU
MARGIN = 0.1  # of a person's box, by which the network's mask may reach beyond it
MEASURED = 0.1  # share of a mask in which a sensor must have seen something; else depth is estimated


@dataclass(frozen=True)
class Observed:
    """K instances of one frame. seen: those, without their masks at full size.

    rows: box, area, depth_m of each, as frames.jsonl has them; area 0: nobody. given: (K,) ids from people, 0 none.
    certain: (K,) bool, people say so. floor: the ground's plane. cut: not the scene of the frame before. grey: (h, w).
    """

    seen: Seen
    rows: list[dict]
    given: np.ndarray
    certain: np.ndarray
    floor: Ground | None
    cut: bool
    stamp_ns: int
    grey: np.ndarray
    world_from_camera: np.ndarray | None


def observe(
    sequence: Sequence, estimator: Estimator, prompts: dict[int, Prompts], sam: Sam | None = None
) -> Iterator[tuple[Observed, np.ndarray, np.ndarray]]:
    """Of each frame, what it shows, (H, W) uint16 of it, k + 1 the k-th; and (H, W) bool, ground.

    Objects are the estimator's, but in frames whose boxes people drew: there they are those. sam: masks are its.
    """
    if "color" not in sequence.layers:
        raise ValueError(f"{sequence.folder} has no rgb/, which masks are made from")
    layers, state = [name for name in ("color", "depth_m") if name in sequence.layers], None
    for index in range(len(sequence)):
        shot, said = sequence.read(index, layers), prompts.get(index, Prompts())
        pose, sensor_m = shot["world_from_camera"], shot.get("depth_m")
        color = shot["color"]
        frame = Frame(color, shot["stamp_ns"], "", sequence.intrinsics, sensor_m, world_from_camera=pose)
        estimate, state = estimator.step(frame, state)
        seen, given, certain, full = _objects(estimator, frame.size, said.boxes)
        view = sam and sam.look(color)
        if view:
            full = _painted(view.within(_prompting(full, said.boxes, len(seen))), full)
        rows = _rows(full, seen, sensor_m, estimate.depth_m)
        floor_mask, floor = ground_mask(estimate.depth_m, full > 0, sequence.intrinsics, said.dots)
        if view:
            floor_mask = refined(floor_mask, said.dots, view) & (full == 0)
        size = seen.labels.shape
        yield (
            Observed(
                _light(seen, full, rows), rows, given, certain, floor,
                cut=estimate.reset not in ("", "start", "gap"),
                stamp_ns=shot["stamp_ns"],
                grey=cv2.resize(cv2.cvtColor(color, cv2.COLOR_RGB2GRAY), size[::-1], interpolation=cv2.INTER_AREA),
                world_from_camera=pose,
            ),
            full,
            floor_mask,
        )  # fmt: skip


def _objects(
    estimator: Estimator, size: tuple[int, int], asked: tuple[Box, ...] | None
) -> tuple[Seen, np.ndarray, np.ndarray, np.ndarray]:
    """K instances, ids and certainty that people gave them, and (H, W) uint16 labels of the picture."""
    seen = estimator.seen
    if asked is None:
        return seen, np.zeros(len(seen), int), np.zeros(len(seen), bool), seen.at_full_size(size).astype(np.uint16)
    if estimator.instances == "network":
        seen = sightings.from_network(estimator.said.instances, LEAST_SCORE)
    found = seen.at_full_size(size).astype(np.uint16)
    which = _fitting([_xywh(box) for box in boxes(found, len(seen))], [one.box for one in asked])
    full = np.zeros_like(found)
    for k, (one, place) in enumerate(zip(asked, which, strict=True)):
        if place >= 0:
            near = _grown(one.box)
            full[near][found[near] == place + 1] = k + 1
    given = np.array([one.id for one in asked], int)
    return _one_each(seen, which, asked), given, np.ones(len(asked), bool), full


def _fitting(found: list, asked: list) -> np.ndarray:
    """(M,) place of the box found that overlaps each of M asked for, -1 none."""
    which = np.full(len(asked), -1)
    if found and asked:
        overlap = np.array([[_iou(mine, one) for one in found] for mine in asked])
        mine, its = linear_sum_assignment(-overlap)
        fits = overlap[mine, its] > SAME_BOX
        which[mine[fits]] = its[fits]
    return which


def _iou(one, other) -> float:
    width, height = (min(one[n] + one[n + 2], other[n] + other[n + 2]) - max(one[n], other[n]) for n in (0, 1))
    common = max(width, 0) * max(height, 0)
    return common / max(one[2] * one[3] + other[2] * other[3] - common, 1e-9)


def _grown(box: tuple[float, ...]) -> tuple[slice, slice]:
    x, y, w, h = box
    left, top = (int(max(low - MARGIN * side, 0)) for low, side in ((x, w), (y, h)))
    right, bottom = (int(np.ceil(low + (1 + MARGIN) * side)) for low, side in ((x, w), (y, h)))
    return slice(top, bottom), slice(left, right)


def _one_each(seen: Seen, which: np.ndarray, asked: tuple[Box, ...]) -> Seen:
    """What people asked for, with what is known of it where it was found."""
    known = {}
    for name, unknown in (("depth_m", np.nan), ("sigma_m", np.nan), ("embedding", 0)):
        values = getattr(seen, name)
        known[name] = np.concatenate([values, np.full((1, *values.shape[1:]), unknown, values.dtype)])[which]
    class_id, score = np.array([one.class_id for one in asked], int), np.ones(len(asked), np.float32)
    return replace(seen, class_id=class_id, score=score, guest=np.full(len(asked), -1), **known)


def _prompting(full: np.ndarray, asked: tuple[Box, ...] | None, count: int) -> list:
    """Boxes for SAM: those of people, else around what was found."""
    return [_xywh(box) for box in boxes(full, count)] if asked is None else [one.box for one in asked]


def _xywh(box: tuple[slice, slice] | None) -> list[int]:
    if box is None:
        return [0, 0, 0, 0]
    rows, columns = box
    return [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]


def _painted(masks: np.ndarray, before: np.ndarray) -> np.ndarray:
    """(H, W) uint16 of (n, H, W) masks; where they overlap the smaller is seen. Where one is empty, as before."""
    masks = [mask if mask.any() else before == k + 1 for k, mask in enumerate(masks)]
    full = np.zeros_like(before)
    for k in sorted(range(len(masks)), key=lambda k: -np.count_nonzero(masks[k])):
        full[masks[k]] = k + 1
    return full


def _rows(full: np.ndarray, seen: Seen, sensor_m: np.ndarray | None, estimate_m: np.ndarray) -> list[dict]:
    areas = np.bincount(full.reshape(-1), minlength=len(seen) + 1)[1:].tolist()
    rows = []
    for k, (box, area) in enumerate(zip(boxes(full, len(seen)), areas, strict=True)):
        depth_m = None
        if box is not None:
            mask, kind = full[box] == k + 1, CLASSES[seen.class_id[k]]
            measured = () if sensor_m is None else sensor_m[box][mask]
            enough = np.count_nonzero(valid(measured)) > MEASURED * area if len(measured) else False
            depth_m, _ = depth_layer(measured if enough else estimate_m[box][mask], kind)
        rows.append(
            {
                "box": box and _xywh(box),
                "area": area,
                "visible": None,
                "depth_m": depth_m and round(depth_m, 4),
                "hides": None,
            }
        )
    return rows


def _light(seen: Seen, full: np.ndarray, rows: list[dict]) -> Seen:
    """What the tracker needs, with the depths of rows; what is smaller than a cell has the one that it lies in."""
    labels = sampled(full, seen.labels.shape)
    (height, width), (h, w) = full.shape, labels.shape
    there = np.bincount(labels.reshape(-1), minlength=len(seen) + 1)[1:] > 0
    for k in np.flatnonzero(~there):
        if rows[k]["area"]:
            x, y, box_w, box_h = rows[k]["box"]
            labels[int((y + box_h / 2) * h / height), int((x + box_w / 2) * w / width)] = k + 1
    depth_m = np.array([row["depth_m"] or np.nan for row in rows], np.float32)
    relative = np.nan_to_num(seen.sigma_m / seen.depth_m, nan=UNKNOWN_SPREAD)
    return replace(seen, labels=labels, evidence=None, full=None, depth_m=depth_m, sigma_m=relative * depth_m)
