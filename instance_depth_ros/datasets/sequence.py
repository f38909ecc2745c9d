"""A GID-style sequence folder: written frame by frame, complete or absent; read layer by layer (docs/dataset.md)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from ..config import CLASSES
from ..geometry import Intrinsics
from ..recording.bag import is_bag
from .layers import DERIVED, LAYERS
from .part import Part

USUAL = ("color", "depth_m", "ids")
MILLIMETRE = 0.001
FAULT = "the folder is damaged: delete it and write or copy it again"


class Sequence:
    """One recording. len(): its frames; [index]: the usual layers of one.

    about: what sequence.json says. camera: what camera.json says. intrinsics; layers: names of those that read() has.
    Files are opened when they are asked for; a missing or broken one raises FileNotFoundError or ValueError, by name.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if not (self.folder / "sequence.json").is_file():
            raise FileNotFoundError(
                f"no sequence in {self.folder}: sequence.json is missing. instance-depth simulate writes sequences"
            )
        self.about, self.camera = _json(self.folder / "sequence.json"), _json(self.folder / "camera.json")
        try:
            self.intrinsics, self.depth_unit_m = intrinsics_from_json(self.camera), float(self.camera["depth_unit_m"])
            self._length = int(self.about["frames"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.folder}: sequence.json or camera.json lacks or misspells {error}; {FAULT}"
            ) from error

    @cached_property
    def layers(self) -> tuple[str, ...]:
        stored = [name for name, layer in LAYERS.items() if (self.folder / layer.folder).is_dir()]
        return (*stored, *(DERIVED if "ids" in stored else ()))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict:
        number = index % len(self) if -len(self) <= index < 0 else index
        return self.read(number, [name for name in USUAL if name in self.layers])

    def read(self, index: int, layers: Iterable[str] = USUAL) -> dict:
        """What frames.jsonl says of frame number index (stamp_ns, world_from_camera, instances, ...) and its layers.

        color (H, W, 3) uint8 RGB; depth_m, truth_m (H, W) float32 metres, NaN invalid; ids (H, W) uint16;
        ground, static (H, W) bool; classes (H, W) uint8; amodal: id -> (H, W) bool;
        flow_next, flow_previous (H, W, 2) float32 pixels (x, y), NaN where hidden or unknown, and at the ends.
        """
        frame = self.frame(index)
        frame |= {name: self._layer(name, index) for name in layers if name not in DERIVED}
        for name in set(layers) & set(DERIVED):
            ids = frame["ids"] if "ids" in frame else self._layer("ids", index)
            frame[name] = derived(name, ids, frame["instances"])
        return frame

    def frame(self, index: int) -> dict:
        """What frames.jsonl says of a frame; world_from_camera as (4, 4) float64, or None."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.folder} has {len(self)} frames, asked for number {index}")
        path, start = self.folder / "frames.jsonl", self._starts[index]
        with open(path, "rb") as file:
            file.seek(start)
            try:
                row = json.loads(file.readline())
                row["instances"], row["stamp_ns"]
                if row["index"] != index:
                    raise ValueError(f"it has index {row['index']}")
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {index + 1}: {error}; {FAULT}") from error
        if row.get("world_from_camera") is not None:
            row["world_from_camera"] = np.array(row["world_from_camera"], np.float64)
        return row

    def coded(self, index: int, layers: Iterable[str]) -> dict:
        """read(), but of the layers the bytes of their files, as SequenceWriter.add() takes them, too."""
        names = (name for name in layers if name in LAYERS and not _over_an_end(name, index, len(self)))
        return self.frame(index) | {name: self._code(name, index)[1] for name in names}

    def check(self, layers: Iterable[str]) -> None:
        """Raise an error where frames.jsonl lacks lines, or a file of these layers is missing or empty; opens none."""
        self.frame(len(self) - 1)
        for layer, name in ((LAYERS[name], name) for name in layers):
            files = (path for path in (self.folder / layer.folder).glob("*") if path.stat().st_size)
            there = {f"{layer.folder}/{path.name}" for path in files}
            for index in range(len(self)):
                if not _over_an_end(name, index, len(self)) and there.isdisjoint(layer.files(index)):
                    raise FileNotFoundError(f"{self.folder / layer.files(index)[0]} is missing or empty; {FAULT}")

    @cached_property
    def _starts(self) -> np.ndarray:
        """Where each line of frames.jsonl begins: a long recording is not parsed for one frame of it."""
        path = self.folder / "frames.jsonl"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; {FAULT}")
        content = np.frombuffer(path.read_bytes(), np.uint8)
        ends = np.flatnonzero(content == ord("\n")) + 1
        if len(ends) != len(self):
            raise ValueError(f"{path} has {len(ends)} lines, sequence.json says {len(self)} frames; {FAULT}")
        return np.concatenate([[0], ends[:-1]])

    def _layer(self, name: str, index: int):
        if name not in self.layers:
            raise ValueError(f"{self.folder} has no layer '{name}'; it has {', '.join(self.layers)}")
        intrinsics = self.intrinsics
        if _over_an_end(name, index, len(self)):
            return np.full((intrinsics.height, intrinsics.width, 2), np.nan, np.float32)
        path, code = self._code(name, index)
        try:
            array = LAYERS[name].decode(code, self.depth_unit_m)
        except Exception as error:  # a damaged archive raises one of many kinds
            raise ValueError(f"{path}: {error}; {FAULT}") from error
        if name != "amodal" and array.shape[:2] != (intrinsics.height, intrinsics.width):
            size = f"{array.shape[1]}x{array.shape[0]}"
            raise ValueError(f"{path} is {size}, camera.json says {intrinsics.width}x{intrinsics.height}; {FAULT}")
        return array

    def _code(self, name: str, index: int) -> tuple[Path, bytes]:
        paths = [self.folder / file for file in LAYERS[name].files(index)]
        for path in paths:
            if path.is_file():
                return path, path.read_bytes()
        raise FileNotFoundError(f"{paths[0]} is missing; {FAULT}")

    def close(self) -> None:
        """Nothing is held open; here so that films, which hold a renderer, can take this one's place."""


