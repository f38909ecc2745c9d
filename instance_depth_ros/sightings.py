"""Which pixel belongs to which instance: from the network's masks, or masks from elsewhere, to label images.

A label image says whose each pixel is: 0 background, k + 1 the k-th instance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import torch

from .config import CLASSES
from .geometry import sampled
from .labels import boxes
from .model.instances import SURE_LOGIT, Instances
from .tracking import Sighting

CLEAR_LOGIT = 1.4  # two masks as sure of a pixel as this, 0.8, both mean it: there the nearer one is seen
DUPLICATE_IOU = 0.6
PART, PART_RATIO = 0.8, 1.1  # so much of a mask inside one of its class, at depths so alike, is a part of that
LEAST_CELLS, LEAST_SHARE = 3, 0.05  # what remains of a mask, in cells and of what it claimed
UNKNOWN_SPREAD = 0.1  # relative error of a layer that nobody has an opinion of


@dataclass(frozen=True)
class Seen:
    """K instances in one frame, before they have identities; the k-th is k + 1 in the label images.

    labels: (h, w) uint16 at the size of the network's output. full: (H, W) uint16 at that of the picture, or None
    where it follows from evidence: (K, h, w) float32 mask logits, of each pixel the largest is its label's.
    class_id, guest: (K,) int, the paired instance or -1. score, depth_m, sigma_m: (K,) float32. embedding: (K, E).
    ids: (K,) of a topic, or of tracks that are carried along, which are kept; or None.
    """

    labels: np.ndarray
    class_id: np.ndarray
    score: np.ndarray
    depth_m: np.ndarray
    sigma_m: np.ndarray
    guest: np.ndarray
    embedding: np.ndarray
    evidence: np.ndarray | None = None
    full: np.ndarray | None = None
    ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.score)

    def sightings(self) -> list[Sighting]:
        """What the tracker is told."""
        masks = self.labels == np.arange(1, len(self) + 1)[:, None, None]
        values = zip(self.class_id, self.score, self.depth_m, self.sigma_m, strict=True)
        return [
            Sighting(mask, int(class_id), float(score), float(depth_m), float(sigma_m), embedding)
            for mask, embedding, (class_id, score, depth_m, sigma_m) in zip(masks, self.embedding, values, strict=True)
        ]

    def times(self, factor: float) -> Seen:
        """The same where all metres are multiplied."""
        factor = np.float32(factor)
        return self.with_values(depth_m=self.depth_m * factor, sigma_m=self.sigma_m * factor)

    @cached_property
    def boxes(self) -> list[tuple[slice, slice] | None]:
        """Rows and columns of each in labels."""
        return boxes(self.labels, len(self))

    def with_values(self, **values: np.ndarray) -> Seen:
        """The same pixels with other values of score, depth_m or sigma_m."""
        after = replace(self, **values)
        after.__dict__["boxes"] = self.boxes
        return after

    def at_full_size(self, size: tuple[int, int]) -> np.ndarray:
        """(H, W) labels of the picture: whose bilinear logit is largest, where one is above 0.

        uint8 where that is enough, as all that is of the picture's size is bound by memory; else uint16.
        """
        if self.full is not None:
            return self.full
        full, best = np.zeros(size, np.uint8 if len(self) < 255 else np.uint16), np.empty(size, np.float32)
        (height, width), (h, w) = size, self.labels.shape
        # one cell more than it has: the border lies between cells
        cells = [(max(y.start - 1, 0), y.stop + 1, max(x.start - 1, 0), x.stop + 1) for y, x in self.boxes]
        parts = [
            np.s_[top * height // h : -(-below * height // h), left * width // w : -(-right * width // w)]
            for top, below, left, right in cells
        ]
        for part in parts:
            best[part] = 0
        for k, ((top, below, left, right), part) in enumerate(zip(cells, parts, strict=True)):
            y, x = (side.start for side in part)
            at = np.float64(
                [
                    [w / width, 0, (x + 0.5) * w / width - 0.5 - left],
                    [0, h / height, (y + 0.5) * h / height - 0.5 - top],
                ]
            )
            how = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}
            logits = cv2.warpAffine(self.evidence[k, top:below, left:right], at, best[part].shape[::-1], **how)
            larger = logits > best[part]
            np.copyto(best[part], logits, where=larger)
            np.copyto(full[part], full.dtype.type(k + 1), where=larger)
        return full


def from_network(instances: Instances, threshold: float) -> Seen:
    """Those that are surer than threshold, class times mask, the nearest first; instances: of one frame."""
    queries, masks, class_id, score = _candidates(instances, threshold)
    layer_m = instances.layer_m[0].cpu().numpy()[queries]
    nearest = np.argsort(layer_m, kind="stable")
    labels, evidence, left = _settle(masks[nearest])
    kept = nearest[left]
    queries, layer_m = queries[kept], layer_m[kept]
    places = np.full(instances.layer_m.shape[1] + 1, -1)  # the last for guests that are none
    places[queries] = np.arange(len(queries))
    return Seen(
        labels=labels,
        class_id=class_id[kept],
        score=score[kept],
        depth_m=layer_m,
        sigma_m=np.exp(instances.spread[0].cpu().numpy()[queries]) * layer_m,
        guest=places[instances.guest[0].cpu().numpy()[queries]],
        embedding=instances.embedding[0].cpu().numpy()[queries],
        evidence=evidence,
    )


def candidates(instances: Instances, least: float, size: tuple[int, int]) -> list[tuple[np.ndarray, int, float]]:
    """(mask (H, W) bool, class_id, score) of all that are surer than `least`; masks may overlap. For judges."""
    _, masks, class_id, score = _candidates(instances, least)
    full = (cv2.resize(mask, size[::-1], interpolation=cv2.INTER_LINEAR) > 0 for mask in masks)
    return list(zip(full, class_id.tolist(), score.tolist(), strict=True))


def _candidates(instances: Instances, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Queries surer than `least`, the surest first and no mask twice: (K,), masks (K, h, w), class_id, score."""
    classes = instances.classes[0].softmax(-1).cpu().numpy()[:, 1:]
    queries = np.flatnonzero(classes.max(1) >= least)
    masks = instances.masks[0].index_select(0, torch.from_numpy(queries).to(instances.masks.device)).cpu().numpy()
    score = classes[queries].max(1) * _sure(masks)
    class_id = classes[queries].argmax(1) + 1
    layer_m = instances.layer_m[0].cpu().numpy()[queries]
    kept = np.flatnonzero((score >= least) & (score > 0))
    kept = kept[np.argsort(-score[kept], kind="stable")]
    kept = kept[_single(masks[kept], class_id[kept], layer_m[kept])]
    return queries[kept], masks[kept], class_id[kept], score[kept]


