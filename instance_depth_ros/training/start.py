"""Weights to begin training with, from any file that shares some of the network's tensors."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from ..model import checkpoint

DINO = "pretrained."


def begin(network: nn.Module, weights: str, anew: Collection[str] = ()) -> list[str]:
    """Copy what fits; returns the names of the tensors that begin anew.

    weights: a shipped name, a .safetensors or .pth file of ours, of Video Depth Anything or of DINOv2 (whose names are
    those of the encoder), or the last.pt of a run, of which the average is taken. anew: attributes of the network that
    are left as they are. A file that fits nowhere is an error.
    """
    tensors = read(weights)
    own = network.state_dict()
    if not set(tensors) & set(own):
        tensors = {DINO + key: value for key, value in tensors.items()}
    wanted = {key: value for key, value in own.items() if key.split(".")[0] not in anew}
    fitting = {key: value for key, value in tensors.items() if key in wanted and value.shape == own[key].shape}
    if not fitting:
        raise ValueError(f"start: {weights} has no tensor of the '{network.config.name}' network")
    network.load_state_dict(fitting, strict=False)
    return [key for key in own if key not in fitting and not checkpoint.is_idle(key)]


def read(weights: str) -> dict[str, Tensor]:
    path = checkpoint.resolve(weights)
    if path.suffix == ".pt":
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or "average" not in state:
            raise ValueError(f"start: {path} is not the last.pt of a run: it has no average")
        return state["average"]
    return checkpoint.read(path)[0]


def summary(names: list[str]) -> str:
    """One line that names tensors by what they begin with."""
    counts: dict[str, int] = {}
    for name in names:
        module = ".".join(name.split(".")[:2])
        counts[module] = counts.get(module, 0) + 1
    return ", ".join(f"{module} ({count})" for module, count in counts.items()) or "none"
