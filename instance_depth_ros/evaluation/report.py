"""Pictures of an evaluation, to be looked at: what went in, the truth, what came out, and where it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..geometry import valid
from .metrics import RANGES, depth_metrics, in_range

TILE = 320  # width of a picture, pixels
LEGEND = 64
BAR = 14  # width of a legend's colours
GAP = 6
LINE = 24  # height of a line of text
WORST_ERROR = 0.5  # relative error where its colours end
TITLES = ("input", "truth", "prediction", "relative error", "confidence")
PAPER, INK, MISSING = (255, 255, 255), (30, 30, 30), (90, 90, 90)

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


def colored_depth(depth_m: np.ndarray, near_m: float, far_m: float) -> np.ndarray:
    """(H, W) metres -> (H, W, 3) uint8 RGB: turbo in log depth, near red, far blue, invalid grey."""
    known = valid(depth_m)
    share = np.log(np.where(known, depth_m, near_m) / near_m) / np.log(far_m / near_m)
    return np.where(known[..., None], _colors(1 - share, cv2.COLORMAP_TURBO), np.uint8(MISSING))


def colored_error(prediction_m: np.ndarray, truth_m: np.ndarray) -> np.ndarray:
    """(H, W) metres twice -> (H, W, 3) uint8 RGB: relative error from black to yellow at WORST_ERROR, unknown grey."""
    known = valid(truth_m) & valid(prediction_m)
    error = np.abs(prediction_m - truth_m) / np.where(known, truth_m, 1)
    colors = _colors(np.where(known, error, 0) / WORST_ERROR, cv2.COLORMAP_INFERNO)
    return np.where(known[..., None], colors, np.uint8(MISSING))


def depth_span(truth_m: np.ndarray) -> tuple[float, float]:
    """(near, far) metres that show a truth well: its 1st and 99th percentile, at least a factor of 1.5 apart."""
    known = truth_m[valid(truth_m)]
    if not known.size:
        return RANGES["all"]
    near, far = np.percentile(known, (1, 99))
    return float(near), float(max(far, 1.5 * near))


def _row(color, truth_m, prediction_m, confidence, label) -> np.ndarray:
    near, far = depth_span(truth_m)
    depths = [tile(colored_depth(depth_m, near, far)) for depth_m in (truth_m, prediction_m)]
    height = depths[0].shape[0]
    share = np.repeat(np.linspace(1, 0, height)[:, None], BAR, 1)
    error_marks = [(percent / 100 / WORST_ERROR, f"{percent}%") for percent in (0, 10, 25, 50)]
    error_legend = _legend(_colors(share, cv2.COLORMAP_INFERNO), error_marks)
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


def beside(*pictures: np.ndarray) -> np.ndarray:
    """Pictures of one height in a line, with gaps."""
    gap = np.full((pictures[0].shape[0], GAP, 3), PAPER, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)] + [gap], axis=1)


def tile(picture: np.ndarray) -> np.ndarray:
    """Resized to the width of a tile. Shrinking averages colours; growing shows the pixels as they are."""
    height, width = picture.shape[:2]
    how = cv2.INTER_AREA if width > TILE else cv2.INTER_NEAREST
    return cv2.resize(picture, (TILE, round(height * TILE / width)), interpolation=how)


def depth_legend(near_m: float, far_m: float, height: int) -> np.ndarray:
    """What the colours of colored_depth() mean, in metres; (height, LEGEND, 3)."""
    share = np.repeat(np.linspace(1, 0, height)[:, None], BAR, 1)
    return _legend(colored_depth(near_m * (far_m / near_m) ** share, near_m, far_m), _marks(near_m, far_m))


def _legend(bar: np.ndarray, marks: list[tuple[float, str]]) -> np.ndarray:
    """A bar of colours with marks (share of its height from the bottom, text) beside it."""
    height = bar.shape[0]
    legend = np.full((height, LEGEND, 3), PAPER, np.uint8)
    legend[:, :BAR] = bar
    for share, text in marks:
        row = round((1 - share) * (height - 1))
        cv2.line(legend, (BAR, row), (BAR + 4, row), INK, 1)
        write_text(legend, text, (BAR + 7, int(np.clip(row + 4, 10, height - 2))))
    return legend


def _marks(near_m: float, far_m: float) -> list[tuple[float, str]]:
    """Round depths between near and far with their place on a log scale, both ends included."""
    steps = [digit * 10.0**power for power in range(-2, 4) for digit in (1, 2, 3, 5)]
    span = np.log(far_m / near_m)
    places = {depth: np.log(depth / near_m) / span for depth in steps}
    inner = [(place, f"{depth:g} m") for depth, place in places.items() if 0.08 < place < 0.92]
    return [(0.0, f"{near_m:.2g} m"), *inner, (1.0, f"{far_m:.2g} m")]


def _colors(share: np.ndarray, colormap: int) -> np.ndarray:
    """(H, W) in 0..1 -> (H, W, 3) uint8 RGB."""
    return cv2.applyColorMap((np.clip(share, 0, 1) * 255).astype(np.uint8), colormap)[..., ::-1]


def text_line(text: str, width: int) -> np.ndarray:
    """A line of text on paper."""
    line = np.full((LINE, width, 3), PAPER, np.uint8)
    write_text(line, text, (GAP, LINE - 9))
    return line


def write_text(picture: np.ndarray, text: str, left_bottom: tuple[int, int], ink: tuple[int, int, int] = INK) -> None:
    """Small letters into a picture, from (column, row) of their baseline's left end."""
    cv2.putText(picture, text, left_bottom, cv2.FONT_HERSHEY_SIMPLEX, 0.42, ink, 1, cv2.LINE_AA)
