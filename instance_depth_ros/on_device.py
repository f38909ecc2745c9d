"""What model.preprocess, sightings, borders and geometry do at the picture's size, as torch operations on the device.

For CUDA, where a picture is copied in once, from pinned memory, and depth and labels once out, into pinned memory that
torch uses again when nobody holds the arrays any more. Outputs are not those of OpenCV to the bit: see each function.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache, lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import borders
from .geometry import POINT, Intrinsics, rays
from .model.preprocess import normalise
from .sightings import Seen


def prepare(color: np.ndarray, size: tuple[int, int], device: torch.device) -> Tensor:
    """(H, W, 3) uint8 RGB -> (1, 3, h, w) float32 on the device, as preprocess.prepare() of our own networks.

    The mean over areas, which the other comes near: a third of a level of 255 off on average at 720p. The cubic filter
    of the official networks has no twin in torch: they are prepared on the CPU.
    """
    picture = _in(color, device).float()
    halvings = min((have // want).bit_length() for have, want in zip(color.shape, size, strict=False)) - 1
    down, along = (_areas(have, want, max(halvings, 0), device) for have, want in zip(color.shape, size, strict=False))
    rows = (down @ picture.flatten(1)).view(size[0], *picture.shape[1:])
    return normalise((along @ rows).round())[None]


def labels_at_full_size(seen: Seen, size: tuple[int, int], device: torch.device) -> Tensor:
    """(H, W) int32 on the device, as Seen.at_full_size() but for borders, where OpenCV knows 1/32 of a pixel only."""
    if seen.full is not None:
        return _in(seen.full.astype(np.int32), device)
    best = torch.zeros(size, device=device)
    labels = torch.zeros(size, dtype=torch.int32, device=device)
    # one after the other: all at once would take a picture of floats for each
    for k, logits in enumerate(_in(seen.evidence, device)):
        logits = _bilinear(logits, size)
        labels.masked_fill_(logits > best, k + 1)
        torch.maximum(best, logits, out=best)
    return labels


def upsample(
    depth_m: np.ndarray, seen: Seen | None, full: Tensor | None, size: tuple[int, int], device: torch.device
) -> Tensor:
    """(h, w) metres -> (H, W) on the device, along labels `full` as borders.upsample(), up to 1e-5 of the depth off.

    The depth inside of each label is found on the CPU, as it is of the network's size.
    """
    if seen is None or not len(seen):
        return _bilinear(_in(depth_m, device), size)
    layer_m = np.append(np.float32(np.nan), seen.depth_m).astype(np.float32)
    cells = _in(borders.from_inside(depth_m, seen.labels, layer_m), device)
    labels, layer_m = _in(seen.labels.astype(np.int32), device), _in(layer_m, device)
    (top, below, down), (left, right, along) = (
        (_in(before, device), _in(behind, device), _in(share, device))
        for before, behind, share in map(borders.taps, size, labels.shape)
    )
    total, out = torch.zeros((2, *size), device=device)
    for row, of_row in ((top, 1 - down), (below, down)):
        for column, of_column in ((left, 1 - along), (right, along)):
            at = row[:, None], column
            weight = of_row[:, None] * of_column * (labels[at] == full)
            total += weight
            out += weight * cells[at]
    out /= total.clamp(min=1e-6)
    y, x = torch.nonzero(total < 1e-6, as_tuple=True)  # none of the four cells is theirs
    if len(y):
        own = full[y, x].long()
        without = torch.where(layer_m[own].isnan(), _bilinear(cells, size)[y, x], layer_m[own])
        around = _around(cells, labels, top[y], left[x], own)
        out[y, x] = torch.where(around.isnan(), without, around)
    return out


def _around(depth_m: Tensor, labels: Tensor, y: Tensor, x: Tensor, own: Tensor) -> Tensor:
    """(n,) as borders finds it: mean depth of the cells around (y, x) that bear the label own; NaN without one."""
    down, along, weight = (_in(values, labels.device) for values in borders.NEIGHBOURS)
    edges = (borders.REACH,) * 4
    labels, depth_m = F.pad(labels, edges, value=borders.NOBODY), F.pad(depth_m, edges)
    at = y[:, None] + borders.REACH + down, x[:, None] + borders.REACH + along
    weights = (labels[at] == own[:, None]) * weight
    return (weights * depth_m[at]).sum(1) / weights.sum(1)


def _bilinear(cells: Tensor, size: tuple[int, int]) -> Tensor:
    """(h, w) -> (H, W), as cv2.INTER_LINEAR."""
    return F.interpolate(cells[None, None], size, mode="bilinear")[0, 0]


def full_size(
    depth_m: np.ndarray, seen: Seen | None, size: tuple[int, int], device: torch.device
) -> tuple[np.ndarray, np.ndarray | None]:
    """Depth (H, W) float32 and labels (H, W) uint16 of the picture, copied side by side and waited for once."""
    labels = None if seen is None else labels_at_full_size(seen, size, device)
    full = upsample(depth_m, seen, labels, size, device)
    if seen is None:
        return _out(full)[0], None
    full, labels = _out(full, labels.to(torch.int16))  # torch knows little of uint16
    return full, labels.view(np.uint16)


def cloud(
    depth_m: np.ndarray,
    intrinsics: Intrinsics,
    color: np.ndarray,
    stride: int = 2,
    step_ratio: float = 0.1,
    detail_px: float = 1.0,
    *,
    device: torch.device,
) -> np.ndarray:
    """geometry.cloud(), unprojected on the device: every stride-th pixel is copied in, the packed points out.

    On CUDA by a stream of its own, lest it wait for the network, which has the next frame by then.
    """
    with torch.cuda.stream(_beside(device)) if device.type == "cuda" else nullcontext():
        ray, z = _rays(intrinsics, stride, device), _in(depth_m[::stride, ::stride], device)
        step = _depth_steps(z, step_ratio, max(1, round(detail_px / (2 * stride))))
        z = z.masked_fill(step | ray[..., 0].isnan(), torch.nan)
        red, green, blue = _in(color[::stride, ::stride], device).int().unbind(-1)
        packed = torch.zeros((*z.shape, POINT.itemsize // 4), device=device)
        packed[..., 0], packed[..., 1], packed[..., 2] = ray[..., 0] * z, ray[..., 1] * z, z
        packed.view(torch.int32)[..., POINT.fields["rgb"][1] // 4] = red << 16 | green << 8 | blue
        return _out(packed)[0].view(POINT)[..., 0]


def _depth_steps(depth_m: Tensor, ratio: float, reach: int) -> Tensor:
    """(H, W) bool as geometry.depth_steps()."""
    disparity, steps = 1 / depth_m, torch.zeros_like(depth_m, dtype=torch.bool)
    for values, marked in ((disparity, steps), (disparity.T, steps.T)):
        if len(values) <= 2 * reach:
            continue
        one, other = values[: -2 * reach], values[2 * reach :]
        change = (other - one).abs()
        slope = torch.full_like(change, torch.nan)
        slope[2 * reach :] = change[: -2 * reach]
        slope[: -2 * reach] = torch.fmin(slope[: -2 * reach], change[2 * reach :])
        slope.nan_to_num_(0)
        marked[reach:-reach] |= change - slope > ratio * torch.minimum(one, other)
    return steps


@lru_cache(maxsize=8)
def _rays(intrinsics: Intrinsics, stride: int, device: torch.device) -> Tensor:
    return torch.from_numpy(rays(intrinsics, stride).copy()).to(device)


@cache
def _beside(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def _out(*tensors: Tensor) -> list[np.ndarray]:
    if tensors[0].device.type != "cuda":
        return [tensor.numpy() for tensor in tensors]
    copies = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors]
    for copy, tensor in zip(copies, tensors, strict=True):
        copy.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensors[0].device).synchronize()
    return [copy.numpy() for copy in copies]


def _in(array: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


@lru_cache(maxsize=16)
def _areas(pixels: int, cells: int, halvings: int, device: torch.device) -> Tensor:
    """(cells, pixels) what each pixel along one axis counts in each cell, the picture having been halved so often."""
    weights = np.eye(pixels)
    for after in (*(pixels >> times for times in range(1, halvings + 1)), cells):
        ends, at = np.arange(after + 1) * len(weights) / after, np.arange(len(weights))
        covered = np.minimum(ends[1:, None], at + 1) - np.maximum(ends[:-1, None], at)
        weights = np.maximum(covered, 0) * after / len(weights) @ weights
    return torch.from_numpy(weights.astype(np.float32)).to(device)
