"""The whole network: image and lens in; depth, confidence and instances out; a frame at a time or a clip at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from .depth_head import DepthHead, Features
from .encoder import make_encoder
from .instances import InstanceDecoder, Instances, from_masks
from .memory import Memory
from .occlusion import Refinement
from .presets import ModelConfig
from .ranges import RangeDecoder
from .temporal import Clip, Streaming, Together

LOG_DEPTH_LIMIT = 9.0


class Prediction(NamedTuple):
    """What the network says of each frame. Of a clip, every field has T after B.

    depth: (B, h, w) metres, refined, with our weights; as it is with official ones. logit: (B, h, w) of the confidence,
    None with official ones. holistic: (B, h, w) depth before instances refined it. instances: None where none are
    looked for. ranges: for training, logits (B, K, h_i, w_i) of the range segmentation, coarse to fine.
    """

    depth: Tensor
    logit: Tensor | None
    holistic: Tensor
    instances: Instances | None = None
    ranges: tuple[Tensor, ...] = ()


class DepthNetwork(nn.Module):
    """Streaming video depth (Video Depth Anything) with ranges and instances (InstanceDepth); sizes in presets.py.

    Holds weights only: whatever belongs to a stream is in its Memory.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.pretrained = make_encoder(config)
        self.head = DepthHead(config)
        self.ranges = RangeDecoder(config) if config.ranges else None
        self.instances = InstanceDecoder(config) if config.queries else None
        self.occlusion = Refinement(config) if config.queries else None

    def parts(self) -> dict[str, list[nn.Module]]:
        """What the phases of training freeze and train, by name."""
        parts = {
            "encoder": [self.pretrained],
            "depth": [self.head, self.ranges],
            "instances": [self.instances],
            "occlusion": [self.occlusion],
        }
        return {name: [module for module in modules if module is not None] for name, modules in parts.items()}

    def forward(
        self,
        image: Tensor,
        lens: Tensor | None,
        memory: Memory | None,
        masks: Tensor | None = None,
        instances: bool = True,
    ) -> Prediction:
        """One frame of a stream, remembered in `memory`, which is changed; None: a picture by itself.

        image: (B, 3, H, W) normalised RGB; lens: (B, 3, H, W), None with official weights. masks: (B, N, h, w) logits
        of instances found elsewhere, which are then refined in place of our own. instances: False looks for none.
        """
        context = Streaming(memory or Memory())
        prediction = self.predict(image, lens, context, masks, instances)
        if memory is not None:
            context.remember()
        return prediction

    def together(
        self, image: Tensor, lens: Tensor | None, memories: list[Memory], instances: bool = True
    ) -> list[Prediction]:
        """A frame of each of B streams in one pass, each remembered in its own memory, which has seen a frame before.

        image, lens: as in forward(). What each stream gets is what it would get alone.
        """
        context = Together([Streaming(memory) for memory in memories])
        prediction = self.predict(image, lens, context, instances=instances)
        context.remember()
        return [_each(prediction, lambda x, b=b: x[b : b + 1]) for b in range(len(memories))]

    def predict(
        self,
        image: Tensor,
        lens: Tensor | None,
        context: Streaming | Together,
        masks: Tensor | None = None,
        instances: bool = True,
    ) -> Prediction:
        """As forward(), with the frame's own keys and values left in the context."""
        out, features = self.head(self.pretrained(image, lens), image.shape[0], context)
        return self._understand(out, features, lens, masks, instances)

    def clip(
        self,
        images: Tensor,
        lens: Tensor | None,
        context: Clip,
        masks: Tensor | None = None,
        instances: bool = True,
    ) -> Prediction:
        """A clip (B, T, 3, H, W), lens (B, T, 3, H, W) or None, masks (B, T, N, h, w) or None."""
        batch = images.shape[0]
        lens, masks = (None if x is None else x.flatten(0, 1) for x in (lens, masks))
        out, features = self.head(self.pretrained(images.flatten(0, 1), lens), batch, context)
        prediction = self._understand(out, features, lens, masks, instances)
        return _each(prediction, lambda x: x.unflatten(0, (batch, -1)))

    def _understand(
        self, out: Tensor, features: Features, lens: Tensor | None, masks: Tensor | None, instances: bool
    ) -> Prediction:
        """The head's output to metres, through the ranges, to instances, and through their refinement."""
        if not self.config.ours:
            depth = F.relu(out[:, 0])
            return Prediction(depth, None, depth)
        log_focal = lens[:, 2, 0, 0].float()
        depth_m = (out[:, 0].clamp(-LOG_DEPTH_LIMIT, LOG_DEPTH_LIMIT) + log_focal[:, None, None]).exp()
        ranges = ()
        if self.ranges is not None:
            depth_m, ranges = self.ranges(features.paths, depth_m, log_focal)
        if self.instances is None or not instances:
            return Prediction(depth_m, out[:, 1], depth_m, None, ranges)
        found = self.instances(features, depth_m.detach()) if masks is None else from_masks(masks, depth_m)
        refined_m, found = self.occlusion(features.paths, depth_m, found)
        return Prediction(refined_m, out[:, 1], depth_m, found, ranges)


def _each(x, change: Callable[[Tensor], Tensor]):
    """A prediction with everything that it holds changed; what is empty, and None, stay."""
    if isinstance(x, Tensor):
        return change(x) if x.numel() else x
    if isinstance(x, tuple):
        items = [_each(item, change) for item in x]
        return type(x)(*items) if hasattr(x, "_fields") else tuple(items)
    return x
