"""`instance-depth dataset annotate DIR`: masks, identities, depth of instances and ground for recorded sequences.

The two stages of the GID dataset, offline: prompts, which become masks; then one identity for each object.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ... import config
from ...config import CLASSES
from ...estimator import Estimator
from ...labels import looked_up
from ...progress import Progress
from ...provenance import provenance
from ..layers import LAYERS
from ..sequence import Sequence, is_sequence, open_folder
from .identities import Identities, identify
from .look import record
from .observe import Observed, observe
from .place import REPORT, REPORT_TEXT, annotated, place, read_picture, row_with, write_picture
from .prompts import Prompts, read_prompts
from .report import report, summary, text
from .review import Review
from .sam import Sam


@dataclass(frozen=True)
class Annotator:
    """What makes masks: the estimator, and SAM where its weights are given. made_with: what the report says of it."""

    estimator: Estimator
    sam: Sam | None = None

    def annotate(
        self, sequence: Sequence, prompts: dict[int, Prompts], tell: Callable[[int], None] = lambda done: None
    ) -> dict:
        """Write mask/, ground/, instances and report of a sequence; the report. tell: is told how many frames are done.

        Until all of it is there, the sequence stays as it was.
        """
        with place(sequence.folder) as folder:
            frames = []
            for index, (observed, labels, ground) in enumerate(observe(sequence, self.estimator, prompts, self.sam)):
                write_picture(folder, "ids", index, labels)
                write_picture(folder, "ground", index, ground)
                frames.append(observed)
                tell(index + 1)
            identities = identify(frames, sequence.intrinsics, self.estimator.settings)
            suspects = _write(sequence, folder, frames, identities)
            # the sequence's own, no longer what a network said while it was recorded
            (folder / "sequence.json").write_text(json.dumps(sequence.about | {"masks": "given"}, indent=1) + "\n")
            said = report(frames, identities, suspects) | self._made_with(prompts)
            (folder / REPORT).write_text(json.dumps(said, indent=1) + "\n")
            (folder / REPORT_TEXT).write_text(text(said))
        return said

    def _made_with(self, prompts: dict[int, Prompts]) -> dict:
        """For the report: whose prompts, whose masks, which network."""
        info = self.estimator.info
        return {
            "frames_with_boxes_of_people": sum(one.boxes is not None for one in prompts.values()),
            "frames_with_dots_of_people": sum(bool(one.dots) for one in prompts.values()),
            "masks": self.sam.name if self.sam else "network",
            "weights": info["weights"],
            "instances": info["instances"],
            **provenance(),
        }


def _write(sequence: Sequence, folder: Path, frames: list[Observed], identities: Identities) -> list:
    """Masks with ids in place of labels, and frames.jsonl; what a person should look at."""
    looked, layers = Review(), [name for name in ("color", "depth_m") if name in sequence.layers]
    with open(folder / "frames.jsonl", "w") as file:
        for index, (frame, numbers) in enumerate(zip(frames, identities.ids, strict=True)):
            ids = looked_up(np.append(0, numbers).astype(np.uint16), read_picture(folder, "ids", index))
            write_picture(folder, "ids", index, ids)
            instances = [
                {"id": int(number), "class": CLASSES[identities.classes[int(number)]], **row}
                for number, row in zip(numbers, frame.rows, strict=True)
                if number and row["area"]
            ]
            file.write(row_with(sequence, index, instances))
            looked.add(sequence.read(index, layers) | {"ids": ids, "instances": instances})
    return looked.suspects()


def main(args: Namespace) -> int:
    """args: folder, prompts, masks, sam_weights, download, redo, rerun, settings. Status 1 if a sequence failed."""
    if (args.masks == "sam") != bool(args.sam_weights):
        raise ArgumentTypeError("--masks sam and --sam-weights go together")
    folder = Path(args.folder)
    every = [Sequence(folder)] if is_sequence(folder) else open_folder(folder)
    for bag in (one.folder for one in every if not isinstance(one, Sequence)):
        raise ValueError(f"{bag} is a bag: instance-depth dataset export makes a sequence of it, to annotate")
    left = [sequence for sequence in every if args.redo or not _there(sequence)]
    if len(left) < len(every):
        print(f"{len(every) - len(left)} of {len(every)} sequences have masks already; --redo makes them anew")
    if not left:
        return 0
    prompts = [_prompts(args.prompts, sequence, len(every)) for sequence in left]  # faults are said before the work
    annotator, progress = _annotator(args), Progress(sum(map(len, left)))
    told, failed = [], []
    for sequence, said in zip(left, prompts, strict=True):
        name, done = sequence.folder.name, sum(map(len, left[: len(told) + len(failed)]))
        try:
            _check_not_true(sequence)
            made = annotator.annotate(sequence, said, partial(_tell, progress, done, name))
            if args.rerun:
                _record(sequence, Path(args.rerun), len(every))
            told.append(f"{name}: {summary(made)}; see {sequence.folder / REPORT_TEXT}")
        except (ValueError, OSError) as error:
            failed.append(f"error: {name}: {error}")
    progress.end(f"{len(failed)} failed" if failed else "")
    for line in told:
        print(line)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


def _tell(progress: Progress, before: int, name: str, frame: int) -> None:
    progress.at(before + frame, name)


def _there(sequence: Sequence) -> bool:
    return annotated(sequence.folder) or ("ids" in sequence.layers and sequence.about.get("masks") != "estimate")


def _check_not_true(sequence: Sequence) -> None:
    """What a simulation knows is not written over."""
    kept = [name for name in ("ids", "amodal") if name in sequence.layers]
    if sequence.about.get("source") == "simulated" and kept and not annotated(sequence.folder):
        raise ValueError(
            f"its masks are simulated, thus true: to annotate it as if it were recorded, make a copy without "
            f"{' and '.join(LAYERS[name].folder + '/' for name in kept)}"
        )


def _prompts(given: str | None, sequence: Sequence, sequences: int) -> dict[int, Prompts]:
    if not given:
        return {}
    path = Path(given)
    if path.is_dir():
        path /= f"{sequence.folder.name}.json"
        if not path.exists():
            return {}
    elif sequences > 1:
        raise ArgumentTypeError(f"for {sequences} sequences, --prompts must be a folder with a NAME.json for each")
    lens = sequence.intrinsics
    return read_prompts(path, len(sequence), (lens.height, lens.width))


def _annotator(args: Namespace) -> Annotator:
    estimator = Estimator(config.make("depth", **args.settings))
    if estimator.instances not in ("network", "hf"):
        raise ValueError(
            f"nothing finds objects with weights '{estimator.settings.weights}': --instances network or hf"
        )
    sam = Sam(args.sam_weights, estimator.settings.device, args.download) if args.sam_weights else None
    return Annotator(estimator, sam)


def _record(sequence: Sequence, path: Path, sequences: int) -> None:
    """One file a sequence."""
    path = path if sequences == 1 else path.with_stem(f"{path.stem}_{sequence.folder.name}")
    record(Sequence(sequence.folder), path)
