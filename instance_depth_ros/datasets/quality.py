"""`instance-depth dataset quality DIR`: holes, noise, misregistration, stamps and exposure of each sequence.

Measured from the recording alone, on pairs of neighbours evenly over it; what cannot be told, such as noise while the
camera moves, is null. Limits below only decide what is pointed out.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..progress import Progress
from ..provenance import provenance
from . import charts, measures
from .clips import Footage
from .sequence import open_folder
from .statistics import DEPTH_NAMES, DEPTHS_M

WANTED = ("color", "depth_m", "ids", "static")
REACH = 0.03  # of the picture's width: how far a shift is looked for
LEAST_SHIFTS = 3  # frames with a clear one
# of a sequence's figures: whether it is pointed out, and what is said then
PROBLEMS: tuple[tuple[Callable[[dict], bool], str], ...] = (
    (lambda row: (row["holes"] or 0) > 0.4, "{holes:.0%} of the depth is missing"),
    (
        lambda row: np.hypot(*(row["shift_px"] or (0, 0))) > 1.5,
        "depth lies {shift_px} px (right, down) off the colours",
    ),
    (lambda row: (row["noise_share"] or 0) > 0.02, "depth is noisy: {noise_share:.1%} of the distance"),
    (lambda row: (row["dropped"] or 0) > 0.01 * row["frames"], "{dropped} frames were dropped"),
    (lambda row: row["not_forward"] > 0, "time stands or goes back {not_forward} times"),
    (lambda row: (row["jitter"] or 0) > 0.25, "stamps are irregular, by {jitter:.0%} of a period"),
    (lambda row: row["brightness"] is not None and row["brightness"] < 0.1, "it is dark"),
    (lambda row: (row["blown"] or 0) > 0.15, "{blown:.0%} is overexposed"),
    (lambda row: (row["flicker"] or 0) > 0.04, "brightness flickers by {flicker:.0%}"),
)


class Findings:
    """What is found in frames of one sequence; result() sums it up."""

    def __init__(self):
        self.maps, self.light, self.noise_m = [], [], []
        self.instances, self.background, self.shifts_px, self.still, self.flicker = [], [], [], [], []

    def add(self, frames: list[dict]) -> None:
        """Look at a frame and perhaps its neighbour, with as many of WANTED as there are."""
        color, depth_m, ids = (frames[0].get(name) for name in WANTED[:3])
        if depth_m is not None:
            self.maps.append(measures.holes(depth_m))
        if depth_m is not None and ids is not None:
            for shares, where in ((self.instances, ids > 0), (self.background, ids == 0)):
                shares += [np.isnan(depth_m[where]).mean()] if where.any() else []
        if color is not None:
            self.light.append(measures.exposure(color))
        if color is not None and depth_m is not None:
            self.shifts_px.append(measures.edge_shift(color, depth_m, round(REACH * color.shape[1])))
        if color is not None and len(frames) == 2:
            self._compare(*frames)

    def _compare(self, before: dict, now: dict) -> None:
        pictures = [measures.grey(frame["color"]) for frame in (before, now)]
        self.flicker.append(abs(float(np.median(pictures[1] - pictures[0]))) / 255)
        where = measures.still(*pictures)
        self.still.append(where is not None)
        if where is not None and "depth_m" in now:
            where &= before.get("static", True) & now.get("static", True)
            self.noise_m.append(measures.noise_m(before["depth_m"], now["depth_m"], where, DEPTHS_M))

    def result(self) -> dict:
        """The figures of quality() that follow from pictures."""
        shifts_px = [shift for shift in self.shifts_px if shift is not None]
        noise_m, middle_m = _median(self.noise_m, len(DEPTH_NAMES)), np.add(DEPTHS_M[:-1], DEPTHS_M[1:]) / 2
        return {
            "holes": _mean(self.maps),
            "holes_map": np.mean(self.maps, 0).round(4).tolist() if self.maps else None,
            "holes_instances": _mean(self.instances),
            "holes_background": _mean(self.background),
            "noise_mm": dict(zip(DEPTH_NAMES, (_known(1000 * value) for value in noise_m), strict=True)),
            "noise_share": _known(_median((noise_m / middle_m)[:-1, None], 1)[0]),  # the last has no middle
            "shift_px": np.median(shifts_px, 0).round(2).tolist() if len(shifts_px) >= LEAST_SHIFTS else None,
            "shift_frames": len(shifts_px),
            "still": _mean(self.still),
            **{name: _mean([row[name] for row in self.light]) for name in ("brightness", "blown", "black")},
            "flicker": _known(float(np.percentile(self.flicker, 95))) if self.flicker else None,
        }


def quality(sequence: Footage, pairs: int, looked: Callable[[int], None] = lambda pairs: None) -> dict:
    """The figures of a sequence, from so many pairs of frames; None where one cannot be told.

    holes, holes_instances, holes_background: share of invalid depth; holes_map: of thirds of the picture. noise_mm: by
    distance (statistics.DEPTH_NAMES); noise_share: the median of them as a share of the distance. shift_px: (right,
    down) by which depth lies beside the colours, shift_frames: of how many it is the median. still: share of pairs
    that were taken while the camera stood still. flicker: how much brightness jumps in the worst twentieth of pairs.
    Others: measures.stamps(), of all frames, and measures.exposure(). looked: told how many pairs are done.
    """
    layers, findings = [name for name in WANTED if name in sequence.layers], Findings()
    for number, first in enumerate(_evenly(len(sequence), pairs), 1):
        findings.add([sequence.read(index, layers) for index in range(first, min(first + 2, len(sequence)))])
        looked(number)
    stamps_ns = np.array([sequence.read(index, ())["stamp_ns"] for index in range(len(sequence))])
    return {"frames": len(sequence)} | findings.result() | measures.stamps(stamps_ns)


def _evenly(frames: int, pairs: int) -> list[int]:
    """The first frames of so many pairs, none twice."""
    return np.unique(np.linspace(0, max(frames - 2, 0), pairs).astype(int)).tolist()


def _known(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None


def _mean(values: list) -> float | None:
    return _known(float(np.mean(values))) if values else None


def _median(rows: list, columns: int) -> np.ndarray:
    """Of each column over rows, NaN apart."""
    table = np.array(rows, float).reshape(-1, columns)
    return np.array(
        [np.median(column[np.isfinite(column)]) if np.isfinite(column).any() else np.nan for column in table.T]
    )


def problems(row: dict) -> list[str]:
    """What is pointed out of a sequence's figures."""
    return [text.format(**row) for wrong, text in PROBLEMS if wrong(row)]


