"""Pictures of sequences for people: a video of colour, depth, ids and flow side by side; a sheet of all activities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from .. import config
from ..drawing import beside, colored_depth, depth_span, text_line, write_video
from .clips import Footage
from .film import films
from .splits import Clip

WIDTH = 320  # of each picture
FAST_PX = 0.02  # of the width a frame: flow of full colour
COLUMNS = 2
SHEET_AT_S, SHEET_VIEWS = 3.0, 4


def preview(footage: Footage, path: Path) -> Path:
    """An MP4 of the colour, depth, ids and, where there is, flow to the next frame."""
    part = path.with_suffix(".part.mp4")
    write_video(part, _moments(footage), len(footage))
    return part.replace(path)


def _moments(footage: Footage) -> Iterator[tuple[int, np.ndarray]]:
    layers = [name for name in ("color", "depth_m", "ids", "flow_next") if name in footage.layers]
    span = None
    for index in range(len(footage)):
        frame = footage.read(index, layers)
        span = span or depth_span(frame["depth_m"])
        pictures = [frame["color"], colored_depth(frame["depth_m"], *span), colored_ids(frame["ids"])]
        if "flow_next" in layers:
            pictures.append(colored_flow(frame["flow_next"]))
        yield frame["stamp_ns"], beside(*(small(picture) for picture in pictures))


def small(picture: np.ndarray, width: int = WIDTH) -> np.ndarray:
    """(H, W, 3) at this width."""
    height = round(picture.shape[0] * width / picture.shape[1])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def colored_ids(ids: np.ndarray) -> np.ndarray:
    """(H, W) ids -> (H, W, 3) uint8 RGB: a hue an id, neighbouring ids far apart; background black."""
    hue = (ids.astype(int) * 67 % 180).astype(np.uint8)
    seen = np.where(ids > 0, 255, 0).astype(np.uint8)
    bright = np.where(ids % 3 == 1, 190, seen).astype(np.uint8)
    return cv2.cvtColor(np.stack([hue, seen, bright], -1), cv2.COLOR_HSV2RGB)


def colored_flow(flow: np.ndarray) -> np.ndarray:
    """(H, W, 2) pixels -> (H, W, 3) uint8 RGB: the hue is the direction, paler where slower, unknown grey."""
    known = np.isfinite(flow).all(-1)
    x, y = (np.where(known, part, 0) for part in np.moveaxis(flow, -1, 0))
    hue = (np.degrees(np.arctan2(y, x)) % 360 / 2).astype(np.uint8)
    fast = np.clip(255 * np.hypot(x, y) / (FAST_PX * flow.shape[1]), 0, 255).astype(np.uint8)
    picture = cv2.cvtColor(np.stack([hue, fast, np.full_like(hue, 255)], -1), cv2.COLOR_HSV2RGB)
    picture[~known] = 90
    return picture


def contact_sheet(path: Path, seed: int = 0) -> Path:
    """A JPEG with a cell of each activity: colour, depth and ids of one moment."""
    cells = [_cell(activity, seed) for activity in config.ACTIVITIES]
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % COLUMNS)
    rows = [np.concatenate(cells[i : i + COLUMNS], 1) for i in range(0, len(cells), COLUMNS)]
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90]):
        raise OSError(f"could not write {path}")
    return path


def _cell(activity: str, seed: int) -> np.ndarray:
    """Of the scene's first cameras, the one that sees most."""
    clip = Clip(activity, seed, "train", 0, 1 + round(SHEET_AT_S * 10), 10.0, 640, 480, oversample=2, sensor="none")
    frames = [film.read(len(film) - 1) for film in films(replace(clip, view=view) for view in range(SHEET_VIEWS))]
    frame = max(frames, key=_worth_seeing)
    depth = colored_depth(frame["depth_m"], *depth_span(frame["depth_m"]))
    half = np.concatenate([small(picture, WIDTH // 2) for picture in (depth, colored_ids(frame["ids"]))])
    line = beside(small(frame["color"]), half)
    return np.concatenate([text_line(activity.replace("_", " "), line.shape[1]), line])


def _worth_seeing(frame: dict) -> int:
    """How many actors are seen well, and of how many kinds; nobody should fill the picture."""
    seen = [row for row in frame["instances"] if row["area"] > 600]
    filled = any(row["area"] > 0.08 * frame["ids"].size for row in seen)
    return len(seen) + 3 * len({row["class"] for row in frame["instances"] if row["area"] > 100}) - 20 * filled
