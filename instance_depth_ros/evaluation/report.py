"""Pictures of an evaluation, to be looked at: what went in, the truth, what came out, and where it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
    write_text,
)
from ..geometry import valid
from .metrics import depth_metrics, in_range

WORST_ERROR = 0.5  # relative error where its colours end
TITLES = ("input", "truth", "prediction", "relative error", "confidence")

Row = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]


def picture_sheet(rows: Sequence[Row], path: str | Path) -> Path:
    """Write a PNG with a line of pictures for each row (color, truth_m, prediction_m, confidence, label).

    color: (H, W, 3) uint8 RGB; truth_m, prediction_m: (H, W) metres, NaN grey; confidence: (H, W) uint8.
    Truth and prediction share the row's colours: turbo in log depth, near is red, the scale beside them in metres.
    """
    if not rows:
        raise ValueError("a picture sheet needs at least one row, got none")
    lines = [_row(*row) for row in rows]
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


def _row(color, truth_m, prediction_m, confidence, label) -> np.ndarray:
    near, far = depth_span(truth_m)
    depths = [tile(colored_depth(depth_m, near, far)) for depth_m in (truth_m, prediction_m)]
    height = depths[0].shape[0]
    share = np.repeat(np.linspace(1, 0, height)[:, None], BAR, 1)
    error_marks = [(percent / 100 / WORST_ERROR, f"{percent}%") for percent in (0, 10, 25, 50)]
    error_legend = legend(colors(share, cv2.COLORMAP_INFERNO), error_marks)
    wrong, sure = tile(colored_error(prediction_m, truth_m)), tile(np.repeat(confidence[..., None], 3, -1))
    line = beside(tile(color), *depths, depth_legend(near, far, height), wrong, error_legend, sure)
    scores = depth_metrics(prediction_m, truth_m, in_range(truth_m))
    caption = f"{label}   REL {scores['rel']:.3f}   sigma1 {scores['sigma1']:.3f}   RMS {scores['rms']:.2f} m"
    return np.concatenate([line, text_line(caption, line.shape[1])])


def _titles(width: int) -> np.ndarray:
    line = np.full((LINE, width, 3), PAPER, np.uint8)
    left = GAP
    for title in TITLES:
        write_text(line, title, (left, LINE - 8))
        left += TILE + GAP + (LEGEND + GAP if title in ("prediction", "relative error") else 0)
    return line
