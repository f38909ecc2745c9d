"""torch's own compiler, ahead of time (AOTInductor): a shared library with the weights frozen into it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..model.frame_graph import FrameGraph
from .cuda_graph import Replayed

PRECISION = ""
FILE = "graph.pt2"
FIRST = (2, 6)


def problem(device: torch.device) -> str:
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < FIRST:
        return f"needs torch 2.6 or later, this is {torch.__version__}; pip install 'torch>=2.6'"
    return ""


def against(device: torch.device) -> str:
    # on CUDA only until the kernels are on their way
    return "holds the interpreter all along a frame, in which a node receives nothing" if device.type == "cpu" else ""


def build(graph: FrameGraph, inputs: tuple[Tensor, ...], folder: Path) -> None:
    """Needs a C++ compiler; takes minutes."""
    program = torch.export.export(graph, inputs, strict=False)
    # frozen, weights are laid out for the processor once and not at each frame
    options = {"freezing": True}
    torch._inductor.aoti_compile_and_package(program, package_path=str(folder / FILE), inductor_configs=options)


def load(folder: Path, device: torch.device) -> Callable[..., tuple[Tensor, ...]]:
    """On CUDA recorded into a CUDA graph, where this torch's runner lets itself be recorded."""
    path, loader = str(folder / FILE), torch._inductor.aoti_load_package
    if device.type != "cuda":
        return loader(path)
    # a runner for many threads asks for events of the device, which recording forbids
    wanted = {"run_single_threaded": True, "device_index": device.index or 0}
    known = {name: value for name, value in wanted.items() if name in inspect.signature(loader).parameters}
    run = loader(path, **known)
    return Replayed(run) if "run_single_threaded" in known else run
