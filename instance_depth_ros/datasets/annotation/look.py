"""An annotated sequence as a Rerun recording, to look through."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from ...config import CLASSES
from ...describe import extents
from ...frame import Instance
from ...screen import Screen
from ..sequence import Sequence
from .place import REPORT

GROUND = (0, 160, 255)


def record(sequence: Sequence, path: Path) -> None:
    """Write path, .rrd: pictures with the ground in blue, masks, depth, instances, and what the report suspects."""
    wanted = [name for name in ("color", "depth_m", "ids", "ground") if name in sequence.layers]
    suspects = json.loads((sequence.folder / REPORT).read_text())["suspects"]
    screen = Screen("none", save=str(path))
    try:
        for suspect in suspects:
            whose = ", ".join(map(str, suspect["ids"]))
            stamp_ns = sequence.frame(suspect["frame"])["stamp_ns"]
            screen.note(stamp_ns, f"frame {suspect['frame']}, {suspect['kind']}, id {whose}: {suspect['what']}")
        for index in range(len(sequence)):
            shot = sequence.read(index, wanted)
            ids, stamp_ns = shot["ids"], shot["stamp_ns"]
            depth_m = shot.get("depth_m")
            instances = _instances(shot["instances"], ids, depth_m, sequence.intrinsics)
            color = _tinted(shot["color"], shot["ground"])
            screen.show(stamp_ns, sequence.intrinsics, color, depth_m, ids=ids, instances=instances)
    finally:
        screen.close()


def _tinted(color: np.ndarray, ground: np.ndarray) -> np.ndarray:
    tint = np.where(ground[..., None], np.array(GROUND, np.uint8), color)
    return cv2.addWeighted(color, 0.7, tint, 0.3, 0)


def _instances(rows: list[dict], ids: np.ndarray, depth_m: np.ndarray | None, intrinsics) -> tuple[Instance, ...]:
    numbers = [row["id"] for row in rows]
    places = np.zeros(int(ids.max(initial=0)) + 1, np.uint16)
    places[numbers] = np.arange(1, len(rows) + 1)
    unknown = np.full(ids.shape, np.nan, np.float32)
    center_m, size_m = extents(unknown if depth_m is None else depth_m, places[ids], len(rows), intrinsics)
    return tuple(
        Instance(
            id=row["id"],
            pixel=row["id"],
            class_id=CLASSES.index(row["class"]),
            score=1.0,
            depth_m=np.nan if row["depth_m"] is None else row["depth_m"],
            sigma_m=np.nan,
            visible=np.nan,
            hidden_by=0,
            age_s=0.0,
            box_px=tuple(row["box"]),
            center_m=tuple(center.tolist()),
            size_m=tuple(size.tolist()),
        )
        for row, center, size in zip(rows, center_m, size_m, strict=True)
    )
