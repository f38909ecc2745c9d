"""The whole network: image and lens in, depth and confidence out; a frame at a time or a clip at once."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .depth_head import DepthHead
from .encoder import make_encoder
from .memory import Memory
from .presets import ModelConfig
from .temporal import Clip, Streaming

LOG_DEPTH_LIMIT = 9.0


class DepthNetwork(nn.Module):
    """Streaming video depth (Video Depth Anything; sizes in presets.py).

    Holds weights only: whatever belongs to a stream is in its Memory.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.pretrained = make_encoder(config)
        self.head = DepthHead(config)

    def forward(self, image: Tensor, lens: Tensor | None, memory: Memory | None) -> tuple[Tensor, Tensor | None]:
        """One frame of a stream, remembered in `memory`, which is changed; None: a picture by itself.

        image: (B, 3, H, W) normalised RGB; lens: (B, 3, H, W) or None for a ViT.
        Returns depth (B, h, w), for the canonical lens where config.ours, and the confidence's logit or None.
        """
        context = Streaming(memory or Memory())
        out = self.head(self.pretrained(image, lens), image.shape[0], context)
        if memory is not None:
            memory.push(context.new_keys, context.new_values)
        return self._read(out, image.shape[-2:])

    def clip(self, images: Tensor, lens: Tensor | None, context: Clip) -> tuple[Tensor, Tensor | None]:
        """A clip (B, T, 3, H, W), lens (B, T, 3, H, W) or None -> depth (B, T, h, w) and logits or None."""
        batch, size = images.shape[0], images.shape[-2:]
        taps = self.pretrained(images.flatten(0, 1), None if lens is None else lens.flatten(0, 1))
        depth, logit = self._read(self.head(taps, batch, context), size)
        return depth.unflatten(0, (batch, -1)), None if logit is None else logit.unflatten(0, (batch, -1))

    def _read(self, out: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        if self.config.ours:
            return out[:, 0].clamp(-LOG_DEPTH_LIMIT, LOG_DEPTH_LIMIT).exp(), out[:, 1]
        return F.relu(out[:, 0]), None
