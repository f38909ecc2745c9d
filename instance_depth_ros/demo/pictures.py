"""What the demo leaves to look at: a contact sheet over time, and a video of picture, instances and depth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..drawing import (
    GAP,
    LINE,
    PAPER,
    TILE,
    beside,
    colored_depth,
    depth_legend,
    depth_span,
    text_line,
    tile,
    with_borders,
    with_instances,
    with_masks,
    write_text,
    write_video,
)
from ..geometry import cloud, valid
from ..record import Record, Sample

ROWS = 6
# About what one pixel of the shipped network's output spans in a picture of this size.
DETAIL_PX = 4.5
GRID, CAMERA = (225, 225, 225), (200, 30, 30)


def contact_sheet(record: Record, path: Path, title: str) -> None:
    """A PNG of up to ROWS moments: input, instances, depth, each with its truth where known, confidence, the cloud."""
    samples = record.samples
    chosen = [samples[i] for i in np.unique(np.linspace(0, len(samples) - 1, ROWS).round().astype(int))]
    near_m, far_m = depth_span(np.stack([sample.depth_m for sample in samples]))
    view = SideView([cloud(s.depth_m, record.intrinsics, s.color, 3, detail_px=DETAIL_PX) for s in samples])
    lines = []
    for sample in chosen:
        seconds = (sample.stamp_ns - samples[0].stamp_ns) / 1e9
        input_tile = tile(sample.color)
        height = input_tile.shape[0]
        columns = {"input": input_tile, **_instance_tiles(sample)}
        names = ["true depth"] * (sample.truth_m is not None) + ["depth (near red, far blue)"]
        depths = [tile(colored_depth(depth_m, near_m, far_m)) for depth_m in sample.depths_m]
        columns |= dict(zip(names, depths, strict=True))
        columns[""] = depth_legend(near_m, far_m, height)
        columns["confidence (white sure, black unsure)"] = tile(np.repeat(sample.confidence[..., None], 3, -1))
        points = cloud(sample.depth_m, record.intrinsics, sample.color, detail_px=DETAIL_PX)
        columns["cloud from the right side"] = view.draw(points, height)
        line = beside(*columns.values())
        lines += [line, text_line(f"{seconds:.1f} s", line.shape[1])]
    width = lines[0].shape[1]
    titles, left = np.full((LINE, width, 3), PAPER, np.uint8), GAP
    for name, column in columns.items():
        write_text(titles, name, (left, LINE - 8))
        left += column.shape[1] + GAP
    sheet = np.concatenate([text_line(title, width), titles, *lines])
    if not cv2.imwrite(str(path), sheet[..., ::-1]):
        raise OSError(f"could not write {path}")


def _instance_tiles(sample: Sample) -> dict[str, np.ndarray]:
    """By title: the picture under its true instances, and under those found, each where there is one to show."""
    small, tiles = tile(sample.color), {}
    if sample.true_ids is not None:
        tiles["true instances"] = with_masks(small, _like(sample.true_ids, small))
    if sample.ids is not None:
        shrunk = sample.color.shape[1] / TILE
        tiles["instances"] = with_instances(small, _like(sample.ids, small), sample.instances, shrunk)
    return tiles


def _like(ids: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """An id image at the size of a picture."""
    return cv2.resize(ids, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)


class SideView:
    """Clouds seen from the camera's right, all at one scale: it looks to the right, height upwards, metres."""

    MARGIN = 28

    def __init__(self, clouds):
        """clouds: organised arrays of POINT that shall fit, but for their outermost hundredth."""
        seen = np.concatenate([points[valid(points["z"])] for points in clouds])
        if not seen.size:
            seen = np.zeros(1, clouds[0].dtype)
        self.far_m = max(1.0, float(np.percentile(seen["z"], 98)))
        low, high = np.percentile(-seen["y"], (1, 99))
        self.low_m, self.high_m = min(0.0, float(low)), max(0.0, float(high))

    def draw(self, points: np.ndarray, height: int) -> np.ndarray:
        """(height, TILE, 3) picture of a cloud; the red mark is the camera."""
        picture = np.full((height, TILE, 3), PAPER, np.uint8)
        scale = min(
            (TILE - 2 * self.MARGIN) / self.far_m, (height - 2 * self.MARGIN) / (self.high_m - self.low_m + 0.1)
        )
        top = (height - scale * (self.high_m - self.low_m)) / 2

        def place(distance_m, up_m):
            return self.MARGIN + np.asarray(distance_m) * scale, top + (self.high_m - np.asarray(up_m)) * scale

        self._grid(picture, place)
        seen = points[valid(points["z"])]
        # Far from the eye first: the right side of the scene hides the left.
        seen = seen[np.argsort(seen["x"])]
        columns, rows = (np.rint(part).astype(int) for part in place(seen["z"], -seen["y"]))
        inside = (columns >= 0) & (columns < TILE) & (rows >= 0) & (rows < height)
        rgb = seen["rgb"][inside]
        picture[rows[inside], columns[inside]] = np.stack([rgb >> 16 & 255, rgb >> 8 & 255, rgb & 255], -1)
        column, row = (int(np.rint(part)) for part in place(0, 0))
        cv2.drawMarker(picture, (column, row), CAMERA, cv2.MARKER_TRIANGLE_UP, 9, 2)
        write_text(picture, "camera", (max(0, column - 22), row + 18), CAMERA)
        return picture

    def _grid(self, picture, place):
        step = _round_step(self.far_m / 4)
        for distance in np.arange(0, self.far_m + step / 2, step):
            column = int(place(distance, 0)[0])
            cv2.line(picture, (column, 0), (column, picture.shape[0]), GRID, 1)
            write_text(picture, f"{distance:g} m away" if distance else "", (column - 30, picture.shape[0] - 6))
        for up in np.arange(np.ceil(self.low_m / step) * step, self.high_m + step / 2, step):
            row = int(place(0, up)[1])
            cv2.line(picture, (0, row), (TILE, row), GRID, 1)
            write_text(picture, f"{up:+g} m" if abs(up) > step / 2 else "", (2, row - 3))


def depth_video(record: Record, path: Path) -> None:
    """An MP4 of a Record's small pictures with instances, true depth, depth and its legend, at their stamps' pace.

    Borders in the depths are those of the instances of the same source: of the truth in the truth.
    """
    near_m, far_m = depth_span(np.stack([sample.depth_m for sample in record.samples]))

    def picture(sample: Sample) -> np.ndarray:
        color, shrunk = sample.color, record.intrinsics.width / sample.color.shape[1]
        if sample.ids is not None:
            color = with_instances(color, sample.ids, sample.instances, shrunk)
        depths = [colored_depth(depth_m, near_m, far_m) for depth_m in sample.depths_m]
        for index, ids in ((0, sample.true_ids), (-1, sample.ids)):
            if ids is not None:
                depths[index] = with_borders(depths[index], ids)
        return beside(color, *depths, depth_legend(near_m, far_m, color.shape[0]))

    write_video(path, ((small.stamp_ns, picture(small.whole())) for small in record.small), len(record.small))


def _round_step(rough: float) -> float:
    """The nearest of 1, 2, 5, 10, ... to a rough distance between grid lines."""
    steps = [digit * 10.0**power for power in range(-2, 4) for digit in (1, 2, 5)]
    return min(steps, key=lambda step: abs(np.log(step / rough)))
