"""`instance-depth video`: depth of a video or a folder of pictures, without ROS."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from . import config
from .cameras import Camera, open_camera
from .cameras.folder import DEFAULT_FPS
from .cameras.video import open_video
from .demo.pictures import contact_sheet, depth_video
from .drawing import SAY_EVERY_S
from .estimator import Estimator
from .frame import Frame
from .geometry import millimetres_from_depth
from .model.offline import WINDOW, offline
from .model.preprocess import network_size, prepare
from .model.temporal import Clip
from .record import Record, Sample


def main(args: Namespace) -> int:
    """args: file, out, offline, settings. Exit status.

    Metric weights give depth/000000.png (16-bit millimetres, 0 invalid or beyond 65.5 m), depth.mp4 and
    contact_sheet.png; relative ones, and --offline, give disparity.npz or depth.npz of all frames.
    """
    kind = "folder" if Path(args.file).is_dir() else "file"
    settings = config.make("depth", camera=kind, camera_path=args.file, rate="max", **args.settings)
    out = Path(args.out)
    # The camera first: a wrong path is noticed at once, and weights take a while.
    with open_camera(settings) as camera:
        estimator = Estimator(settings)
        out.mkdir(parents=True, exist_ok=True)
        frames = read(camera, frames_per_second(settings))
        if args.offline:
            depth, metric = whole(estimator, frames), not estimator.relative
            save_arrays(depth, metric, out)
        elif estimator.relative:
            save_arrays([estimate.disparity for _, estimate in stream(estimator, frames)], False, out)
        else:
            save_pictures(estimator, frames, out)
    return 0


def frames_per_second(settings: SimpleNamespace) -> float:
    """The setting, or the recording's own."""
    if settings.fps or settings.camera == "folder":
        return settings.fps or DEFAULT_FPS
    with open_video(settings.camera_path) as container:
        return float(container.streams.video[0].average_rate or DEFAULT_FPS)


def read(camera: Camera, fps: float) -> Iterator[Frame]:
    """All frames, stamped by their place in the video: however long an estimate takes, it is one stream."""
    started = said = time.monotonic()
    index = 0
    while (frame := camera.read()) is not None:
        yield replace(frame, stamp_ns=round(index * 1e9 / fps))
        index += 1
        if (now := time.monotonic()) - said > SAY_EVERY_S:
            said = now
            print(f"{index} frames, {index / (now - started):.1f} frames/s", flush=True)
    print(f"{index} frames", flush=True)


def stream(estimator: Estimator, frames: Iterable[Frame]) -> Iterator[tuple]:
    """Each frame with its Estimate, as the node would give it."""
    state = None
    for frame in frames:
        estimate, state = estimator.step(frame, state)
        yield frame, estimate


def save_pictures(estimator: Estimator, frames: Iterable[Frame], out: Path) -> None:
    """Depth as PNGs, and what there is to look at."""
    (out / "depth").mkdir(exist_ok=True)
    record = Record()
    for index, (frame, estimate) in enumerate(stream(estimator, frames)):
        cv2.imwrite(str(out / "depth" / f"{index:06d}.png"), millimetres_from_depth(estimate.depth_m))
        seen = (frame.color, estimate.depth_m, estimate.confidence, estimate.ids, estimate.instances)
        record.add(Sample(frame.stamp_ns, *seen))
        record.intrinsics = estimate.intrinsics
    depth_video(record, out / "depth.mp4")
    contact_sheet(record, out / "contact_sheet.png", Path(estimator.settings.camera_path).name)
    print(f"written: {out}/depth/, depth.mp4, contact_sheet.png")


def whole(estimator: Estimator, frames: Iterable[Frame]) -> np.ndarray:
    """(T, H, W) float32 of official weights, by the offline rule: each window of 32 frames sees all of itself.

    ValueError for weights of ours, which learned to look back only.
    """
    engine, short_side = estimator.engine, estimator.settings.network_short_side
    if engine.config.ours:
        raise ValueError(f"--offline is for official weights; '{estimator.settings.weights}' streams, leave it out")
    colors = [frame.color for frame in frames]
    size = network_size(*colors[0].shape[:2], engine.config, short_side)

    @torch.inference_mode()
    def predict(window: list[int]) -> np.ndarray:
        images = torch.cat([prepare(colors[index], size, engine.config) for index in window])[None]
        depth = engine.network.clip(images.to(engine.device, engine.dtype), None, Clip.window(WINDOW)).depth
        full = F.interpolate(depth.float(), colors[0].shape[:2], mode="bilinear", align_corners=True)
        return F.relu(full[0]).cpu().numpy()

    return offline(len(colors), predict, metric=not estimator.relative)


def save_arrays(arrays: Iterable[np.ndarray], metric: bool, out: Path) -> None:
    """depth.npz (metres) or disparity.npz, (T, H, W) float16 under that name."""
    name = "depth_m" if metric else "disparity"
    path = out / ("depth.npz" if metric else "disparity.npz")
    np.savez_compressed(path, **{name: np.stack([array.astype(np.float16) for array in arrays])})
    print(f"written: {path}")
