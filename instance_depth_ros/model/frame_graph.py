"""The network of one frame as a function of tensors alone: what is exported and compiled."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .instances import Instances
from .memory import Memory
from .network import DepthNetwork, Prediction
from .temporal import Streaming

LAYERS = 8  # of attention over time: two in each of the head's four modules
OF_INSTANCES = len(Instances._fields) - 1  # auxiliary outputs are for training


class Seen(NamedTuple):
    """A frame's prediction, without what training alone reads, and the keys and values it will be remembered by."""

    prediction: Prediction
    keys: list[Tensor]
    values: list[Tensor]


class FrameGraph(nn.Module):
    """One frame in the middle of a stream. The memory's arrays and slots are inputs, what it will remember an output.

    forward(*inputs(image, lens, memory)) is a flat tuple of tensors, as every format for export can carry it;
    outputs() gives it its names again. instances: False leaves them out.
    """

    def __init__(self, network: DepthNetwork, instances: bool = True):
        super().__init__()
        self.network = network
        self.ours = network.config.ours
        self.instances = instances and network.config.queries > 0

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        image, *rest = tensors
        lens = rest.pop(0) if self.ours else None
        slots, past = rest[0], rest[1:]
        context = Streaming(Memory(list(past[:LAYERS]), list(past[LAYERS:]), frames=1), slots)
        says = self.network.predict(image, lens, context, instances=self.instances)
        told = (says.depth, *([says.logit] if self.ours else ()))
        if self.instances:
            told += (says.holistic, *says.instances[:OF_INSTANCES])
        return (*told, *context.new_keys, *context.new_values)

    def inputs(self, image: Tensor, lens: Tensor | None, memory: Memory) -> tuple[Tensor, ...]:
        """Image and lens as DepthNetwork.forward() takes them, and a memory that has seen a frame."""
        picture = (image, lens) if self.ours else (image,)
        return (*picture, memory.slots(image.device), *memory.keys, *memory.values)

    def outputs(self, tensors: tuple[Tensor, ...]) -> Seen:
        told, keys, values = tensors[: -2 * LAYERS], tensors[-2 * LAYERS : -LAYERS], tensors[-LAYERS:]
        depth, logit = told[0], told[1] if self.ours else None
        holistic, *found = told[2:] if self.instances else (depth,)
        instances = Instances(*found) if self.instances else None
        return Seen(Prediction(depth, logit, holistic, instances), list(keys), list(values))

    def example(self, height: int, width: int) -> tuple[Tensor, ...]:
        """Inputs for a picture of that size, in the device and precision of the weights."""
        like = next(self.network.parameters())
        image = torch.zeros(1, 3, height, width, device=like.device, dtype=like.dtype)
        image = image.contiguous(memory_format=torch.channels_last)
        lens = torch.zeros(image.shape, device=like.device) if self.ours else None
        memory = Memory()
        with torch.no_grad():
            self.network(image, lens, memory, instances=False)
        return self.inputs(image, lens, memory)