def _sure(masks: np.ndarray) -> np.ndarray:
    """(K,) mean probability inside each mask (K, h, w); 0 for those of next to no cells."""
    inside = np.flatnonzero(masks > 0)
    whose = inside // masks[0].size if len(masks) else inside
    cells = np.bincount(whose, minlength=len(masks))
    total = np.bincount(whose, 1 / (1 + np.exp(-masks.reshape(-1)[inside])), len(masks))
    return np.where(cells >= LEAST_CELLS, total / np.maximum(cells, 1), 0).astype(np.float32)


def _single(masks: np.ndarray, class_id: np.ndarray, layer_m: np.ndarray) -> np.ndarray:
    """(K,) bool: neither the same as a mask before it, nor a part of one; masks (K, h, w)."""
    inside = (masks > 0).reshape(len(masks), masks.shape[1] * masks.shape[2])
    area = np.array([np.count_nonzero(mask) for mask in inside])
    crowded = inside[:, inside.view(np.uint8).sum(0, dtype=np.uint8) > 1].astype(np.float32)
    common = crowded @ crowded.T
    same = common > DUPLICATE_IOU * (area[:, None] + area - common)
    part = (common > PART * np.minimum(area[:, None], area)) & (class_id[:, None] == class_id)
    same |= part & (np.abs(np.log(layer_m[:, None] / layer_m)) < np.log(PART_RATIO))
    single = np.ones(len(masks), bool)
    for k in range(len(masks)):
        single[k + 1 :] &= ~(same[k, k + 1 :] & single[k])
    return single


