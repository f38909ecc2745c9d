"""Small charts for people, in panels of one size: bars, points, a map of shares."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from ..drawing import FONT, INK, PAPER, write_text

_PANEL, _LEFT, _TOP, _BOTTOM, _RIGHT = (300, 520), 56, 34, 36, 20
_LEGEND = 130
_INKS = ((44, 110, 180), (200, 80, 40), (60, 150, 70), (150, 70, 160), (190, 150, 30), (20, 150, 160), (110, 110, 110),
         (220, 120, 160), (120, 80, 50), (90, 90, 200))  # fmt: skip


def write_sheet(path: Path, panels: list[np.ndarray]) -> None:
    """A PNG of panels, two a row; OSError where it cannot be written."""
    panels = [*panels, np.full((*_PANEL, 3), PAPER, np.uint8)][: len(panels) + len(panels) % 2]
    sheet = np.concatenate([np.concatenate(pair, 1) for pair in zip(panels[::2], panels[1::2], strict=True)])
    if not cv2.imwrite(str(path), sheet[..., ::-1]):
        raise OSError(f"could not write {path}; its folder must be writable")


def _panel(title: str) -> np.ndarray:
    panel = np.full((*_PANEL, 3), PAPER, np.uint8)
    write_text(panel, title, (_LEFT, 20))
    cv2.line(panel, (_LEFT, _PANEL[0] - _BOTTOM), (_PANEL[1] - 10, _PANEL[0] - _BOTTOM), INK, 1)
    cv2.line(panel, (_LEFT, _TOP), (_LEFT, _PANEL[0] - _BOTTOM), INK, 1)
    return panel


def _unknown(panel: np.ndarray) -> np.ndarray:
    write_text(panel, "unknown", (_PANEL[1] // 2, _PANEL[0] // 2))
    return panel


def bars(title: str, names: Iterable[str], values: np.ndarray, form: str) -> np.ndarray:
    """A bar a name, with its value in words above; NaN is unknown."""
    panel, values, most = _panel(title), np.asarray(values, float), np.nanmax([*values, 1e-9])
    if not np.isfinite(values).any():
        return _unknown(panel)
    high, wide = _PANEL[0] - _TOP - _BOTTOM - 16, (_PANEL[1] - _LEFT - _RIGHT) / len(values)
    for index, (name, value) in enumerate(zip(names, values, strict=True)):
        left, top = int(_LEFT + 8 + index * wide), int(_PANEL[0] - _BOTTOM - high * np.nan_to_num(value) / most)
        cv2.rectangle(panel, (left, top), (int(left + wide * 0.8), _PANEL[0] - _BOTTOM), _INKS[0], -1)
        write_text(panel, "?" if np.isnan(value) else form.format(value), (left, top - 4))
        cv2.putText(panel, name, (left - 2, _PANEL[0] - _BOTTOM + 16), FONT, 0.36, INK, 1, cv2.LINE_AA)
    return panel


def shares(title: str, names: Iterable[str], counts: np.ndarray) -> np.ndarray:
    """Counts as bars, in percent of their sum."""
    total = counts.sum()
    return bars(title, names, 100 * counts / total if total else np.full(len(counts), np.nan), "{:.0f}%")


def points(
    title: str,
    places: list[tuple[str, float, float]],
    across: tuple[float, float],
    upwards: tuple[float, float],
    unit: str,
) -> np.ndarray:
    """A point each of (kind, x, y), a colour a kind; across and upwards: the ends of the axes; unit: of x."""
    panel, kinds = _panel(title), sorted({kind for kind, _, _ in places})
    if not places:
        return _unknown(panel)
    high, wide = _PANEL[0] - _TOP - _BOTTOM, _PANEL[1] - _LEFT - _LEGEND - _RIGHT
    for kind, x, y in places:
        # points of one x stand side by side, a kind a column
        right = int(_LEFT + wide * (x - across[0]) / (across[1] - across[0])) - 7 * kinds.index(kind)
        up = int(_PANEL[0] - _BOTTOM - high * (y - upwards[0]) / (upwards[1] - upwards[0]))
        cv2.circle(panel, (right, up), 4, _INKS[kinds.index(kind) % len(_INKS)], -1, cv2.LINE_AA)
    for number, kind in enumerate(kinds):
        write_text(panel, kind, (_PANEL[1] - _LEGEND + 10, _TOP + 16 + 18 * number), _INKS[number % len(_INKS)])
    for value, row in ((upwards[1], _TOP + 8), (upwards[0], _PANEL[0] - _BOTTOM)):
        write_text(panel, f"{value:.4g}", (_LEFT - 40, row))
    write_text(panel, f"{across[0]:.4g}", (_LEFT, _PANEL[0] - _BOTTOM + 18))
    write_text(panel, f"{across[1]:.4g} {unit}", (_LEFT + wide - 40, _PANEL[0] - _BOTTOM + 18))
    return panel


def grid(title: str, values: np.ndarray) -> np.ndarray:
    """(rows, columns) shares as a map of the picture, the darker the more; NaN unknown."""
    panel = _panel(title)
    high, wide = (_PANEL[0] - _TOP - _BOTTOM) // values.shape[0], (_PANEL[1] - _LEFT - _RIGHT) // values.shape[1]
    for (row, column), value in np.ndenumerate(values):
        left, top = _LEFT + column * wide + 2, _TOP + row * high + 2
        tone = 255 - 200 * np.nan_to_num(value)
        cv2.rectangle(panel, (left, top), (left + wide - 4, top + high - 4), (tone, tone, 255), -1)
        write_text(panel, "?" if np.isnan(value) else f"{100 * value:.0f}%", (left + wide // 2 - 12, top + high // 2))
    return panel
