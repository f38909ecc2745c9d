"""A plain folder of pictures with the face of a sequence, and what writes such folders.

Pictures lie in the folder itself or in rgb/, what belongs to them under the same names in depth/ and mask/. A name that
is a whole number of 16 digits or more is its stamp in nanoseconds. camera.json may say the lens and the unit of depth.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

from .. import config
from ..geometry import Intrinsics
from ..picture_files import pictures_in
from ..table import ROW
from .film import tool_version
from .instance_rows import rows_from_table
from .layers import LAYERS, suffix_of
from .part import Part
from .sequence import MILLIMETRE, camera_json, intrinsics_from_json

FOLDERS = {"color": "rgb", "depth_m": "depth", "ids": "mask"}
STAMP_DIGITS = 16


class Images:
    """Reads as Sequence does; layers: of color, depth_m and ids. fps: where names tell no stamp."""

    def __init__(self, folder: str | Path, fps: float = 30.0):
        self.folder = Path(folder)
        self._files = {"color": pictures_in(self.folder / "rgb") or pictures_in(self.folder)}
        if not self._files["color"]:
            raise FileNotFoundError(f"{folder} is no folder of pictures: it holds none, and none in rgb/")
        stems = [path.stem for path in self._files["color"]]
        for layer in ("depth_m", "ids"):
            named = {path.stem: path for path in pictures_in(self.folder / FOLDERS[layer])}
            if missing := [stem for stem in stems if stem not in named]:
                if named:
                    raise FileNotFoundError(
                        f"{self.folder / FOLDERS[layer]} lacks {len(missing)} pictures: {missing[0]}"
                    )
                continue
            self._files[layer] = [named[stem] for stem in stems]
        stamped = all(stem.isdigit() and len(stem) >= STAMP_DIGITS for stem in stems)
        self._stamps = [int(stem) if stamped else round(n * 1e9 / fps) for n, stem in enumerate(stems)]
        self.layers = tuple(self._files)
        self.camera, self.intrinsics = self._camera()
        self.about = {
            "name": self.folder.name,
            "activity": None,
            "source": "imported",
            "split": None,
            "fps": round(1e9 * (len(self) - 1) / (self._stamps[-1] - self._stamps[0]), 3) if len(self) > 1 else fps,
            "frames": len(self),
            "camera_model": None,
            "tool_version": tool_version(),
        }

    def __len__(self) -> int:
        return len(self._stamps)

    def read(self, index: int, layers: Iterable[str]) -> dict:
        """As Sequence.read()."""
        frame = self.coded(index, layers)
        codes = {name: frame[name] for name in layers if isinstance(frame[name], bytes)}
        return frame | {name: LAYERS[name].decode(code, self.camera["depth_unit_m"]) for name, code in codes.items()}

    def coded(self, index: int, layers: Iterable[str]) -> dict:
        """As Sequence.coded(); colour in other formats is an array."""
        frame = {"index": index, "stamp_ns": self._stamps[index], "world_from_camera": None, "instances": []}
        for name in layers:
            path = self._files[name][index]
            frame[name] = path.read_bytes()
            if name == "color" and suffix_of(frame[name]) not in LAYERS["color"].suffixes:
                frame[name] = _color(path)
        if "ids" in self._files:
            ids = LAYERS["ids"].decode(self._files["ids"][index].read_bytes(), MILLIMETRE)
            frame["instances"] = rows_from_table(ids, np.zeros(0, ROW))
        return frame

    def close(self) -> None:
        """Nothing is held open."""

    def _camera(self) -> tuple[dict, Intrinsics]:
        path, (height, width) = self.folder / "camera.json", _color(self._files["color"][0]).shape[:2]
        if path.is_file():
            try:
                camera = json.loads(path.read_text())
                camera["depth_unit_m"], camera["depth_source"]
                lens = intrinsics_from_json(camera)
                lens.check((height, width))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path} lacks, misspells or contradicts {error}") from error
            return camera, lens
        lens = Intrinsics.from_fov(width, height, config.BY_NAME["assumed_fov_deg"].default, assumed=True)
        depth = "depth/" if "depth_m" in self._files else "none"
        return camera_json(lens, MILLIMETRE, depth, assumed=True), lens


def holds_pictures(path: Path) -> bool:
    """Whether Images would find some there."""
    return bool(pictures_in(path / "rgb") or pictures_in(path))


def _color(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path} cannot be decoded")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


class ImagesWriter(Part):
    """Writes such a folder, names are stamps; complete or absent, continued as SequenceWriter continues."""

    def __init__(self, folder: Path, about: Mapping, camera: Mapping):
        super().__init__(folder, "camera.json")
        self._unit_m = camera["depth_unit_m"]
        (self.part / "camera.json").write_text(json.dumps(camera, indent=1) + "\n")
        # the colour comes last
        self.done = len(pictures_in(self.part / "rgb"))

    def add(self, frame: Mapping) -> None:
        """The next frame, as coded() gives it."""
        for name in reversed(FOLDERS):
            if name in frame:
                code = frame[name]
                if not isinstance(code, bytes):
                    code = LAYERS[name].encode(code, self._unit_m)
                path = self.part / FOLDERS[name] / f"{frame['stamp_ns']:0{STAMP_DIGITS}d}{suffix_of(code)}"
                path.parent.mkdir(exist_ok=True)
                path.with_suffix(".part").write_bytes(code)
                path.with_suffix(".part").rename(path)
        self.done += 1
