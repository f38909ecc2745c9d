"""Pictures of an evaluation, to be looked at: what went in, the truth, what came out, and where it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..drawing import (
    BAR,
    GAP,
    LEGEND,
    LINE,
    MISSING,
    PAPER,
    TILE,
    beside,
    colored_depth,
    colors,
    depth_legend,
    depth_span,
    legend,
    text_line,
    tile,
    with_masks,
    write_text,
)
from ..frame import Instance
from ..geometry import valid
from .metrics import depth_metrics, in_range

WORST_ERROR = 0.5  # relative error where its colours end
TITLES = ("input", "truth", "prediction", "relative error", "confidence")
MASK_TITLES = ("true instances", "instances")


class Row(NamedTuple):
    """One frame. color: (H, W, 3) uint8 RGB; truth_m, prediction_m: (H, W) metres, NaN grey; confidence: (H, W) uint8.

    ids_truth, ids: (H, W) id images; None: no pictures of masks. instances: those of ids, with their lasting ids.
    """

    color: np.ndarray
    truth_m: np.ndarray
    prediction_m: np.ndarray
    confidence: np.ndarray
    label: str
    ids_truth: np.ndarray | None = None
    ids: np.ndarray | None = None
    instances: tuple[Instance, ...] = ()


def picture_sheet(rows: Sequence[Row], path: str | Path) -> Path:
    """Write a PNG with a line of pictures for each row, with masks of instances where all rows have them.

    Truth and prediction share the row's colours: turbo in log depth, near is red, the scale beside them in metres.
    """
    if not rows:
        raise ValueError("a picture sheet needs at least one row, got none")
    masks = all(row.ids is not None and row.ids_truth is not None for row in rows)
    lines = [_line(row, masks) for row in rows]
    sheet = np.concatenate([_titles(lines[0].shape[1]), *lines])
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), sheet[..., ::-1]):
        raise OSError(f"could not write {path}; its name must end in .png and its folder be writable")
    return path


def colored_error(prediction_m: np.ndarray, truth_m: np.ndarray) -> np.ndarray:
    """(H, W) metres twice -> (H, W, 3) uint8 RGB: relative error from black to yellow at WORST_ERROR, unknown grey."""
    known = valid(truth_m) & valid(prediction_m)
    error = np.abs(prediction_m - truth_m) / np.where(known, truth_m, 1)
    shades = colors(np.where(known, error, 0) / WORST_ERROR, cv2.COLORMAP_INFERNO)
    return np.where(known[..., None], shades, np.uint8(MISSING))


def _line(row: Row, masks: bool) -> np.ndarray:
    near, far = depth_span(row.truth_m)
    depths = [tile(colored_depth(depth_m, near, far)) for depth_m in (row.truth_m, row.prediction_m)]
    height = depths[0].shape[0]
    share = np.repeat(np.linspace(1, 0, height)[:, None], BAR, 1)
    error_marks = [(percent / 100 / WORST_ERROR, f"{percent}%") for percent in (0, 10, 25, 50)]
    error_legend = legend(colors(share, cv2.COLORMAP_INFERNO), error_marks)
    wrong = tile(colored_error(row.prediction_m, row.truth_m))
    sure = tile(np.repeat(row.confidence[..., None], 3, -1))
    pictures = [tile(row.color), *depths, depth_legend(near, far, height), wrong, error_legend, sure]
    if masks:
        pictures += [tile(with_masks(row.color, row.ids_truth)), tile(with_masks(row.color, row.ids, row.instances))]
    line = beside(*pictures)
    scores = depth_metrics(row.prediction_m, row.truth_m, in_range(row.truth_m))
    caption = f"{row.label}   REL {scores['rel']:.3f}   sigma1 {scores['sigma1']:.3f}   RMS {scores['rms']:.2f} m"
    return np.concatenate([line, text_line(caption, line.shape[1])])


def _titles(width: int) -> np.ndarray:
    line = np.full((LINE, width, 3), PAPER, np.uint8)
    left = GAP
    for title in TITLES + MASK_TITLES:
        write_text(line, title, (left, LINE - 8))
        left += TILE + GAP + (LEGEND + GAP if title in ("prediction", "relative error") else 0)
    return line
