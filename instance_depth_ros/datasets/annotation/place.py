"""Where an annotation is put: it grows in a hidden folder of its sequence, and takes its place in a few renames.

At any time the sequence can be read, and masks and frames.jsonl belong together; what a killed process left in the
middle of the renames, complete() brings to an end. A Sequence that was opened before must be opened anew.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..layers import LAYERS
from ..sequence import Sequence

PICTURES = ("mask", "ground")
REPORT, REPORT_TEXT = "annotation.json", "annotation.txt"
_GROWING, _WHOLE = ".annotation.part", ".annotation"


@contextmanager
def place(folder: Path) -> Iterator[Path]:
    """A folder for mask/, ground/, frames.jsonl, sequence.json and the report: the sequence's, if all goes well.

    BlockingIOError while another process annotates this sequence.
    """
    with _held(folder):
        complete(folder)
        growing = folder / _GROWING
        shutil.rmtree(growing, ignore_errors=True)
        for name in PICTURES:
            (growing / name).mkdir(parents=True)
        yield growing
        growing.rename(folder / _WHOLE)
        complete(folder)


def annotated(folder: Path) -> bool:
    """Whether its annotation is there; one that was about to be is brought to an end."""
    with _held(folder):
        complete(folder)
    return (folder / REPORT).is_file()


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    holder = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BlockingIOError(f"{folder}: another command is annotating it") from None
    finally:
        os.close(holder)


def complete(folder: Path) -> None:
    """Go on with what place() was stopped in."""
    whole = folder / _WHOLE
    if not whole.is_dir():
        return
    # ids without their rows, or rows without their ids, would be wrong; no ids at all is right
    for name in (REPORT, REPORT_TEXT, *PICTURES):
        if (whole / name).exists() and (folder / name).exists():
            (folder / name).rename(whole / f"old {name}")
    for name in ("frames.jsonl", *PICTURES, "sequence.json", REPORT_TEXT, REPORT):
        if (whole / name).exists():
            (whole / name).rename(folder / name)
    shutil.rmtree(whole)


def write_picture(folder: Path, layer: str, index: int, picture) -> None:
    """One of ids or ground, into the folder of place()."""
    (folder / LAYERS[layer].files(index)[0]).write_bytes(LAYERS[layer].encode(picture, 1.0))


def read_picture(folder: Path, layer: str, index: int):
    return LAYERS[layer].decode((folder / LAYERS[layer].files(index)[0]).read_bytes(), 1.0)


def row_with(sequence: Sequence, index: int, instances: list[dict]) -> str:
    """The line of a frame in frames.jsonl, with these instances, and all else as it was."""
    row = sequence.frame(index) | {"instances": instances}
    return json.dumps(row, default=lambda array: array.tolist()) + "\n"