def _over_an_end(layer: str, index: int, frames: int) -> bool:
    """Flow that nothing is written for: there is no frame before the first, and none after the last."""
    return (layer, index) in (("flow_next", frames - 1), ("flow_previous", 0))


def derived(name: str, ids: np.ndarray, instances: list[dict]) -> np.ndarray:
    """classes: (H, W) uint8, index into CLASSES. static: (H, W) bool, background and what never moves."""
    table = np.zeros(max(int(ids.max(initial=0)), *(row["id"] for row in instances), 0) + 1, np.uint8)
    for row in instances:
        table[row["id"]] = CLASSES.index(row["class"]) if name == "classes" else not row.get("still", False)
    return table[ids] if name == "classes" else table[ids] == 0


def is_sequence(path: Path) -> bool:
    """Whether it is the folder of a sequence; it is not opened."""
    return (path / "sequence.json").is_file()


def open_folder(folder: str | Path) -> list[Sequence]:
    """The finished sequences and the bags in a folder, by name; what is added later is not seen."""
    folder = Path(folder)
    for kind, of_kind in (("sequence", is_sequence), ("bag", is_bag)):
        if of_kind(folder):
            raise ValueError(f"{folder} is a {kind} itself: name the folder that holds it")
    found = sorted(path for path in folder.glob("[!.]*") if is_sequence(path) or is_bag(path))
    if not found:
        lack = "no sequences in" if folder.is_dir() else "there is no folder"
        raise FileNotFoundError(
            f"{lack} {folder}: write some: instance-depth simulate --split sim-train --out {folder}"
        )
    return [open_sequence(path) for path in found]


def open_sequence(path: Path) -> Sequence:
    """A sequence folder, or a bag, which reads as one."""
    if not is_bag(path):
        return Sequence(path)
    from .bag_sequence import BagSequence  # needs this module, and what not everybody has

    return BagSequence(path)


class SequenceWriter(Part):
    """Writes a sequence into .NAME.part beside its place, and moves it there when its frames are complete.

    about: for sequence.json; needs name and frames. camera: camera_json(). A part that an earlier writer left with the
    same about and camera is continued: done says how many frames are there; one that another process is writing is an
    error, BlockingIOError. Use it as a context: leaving it without an error finishes.
    """

    def __init__(self, folder: str | Path, about: dict, camera: dict):
        super().__init__(Path(folder), "frames.jsonl")
        self._about, self._unit_m = about, camera["depth_unit_m"]
        self.done = self._resumed({"sequence.json": about, "camera.json": camera})

    def _resumed(self, heads: dict[str, dict]) -> int:
        """Frames that are there already; without any, the part begins anew."""
        rows = []
        try:
            if all(json.loads((self.part / name).read_text()) == _plain(head) for name, head in heads.items()):
                # a line is written after its frame's pictures: whole lines are whole frames
                rows = (self.part / "frames.jsonl").read_text().split("\n")[:-1]
        except (OSError, ValueError):
            pass
        if not rows:
            for path in self.part.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
            for name, head in heads.items():
                (self.part / name).write_text(json.dumps(head, indent=1) + "\n")
        (self.part / "frames.jsonl").write_text("".join(row + "\n" for row in rows))
        return len(rows)

    def add(self, frame: Mapping) -> None:
        """The next frame, as Sequence.read() or coded() gives it. Flow over the ends is not written."""
        row = {"index": self.done} | {k: v for k, v in frame.items() if k not in LAYERS and k not in DERIVED}
        for name in LAYERS.keys() & frame.keys():
            if _over_an_end(name, self.done, self._about["frames"]):
                continue
            code = frame[name]
            if not isinstance(code, bytes):
                code = LAYERS[name].encode(code, self._unit_m)
            path = self.part / LAYERS[name].file(self.done, code)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(code)
        self.locked.write(json.dumps(row, default=np.ndarray.tolist).encode() + b"\n")
        self.locked.flush()
        self.done += 1

    def finish(self) -> Sequence:
        """Move the complete sequence to its place."""
        if self.done != self._about["frames"]:
            raise ValueError(f"{self.folder} should have {self._about['frames']} frames, {self.done} were added")
        super().finish()
        return Sequence(self.folder)


def camera_json(intrinsics: Intrinsics, depth_unit_m: float, depth_source: str, **more) -> dict:
    """What camera.json holds. depth_source: what depth/ is from. Depth is registered: it has the colour's lens."""
    return {
        "width": intrinsics.width,
        "height": intrinsics.height,
        "K": intrinsics.K.tolist(),
        "distortion_model": intrinsics.model,
        "D": list(intrinsics.distortion),
        "depth_unit_m": depth_unit_m,
        "depth_source": depth_source,
        "color_from_depth": np.eye(4).tolist(),
        **more,
    }


def intrinsics_from_json(camera: dict) -> Intrinsics:
    """Of what camera.json holds; KeyError, TypeError or ValueError where that is no lens."""
    (fx, _, cx), (_, fy, cy), _ = camera["K"]
    model, distortion, assumed = camera["distortion_model"], tuple(camera["D"]), camera.get("assumed", False)
    lens = Intrinsics(camera["width"], camera["height"], fx, fy, cx, cy, model, distortion, assumed)
    lens.check((camera["height"], camera["width"]))
    return lens


def _json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing; {FAULT}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}; {FAULT}") from error


def _plain(value: dict) -> dict:
    return json.loads(json.dumps(value))
