"""`instance-depth dataset split DIR`: which sequences are to learn from, which to validate by, which to test on.

Whole videos, each activity in proportion, and what shows the same moments on one side; kept in split.json, to which
training (train, val) and `eval --data gid:DIR` (test) keep. It follows from the sequences' names and the seed alone.
"""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from .sequence import Sequence, open_folder

PARTS = ("train", "val", "test")
FILE = "split.json"
# stamps above are of a clock that all cameras share (2001 in Unix nanoseconds), below of a clip's own
WALL_CLOCK_NS = 10**18


def read_split(folder: str | Path) -> dict[str, list[str]] | None:
    """{part: names of its sequences} of a folder that was split, else None; ValueError where split.json is damaged."""
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text())
        parts = {part: [str(name) for name in said[part]] for part in PARTS}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: lacks or misspells {error}; {_anew(folder)}") from error
    names = [name for part in parts.values() for name in part]
    if len(set(names)) < len(names):
        raise ValueError(f"{path} names a sequence twice; {_anew(folder)}")
    return parts


def _anew(folder: str | Path) -> str:
    return f"instance-depth dataset split {folder} --force splits it anew"


def open_part(folder: str | Path, part: str) -> list[Sequence]:
    """The sequences that split.json gives to one of PARTS; all where the folder was not split.

    ValueError: split.json does not fit what is in the folder, or leaves this part empty.
    """
    sequences, parts = open_folder(folder), read_split(folder)
    if parts is None:
        return sequences
    there, said = {sequence.about["name"] for sequence in sequences}, {n for names in parts.values() for n in names}
    for odd, what in ((there - said, "does not name"), (said - there, "names, though it is gone,")):
        if odd:
            raise ValueError(f"{Path(folder) / FILE} {what} {min(odd)}; {_anew(folder)}")
    if not parts[part]:
        raise ValueError(f"{Path(folder) / FILE} has no '{part}': give --{part} a share; {_anew(folder)}")
    return [sequence for sequence in sequences if sequence.about["name"] in parts[part]]


def scenes(sequences: Iterable[Sequence]) -> list[list[Sequence]]:
    """Sequences that show the same moments belong together: each list is one scene, in the order of names.

    They are views of one simulated scene; or have the same `scene` in sequence.json; or overlap in time by a clock that
    all cameras share.
    """
    sequences = sorted(sequences, key=lambda sequence: sequence.about["name"])
    scene = [_scene(sequence.about) for sequence in sequences]
    spans = [(_stamp_ns(sequence, 0), _stamp_ns(sequence, len(sequence) - 1)) for sequence in sequences]
    last, until_ns = None, -1
    for index in sorted(range(len(sequences)), key=lambda index: spans[index]):
        first_ns, last_ns = spans[index]
        if first_ns < WALL_CLOCK_NS:
            continue
        if first_ns <= until_ns:
            old, new = scene[index], scene[last]
            scene = [new if one == old else one for one in scene]
        if last_ns >= until_ns:
            last, until_ns = index, last_ns
    found = defaultdict(list)
    for sequence, one in zip(sequences, scene, strict=True):
        found[one].append(sequence)
    return list(found.values())


def _scene(about: dict) -> tuple:
    if about.get("scene") is not None:
        return ("said", about["scene"])
    if about.get("source") == "simulated":
        return ("simulated", about.get("split"), about.get("activity"), about.get("seed"))
    return ("alone", about["name"])


def _stamp_ns(sequence: Sequence, index: int) -> int:
    return sequence.read(index, ())["stamp_ns"]


def divide(sequences: Iterable[Sequence], test: float, val: float, seed: int) -> dict[str, list[str]]:
    """{part: sorted names}. test, val: shares of the scenes, of each at least one; ValueError where none is left."""

    def drawn(*what: str) -> str:
        return hashlib.sha256(repr((seed, *what)).encode()).hexdigest()

    def place(scene: list[Sequence]) -> tuple[str, str]:
        about = scene[0].about
        return drawn(about.get("activity") or ""), drawn("scene", about["name"])

    left, parts = sorted(scenes(sequences), key=place), {}
    counts = {part: max(1, round(share * len(left))) if share else 0 for part, share in (("test", test), ("val", val))}
    if sum(counts.values()) >= len(left):
        asked = " and ".join(f"{count} for {part}" for part, count in counts.items() if count)
        raise ValueError(
            f"{len(left)} scenes cannot give {asked} and leave some for train: record more, or lower --test or --val"
        )
    for part, count in counts.items():
        # activities stand in a row, so every n-th scene is as many of each as its share, and chance within it
        chosen = {(2 * number + 1) * len(left) // (2 * count) for number in range(count)}
        parts[part] = [scene for index, scene in enumerate(left) if index in chosen]
        left = [scene for index, scene in enumerate(left) if index not in chosen]
    parts["train"] = left
    return {part: sorted(one.about["name"] for scene in parts[part] for one in scene) for part in PARTS}


def table(sequences: list[Sequence], parts: dict[str, list[str]]) -> str:
    """Videos by activity and part, and frames by part."""
    part_of = {name: part for part, names in parts.items() for name in names}
    videos, frames = defaultdict(lambda: dict.fromkeys(PARTS, 0)), dict.fromkeys(PARTS, 0)
    for sequence in sequences:
        part = part_of[sequence.about["name"]]
        videos[sequence.about.get("activity") or "unknown"][part] += 1
        frames[part] += len(sequence)
    rows = {**dict(sorted(videos.items())), "videos": {part: len(parts[part]) for part in PARTS}, "frames": frames}
    lines = ["".join(f"{counts[part]:>8}" for part in PARTS) for counts in rows.values()]
    return "\n".join([f"{'':16}" + "".join(f"{part:>8}" for part in PARTS), *map("{:16}{}".format, rows, lines)])


def main(args: Namespace) -> int:
    """args: folder, test, val, seed, force. Writes split.json; exit status."""
    sequences, path = open_folder(args.folder), Path(args.folder) / FILE
    if path.exists() and not args.force:
        raise FileExistsError(
            f"{path} is there already. Another split has another test set, of which weights that were trained before "
            "may have seen some: --force overwrites it"
        )
    names = [sequence.about["name"] for sequence in sequences]
    if len(set(names)) < len(names):
        raise ValueError(f"{args.folder}: two sequences are called {max(names, key=names.count)}; rename one")
    parts = divide(sequences, args.test, args.val, args.seed)
    path.write_text(
        json.dumps({"seed": args.seed, "test_share": args.test, "val_share": args.val} | parts, indent=1) + "\n"
    )
    print(table(sequences, parts), f"written: {path}", sep="\n")
    return 0
