"""Published datasets by their published layouts, NAME:FOLDER; units are those of the datasets' own tools."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .clips import Footage
from .partition import open_part
from .published_clip import Protocol, there
from .published_stills import kitti, nyu
from .published_videos import bonn, scannet, sintel

# Garg's crop of KITTI, in shares of the picture, and Eigen's of NYU, in pixels.
GARG, EIGEN_NYU = (0.40810811, 0.99189189, 0.03594771, 0.96405229), (45, 471, 41, 601)


class Judged:
    """A sequence whose depth and truth are what a protocol judges; the rest is as it was."""

    def __init__(self, sequence: Footage, protocol: Protocol):
        self._sequence, self._protocol = sequence, protocol

    def __getattr__(self, name: str):
        if name.startswith("_"):  # asked for while it is copied, before there is a sequence
            raise AttributeError(name)
        return getattr(self._sequence, name)

    def __len__(self) -> int:
        return len(self._sequence)

    def read(self, index: int, layers: Iterable[str]) -> dict:
        frame = self._sequence.read(index, layers)
        return frame | {name: self._protocol.judged(frame[name]) for name in ("depth_m", "truth_m") if name in frame}


def gid(folder: Path, protocol: Protocol) -> list[Judged]:
    """Our own sequence folders (docs/dataset.md), to the 10 m where GID ends; of a split one, its test part."""
    return [Judged(sequence, protocol) for sequence in open_part(folder, "test")]


# The protocol, and what gives the clips of (folder, protocol).
DATASETS = {
    "gid": (Protocol("gid", (0.01, 10.0), "clip"), gid),
    "nyu": (Protocol("nyu", (1e-3, 10.0), "frame", EIGEN_NYU), nyu),
    "kitti": (Protocol("kitti", (1e-3, 80.0), "frame", GARG), kitti),
    "bonn": (Protocol("bonn", (1e-3, 10.0), "clip"), bonn),
    "scannet": (Protocol("scannet", (1e-3, 10.0), "clip", (8, -8, 11, -11)), scannet),
    "sintel": (Protocol("sintel", (1e-3, 70.0), "clip"), sintel),
}


def open_published(name: str, folder: str | Path) -> tuple[list[Footage], Protocol]:
    """The clips below a folder and how to judge them. name: one of DATASETS. Errors name what is missing."""
    if name not in DATASETS:
        raise ValueError(f"no dataset '{name}'; there are {', '.join(DATASETS)}, each as NAME:FOLDER")
    protocol, read = DATASETS[name]
    clips = read(there(Path(folder).expanduser()), protocol)
    if not clips:
        raise FileNotFoundError(f"{folder} holds no clip of {name} in its published layout (see {__name__})")
    return clips, protocol
