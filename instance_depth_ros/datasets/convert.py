"""`instance-depth dataset export` and `import`: bags to sequence folders or pictures, those to bags (docs/dataset.md).

What is finished is kept; a folder that was stopped goes on from its last frame, a bag is begun anew. Each is written in
a process of its own, a frame at a time.
"""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError, Namespace
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..image_encodings import PNG_VARIED, picture_code
from ..progress import Progress
from ..recording.bag import is_bag
from .bag_out import SequenceBagWriter
from .bag_sequence import BagSequence
from .bag_streams import NO_TOPIC
from .clips import Footage
from .images import Images, ImagesWriter, holds_pictures
from .layers import LAYERS
from .sequence import Sequence, SequenceWriter, is_sequence
from .workers import Stopped, count, failing_into, work

WRITERS = {"sequence": SequenceWriter, "images": ImagesWriter, "bag": SequenceBagWriter}


@dataclass(frozen=True)
class How:
    """as_: of WRITERS. bag: options of BagSequence. fps: of pictures without stamps. jpeg: raw colour becomes JPEG."""

    as_: str
    bag: dict
    activity: str = ""
    fps: float = 30.0
    jpeg: bool = False


def main(args: Namespace) -> int:
    """args: source, out, as_, activity, workers; of export without, depth, masks, color, settings; of import fps."""
    sources, out = _sources(args), Path(args.out)
    if args.way == "export":
        topics = {name.removeprefix("replay_"): value for name, value in args.settings.items()}
        without = [name for name, layer in LAYERS.items() if layer.folder in args.without]
        bag = {"without": without, "depth": args.depth, "masks": args.masks, **topics}
        how = How(args.as_, bag, args.activity, jpeg=args.color == "jpeg")
    else:
        how = How(args.as_, {}, args.activity, args.fps)
    return 1 if convert(sources, out, how, args.workers) else 0


def _sources(args: Namespace) -> dict[str, Path]:
    """By the names that they get."""
    path, kinds = Path(args.source), (is_bag,) if args.way == "export" else (is_sequence, holds_pictures)
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    # a folder of sequences may hold pictures of them, too
    looks = ([path] if known(path) else sorted(filter(known, path.glob("[!.]*"))) for known in kinds)
    if not (found := next(filter(None, looks), [])):
        what = "bags (.mcap, .db3)" if args.way == "export" else "sequences or pictures"
        raise FileNotFoundError(f"{path} holds no {what}")
    if args.way == "import" and args.as_ == "sequence" and any(map(is_sequence, found)):
        raise ArgumentTypeError(f"{path} holds sequences already; --as bag makes bags of them")
    names = [one.resolve().stem if one.is_file() else one.resolve().name for one in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{path} holds several of the name {min(twice)}: rename one")
    return dict(zip(names, found, strict=True))


def convert(sources: dict[str, Path], out: Path, how: How, workers: int = 0) -> dict[str, str]:
    """Write what is missing, in so many processes (0: one a core); the reason why, by name, of those that failed.

    KeyboardInterrupt ends them after their next frame.
    """
    out.mkdir(parents=True, exist_ok=True)
    missing = {name: path for name, path in sources.items() if not (out / name).exists()}
    progress, failed = Progress(0), {}
    kept = f", {len(sources) - len(missing)} of them kept" if len(missing) < len(sources) else ""
    try:
        for done, known, failures in work(write, [(*one, out, how) for one in missing.items()], workers):
            failed |= failures
            progress.total = known
            progress.at(done, f"{len(failed)} failed" if failed else "")
    except KeyboardInterrupt:
        progress.end("stopped; the same command goes on")
        raise
    progress.end(f"{len(sources) - len(failed)} in {out}{kept}")
    return failed


def write(name: str, path: Path, out: Path, how: How) -> dict[str, str]:
    """One of them, as out/name; {name: why} where that failed."""
    failed = {}
    try:
        with failing_into(failed, name):
            footage = _open(path, how)
            try:
                _copy(footage, name, out, how)
            finally:
                footage.close()
    except Stopped:
        pass
    return failed


def _open(path: Path, how: How) -> Footage:
    if is_bag(path):
        return BagSequence(path, **how.bag)
    return Sequence(path) if is_sequence(path) else Images(path, how.fps)


def _copy(footage: Footage, name: str, out: Path, how: How) -> None:
    about = footage.about | {"name": name} | ({"activity": how.activity} if how.activity else {})
    layers = [layer for layer in footage.layers if layer in LAYERS]
    with WRITERS[how.as_](out / name, about, footage.camera) as writer:
        count(writer.done, len(footage))
        for index in range(writer.done, len(footage)):
            frame = footage.coded(index, layers)
            if isinstance(frame["color"], np.ndarray) and how.as_ != "bag" and not how.jpeg:
                frame["color"] = picture_code(".png", cv2.cvtColor(frame["color"], cv2.COLOR_RGB2BGR), PNG_VARIED)
            writer.add(frame)
            count(1)
    if isinstance(footage, BagSequence):
        lacks = [f"no {layer}: {why}" for layer, why in footage.missing.items() if why != NO_TOPIC]
        lacks += [f"{frames} frames left out: {why}" for why, frames in footage.left_out.items()]
        sys.stderr.write("".join(f"{name}: {lack}\n" for lack in lacks))
