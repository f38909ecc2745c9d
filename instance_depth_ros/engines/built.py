"""Engines made ahead of time: built from a network, checked against fp32, stored, loaded, called like the network."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..model.frame_graph import FrameGraph
from ..model.memory import Memory
from ..model.network import DepthNetwork, Prediction
from . import backend, store
from .probe import disagreement, hear

log = logging.getLogger(__name__)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class EngineError(ValueError):
    """An engine that cannot be had; the message says why."""


class Kind(NamedTuple):
    """What an engine is built for: the size of the network's input, and whether instances are looked for."""

    height: int
    width: int
    instances: bool


class Built:
    """An engine for one kind of frame: image, lens and a memory that has seen a frame in, as for the network."""

    def __init__(self, name: str, precision: str, run: Callable[..., tuple[Tensor, ...]], graph: FrameGraph):
        self.name, self.precision = name, precision
        self._run, self._graph = run, graph
        self._dtype = torch.float32 if backend(name).PRECISION else DTYPES[precision]

    def __call__(self, image: Tensor, lens: Tensor | None, memory: Memory) -> Prediction:
        memory.cast(DTYPES[self.precision])
        image = image.to(self._dtype).contiguous(memory_format=torch.channels_last)
        seen = self._graph.outputs(self._run(*self._graph.inputs(image, lens, memory)))
        memory.push(seen.keys, seen.values)
        return seen.prediction


def load(entry: store.Entry, network: DepthNetwork, kind: Kind, device: torch.device) -> Built:
    """EngineError when the library that runs it refuses."""
    name, precision = entry.key["engine"], entry.key["precision"]
    try:
        run = backend(name).load(entry.path, device)
    except Exception as error:  # a library's own
        raise EngineError(f"cannot be loaded: {line(error)}") from error
    return Built(name, precision, run, FrameGraph(network, kind.instances))


def build(key: dict, network: DepthNetwork, fp32: DepthNetwork, kind: Kind, device: torch.device) -> store.Entry:
    """Build what the key says, of the network (fp32 or not), and store it if it agrees with fp32 on the probe.

    EngineError says what it needs, what its compiler said, or how far off it is.
    """
    module, name = backend(key["engine"]), key["engine"]
    if problem := module.problem(device):
        raise EngineError(problem)
    graph = FrameGraph(network, kind.instances).eval()

    def make(folder):
        with torch.no_grad():
            module.build(graph, graph.example(kind.height, kind.width), folder)
        engine = load(store.Entry(folder, key, {}), network, kind, device)
        clip = network.config, kind[:2], kind.instances
        if error := disagreement(hear(eagerly(network, device, engine), *clip), hear(eagerly(fp32, device), *clip)):
            raise EngineError(error)
        return {}

    with torch.inference_mode(False):
        try:
            return store.put(key, make)
        except EngineError:
            raise
        except Exception as error:  # a compiler's own
            log.debug("%s: the compiler's trace", name, exc_info=True)
            raise EngineError(f"cannot be built: {line(error)}") from error


def eagerly(network: DepthNetwork, device: torch.device, built: Built | None = None) -> Callable[..., Prediction]:
    """The network as an Engine is called; all frames of a stream but the first through what was built."""
    dtype = next(network.parameters()).dtype

    @torch.inference_mode()
    def call(image, lens, memory, masks=None, instances=True):
        lens = None if lens is None else lens.to(device)
        if built is not None and memory.frames:
            return built(image.to(device), lens, memory)
        image = image.to(device, dtype).contiguous(memory_format=torch.channels_last)
        return network(image, lens, memory, masks, instances)

    return call


def line(error: Exception) -> str:
    """The first line of what a library said."""
    return f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"
