"""How fast scenes are drawn and written, and clips read, with all cores: milliseconds of a frame over many of them."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

from torch.utils.data import DataLoader

from ...datasets.clips import Written
from ...datasets.generate import write
from ...datasets.layers import LAYERS
from ...datasets.splits import Clip, split_clips
from ...training import data
from .timing import Job, no_row, row

ROWS = ("simulate_320x240", "simulate_320x240_amodal", "clips_320x240")
FRAMES = 40  # of one clip of each activity
STEPS, BATCH, TOGETHER, SIZE, ZOOM = 40, 4, 8, (240, 320), (1.0, 1.8)


def jobs() -> Iterator[Job]:
    yield Job(ROWS, rows)


def rows() -> Iterator[dict]:
    """One figure each, of many frames; none where there is no simulation."""
    try:
        from ...simulation import render  # noqa: F401
    except RuntimeError as error:
        yield from (no_row(name, error) for name in ROWS)
        return
    yield from (row(name, [ms]) for name, ms in times())


def times(clips: list[Clip] | None = None) -> Iterator[tuple[str, float]]:
    """(row, milliseconds a frame): simulate with all truth but amodal masks, and with them; clips with augmentation."""
    clips = clips or [replace(clip, frames=FRAMES, oversample=1) for clip in split_clips("sim-train") if _first(clip)]
    frames = sum(clip.frames for clip in clips)
    with tempfile.TemporaryDirectory() as folder:
        for name, layers in (("", [n for n in LAYERS if n != "amodal"]), ("_amodal", list(LAYERS))):
            out, start = Path(folder) / f"clips{name}", time.perf_counter()
            with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
                if failed := write(clips, out, tuple(layers)):
                    raise RuntimeError(f"simulate failed: {failed}")
            yield f"simulate_320x240{name}", 1e3 * (time.perf_counter() - start) / frames
        yield "clips_320x240", _read(out)


def _first(clip: Clip) -> bool:
    return clip.seed == 0 and clip.view == 0


def _read(folder: Path) -> float:
    """Batches for training, each core a reader; from the first batch on."""
    written = Written(folder, data.layers)
    batches = data.Batches(written, STEPS, BATCH, TOGETHER, SIZE, ZOOM, 300.0, (0,))
    loader = iter(DataLoader(batches, batch_size=None, num_workers=len(os.sched_getaffinity(0))))
    next(loader)
    start, count = time.perf_counter(), sum(1 for _ in loader)
    return 1e3 * (time.perf_counter() - start) / (count * BATCH * TOGETHER)
