"""NVIDIA's TensorRT through torch-tensorrt 2.5 to 2.14, ahead of time: fp16, with norms and softmax in fp32."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ..model.frame_graph import LAYERS, FrameGraph

PRECISION = "fp16"
FILE = "graph.pt2"
INSTALL = "pip install torch-tensorrt, of the same minor version as torch"
# What half precision is too coarse for; names before and after torch's decompositions.
FP32_OPS = {
    f"torch.ops.aten.{name}"
    for name in (
        "layer_norm.default", "native_layer_norm.default", "group_norm.default", "native_group_norm.default",
        "softmax.int", "_softmax.default", "exp.default", "log.default", "grid_sampler.default",
        "grid_sampler_2d.default",
    )
}  # fmt: skip


class HalfMemory(nn.Module):
    """A graph in fp32 whose past and new keys and values are fp16: half of what is read at each frame."""

    def __init__(self, graph: FrameGraph):
        super().__init__()
        self.frame = graph  # fx has a `graph` of its own

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        now, past = tensors[: -2 * LAYERS], tensors[-2 * LAYERS :]
        says = self.frame(*now, *(array.float() for array in past))
        return (*says[: -2 * LAYERS], *(array.half() for array in says[-2 * LAYERS :]))


def problem(device: torch.device) -> str:
    if device.type != "cuda":
        return f"runs on an NVIDIA GPU, and the device is {device}; take device cuda"
    try:
        import torch_tensorrt  # noqa: F401
    except Exception as error:  # without TensorRT's libraries it raises OSError and others
        return f"torch_tensorrt cannot be imported ({error}); {INSTALL}"
    return ""


def against(device: torch.device) -> str:
    return ""


def build(graph: FrameGraph, inputs: tuple[Tensor, ...], folder: Path) -> None:
    """Takes minutes."""
    import torch_tensorrt

    inputs = (*inputs[: -2 * LAYERS], *(array.half() for array in inputs[-2 * LAYERS :]))
    program = torch.export.export(HalfMemory(graph), inputs, strict=False)
    compiler = torch_tensorrt.dynamo.compile
    engine = compiler(program, inputs, device=inputs[0].device, **half_precision(compiler))
    torch_tensorrt.save(engine, str(folder / FILE), output_format="exported_program", inputs=list(inputs))


def half_precision(compiler: Callable) -> dict[str, object]:
    """How this version is asked for fp16: networks are strongly typed from 2.10 on."""
    if "enable_autocast" not in inspect.signature(compiler).parameters:
        return {"enabled_precisions": {torch.float16}}
    return {
        "enable_autocast": True,
        "autocast_low_precision_type": torch.float16,
        "autocast_excluded_ops": FP32_OPS,
    }


def load(folder: Path, device: torch.device) -> Callable[..., tuple[Tensor, ...]]:
    import torch_tensorrt  # noqa: F401  # registers what the file is made of

    return torch.export.load(folder / FILE).module()
