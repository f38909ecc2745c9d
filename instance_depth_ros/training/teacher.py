"""Image distillation (Video Depth Anything, section 3.1): a frozen teacher labels real pictures that nobody labelled.

The student learns the shape of their disparity, for neither scale nor shift of a teacher's is known.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from ..geometry import Intrinsics
from ..model import checkpoint
from ..model.network import DepthNetwork
from ..model.preprocess import lens_planes, network_size, normalise
from ..model.ranges import MIN_DEPTH_M
from ..model.temporal import Clip
from . import losses
from .data import Batches

PICTURES, VIDEOS = (".jpg", ".jpeg", ".png"), (".mp4", ".mkv", ".avi", ".mov", ".webm")
ASSUMED_FOV_DEG = 60.0  # of pictures of which no lens is known


class WithPictures(Dataset):
    """Batches, each with `unlabelled` (count, H, W, 3) uint8: cuts of pictures and of frames of videos in a folder."""

    def __init__(self, batches: Batches, folder: str, count: int):
        self.batches, self.count = batches, count
        self.files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in PICTURES + VIDEOS)
        if not self.files:
            raise FileNotFoundError(f"unlabelled: no {', '.join(PICTURES + VIDEOS)} in {folder}")

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((*self.batches.seed, step, 1))
        pictures = [self._draw(rng) for _ in range(self.count)]
        return self.batches[step] | {"unlabelled": torch.from_numpy(np.stack(pictures))}

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        """The largest cut of the size's shape, somewhere in the picture, perhaps mirrored."""
        picture = frame(self.files[int(rng.integers(len(self.files)))], rng.random())
        (height, width), (full_height, full_width) = self.batches.size, picture.shape[:2]
        scale = min(full_height / height, full_width / width)
        h, w = round(height * scale), round(width * scale)
        top, left = (int(rng.integers(full - cut + 1)) for full, cut in ((full_height, h), (full_width, w)))
        how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        cut = cv2.resize(picture[top : top + h, left : left + w], (width, height), interpolation=how)
        return np.ascontiguousarray(cut[:, ::-1]) if rng.random() < 0.5 else cut


def frame(path: Path, when: float) -> np.ndarray:
    """(H, W, 3) uint8 RGB: a picture, or the frame of a video at `when`, 0..1 of its length."""
    if path.suffix.lower() in PICTURES:
        picture = cv2.imread(str(path))
    else:
        video = cv2.VideoCapture(str(path))
        video.set(cv2.CAP_PROP_POS_FRAMES, int(when * video.get(cv2.CAP_PROP_FRAME_COUNT)))
        _, picture = video.read()
        video.release()
    if picture is None:
        raise ValueError(f"unlabelled: {path} is no picture or video that OpenCV reads; take it out of the folder")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


class Teacher:
    """A frozen network, official or ours, metric or not, that sees each picture by itself."""

    def __init__(self, weights: str, device: torch.device):
        network, self.kind = checkpoint.load(weights)
        self.network = network.requires_grad_(False).to(device)

    @torch.no_grad()
    def disparity(self, color: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, h, w) disparity, in the size that the teacher sees."""
        config = self.network.config
        height, width = network_size(*color.shape[1:3], config)
        images = F.interpolate(normalise(color), (height, width), mode="bicubic", antialias=True)
        lens = lens_of(images, config.canonical_focal_px) if config.ours else None
        depth = self.network(images, lens, None, instances=False).depth.float()
        return depth if self.kind == "relative" else 1 / depth.clamp_min(MIN_DEPTH_M)


def lens_of(images: Tensor, canonical_focal_px: float) -> Tensor:
    """(B, 3, H, W) lens planes of the assumed lens."""
    lens = lens_planes(Intrinsics.from_fov(images.shape[-1], images.shape[-2], ASSUMED_FOV_DEG), canonical_focal_px)
    return torch.from_numpy(lens).to(images.device)[None].expand(len(images), -1, -1, -1)


def distillation(student: DepthNetwork, teacher: Teacher, color: Tensor) -> Tensor:
    """Scale- and shift-invariant loss of the student's disparity against the teacher's; color (B, H, W, 3) uint8."""
    images = normalise(color)
    lens = lens_of(images, student.config.canonical_focal_px)
    depth_m = student.clip(images[:, None], lens[:, None], Clip.causal(1), instances=False).depth
    taught = F.interpolate(teacher.disparity(color)[:, None], depth_m.shape[-2:], mode="bilinear", antialias=True)
    everywhere = torch.ones_like(taught, dtype=torch.bool)
    return losses.vda_spatial(1 / depth_m.float().clamp_min(MIN_DEPTH_M), taught, everywhere)
