"""Depth from the network's size to the picture's, so that no value is invented between two instances.

A label image says whose each pixel is: 0 background, k + 1 the k-th instance.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

INSIDE = 7  # a cell is inside where a square of so many cells a side bears one label: edges are as wide
REACH, ROUNDS = 4, 4  # cells: how far the inside is looked for at a time, and how often
NOBODY = 65535
NEAR_PX, INSIDE_PX, INVENTED = 2, 4, 0.05  # of invented_share()

_steps = np.arange(-REACH, REACH + 1)
_DOWN, _ALONG = (steps.reshape(-1) for steps in np.meshgrid(_steps, _steps, indexing="ij"))
# the nearest count most, and sideways more than up or down: the ground keeps its depth along a row
_WEIGHT = (1 / np.maximum(2 * _DOWN**2 + _ALONG**2, 0.5) ** 2).astype(np.float32)
NEIGHBOURS = _DOWN, _ALONG, _WEIGHT


def upsample(depth_m: np.ndarray, labels: np.ndarray, full: np.ndarray, layer_m: np.ndarray) -> np.ndarray:
    """(h, w) metres with its labels (h, w) uint16 -> (H, W) metres along the labels full (H, W) uint16 or uint8.

    Each pixel is the bilinear mean of those of its four cells that bear its label, after cells at a border were given
    the depth of the inside of their own label. layer_m: (K,) depth of instances too small to have an inside.
    """
    (height, width), (h, w) = full.shape, labels.shape
    if not full.any():
        return cv2.resize(depth_m, (width, height), interpolation=cv2.INTER_LINEAR)
    layer_m = np.concatenate([[np.nan], layer_m]).astype(np.float32)
    depth_m, labels = from_inside(depth_m, labels, layer_m), labels.astype(full.dtype, copy=False)
    out = cv2.resize(depth_m, (width, height), interpolation=cv2.INTER_LINEAR)
    (top, below, down), (left, right, along) = taps(height, h), taps(width, w)
    # most pixels lie between four cells of their own label, and are done
    # along rows first: what is taken of them afterwards is whole rows
    mixed = np.flatnonzero(_shared(labels).take(left, 1).take(top, 0) != full)
    y, x = np.divmod(mixed, width)
    own, down, along = full.reshape(-1)[mixed], down[y], along[x]
    top, below, left, right = top[y] * w, below[y] * w, left[x], right[x]
    total, value = np.zeros((2, len(mixed)), np.float32)
    for cell, weight in (
        (top + left, (1 - down) * (1 - along)),
        (top + right, (1 - down) * along),
        (below + left, down * (1 - along)),
        (below + right, down * along),
    ):
        weight *= labels.reshape(-1)[cell] == own
        total += weight
        value += weight * depth_m.reshape(-1)[cell]
    value /= np.maximum(total, 1e-6)
    alone = np.flatnonzero(total < 1e-6)  # none of the four is theirs
    if len(alone):
        y, x = np.divmod((top + left)[alone], w)
        around, without = _around(*_framed(depth_m, labels), y, x, own[alone]), layer_m[own[alone]]
        without = np.where(np.isnan(without), out.reshape(-1)[mixed[alone]], without)
        value[alone] = np.where(np.isnan(around), without, around)
    out.reshape(-1)[mixed] = value
    return out


def from_inside(depth_m: np.ndarray, labels: np.ndarray, layer_m: np.ndarray) -> np.ndarray:
    """(h, w) depth in which cells at a border of labels have the depth of the nearest inside of their own label.

    layer_m: (K + 1,) by label, for those without any inside; NaN: their cells stay as they are.
    """
    inside = _inside(labels, INSIDE)
    y, x = np.nonzero(~inside)
    own, (framed, sources) = labels[y, x], _framed(depth_m, np.where(inside, labels, np.uint16(NOBODY)))
    cells, at_border = (np.bincount(whose.reshape(-1), minlength=len(layer_m)) for whose in (labels, own))
    none = (cells == at_border)[own]  # looked for in vain
    lone, y, x, own = (y[none], x[none], own[none]), y[~none], x[~none], own[~none]
    done, within = framed[REACH:-REACH, REACH:-REACH], sources[REACH:-REACH, REACH:-REACH]
    for _ in range(ROUNDS):
        around = _around(framed, sources, y, x, own)
        found = np.isfinite(around)
        done[y[found], x[found]], within[y[found], x[found]] = around[found], own[found]
        y, x, own = y[~found], x[~found], own[~found]
        if not len(y) or not found.any():
            break
    y, x, own = map(np.concatenate, zip(lone, (y, x, own), strict=True))
    without = layer_m[own]
    done[y, x] = np.where(np.isnan(without), depth_m[y, x], without)
    return done.copy()


def _inside(labels: np.ndarray, side: int) -> np.ndarray:
    """(h, w) bool: the square of so many cells a side around bears one label."""
    square = np.ones((side, side), np.uint8)
    return cv2.erode(labels, square) == cv2.dilate(labels, square)


def _framed(depth_m: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both with REACH cells of nobody on each side."""
    edges = (REACH, REACH, REACH, REACH, cv2.BORDER_CONSTANT)
    return cv2.copyMakeBorder(depth_m, *edges), cv2.copyMakeBorder(labels, *edges, value=NOBODY)


