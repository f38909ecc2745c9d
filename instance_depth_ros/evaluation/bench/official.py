"""`bench --against DIR`: the official streaming code from a checkout of it, unchanged, frame by frame beside ours.

Both have the same weights, made up; the same pictures, size, threads and run. In fp32 their outputs must agree.
"""

from __future__ import annotations

import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from ...estimator import Estimator
from ...frame import Frame
from .network import STREAMS, all_cores, devices
from .timing import FRAME_NS, RUNS, SLOW_MS, SLOW_RUNS, WARM_UP, Job, no_row, probe_clip, ran, ready, row

MODULE = "video_depth_anything.video_depth_stream"
REPOSITORY = "https://github.com/DepthAnything/Video-Depth-Anything"
SMALL = {"encoder": "vits", "features": 64, "out_channels": [48, 96, 192, 384]}
LIMIT = 1e-3  # of the largest depth
# Where it is compared: network's size and device; the official code uses its fp16 autocast on CUDA only.
COMPARED = {"cpu": "252x448", "cuda": "518x518"}


def jobs(settings: dict, checkout: str) -> Iterator[Job]:
    """checkout: a folder with the official repository, '' for none: then the official rows have no figures."""
    for device in devices(settings):
        end = f"{COMPARED[device]}{'_cuda' * (device == 'cuda')}"
        official = f"official_small_{end}"
        if not checkout:
            yield Job((official,), partial(_without, official))
            continue
        ours = {f"stream_small_{end}_{precision}": precision for precision in ("fp32", "auto")}
        yield Job((official, *ours), partial(compared, settings | {"device": device}, Path(checkout), official, ours))


def _without(name: str) -> Iterator[dict]:
    yield no_row(name, f"no --against DIR with a checkout of {REPOSITORY}")


def compared(settings: dict, checkout: Path, name: str, ours: dict[str, str]) -> Iterator[dict]:
    """Rows of the official code and of ours at each precision; ratio: how many times as long the official code takes.

    RuntimeError where outputs in fp32 differ by more than LIMIT.
    """
    device = settings["device"]
    height, width, short_side = STREAMS[COMPARED[device]]
    plain = device == "cpu"
    with checked_out(checkout) as streaming, tempfile.TemporaryDirectory() as folder:
        official = streaming.VideoDepthAnything(**SMALL)
        weights = {key: fill(key, tensor) for key, tensor in official.state_dict().items()}
        official.load_state_dict(weights)
        torch.save(weights, path := Path(folder) / "video_depth_anything_vits.pth")
        official = official.to(device).eval()
        given = settings | {"weights": str(path), "weights_kind": "relative", "network_short_side": short_side}
        given |= {"instances": "none", "memory": "vda", "cut_threshold": 1.0, "threads": all_cores(settings)}
        runs = {name: partial(_official, official, short_side, device, plain)}
        for row_name, precision in ours.items():
            engine = "auto" if precision == "auto" else "eager"
            runs[row_name] = Ours(ready(given | {"precision": precision, "engine": engine}, (height, width)))
        times, errors = _interleaved(runs, probe_clip(height, width), name)
        if plain and (error := errors[f"stream_small_{COMPARED[device]}_fp32"]) > LIMIT:
            raise RuntimeError(f"in fp32 the official output and ours differ by {error:.2g} of it, limit {LIMIT}")
        yield row(name, times[name], 1.0)
        for row_name in ours:
            more = ran(runs[row_name].estimator) | {"relative_error": errors[row_name]}
            yield row(row_name, times[row_name], np.median(times[name]) / np.median(times[row_name]), **more)


@contextmanager
def checked_out(checkout: Path):
    """The module with the official streaming code; forgotten afterwards, as it has modules named `utils`."""
    file = checkout / f"{MODULE.replace('.', '/')}.py"
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there; --against takes a checkout of {REPOSITORY}")
    before, path = set(sys.modules), str(checkout.resolve())
    sys.path.insert(0, path)
    try:
        yield _imported()
    finally:
        sys.path.remove(path)
        for name in set(sys.modules) - before:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(path):
                del sys.modules[name]


def _imported():
    try:
        return import_module(MODULE)
    except ModuleNotFoundError as error:
        raise RuntimeError(f"the official code needs {error.name}: pip install {error.name}") from error


def fill(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Weights by name and shape alone: as large as trained ones, depth positive; computed tables stay."""
    if name.endswith("pos_encoder.pe"):
        return tensor
    if name.endswith("output_conv2.2.bias"):
        return torch.full_like(tensor, 12.0)
    noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if tensor.ndim > 1 and "token" not in name and "pos_embed" not in name:
        return noise / tensor[0].numel() ** 0.5
    return 1 + 0.1 * noise if name.endswith(("gamma", "weight")) else 0.02 * noise


class Ours:
    """One stream through the estimator; called with a picture it gives (H, W) disparity."""

    def __init__(self, estimator: Estimator):
        self.estimator, self._state, self._stamp_ns = estimator, None, 0

    def __call__(self, color: np.ndarray) -> np.ndarray:
        self._stamp_ns += FRAME_NS
        estimate, self._state = self.estimator.step(Frame(color, self._stamp_ns), self._state)
        return estimate.disparity


def _official(model, short_side: int, device: str, fp32: bool, color: np.ndarray) -> np.ndarray:
    return model.infer_video_depth_one(color, input_size=short_side, device=device, fp32=fp32)


def _interleaved(runs: dict, clip: list[np.ndarray], reference: str) -> tuple[dict, dict[str, float]]:
    """Milliseconds of each frame after warming up, by name, and the largest difference from the reference."""
    times, errors, index, left = {name: [] for name in runs}, dict.fromkeys(runs, 0.0), 0, WARM_UP + RUNS
    while index < left:
        said = {}
        for name, run in runs.items():
            start = time.perf_counter()
            said[name] = run(clip[index % len(clip)])
            times[name].append((time.perf_counter() - start) * 1e3)
        if index == 1 and times[reference][1] > SLOW_MS:
            left = WARM_UP + SLOW_RUNS
        most = np.abs(said[reference]).max()
        for name, output in said.items():
            errors[name] = max(errors[name], float(np.abs(output - said[reference]).max() / most))
        index += 1
    return {name: of_name[WARM_UP:] for name, of_name in times.items()}, errors
