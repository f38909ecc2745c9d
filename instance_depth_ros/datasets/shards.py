"""Clips on disk for training, memory-mapped; and the fixed lists of scenes that figures are measured on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..geometry import Intrinsics
from ..shared import shared_file


class Shards:
    """The finished clips in a folder that simulation/generate.py writes; clips added later are not seen."""

    def __init__(self, folder: str | Path):
        self.folders = sorted(p for p in Path(folder).glob("[0-9]*") if p.is_dir())
        if not self.folders:
            raise FileNotFoundError(
                f"no clips in {folder}: write some: instance-depth simulate --split train --clips 6000 --out {folder}"
            )

    def __len__(self) -> int:
        return len(self.folders)

    def __getitem__(self, index: int) -> dict:
        """color (T, H, W, 3) uint8 and depth_m (T, H, W) float16, NaN invalid, both memory-mapped; stamps_s (T,),
        world_from_camera (T, 4, 4) float64, intrinsics, activity, seed, split, view."""
        folder = self.folders[index]
        clip = json.loads((folder / "clip.json").read_text())
        return clip | {
            "color": np.load(folder / "color.npy", mmap_mode="r"),
            "depth_m": np.load(folder / "depth.npy", mmap_mode="r"),
            "stamps_s": np.array(clip["stamps_s"]),
            "world_from_camera": np.array(clip["world_from_camera"]),
            "intrinsics": Intrinsics(**clip["intrinsics"] | {"distortion": tuple(clip["intrinsics"]["distortion"])}),
        }


def split_scenes(name: str) -> list[tuple[str, int]]:
    """(activity, seed) of a fixed split such as sim-val, from config/splits/NAME.txt; drawn with split='val'."""
    text = shared_file(f"config/splits/{name}.txt").read_text()
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return [(activity, int(seed)) for activity, seed in lines]
