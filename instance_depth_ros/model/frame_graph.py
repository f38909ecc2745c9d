"""The network of one frame as a function of tensors alone: what is exported and compiled."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .memory import Memory
from .network import DepthNetwork, Prediction
from .temporal import Streaming


class FrameGraph(nn.Module):
    """One frame in the middle of a stream. The memory's arrays and slots are inputs, what it will remember an output.

    forward(image, lens, keys, values, slots) -> Prediction, new keys, new values; shapes as in Memory, slots (31,).
    """

    def __init__(self, network: DepthNetwork):
        super().__init__()
        self.network = network

    def forward(
        self, image: Tensor, lens: Tensor | None, keys: list[Tensor], values: list[Tensor], slots: Tensor
    ) -> tuple[Prediction, list[Tensor], list[Tensor]]:
        context = Streaming(Memory(keys, values, frames=1), slots)
        return self.network.predict(image, lens, context), context.new_keys, context.new_values

    def example(self, height: int, width: int) -> tuple:
        """Inputs for a picture of that size, in the device and precision of the weights."""
        like = next(self.network.parameters())
        image = torch.zeros(1, 3, height, width, device=like.device, dtype=like.dtype)
        lens = torch.zeros_like(image, dtype=torch.float32) if self.network.config.ours else None
        memory = Memory()
        with torch.no_grad():
            self.network(image, lens, memory, instances=False)
        return image, lens, memory.keys, memory.values, memory.slots(like.device)
