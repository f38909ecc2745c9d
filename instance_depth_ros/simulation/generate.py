"""Write training clips of simulated scenes; finished clips are kept, so it goes on where it was stopped.

`instance-depth simulate --split train --clips 6000 --out out/data/train`.
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

import numpy as np

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
            write_clip(out / f"{number:06d}", scene, about)
    finally:
        scene.close()
    return len(views)


def write_clip(folder: Path, scene, about: dict) -> None:
    """color.npy (T, H, W, 3) uint8, depth.npy (T, H, W) float16 metres, NaN invalid, and clip.json; all or nothing."""
    moments = [scene.render(t) for t in about["stamps_s"]]
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    np.save(part / "color.npy", np.stack([m.color for m in moments]))
    np.save(part / "depth.npy", np.stack([m.depth_m for m in moments]).astype(np.float16))
    about["intrinsics"] = asdict(scene.intrinsics)
    about["world_from_camera"] = [m.world_from_camera.tolist() for m in moments]
    (part / "clip.json").write_text(json.dumps(about))
    part.rename(folder)


def main(args: Namespace) -> None:
    """args: split, clips, out, workers (0: one a core). Progress goes to stdout, a line every few seconds."""
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    # each worker draws on one core; the software renderer would otherwise take all of them
    os.environ.setdefault("LP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    work = partial(write_scene, split=args.split, out=out, clips=args.clips)
    start = said = time.monotonic()
    written = 0
    with multiprocessing.get_context("spawn").Pool(args.workers or os.cpu_count(), maxtasksperchild=200) as pool:
        for done, count in enumerate(pool.imap_unordered(work, range(-(-args.clips // VIEWS))), 1):
            written += count
            if (now := time.monotonic()) - said > 5:
                said, rate = now, written * FRAMES / (now - start)
                print(f"{done * VIEWS}/{args.clips} clips, {rate:.1f} frames/s", flush=True)
    print(f"{args.clips} clips in {out}, {written} written in {time.monotonic() - start:.0f} s", flush=True)
