"""The table of instances that is published with an id image, and what frames.jsonl says of them: both ways."""

from __future__ import annotations

import math

import numpy as np

from ..config import CLASSES
from ..labels import boxes
from ..table import PLACE, ROW, SIZE

# In both as they are, but for NaN, which is null.
_NUMBERS = ("score", "depth_m", "sigma_m", "visible", "age_s")


def rows_from_table(ids: np.ndarray, table: np.ndarray) -> list[dict]:
    """Lines' instances of (H, W) ids and (K,) of table.ROW; what is in the picture alone is of class 'other'."""
    listed = table["pixel"].tolist()
    pixels = listed + np.setdiff1d(np.flatnonzero(np.bincount(ids.ravel())), [0, *listed]).tolist()
    labels = np.zeros(np.iinfo(np.uint16).max + 1, np.uint16)
    labels[pixels] = np.arange(1, len(pixels) + 1)
    labels[0] = 0
    found = labels[ids]
    areas = np.bincount(found.ravel(), minlength=len(pixels) + 1)[1:].tolist()
    rows = [
        {
            "id": pixel,
            "class": CLASSES[-1],
            "box": box and _box(*box),
            "area": area,
            "depth_m": None,
            "visible": None,
            "hides": None,
        }
        for pixel, box, area in zip(pixels, boxes(found, len(pixels)), areas, strict=True)
    ]
    who = {track: row for track, row in zip(table["id"].tolist(), rows, strict=False)}
    for told, row in zip(table, rows, strict=False):
        row |= {"class": CLASSES[told["class_id"]], "hides": [], "track": told["id"].item()}
        row |= {name: _known(told[name].item()) for name in _NUMBERS} | {"hidden_by": told["hidden_by"].item()}
        row |= {"place_m": _listed(told, PLACE), "extent_m": _listed(told, SIZE)}
        if row["visible"] is None:  # then nobody knows who hides whom
            row["hides"] = None
    for row in rows:
        front = who.get(row.get("hidden_by"), {})
        if front.get("hides") is not None:
            front["hides"].append(row["id"])
    return rows


def table_from_rows(rows: list[dict]) -> np.ndarray:
    """(K,) of table.ROW of a line's instances; of those that rows_from_table() gave, the table that they are from."""
    tracks = {row["id"]: row.get("track", row["id"]) for row in rows}
    front = {behind: tracks[row["id"]] for row in rows for behind in row.get("hides") or ()}
    table = np.zeros(len(rows), ROW)
    for told, row in zip(table, rows, strict=True):
        told["id"], told["pixel"], told["class_id"] = tracks[row["id"]], row["id"], CLASSES.index(row["class"])
        told["hidden_by"] = row.get("hidden_by", front.get(row["id"], 0))
        for name in _NUMBERS:
            told[name] = _number(row.get(name, {"score": 1.0, "age_s": 0.0}.get(name)))
        for names, key in ((PLACE, "place_m"), (SIZE, "extent_m")):
            for name, value in zip(names, row.get(key) or (None,) * 3, strict=True):
                told[name] = _number(value)
    return table


def _box(rows: slice, columns: slice) -> list[int]:
    left, top = int(columns.start), int(rows.start)
    return [left, top, int(columns.stop) - left, int(rows.stop) - top]


def _listed(told: np.void, names: tuple[str, ...]) -> list[float | None]:
    return [_known(told[name].item()) for name in names]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
