"""What a training run is: its phases, which parts of the network each trains and at what rate, and all its weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import torch
import yaml
from torch import nn

from ..model.presets import PRESETS, ModelConfig
from .matching import Costs, LayerScale

PARTS = ("encoder", "depth", "instances", "occlusion")
ATTRIBUTES = ("pretrained", "head", "ranges", "instances", "occlusion")  # of the network, by which weights are named


@dataclass(frozen=True)
class Phase:
    """A stretch of training. size (height, width) and zoom (least, most) of the crops.

    rates: peak learning rate of each part of the network; a part without one, or with 0, is frozen: no gradients, no
    new statistics in its norms, no backward pass through it. strides: (least, most) steps between frames of a clip.
    views 2: every clip is seen through two lenses, which must agree. frozen_norm: batch norms keep their statistics.
    distilled: so many unlabelled pictures a step are learned from the teacher.
    """

    name: str
    steps: int
    batch: int
    frames: int
    size: tuple[int, int]
    zoom: tuple[float, float]
    rates: dict[str, float]
    strides: tuple[int, int] = (1, 1)
    frozen_norm: bool = False
    views: int = 1
    distilled: int = 0

    def __post_init__(self):
        for part, rate in self.rates.items():
            if part not in PARTS or rate < 0:
                raise ValueError(f"rates: of {', '.join(PARTS)}, 0 or more; phase '{self.name}' has {part}: {rate}")
        if self.distilled and not self.trains("depth"):
            raise ValueError(f"phase '{self.name}' is distilled, so it must train depth")
        if not any(self.rates.values()):
            raise ValueError(f"phase '{self.name}' trains nothing: give one of {', '.join(PARTS)} a rate above 0")

    def share(self, processes: int) -> int:
        """How much of each batch one of so many processes takes; ValueError where batch and views do not divide."""
        unit = processes * self.views
        if self.batch % unit:
            raise ValueError(
                f"phase '{self.name}': a batch of {self.batch} does not divide by {processes} processes x "
                f"{self.views} views; make it {-(-self.batch // unit) * unit}, or take another number of processes"
            )
        return self.batch // processes

    def trains(self, part: str) -> bool:
        return self.rates.get(part, 0) > 0

    @property
    def with_instances(self) -> bool:
        """Whether the instance decoder runs at all."""
        return self.trains("instances") or self.trains("occlusion")


@dataclass(frozen=True)
class Weights:
    """Of the terms of the loss. object and distance: lambda 1 and 2 of eq. 12."""

    silog: float = 1.0
    absolute: float = 10.0
    gradient: float = 5.0
    foreground: float = 3.0
    temporal: float = 10.0
    confidence: float = 0.5
    lens: float = 5.0
    ranges: float = 0.5
    label: float = 2.0
    mask: float = 5.0
    dice: float = 5.0
    layer: float = 1.0
    spread: float = 0.1
    heat: float = 0.5
    embedding: float = 0.5
    object: float = 1.0
    distance: float = 0.1
    distilled: float = 0.5


@dataclass(frozen=True)
class TrainConfig:
    """What config/train/*.yaml holds. data: a folder of sequences, or live:sim-train; validation: a folder.

    Of a folder with a split.json data is its train, validation its val: the same folder may be both.

    model: a size of model/presets.py; network: what differs from it. start: weights to begin with, a shipped name, a
    .safetensors or .pth file, or a run's last.pt; anew: attributes of the network that are not taken from it.
    precision: bf16 (mixed) or fp32. costs: of eq. 5 to 7, on `points` pixels. layer_scale: how depth layers differ,
    'log' or, as the paper, 'metres' in parts of max_depth_m. Instances of fewer pixels than least_pixels at the
    output's size are ignored. teacher: weights that label the pictures and videos in the folder `unlabelled`.
    """

    name: str
    model: str
    data: str
    validation: str
    seed: int
    phases: tuple[Phase, ...]
    network: dict = field(default_factory=dict)
    start: str = ""
    anew: tuple[str, ...] = ()
    precision: str = "bf16"
    workers: int = 1
    weight_decay: float = 0.02
    average: float = 0.998
    warm_up: int = 200
    save_every: int = 200
    validate_every: int = 1000
    max_depth_m: float = 80.0
    points: int = 12544
    least_pixels: int = 8
    layer_scale: str = "log"
    costs: Costs = Costs()
    weights: Weights = Weights()
    teacher: str = ""
    unlabelled: str = ""

    def __post_init__(self):
        for name, allowed in (("layer_scale", ("log", "metres")), ("precision", ("bf16", "fp32"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be {' or '.join(allowed)}, got '{getattr(self, name)}'")
        if any(phase.distilled for phase in self.phases) and not (self.teacher and self.unlabelled):
            raise ValueError("a phase that is distilled needs teacher: WEIGHTS and unlabelled: DIR")
        if not set(self.anew) <= set(ATTRIBUTES):
            raise ValueError(f"anew: a list of {', '.join(ATTRIBUTES)}, got {self.anew!r}")
        for phase in self.phases:
            if phase.with_instances and not self.model_config.queries:
                raise ValueError(
                    f"phase '{phase.name}' has rates for instances or occlusion, but the network has queries: 0; "
                    "leave these rates out, or give it queries"
                )

    @classmethod
    def read(cls, path: Path) -> TrainConfig:
        return cls.of(yaml.safe_load(path.read_text()), str(path))

    @classmethod
    def of(cls, settings: dict, origin: str) -> TrainConfig:
        """From what a YAML file holds; ValueError names the file and the word."""
        try:
            settings = {key: _tuple(value) for key, value in settings.items()}
            phases = tuple(Phase(**{k: _tuple(v) for k, v in phase.items()}) for phase in settings.pop("phases"))
            costs, weights = Costs(**settings.pop("costs", {})), Weights(**settings.pop("weights", {}))
            return cls(phases=phases, costs=costs, weights=weights, **settings)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise ValueError(f"{origin}: {error}") from error

    @property
    def model_config(self) -> ModelConfig:
        if self.model not in PRESETS:
            raise ValueError(f"model must be one of {', '.join(PRESETS)}, got '{self.model}'")
        unknown = set(self.network) - {one.name for one in fields(ModelConfig)}
        if unknown:
            raise ValueError(f"network: a model has no {', '.join(sorted(unknown))}")
        return replace(PRESETS[self.model], **{key: _tuple(value) for key, value in self.network.items()})

    @property
    def scale(self) -> LayerScale:
        return LayerScale(self.layer_scale, self.max_depth_m)


def trained_steps(phases: Iterable[Phase], part: str, step: int) -> int:
    """In how many of the first `step` steps of a run a part was trained."""
    trained = 0
    for phase in phases:
        trained += min(phase.steps, max(step, 0)) if phase.trains(part) else 0
        step -= phase.steps
    return trained


def _tuple(value):
    return tuple(value) if isinstance(value, list) else value


def parts_of(network: nn.Module) -> dict[str, list[nn.Module]]:
    """The modules of each part; every parameter belongs to exactly one."""
    parts = {part: list(nn.ModuleList(_listed(modules))) for part, modules in network.parts().items()}
    owned = [id(p) for modules in parts.values() for module in modules for p in module.parameters()]
    if sorted(owned) != sorted(id(p) for p in network.parameters()):
        raise ValueError("network.parts() must name every parameter once")
    return parts


def keys_of(network: nn.Module, modules: list[nn.Module]) -> list[str]:
    """The names of these modules' tensors in the network's state_dict."""
    names = {id(module): name for name, module in network.named_modules()}
    return [f"{names[id(module)]}.{key}" for module in modules for key in module.state_dict()]


def _listed(modules: nn.Module | Iterable[nn.Module]) -> list[nn.Module]:
    return [modules] if isinstance(modules, nn.Module) and not isinstance(modules, nn.ModuleList) else list(modules)


@contextmanager
def only(phase: Phase, network: nn.Module) -> Iterator[None]:
    """Within, the network is in training mode, and what the phase freezes is frozen."""
    network.train()
    hooks, before = [], []

    def enter(*_):
        before.append(torch.is_grad_enabled())
        torch.set_grad_enabled(False)

    def leave(*_):
        torch.set_grad_enabled(before.pop())

    for part, modules in parts_of(network).items():
        for module in modules:
            module.requires_grad_(phase.trains(part))
            if phase.trains(part):
                continue
            module.eval()
            # what the refinement passes on, such as layers, still needs its gradient
            if part != "occlusion":
                hooks += module.register_forward_pre_hook(enter), module.register_forward_hook(leave, always_call=True)
    if phase.frozen_norm:
        freeze_norms(network)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def freeze_norms(network: nn.Module) -> None:
    """Neighbouring frames are too alike for batch statistics: those of the image phase stay."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
