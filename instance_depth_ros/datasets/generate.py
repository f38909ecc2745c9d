"""`instance-depth simulate`: writes simulated scenes with their truth as sequence folders (docs/dataset.md).

Finished sequences are kept; one that was stopped goes on from its last frame. Damaged ones, and those that were asked
for otherwise, are errors. Whether scenes are still those that were written is compared, by checksum, where a scene is
opened for another of its views; opening all would take hours. Of others it is said that another version wrote them.
"""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError, Namespace
from itertools import groupby
from pathlib import Path

from ..progress import Progress
from .film import Film, films, tool_version
from .layers import LAYERS
from .preview import contact_sheet, preview
from .sequence import Sequence, SequenceWriter
from .splits import Clip, split_clips
from .workers import Stopped, count, fail, failing_into, work

# What one clip is drawn from where nothing else is said.
ONE = {"seed": 0, "frames": 60, "fps": 10.0, "width": 640, "height": 480, "sensor": "auto", "shutter_s": 0.0}


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
        jobs = [(views, out, layers, movies) for views in scenes]
        for done, _, failures in work(_write_scene, jobs, workers):
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


def _write_scene(clips: list[Clip], out: Path, layers: tuple[str, ...], movies: bool) -> dict[str, str]:
    """Write those clips of one scene that are missing, in a worker; the reason why, by name, of those that failed."""
    failed = {}
    missing = {clip for clip in clips if not (out / clip.name).exists()}
    left = list(clips) if missing else []
    try:
        count(0)
        for film in films(list(left)):
            left.remove(film.clip)
            with failing_into(failed, film.clip.name):
                if film.clip in missing:
                    _write_film(film, out, layers)
                else:
                    _check_scene(film, Sequence(out / film.clip.name))
    except Stopped:
        return failed
    except Exception as error:
        # the scene itself: none of its views can be had
        for clip in left:
            fail(failed, clip.name, error)
    for clip in clips if movies else ():
        if clip not in missing and _movie(clip, out).exists():
            continue
        with failing_into(failed, clip.name):
            preview(Sequence(out / clip.name), _movie(clip, out))
    return failed


def _check_scene(film: Film, written: Sequence) -> None:
    if film.checksum(0) != written.frame(0)["checksum"]:
        raise ValueError(f"{written.folder} shows another scene than this version draws: remove it and write it again")


def _write_film(film: Film, out: Path, layers: tuple[str, ...]) -> None:
    with SequenceWriter(out / film.clip.name, film.about, film.camera) as writer:
        count(writer.done)
        for index in range(writer.done, len(film)):
            writer.add(film.read(index, layers))
            count(1)