def _settle(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask logits (K, h, w), the nearest first -> labels (h, w), logits that agree with them, and whose those are.

    A pixel is of the mask that is surest of it, or of the nearest of those that claim it clearly. Masks of which next
    to nothing remains are left out.
    """
    kept, (h, w) = np.arange(len(masks)), masks.shape[1:]
    while True:
        flat = masks[kept].reshape(len(kept), h * w)
        whose, pixel = np.divmod(np.flatnonzero(flat > 0), h * w)
        logit, best, labels = flat[whose, pixel], np.zeros(h * w, np.float32), np.zeros(h * w, np.uint16)
        np.maximum.at(best, pixel, logit)
        surest = logit == best[pixel]
        labels[pixel[surest]] = whose[surest] + 1
        clear = logit > CLEAR_LOGIT
        clear &= np.bincount(pixel[clear], minlength=h * w)[pixel] > 1
        nearest_last = np.flatnonzero(clear)[::-1]
        labels[pixel[nearest_last]] = whose[nearest_last] + 1
        owned = np.bincount(labels, minlength=len(kept) + 1)[1:]
        enough = owned >= np.maximum(LEAST_CELLS, LEAST_SHARE * np.bincount(whose, minlength=len(kept)))
        if enough.all():
            break
        kept = kept[enough]
    contested = pixel[clear]
    flat[:, contested] = np.minimum(flat[:, contested], -best[contested])
    flat[labels[contested] - 1, contested] = best[contested]
    return labels.reshape(h, w), flat.reshape(-1, h, w), kept


def from_segments(segments: list, size: tuple[int, int], output: tuple[int, int]) -> Seen:
    """Of (mask (H, W) bool, class_id, score) from elsewhere; where masks overlap, the smaller one is seen.

    size: of the picture; output: of the network's output. Depths are left to completed().
    """
    segments = sorted(segments, key=lambda segment: -np.count_nonzero(segment[0]))
    full = np.zeros(size, np.uint16)
    for k, (mask, _, _) in enumerate(segments):
        full[mask] = k + 1
    return _given(full, [s[1] for s in segments], [s[2] for s in segments], output)


def from_ids(ids: np.ndarray | None, size: tuple[int, int], output: tuple[int, int]) -> Seen:
    """Of an id image (H, W) uint16 from elsewhere, the largest first; of class `other`."""
    if ids is None:
        return replace(from_segments([], size, output), ids=np.empty(0, np.int64))
    area = np.bincount(ids.reshape(-1), minlength=1)
    area[0] = 0
    numbers = np.argsort(-area, kind="stable")[: np.count_nonzero(area)]
    labels = np.zeros(len(area), np.uint16)
    labels[numbers] = np.arange(1, len(numbers) + 1)
    given = _given(labels[ids], [len(CLASSES) - 1] * len(numbers), [1.0] * len(numbers), output)
    return replace(given, ids=numbers)


def _given(full: np.ndarray, class_id: list, score: list, output: tuple[int, int]) -> Seen:
    count, unknown = len(score), np.full(len(score), np.nan, np.float32)
    return Seen(
        labels=sampled(full, output),
        class_id=np.array(class_id, np.int64),
        score=np.array(score, np.float32),
        depth_m=unknown,
        sigma_m=unknown,
        guest=np.full(count, -1),
        embedding=np.empty((count, 0), np.float32),
        full=full,
    )


def mask_logits(labels: np.ndarray, queries: int) -> torch.Tensor:
    """(1, queries, h, w) of a label image: what the network refines in place of its own masks."""
    mine = torch.from_numpy(labels.astype(np.int32)) == torch.arange(1, queries + 1)[:, None, None]
    return torch.where(mine, SURE_LOGIT, -SURE_LOGIT)[None]


def completed(given: Seen, depth_m: np.ndarray, instances: Instances | None) -> Seen:
    """Instances from elsewhere with layers in depth_m (h, w), and what the network says of the masks it was given.

    What is carried along, with evidence, keeps its layers: a mask that lags covers what is behind, too.
    """
    known = 0 if instances is None else min(len(given), instances.layer_m.shape[1])
    spread, guest = np.full(len(given), UNKNOWN_SPREAD, np.float32), given.guest.copy()
    if known:
        spread[:known] = instances.spread[0, :known].exp().cpu().numpy()
        guest[:known] = instances.guest[0, :known].cpu().numpy()
    guest[guest >= known] = -1
    if given.evidence is not None:
        return replace(given, guest=guest)
    return with_layers(replace(given, depth_m=np.ones_like(spread), sigma_m=spread, guest=guest), depth_m)


def with_layers(seen: Seen, depth_m: np.ndarray) -> Seen:
    """The depth layers that depth_m (h, w) says, with the same relative errors."""
    layer_m = layers(depth_m, seen)
    return replace(seen, depth_m=layer_m, sigma_m=seen.sigma_m / seen.depth_m * layer_m)


def layers(depth_m: np.ndarray, seen: Seen) -> np.ndarray:
    """(K,) float32 mean of depth_m (h, w) in each; NaN for what is smaller than a cell."""
    flat = seen.labels.reshape(-1)
    cells = np.bincount(flat, minlength=len(seen) + 1)[1:]
    total = np.bincount(flat, depth_m.reshape(-1), minlength=len(seen) + 1)[1:]
    return np.divide(total, cells, out=np.full(len(seen), np.nan), where=cells > 0).astype(np.float32)
