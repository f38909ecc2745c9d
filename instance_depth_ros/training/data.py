"""Batches from simulated clips: crops, flips and colours that respect geometry and are constant over a clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..config import CLASSES
from ..datasets.clips import NEIGHBOURS, Footage, Live, Written
from ..geometry import Intrinsics
from ..model.preprocess import lens_planes

PLACES = 64  # of the table of a clip's instances


def layers(footage: Footage) -> tuple[str, ...]:
    """What training reads: the truth, of a recording the depth that its sensor gave; ids where there are masks."""
    depth = "truth_m" if "truth_m" in footage.layers else "depth_m"
    return ("color", depth, "ids") if "ids" in footage.layers else ("color", depth)


class Batches(Dataset):
    """Item i is the whole batch of step i, made from (seed, i) and, of a live stream, its next clips.

    From written sequences a resumed run so sees what it would have seen.

    views: so many neighbours in the batch show the same moments through different lenses. strides: (least, most) steps
    between the frames of a clip, one for all of them, smaller where a sequence is too short for it.
    Each item: color (B, T, H, W, 3) uint8, depth_m (B, T, H, W) float32 with NaN, lens (B, 3, H, W), focal_px (B,);
    complete (B,) bool, whether depth that is NaN is the sky, not unknown;
    classes (B, PLACES) int64, the class of each instance of a clip, 0 without one; ids (B, T, H, W) int32: k is the
    instance classes[:, k - 1], 0 background, -1 an instance for which there was no place.
    """

    def __init__(
        self,
        clips: Written | Live,
        steps: int,
        batch: int,
        frames: int,
        size: tuple[int, int],
        zoom: tuple[float, float],
        canonical_focal_px: float,
        seed: tuple[int, ...],
        views: int = 1,
        strides: tuple[int, int] = NEIGHBOURS,
    ):
        self.clips, self.steps, self.batch, self.frames = clips, steps, batch, frames
        self.size, self.zoom, self.canonical_focal_px, self.seed = size, zoom, canonical_focal_px, seed
        self.views, self.strides = views, strides

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((*self.seed, step))
        clips = [view for _ in range(self.batch // self.views) for view in self._clip(rng)]
        return {key: torch.from_numpy(np.stack([clip[key] for clip in clips])) for key in clips[0]}

    def plain(self, index: int) -> dict[str, Tensor]:
        """Sequence `index` as a batch of one: the first frames, the whole picture, colours as they are."""
        clip = self.clips.cut(index, self.frames)
        whole = crop(*pictures(clip), clip["intrinsics"], self.size, 1.0, np.zeros(2), False)
        return {key: torch.from_numpy(value[None]) for key, value in self._item(clip, *whole).items()}

    def _item(self, clip: dict, color, depth_m, ids, intrinsics: Intrinsics) -> dict[str, np.ndarray]:
        ids, classes = table(ids, clip["instances"])
        return {
            "color": color,
            "depth_m": depth_m,
            "ids": ids,
            "classes": classes,
            "lens": lens_planes(intrinsics, self.canonical_focal_px),
            "focal_px": np.array(intrinsics.focal_px, np.float32),
            "complete": np.array("truth_m" in clip),
        }

    def _clip(self, rng: np.random.Generator) -> Iterator[dict[str, np.ndarray]]:
        """`views` crops of the same moments, each with colours of its own: one scene through several lenses."""
        clip = self.clips.draw(rng, self.frames, self.strides)
        order = -1 if rng.random() < 0.5 else 1  # time runs either way
        layers = tuple(layer[::order] for layer in pictures(clip))
        mirrored = bool(rng.random() < 0.5)
        least, most = self.zoom  # mostly near the least: it will see whole pictures
        for _ in range(self.views):
            zoom, corner = least + (most - least) * rng.random() ** 2, rng.random(2)
            color, *rest = crop(*layers, clip["intrinsics"], self.size, zoom, corner, mirrored)
            yield self._item(clip, colour_jitter(color, rng), *rest)


def pictures(clip: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """color, depth_m and ids of a clip; without masks, nothing but background."""
    color, depth_m = clip["color"], clip["truth_m"] if "truth_m" in clip else clip["depth_m"]
    return color, depth_m, clip["ids"] if "ids" in clip else np.zeros(depth_m.shape, np.uint16)


def table(ids: np.ndarray, instances: list[list[dict]]) -> tuple[np.ndarray, np.ndarray]:
    """(T, H, W) ids and what is known of them -> ids as places in a table, and its classes (PLACES,).

    The table holds the instances that are seen, by id; of too many those with the most pixels.
    """
    area = np.bincount(ids.ravel())
    known = {row["id"]: CLASSES.index(row["class"]) for rows in instances for row in rows}
    seen = [number for number in known if number < len(area) and area[number]]
    kept = sorted(sorted(seen, key=lambda number: -area[number])[:PLACES])
    place, classes = np.full(len(area), -1, np.int32), np.zeros(PLACES, np.int64)
    place[0] = 0
    for index, number in enumerate(kept):
        place[number], classes[index] = index + 1, known[number]
    return place[ids], classes


def crop(
    color: np.ndarray,
    depth_m: np.ndarray,
    ids: np.ndarray,
    intrinsics: Intrinsics,
    size: tuple[int, int],
    zoom: float,
    corner: np.ndarray,
    mirrored: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Intrinsics]:
    """Cut 1/zoom of the picture at `corner` (0..1 each way), resize to (height, width), perhaps mirror; intrinsics too.

    color (T, H, W, 3), depth_m, ids (T, H, W) -> the same of the new size. Depth and ids are picked, never averaged.
    """
    height, width = size
    h, w = round(intrinsics.height / zoom), round(intrinsics.width / zoom)
    top, left = (
        int(c * (full - cut + 1 - 1e-6))
        for c, full, cut in zip(corner, (intrinsics.height, intrinsics.width), (h, w), strict=True)
    )
    new = replace(intrinsics, width=w, height=h, cx=intrinsics.cx - left, cy=intrinsics.cy - top).resized(width, height)
    if mirrored:
        new = replace(new, cx=width - 1 - new.cx)
    smooth = cv2.INTER_AREA if h > height else cv2.INTER_LINEAR
    cut = []
    for layer, how in ((color, smooth), (depth_m, cv2.INTER_NEAREST_EXACT), (ids, cv2.INTER_NEAREST_EXACT)):
        resized = np.empty((len(layer), height, width, *layer.shape[3:]), layer.dtype)
        for frame, out in zip(layer[:, top : top + h, left : left + w], resized, strict=True):
            cv2.resize(frame, (width, height), dst=out, interpolation=how)
        cut.append(np.ascontiguousarray(resized[:, :, ::-1]) if mirrored else resized)
    return *cut, new


def colour_jitter(color: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White balance, exposure, gamma by one table a channel; sometimes blur; noise. The same for all frames."""
    gain = rng.uniform(0.75, 1.3) * rng.uniform(0.88, 1.12, 3)
    gamma, offset = rng.uniform(0.75, 1.3), rng.uniform(-12, 12)
    ramp = np.arange(256, dtype=np.float32)[:, None]
    table = np.clip(255 * (ramp / 255) ** gamma * gain + offset, 0, 255).astype(np.uint8)
    out = np.stack([table[:, c][color[..., c]] for c in range(3)], -1)
    if rng.random() < 0.1:
        out[:] = out.mean(-1, keepdims=True).astype(np.uint8)
    if rng.random() < 0.3:
        sigma = rng.uniform(0.3, 1.0)
        out = np.stack([cv2.GaussianBlur(frame, (5, 5), sigma) for frame in out])
    if rng.random() < 0.5:
        noise = rng.normal(0, rng.uniform(1, 6), out.shape[1:]).astype(np.int16)
        shifts = rng.integers(0, out.shape[1], len(out))
        out = np.stack(
            [np.clip(f.astype(np.int16) + np.roll(noise, s, 0), 0, 255) for f, s in zip(out, shifts, strict=True)]
        )
    return np.ascontiguousarray(out.astype(np.uint8))
