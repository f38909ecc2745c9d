"""`instance-depth simulate`: write clips of simulated scenes with their truth.

`--clips 6000 --out out/data/train`: many to train on; finished clips are kept, so it goes on where it was stopped.
`--activity court --seed 3 --frames 60 --out out/court --preview`: one scene.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from argparse import Namespace
from dataclasses import asdict
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ..demo.pictures import write_video
from ..evaluation.report import beside, colored_depth, depth_span
from ..geometry import Intrinsics

MIX = ("plaza", "court", "room", "plaza", "court", "plaza", "room", "court", "plaza", "room")
VIEWS, FRAMES, HEIGHT, WIDTH, BASE_S, STRIDES = 3, 8, 256, 352, 0.1, (1, 6)


def write_scene(index: int, split: str, out: Path, clips: int) -> int:
    """Write the missing clips of scene number index, one a view; returns how many were written."""
    from .scene import SPLITS, Scene

    views = [v for v in range(VIEWS) if index * VIEWS + v < clips and not (out / f"{index * VIEWS + v:06d}").exists()]
    if not views:
        return 0
    activity = MIX[index % len(MIX)]
    # pictures of real cameras have smooth edges, seen through a resize or not
    oversample = 2 if index % 3 == 0 else 1
    scene = Scene(activity, index, split, WIDTH, HEIGHT, oversample, view=views[0])
    try:
        for view in views:
            scene.look(view)
            number = index * VIEWS + view
            stride = int(np.random.default_rng((SPLITS.index(split), number)).integers(STRIDES[0], STRIDES[1] + 1))
            stamps_s = [i * stride * BASE_S for i in range(FRAMES)]
            about = {"activity": activity, "seed": index, "split": split, "view": view, "stamps_s": stamps_s}
            write_clip(out / f"{number:06d}", [scene.render(t) for t in stamps_s], scene.intrinsics, about)
    finally:
        scene.close()
    return len(views)


def write_clip(folder: Path, moments: list, intrinsics: Intrinsics, about: dict) -> None:
    """color.npy (T, H, W, 3) uint8, depth.npy (T, H, W) float16 metres, NaN invalid, and clip.json; all or nothing.

    moments: of scene.render(). about: activity, seed, split, view, stamps_s.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    np.save(part / "color.npy", np.stack([m.color for m in moments]))
    np.save(part / "depth.npy", np.stack([m.depth_m for m in moments]).astype(np.float16))
    poses = [m.world_from_camera.tolist() for m in moments]
    (part / "clip.json").write_text(json.dumps(about | {"intrinsics": asdict(intrinsics), "world_from_camera": poses}))
    part.rename(folder)


def write_one(activity: str, seed: int, split: str, frames: int, out: Path, preview: bool) -> None:
    """A clip of one scene, ten frames a second, as a folder of its seed; preview: an MP4 of it too."""
    from .scene import Scene

    folder = out / f"{seed:06d}"
    if folder.exists():
        raise FileExistsError(f"{folder} is there already; remove it or choose another --out")
    stamps_s = [i * BASE_S for i in range(frames)]
    scene = Scene(activity, seed, split, WIDTH, HEIGHT, oversample=2)
    try:
        moments = [scene.render(t, ids=preview) for t in stamps_s]
        about = {"activity": activity, "seed": seed, "split": split, "view": 0, "stamps_s": stamps_s}
        write_clip(folder, moments, scene.intrinsics, about)
    finally:
        scene.close()
    print(f"written: {folder}")
    if preview:
        path = out / f"{activity}_{seed}.mp4"
        span = depth_span(np.stack([m.depth_m for m in moments]))
        pictures = (beside(m.color, colored_depth(m.depth_m, *span), colored_ids(m.ids)) for m in moments)
        write_video(path, zip((round(t * 1e9) for t in stamps_s), pictures, strict=True), frames)
        print(f"written: {path}")


def colored_ids(ids: np.ndarray) -> np.ndarray:
    """(H, W) ids -> (H, W, 3) uint8 RGB: a hue an id, neighbouring ids far apart; background black."""
    hue = (ids.astype(int) * 67 % 180).astype(np.uint8)
    seen = np.where(ids > 0, 255, 0).astype(np.uint8)
    return cv2.cvtColor(np.stack([hue, seen, seen], -1), cv2.COLOR_HSV2RGB)


def main(args: Namespace) -> None:
    """args: split, out, and either clips, workers (0: one a core) or activity, seed, frames, preview.

    Progress goes to stdout, a line every few seconds.
    """
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    if args.activity:
        write_one(args.activity, args.seed, args.split, args.frames, out, args.preview)
    else:
        write_many(args.split, args.clips, out, args.workers)


def write_many(split: str, clips: int, out: Path, workers: int) -> None:
    """The missing ones of so many clips, in so many processes; 0: one a core."""
    # each worker draws on one core; the software renderer would otherwise take all of them
    os.environ.setdefault("LP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    work = partial(write_scene, split=split, out=out, clips=clips)
    start = said = time.monotonic()
    written = 0
    with multiprocessing.get_context("spawn").Pool(workers or os.cpu_count(), maxtasksperchild=200) as pool:
        for done, count in enumerate(pool.imap_unordered(work, range(-(-clips // VIEWS))), 1):
            written += count
            if (now := time.monotonic()) - said > 5:
                said, rate = now, written * FRAMES / (now - start)
                print(f"{done * VIEWS}/{clips} clips, {rate:.1f} frames/s", flush=True)
    print(f"{clips} clips in {out}, {written} written in {time.monotonic() - start:.0f} s", flush=True)
