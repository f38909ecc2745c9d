"""The sizes of the network, as data. A checkpoint of ours carries its own as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class ModelConfig:
    """What is needed to build a DepthNetwork.

    encoder 'vit': DINOv2 ViT/14 (dims = (width,), depths = (blocks,)). 'conv': residual stages at strides 4, 8, 16,
    32, which also see each pixel's ray. taps: the blocks of a ViT that are read. canonical_focal_px: the focal length
    the output is metric for; None: the output is taken as it is. short_side: the size of input it was trained for.

    ranges: '' without holistic initialisation, else how range_count ranges divide range_limits_m: 'uniform' or 'log';
    range_halving: a level of the cascade may correct half as much as the one before. correction: the error of a level
    in widths of a range, 'relative' 2 R - 1 as eq. 9 has it, or 'literal' 2 (R - 1) as eq. 3 is printed: never farther.
    queries: 0 without instances, else how many are looked for; query_dim, query_layers: of their decoder.
    refined: at most so many instances are refined, the surest; candidate_score, candidate_mask: if they are surer than
    this of their class and mask. pair_overlap: of the boxes of a pair, relative to the smaller box or (pair_by 'union')
    as IoU. feet: the refinement is told the depth below both instances and where their boxes lie.
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
    ranges: str = ""
    range_count: int = 0
    range_limits_m: tuple[float, float] = (0.0, 0.0)
    range_halving: bool = False
    queries: int = 0
    query_dim: int = 0
    query_layers: int = 0
    refined: int = 16
    candidate_score: float = 0.9
    candidate_mask: float = 0.8
    pair_overlap: float = 0.1
    pair_by: str = "smaller"
    feet: bool = False
    correction: str = "relative"

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


# InstanceDepth on DINOv2, with the paper's numbers: ranges 2 m wide up to 10 m.
_PAPER = {"canonical_focal_px": 518.0, "ranges": "uniform", "range_count": 5, "range_limits_m": (0.01, 10.0),
          "queries": 50, "query_dim": 256, "query_layers": 6}

PRESETS = {
    preset.name: preset
    for preset in (
        ModelConfig("tiny", "conv", (32, 64, 128, 256), (2, 3, 4, 2), 4, (), 32, (32, 64, 128, 256),
                    short_side=256, multiple=32, canonical_focal_px=256.0,
                    ranges="log", range_count=16, range_limits_m=(0.3, 80.0), range_halving=True,
                    queries=40, query_dim=96, query_layers=3, candidate_score=0.5, candidate_mask=0.7, feet=True),
        ModelConfig("small", "vit", (384,), (12,), 6, (2, 5, 8, 11), 64, (48, 96, 192, 384)),
        ModelConfig("base", "vit", (768,), (12,), 12, (2, 5, 8, 11), 128, (96, 192, 384, 768)),
        ModelConfig("large", "vit", (1024,), (24,), 16, (4, 11, 17, 23), 256, (256, 512, 1024, 1024)),
    )
}
PRESETS |= {
    f"instance_{size}": replace(PRESETS[size], name=f"instance_{size}", **_PAPER) for size in ("small", "base", "large")
}
