"""torch's own compiler, ahead of time (AOTInductor): a shared library with the weights frozen into it."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path

import torch
from torch import Tensor

from ..model.frame_graph import FrameGraph

PRECISION = ""
FILE = "graph.pt2"
FIRST = (2, 6)
RUNNERS = 4


def problem(device: torch.device) -> str:
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < FIRST:
        return f"needs torch 2.6 or later, this is {torch.__version__}; pip install 'torch>=2.6'"
    return ""


def build(graph: FrameGraph, inputs: tuple[Tensor, ...], folder: Path) -> None:
    """Needs a C++ compiler; takes minutes."""
    program = torch.export.export(graph, inputs, strict=False)
    # frozen, weights are laid out for the processor once and not at each frame
    options = {"freezing": True}
    torch._inductor.aoti_compile_and_package(program, package_path=str(folder / FILE), inductor_configs=options)


def load(folder: Path, device: torch.device) -> Callable[..., tuple[Tensor, ...]]:
    from torch._inductor.package import load_package

    # several cameras may be in it side by side; earlier torch lets one wait for another
    several = {"num_runners": RUNNERS} if "num_runners" in signature(load_package).parameters else {}
    return load_package(str(folder / FILE), **several)
