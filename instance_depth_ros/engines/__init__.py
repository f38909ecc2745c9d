"""Ways to run a FrameGraph other than eager torch, each a module with the same functions.

problem(device): '' where it can run, else why not and the way out. against(device): why it runs only where it is asked
for by name, '' where `auto` may take it. build(graph, inputs, folder): writes its files.
load(folder, device): what they are as a function of tensors, FrameGraph.forward(). PRECISION: the one it has; '':
that of the graph's weights.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

NAMES = ("onnx", "compiled", "tensorrt")  # what is built soonest comes first


def backend(name: str) -> ModuleType:
    return import_module(f"{__name__}.{name}")
