"""Clips to learn from and to judge by: cut from written sequences, drawn as they are read, or streamed by workers.

An item: color (T, H, W, 3) uint8 and the other layers asked for (docs/dataset.md), stamps_s (T,) float64,
world_from_camera (T, 4, 4) float64 (NaN where unknown), instances: T lists of dicts, intrinsics, about.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Protocol

import numpy as np

from ..geometry import Intrinsics
from .film import Film, films
from .partition import open_part
from .sequence import open_sequence
from .splits import endless_clips, split_clips

LIVE = "live:"
NEIGHBOURS = (1, 1)  # strides, least and most
_QUEUED = 8
_POLL_S = 0.5


class Footage(Protocol):
    """What Sequence, Film and BagSequence have in common."""

    about: dict
    intrinsics: Intrinsics
    layers: tuple[str, ...]

    def __len__(self) -> int: ...

    def read(self, index: int, layers: Iterable[str]) -> dict: ...

    def close(self) -> None: ...


# names, or what chooses them for each sequence
Layers = Iterable[str] | Callable[[Footage], Iterable[str]]


def open_split(name: str, folder: str | Path | None = None, most: int | None = None) -> list[Footage]:
    """The clips of a frozen split: read from the folder they were written to, or, without one, drawn as they are read.

    most: only the first so many. Close each when it is done with.
    """
    clips = split_clips(name)[:most]
    if folder is None:
        return [Film(clip) for clip in clips]
    missing = [clip.name for clip in clips if not (Path(folder) / clip.name).is_dir()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {len(missing)} of the {len(clips)} clips of {name}, such as {missing[0]}: "
            f"instance-depth simulate --split {name} --out {folder}"
        )
    return [open_sequence(Path(folder) / clip.name) for clip in clips]


def take(footage: Footage, frames: Iterable[int], layers: Iterable[str]) -> dict:
    """These frames as one item."""
    layers = tuple(layers)
    read = [footage.read(index, layers) for index in frames]
    unknown = np.full((4, 4), np.nan)
    poses = [unknown if f.get("world_from_camera") is None else f["world_from_camera"] for f in read]
    return {
        **{name: _stacked([frame[name] for frame in read]) for name in layers},
        "stamps_s": np.array([frame["stamp_ns"] for frame in read]) / 1e9,
        "world_from_camera": np.stack(poses),
        "instances": [frame["instances"] for frame in read],
        "intrinsics": footage.intrinsics,
        "about": footage.about,
    }


def _stacked(arrays: list):
    return np.stack(arrays) if isinstance(arrays[0], np.ndarray) else arrays


def open_clips(source: str | Path, layers: Layers, share: tuple[int, int] = (0, 1)) -> Written | Live:
    """A folder of sequences, or live:NAME, a split that workers draw without end; share: as of Live."""
    name = str(source)
    return Live(name[len(LIVE) :], layers, share=share) if name.startswith(LIVE) else Written(source, layers)


class Written:
    """Clips cut from the sequences of a folder; of one that was split, from those of this part (partition.py).

    count: how many sequences there are.
    """

    def __init__(self, folder: str | Path, layers: Layers, part: str = "train"):
        self.sequences, self.layers = open_part(folder, part), layers
        self.count = len(self.sequences)

    def draw(self, rng: np.random.Generator, frames: int, strides: tuple[int, int] = NEIGHBOURS) -> dict:
        """So many frames from anywhere, each some stride after the one before: what follows from rng alone."""
        return self.cut(int(rng.integers(self.count)), frames, rng, strides)

    def cut(
        self,
        index: int,
        frames: int,
        rng: np.random.Generator | None = None,
        strides: tuple[int, int] = NEIGHBOURS,
    ) -> dict:
        """So many frames of sequence number index: the first, or, with rng, any."""
        sequence = self.sequences[index]
        return take(sequence, _some(len(sequence), frames, rng, strides), _layers(self.layers, sequence))


def _layers(layers: Layers, footage: Footage) -> tuple[str, ...]:
    return tuple(layers(footage) if callable(layers) else layers)


def _some(length: int, frames: int, rng: np.random.Generator | None, strides: tuple[int, int] = NEIGHBOURS) -> range:
    """The numbers of the frames of a clip; a sequence too short for its stride is cut at a smaller one."""
    if length < frames:
        raise ValueError(f"clips of {frames} frames are asked for, the data has some of {length}")
    if rng is None:
        return range(frames)
    longest = (length - 1) // max(frames - 1, 1)
    stride = int(rng.integers(min(strides[0], longest), min(strides[1], longest) + 1)) if longest else 1
    reach = (frames - 1) * stride + 1
    start = int(rng.integers(length - reach + 1))
    return range(start, start + reach, stride)


class Live:
    """A split that workers draw without end, beyond its last seed; iterating gives whole clips.

    workers: processes; 0: one a core. share: (which, of how many) parts of the scenes. count: how many were given so
    far. Workers hold back when nobody takes; an error in one is raised by who takes; close() ends them. A context.
    """

    def __init__(self, split: str, layers: Layers, workers: int = 0, share: tuple[int, int] = (0, 1)):
        self.layers, self.count, self._closed = layers, 0, False
        workers = workers or len(os.sched_getaffinity(0))
        first, step = share[0] * workers, share[1] * workers
        with beginning_workers() as context:
            self._items = context.Queue(_QUEUED)
            self._workers = [
                context.Process(target=_play, args=(split, first + i, step, self.layers, self._items), daemon=True)
                for i in range(workers)
            ]
            for worker in self._workers:
                worker.start()

    def __iter__(self) -> Iterator[dict]:
        while True:
            yield self._next()

    def draw(self, rng: np.random.Generator, frames: int, strides: tuple[int, int] = NEIGHBOURS) -> dict:
        """So many frames of the next clip, each some stride after the one before; which one is the workers' pace."""
        item = self._next()
        some = _some(len(item["stamps_s"]), frames, rng, strides)
        part = slice(some.start, some.stop, some.step)
        return {k: v if k in ("intrinsics", "about") else v[part] for k, v in item.items()}

    def _next(self) -> dict:
        while True:
            if self._closed:
                raise RuntimeError("the live clips are closed")
            for worker in self._workers:
                # one that met an error said so before it ended, with 0
                if worker.exitcode:
                    self.close()
                    raise RuntimeError(f"a worker that draws clips died, status {worker.exitcode}")
            try:
                item = self._items.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(item, str):
                self.close()
                raise RuntimeError(f"a worker could not draw a clip:\n{item}")
            self.count += 1
            return item

    def close(self) -> None:
        """End the workers, whatever they are doing: nothing of theirs is kept. Safe to call twice."""
        self._closed = True
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.join()

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _play(split: str, first: int, step: int, layers: Layers, items) -> None:
    parent = os.getppid()
    try:
        for film in films(endless_clips(split, first, step)):
            item = take(film, range(len(film)), _layers(layers, film))
            while not _put(items, item):
                # who is left behind by a parent that was killed ends too
                if os.getppid() != parent:
                    return
    except Exception:
        items.put(traceback.format_exc())


def _put(items, item) -> bool:
    try:
        items.put(item, timeout=_POLL_S)
        return True
    except queue.Full:
        return False


@contextmanager
def beginning_workers():
    """The context for processes that draw: those begun within use one core each, and leave Ctrl-C to their parent."""
    names = ("LP_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    # what is blocked here stays blocked in a process that begins here; the tracker, when it begins, would unblock it
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield multiprocessing.get_context("spawn")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