def _around(depth_m: np.ndarray, labels: np.ndarray, y: np.ndarray, x: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(n,) mean depth of the cells around (y, x) that bear the label own, mostly of the nearest; NaN without one.

    depth_m, labels: _framed().
    """
    cells = ((y + REACH) * labels.shape[1] + x + REACH)[:, None] + (_DOWN * labels.shape[1] + _ALONG)
    weights = (labels.take(cells) == own[:, None]) * _WEIGHT
    with np.errstate(invalid="ignore"):
        return np.einsum("nc,nc->n", weights, depth_m.take(cells)) / weights.sum(1)


@lru_cache(maxsize=16)
def taps(pixels: int, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(pixels,) of each pixel along one axis: the cell before it, the one behind it, and the share of the latter."""
    at = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    before = at.astype(np.int64)
    return before, np.minimum(before + 1, cells - 1), (at - before).astype(np.float32)


def _shared(labels: np.ndarray) -> np.ndarray:
    """(h, w) the label that a cell shares with those right of it, below it and both, else the largest there is."""
    square, corner = np.ones((2, 2), np.uint8), (0, 0)
    least = cv2.erode(labels, square, anchor=corner)
    nobody = labels.dtype.type(np.iinfo(labels.dtype).max)
    return np.where(least == cv2.dilate(labels, square, anchor=corner), least, nobody)


def invented_share(depth_m: np.ndarray, ids: np.ndarray) -> float:
    """Share of border pixels whose depth belongs to neither side but lies between them; NaN without border pixels.

    A border pixel is of one instance and within 2 px (a square of 5) of another one. Its depth is invented where it
    lies between the depth inside of both, and is farther than 5 % from each: inside is the nearest pixel whose square
    of 9 bears one id; instances without one count with their median. depth_m: (H, W), NaN is not judged; ids: (H, W)
    uint16, 0 background.
    """
    other = _another(ids)
    y, x = np.nonzero((other > 0) & (ids > 0) & np.isfinite(depth_m))
    if not len(y):
        return float("nan")
    mine, other, depth = ids[y, x], other[y, x], depth_m[y, x]
    inside = _inside(ids, 2 * INSIDE_PX + 1) & np.isfinite(depth_m)
    sides_m = np.full((2, len(y)), np.nan)
    for number in np.unique(np.concatenate([mine, other])):
        inside_m = _inside_depth(depth_m, ids == number, inside)
        for side_m, whose in zip(sides_m, (mine, other), strict=True):
            at = whose == number
            side_m[at] = inside_m[y[at], x[at]]
    off = np.abs(depth / sides_m - 1).min(0)
    between = (depth > sides_m.min(0)) & (depth < sides_m.max(0))
    return float((between & (off > INVENTED)).mean())


def _another(ids: np.ndarray) -> np.ndarray:
    """(H, W) the id of another instance within NEAR_PX of each pixel, the largest where there are two; 0: none."""
    square = np.ones((2 * NEAR_PX + 1,) * 2, np.uint8)
    largest = cv2.dilate(ids, square)
    least = cv2.erode(np.where(ids > 0, ids, np.uint16(NOBODY)), square)
    return np.where(largest != ids, largest, np.where((least != ids) & (least != NOBODY), least, 0))


def _inside_depth(depth_m: np.ndarray, mask: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(H, W) depth of the nearest inside pixel of a mask, everywhere."""
    inside = inside & mask
    if not inside.any():
        values = depth_m[mask]
        return np.full(depth_m.shape, np.nanmedian(values) if np.isfinite(values).any() else np.nan)
    _, nearest = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    by_label = np.empty(nearest.max() + 1, np.float32)
    by_label[nearest[inside]] = depth_m[inside]
    return by_label[nearest]
