"""The sizes of the network, as data. A checkpoint of ours carries its own as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ModelConfig:
    """What is needed to build a DepthNetwork.

    encoder 'vit': DINOv2 ViT/14 (dims = (width,), depths = (blocks,)). 'conv': residual stages at strides 4, 8, 16,
    32, which also see each pixel's ray. taps: the blocks of a ViT that are read. canonical_focal_px: the focal length
    the output is metric for; None: the output is taken as it is. short_side: the size of input it was trained for.
    """

    name: str
    encoder: str
    dims: tuple[int, ...]
    depths: tuple[int, ...]
    heads: int
    taps: tuple[int, ...]
    features: int
    out_channels: tuple[int, int, int, int]
    short_side: int = 518
    multiple: int = 14
    canonical_focal_px: float | None = None

    @property
    def ours(self) -> bool:
        """Trained by this package: log depth for a canonical lens, with confidence."""
        return self.canonical_focal_px is not None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in json.loads(text).items()}
        return cls(**fields)


PRESETS = {
    preset.name: preset
    for preset in (
        ModelConfig("tiny", "conv", (32, 64, 128, 256), (2, 3, 4, 2), 4, (), 32, (32, 64, 128, 256),
                    short_side=256, multiple=32, canonical_focal_px=256.0),
        ModelConfig("small", "vit", (384,), (12,), 6, (2, 5, 8, 11), 64, (48, 96, 192, 384)),
        ModelConfig("base", "vit", (768,), (12,), 12, (2, 5, 8, 11), 128, (96, 192, 384, 768)),
        ModelConfig("large", "vit", (1024,), (24,), 16, (4, 11, 17, 23), 256, (256, 512, 1024, 1024)),
    )
}
