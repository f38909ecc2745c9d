"""ONNX Runtime, on the processor, in fp32; its file serves other runtimes too."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from ..model.frame_graph import FrameGraph

PRECISION = "fp32"
FILE = "graph.onnx"
NEEDED = ("onnx", "onnxscript", "onnxruntime")


def problem(device: torch.device) -> str:
    if device.type != "cpu":
        return f"runs on the processor, and the device is {device}; take device cpu"
    missing = [name for name in NEEDED if find_spec(name) is None]
    return f"{', '.join(missing)} not installed; pip install {' '.join(NEEDED)}" if missing else ""


def against(device: torch.device) -> str:
    return ""


def build(graph: FrameGraph, inputs: tuple[Tensor, ...], folder: Path) -> None:
    import onnx

    path = folder / FILE
    torch.onnx.export(graph, inputs, str(path), dynamo=True, external_data=False, verbose=False)
    onnx.checker.check_model(str(path), full_check=True)


def load(folder: Path, device: torch.device) -> Callable[..., tuple[Tensor, ...]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(folder / FILE), options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        given = {name: tensor.contiguous().numpy() for name, tensor in zip(names, tensors, strict=True)}
        return tuple(torch.from_numpy(array) for array in session.run(None, given))

    return run
