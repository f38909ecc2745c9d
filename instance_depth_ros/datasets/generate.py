"""`instance-depth simulate`: writes simulated scenes with their truth as sequence folders (docs/dataset.md).

Finished sequences are kept; one that was stopped goes on from its last frame. Damaged ones, and those that were asked
for otherwise, are errors. Whether scenes are still those that were written is compared, by checksum, where a scene is
opened for another of its views; opening all would take hours. Of others it is said that another version wrote them.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from .clips import beginning_workers
from .film import Film, films, tool_version
from .layers import LAYERS
from .preview import contact_sheet, preview
from .progress import Progress
from .sequence import Sequence, SequenceWriter
from .splits import Clip, split_clips

# What one clip is drawn from where nothing else is said.
ONE = {"seed": 0, "frames": 60, "fps": 10.0, "width": 640, "height": 480, "sensor": "auto", "shutter_s": 0.0}
_LOOK_S = 0.2

_frames_done = _stop = _parent = None  # of a worker


class Stopped(Exception):
    """The user asked for an end."""


def main(args: Namespace) -> int:
    """args: activity, split or sheet; out, without, preview, workers; clips and those of ONE, None if not given."""
    out = Path(args.out)
    if args.sheet:
        for name in (*ONE, "clips", "without", "preview", "workers"):
            if name != "seed" and getattr(args, name):
                raise ArgumentTypeError(f"{_option(name)} does not go with --sheet, which takes --seed")
        print(f"written: {contact_sheet(out / 'activities.jpg', args.seed or 0)}")
        return 0
    layers = tuple(name for name, layer in LAYERS.items() if layer.folder not in args.without)
    return 1 if write(_clips(args), out, layers, args.workers, args.preview) else 0


def _option(name: str) -> str:
    return f"--{name.removesuffix('_s')}"


def _clips(args: Namespace) -> list[Clip]:
    given = {name: getattr(args, name) for name in ONE if getattr(args, name) is not None}
    if args.split:
        if given:
            raise ArgumentTypeError(
                f"{_option(next(iter(given)))} goes with --activity; a split says what its clips are"
            )
        return split_clips(args.split)[: args.clips]
    if args.clips:
        raise ArgumentTypeError("--clips goes with --split")
    return [Clip(args.activity, split="train", view=0, **ONE | given)]


def write(
    clips: list[Clip], out: Path, layers: tuple[str, ...], workers: int = 0, movies: bool = False
) -> dict[str, str]:
    """Write what is missing of these clips, in so many processes (0: one a core); movies: NAME.mp4 of each, too.

    Returns the reason why, by name, of those that failed; workers say it on stderr when it happens. KeyboardInterrupt
    ends them after their next frame.
    """
    out.mkdir(parents=True, exist_ok=True)
    kept = [clip for clip in clips if _finished(clip, out, layers)]
    _warn_of_versions(kept, out)
    missing = set(clips) - set(kept) | {clip for clip in clips if movies and not _movie(clip, out).exists()}
    progress = Progress(sum(clip.frames for clip in clips), sum(clip.frames for clip in kept))
    scenes = [list(views) for _, views in groupby(clips, lambda clip: clip.scene)]
    scenes = [views for views in scenes if not missing.isdisjoint(views)]
    failed: dict[str, str] = {}
    try:
        for done, failures in _work(scenes, out, layers, workers or len(os.sched_getaffinity(0)), movies):
            failed |= failures
            progress.at(progress.there + done, f"{len(failed)} failed" if failed else "")
    except KeyboardInterrupt:
        progress.end("stopped; the same command goes on")
        raise
    progress.end(f"{len(clips) - len(failed)} sequences in {out}")
    return failed


def _finished(clip: Clip, out: Path, layers: tuple[str, ...]) -> bool:
    """Whether it is there; ValueError where another of its name is, or FileNotFoundError where some of it is gone."""
    folder = out / clip.name
    if not folder.exists():
        return False
    there = Sequence(folder)
    names = ("split", "frames", "fps", "width", "height", "oversample", "sensor", "shutter_s")
    wanted = {name: getattr(clip, name) for name in names}
    # those written before there were shutters had none
    found = {"shutter_s": 0.0} | there.about | there.camera
    wanted["layers"] = [n for n in LAYERS if n in layers and (clip.frames > 1 or LAYERS[n].folder != "flow")]
    found["layers"] = [name for name in wanted["layers"] if name in there.layers]
    for name, value in wanted.items():
        if found.get(name) != value:
            raise ValueError(
                f"{folder} is there already, with {name} {found.get(name)} instead of {value}: "
                "remove it or choose another --out"
            )
    there.check(wanted["layers"])
    return True


def _warn_of_versions(kept: list[Clip], out: Path) -> None:
    version = tool_version()
    others = [clip for clip in kept if Sequence(out / clip.name).about.get("tool_version") != version]
    if others:
        print(
            f"warning: {len(others)} sequences in {out}, such as {others[0].name}, are kept that were not written by "
            f"{version}: where scenes have changed since, remove them",
            file=sys.stderr,
        )


def _movie(clip: Clip, out: Path) -> Path:
    return out / f"{clip.name}.mp4"


def _work(scenes: list[list[Clip]], out, layers, workers: int, movies: bool) -> Iterator[tuple[int, dict[str, str]]]:
    """Every moment: how many frames are done, and what has failed since."""
    with beginning_workers() as context:
        frames_done, stop = context.Value("q", 0), context.Event()
        begin = (frames_done, stop, os.getpid())
        pool = ProcessPoolExecutor(min(workers, len(scenes)) or 1, context, _begin, begin)
        left = {pool.submit(_write_scene, views, out, layers, movies) for views in scenes}
    try:
        while left:
            done, left = wait(left, _LOOK_S, FIRST_COMPLETED)
            yield frames_done.value, {k: v for future in done for k, v in future.result().items()}
    except BrokenProcessPool:
        raise RuntimeError(
            "a worker process died, perhaps for lack of memory: the same command goes on, try fewer --workers"
        ) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _begin(frames_done, stop, parent: int) -> None:
    """In a worker, before all else."""
    global _frames_done, _stop, _parent
    _frames_done, _stop, _parent = frames_done, stop, parent


def _write_scene(clips: list[Clip], out: Path, layers: tuple[str, ...], movies: bool) -> dict[str, str]:
    """Write those clips of one scene that are missing, in a worker; the reason why, by name, of those that failed."""
    failed = {}
    missing = {clip for clip in clips if not (out / clip.name).exists()}
    left = list(clips) if missing else []
    try:
        _count(0)
        for film in films(list(left)):
            left.remove(film.clip)
            with _failing_into(failed, film.clip):
                if film.clip in missing:
                    _write_film(film, out, layers)
                else:
                    _check_scene(film, Sequence(out / film.clip.name))
    except Stopped:
        return failed
    except Exception as error:
        # the scene itself: none of its views can be had
        for clip in left:
            _fail(failed, clip, error)
    for clip in clips if movies else ():
        if clip not in missing and _movie(clip, out).exists():
            continue
        with _failing_into(failed, clip):
            preview(Sequence(out / clip.name), _movie(clip, out))
    return failed


@contextmanager
def _failing_into(failed: dict[str, str], clip: Clip):
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        _fail(failed, clip, error)


def _fail(failed: dict[str, str], clip: Clip, error: Exception) -> None:
    """Say the first reason at once: who presses Ctrl-C has seen it."""
    if clip.name not in failed:
        failed[clip.name] = f"{error or 'failed'} ({type(error).__name__})"
        over = "\r\x1b[K" if sys.stderr.isatty() else ""
        sys.stderr.write(f"{over}error: {clip.name}: {failed[clip.name]}\n")


def _check_scene(film: Film, written: Sequence) -> None:
    if film.checksum(0) != written.frame(0)["checksum"]:
        raise ValueError(f"{written.folder} shows another scene than this version draws: remove it and write it again")


def _write_film(film: Film, out: Path, layers: tuple[str, ...]) -> None:
    with SequenceWriter(out / film.clip.name, film.about, film.camera) as writer:
        _count(writer.done)
        for index in range(writer.done, len(film)):
            writer.add(film.read(index, layers))
            _count(1)


def _count(frames: int) -> None:
    """So many more are done; Stopped is raised where that is enough."""
    with _frames_done.get_lock():
        _frames_done.value += frames
    if os.getppid() != _parent:
        os._exit(1)  # nobody waits for what a worker of a killed command does
    if _stop.is_set():
        raise Stopped