def table(rows: dict[str, dict]) -> str:
    """A line a sequence, and below it what is wrong."""
    wide = max(24, *(len(name) + 2 for name in rows))
    bands = "".join(f"{name:>9}" for name in DEPTH_NAMES)
    lines = [f"{'':{wide}}{'frames':>8}{'holes %':>9}{bands}{'shift px':>15}{'fps':>7}{'dropped':>9}"]
    lines.append(f"{'':{wide}}{'':17}{'noise, mm':>9}")
    for name, row in rows.items():
        noise = "".join(_cell(value, 9, ".1f") for value in row["noise_mm"].values())
        shift = "-" if row["shift_px"] is None else "{:+.1f} {:+.1f}".format(*row["shift_px"])
        holes = row["holes"] and 100 * row["holes"]
        rest = f"{shift:>15}{_cell(row['fps'], 7, '.1f')}{_cell(row['dropped'], 9, 'd')}"
        lines.append(f"{name:{wide}}{row['frames']:8}{_cell(holes, 9, '.1f')}{noise}{rest}")
        lines += [f"  ! {problem}" for problem in problems(row)]
    return "\n".join(lines)


def _cell(value: float | None, width: int, form: str) -> str:
    return f"{'-' if value is None else format(value, form):>{width}}"


def plot(rows: dict[str, dict], path: Path) -> None:
    """A PNG: holes over the picture, noise by distance, shifts, holes and dropped frames by sequence."""
    maps = [row["holes_map"] for row in rows.values() if row["holes_map"] is not None]
    noise = _median([[row["noise_mm"][n] for n in DEPTH_NAMES] for row in rows.values()], len(DEPTH_NAMES))
    shifts = [("", *row["shift_px"]) for row in rows.values() if row["shift_px"] is not None]
    most = max([2.0, *(abs(side) for _, *shift in shifts for side in shift)])
    lost = [("", 100 * (row["holes"] or 0), 100 * (row["dropped"] or 0) / row["frames"]) for row in rows.values()]
    charts.write_sheet(path, [
        charts.grid("holes: share of invalid depth", np.mean(maps, 0) if maps else np.full((3, 3), np.nan)),
        charts.bars("noise by distance, mm, median of sequences", DEPTH_NAMES, noise, "{:.1f}"),
        charts.points("depth beside the colours, down over right", shifts, (-most, most), (-most, most), "px"),
        charts.points("dropped frames, %, over holes", lost, (0, 100), (0, max(1, *(y for *_, y in lost))), "% holes"),
    ])  # fmt: skip


def main(args: Namespace) -> int:
    """args: folder, out, pairs. Writes quality.json and .png; exit status."""
    sequences, rows = open_folder(args.folder), {}
    progress = Progress(sum(len(_evenly(len(sequence), args.pairs)) for sequence in sequences))
    for sequence in sequences:
        before, name = progress.done, sequence.about["name"]
        rows[name] = quality(sequence, args.pairs, lambda pairs: progress.at(before + pairs, name))  # noqa: B023
    progress.end()
    out = Path(args.out or args.folder)
    out.mkdir(parents=True, exist_ok=True)
    told = {name: row | {"problems": problems(row)} for name, row in rows.items()}
    (out / "quality.json").write_text(json.dumps(provenance() | {"sequences": told}, indent=1) + "\n")
    plot(rows, out / "quality.png")
    print(table(rows), f"written: {out / 'quality.json'} and quality.png", sep="\n")
    return 0
