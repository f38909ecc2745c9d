"""Batches from simulated clips: crops, flips and colours that respect geometry and are constant over a clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..datasets.clips import Live, Written
from ..geometry import Intrinsics
from ..model.preprocess import lens_planes

MAX_DEPTH_M = 80.0
LAYERS = ("color", "truth_m")


class Batches(Dataset):
    """Item i is the whole batch of step i, made from (seed, i) and, of a live stream, its next clips.

    From written sequences a resumed run so sees what it would have seen.

    views: so many neighbours in the batch show the same moments through different lenses.
    Each item: color (B, T, H, W, 3) uint8, depth_m (B, T, H, W) float32 with NaN, lens (B, 3, H, W), focal_px (B,).
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
    ):
        self.clips, self.steps, self.batch, self.frames = clips, steps, batch, frames
        self.size, self.zoom, self.canonical_focal_px, self.seed = size, zoom, canonical_focal_px, seed
        self.views = views

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((*self.seed, step))
        clips = [view for _ in range(self.batch // self.views) for view in self._clip(rng)]
        return {key: torch.from_numpy(np.stack([clip[key] for clip in clips])) for key in clips[0]}

    def plain(self, index: int) -> dict[str, Tensor]:
        """Sequence `index` as a batch of one: the first frames, the whole picture, colours as they are."""
        clip = self.clips.cut(index, self.frames)
        whole = crop(clip["color"], clip["truth_m"], clip["intrinsics"], self.size, 1.0, np.zeros(2), False)
        return {key: torch.from_numpy(value[None]) for key, value in self._item(*whole).items()}

    def _item(self, color: np.ndarray, depth_m: np.ndarray, intrinsics: Intrinsics) -> dict[str, np.ndarray]:
        return {
            "color": color,
            "depth_m": depth_m,
            "lens": lens_planes(intrinsics, self.canonical_focal_px),
            "focal_px": np.array(intrinsics.focal_px, np.float32),
        }

    def _clip(self, rng: np.random.Generator) -> Iterator[dict[str, np.ndarray]]:
        """`views` crops of the same moments, each with colours of its own: one scene through several lenses."""
        clip = self.clips.draw(rng, self.frames)
        order = -1 if rng.random() < 0.5 else 1  # time runs either way
        mirrored = bool(rng.random() < 0.5)
        least, most = self.zoom  # mostly near the least: it will see whole pictures
        for _ in range(self.views):
            color, depth_m, intrinsics = crop(
                clip["color"][::order],
                clip["truth_m"][::order],
                clip["intrinsics"],
                self.size,
                least + (most - least) * rng.random() ** 2,
                rng.random(2),
                mirrored,
            )
            yield self._item(colour_jitter(color, rng), depth_m, intrinsics)


def crop(
    color: np.ndarray,
    depth_m: np.ndarray,
    intrinsics: Intrinsics,
    size: tuple[int, int],
    zoom: float,
    corner: np.ndarray,
    mirrored: bool,
) -> tuple[np.ndarray, np.ndarray, Intrinsics]:
    """Cut 1/zoom of the picture at `corner` (0..1 each way), resize to (height, width), perhaps mirror; intrinsics too.

    color (T, H, W, 3), depth_m (T, H, W) -> the same of the new size. Depth is picked, never averaged over a border.
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
    colors = np.empty((len(color), height, width, 3), np.uint8)
    depths = np.empty((len(color), height, width), np.float32)
    how = cv2.INTER_AREA if h > height else cv2.INTER_LINEAR
    for t in range(len(color)):
        cv2.resize(color[t, top : top + h, left : left + w], (width, height), dst=colors[t], interpolation=how)
        cut = depth_m[t, top : top + h, left : left + w].astype(np.float32)
        cv2.resize(cut, (width, height), dst=depths[t], interpolation=cv2.INTER_NEAREST_EXACT)
    if mirrored:
        colors, depths = np.ascontiguousarray(colors[:, :, ::-1]), np.ascontiguousarray(depths[:, :, ::-1])
    return colors, depths, new


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
