"""Weights from files: ours (.safetensors with its config inside) and the official Video Depth Anything ones."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from .network import DepthNetwork
from .presets import PRESETS, ModelConfig

SHIPPED = Path(__file__).parent.parent / "weights"
SCALE = "::scale"  # the name of a matrix's scales
OFFICIAL_SIZES = {"vits": "small", "vitb": "base", "vitl": "large"}


class CheckpointError(ValueError):
    """A file that is not the weights of this network; the message names the file, the first key and both shapes."""


def resolve(weights: str) -> Path:
    """The file behind a shipped name or a path."""
    shipped = SHIPPED / f"{weights}.safetensors"
    path = shipped if shipped.is_file() else Path(weights).expanduser()
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.safetensors"))) or "none"
        raise CheckpointError(f"no weights '{weights}': neither a file nor one of the shipped ones ({names})")
    return path


@lru_cache
def sha256(weights: str) -> str:
    """Of the file's bytes, to tell years later which it was; '' for random ones."""
    if weights.startswith("random:"):
        return ""
    digest = hashlib.sha256()
    with open(resolve(weights), "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load(weights: str) -> tuple[DepthNetwork, str]:
    """A network in eval mode and the kind of its output, 'metric' or 'relative'.

    weights: shipped name, a .safetensors or .pth path, or 'random:SIZE' (seeded, for tests and benchmarks).
    """
    if weights.startswith("random:"):
        return random_network(weights.removeprefix("random:")), "metric"
    path = resolve(weights)
    tensors, metadata = read(path)
    if "config" in metadata:
        config, kind = own_config(path, metadata["config"]), "metric"
    else:
        config = official_config(path, tensors)
        kind = "metric" if "metric_" in path.name else "relative"
    network = DepthNetwork(config)
    apply(network, tensors, path.name)
    return network.eval(), kind


def random_network(size: str) -> DepthNetwork:
    if size not in PRESETS:
        raise CheckpointError(f"random: takes one of {', '.join(PRESETS)}, got '{size}'")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return DepthNetwork(PRESETS[size]).eval()


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a file; never executes anything in it."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                return expanded({key: file.get_tensor(key) for key in file.keys()}), file.metadata() or {}
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on a damaged file, parsers raise whatever they stumble over
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path}: not readable as weights ({reason}); is it cut short? fetch it again") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise CheckpointError(f"{path}: holds {type(tensors).__name__}, not a dictionary of tensors by name")
    return tensors, {}


def own_config(path: Path, text: str) -> ModelConfig:
    try:
        return ModelConfig.from_json(text)
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: its config is not one of this version ({error}); export it again") from error


def official_config(path: Path, tensors: dict[str, Tensor]) -> ModelConfig:
    """The size by the width of the class token, the one tensor that no other layout shares."""
    token = tensors.get("pretrained.cls_token")
    widths = {PRESETS[size].dims[0]: PRESETS[size] for size in OFFICIAL_SIZES.values()}
    if token is None or token.ndim != 3 or token.shape[-1] not in widths:
        found = "missing" if token is None else f"of shape {tuple(token.shape)}"
        raise CheckpointError(
            f"{path}: pretrained.cls_token is {found}; expected (1, 1, C) with C one of {sorted(widths)}"
        )
    return widths[token.shape[-1]]


def is_idle(key: str) -> bool:
    """Keys of the official files that the network never reads: computed tables and a unit that is not called."""
    return (
        key == "pretrained.mask_token"
        or key.startswith("head.scratch.refinenet4.resConfUnit1.")
        or key.endswith("pos_encoder.pe")
    )


def apply(network: DepthNetwork, tensors: dict[str, Tensor], name: str) -> None:
    """Copy tensors into the network; every key must be used or idle, and none missing."""
    own = network.state_dict()
    for key, value in own.items():
        if key not in tensors:
            if is_idle(key):
                continue
            raise CheckpointError(f"{name}: {key} is missing, expected shape {tuple(value.shape)}")
        if tensors[key].shape != value.shape:
            raise CheckpointError(f"{name}: {key} has shape {tuple(tensors[key].shape)}, expected {tuple(value.shape)}")
    for key, value in tensors.items():
        if key not in own and not is_idle(key):
            shape = tuple(value.shape)
            raise CheckpointError(f"{name}: {key} of shape {shape} has no place in the '{network.config.name}' network")
    network.load_state_dict({key: value for key, value in tensors.items() if key in own}, strict=False)


def save(network: DepthNetwork, path: Path, metadata: dict[str, str], exact: bool = False) -> None:
    """Write our weights, matrices in eight bits with a scale a row, the rest in half precision; exact: as they are.

    Idle keys are left out. The config travels in the metadata.
    """
    tensors = {}
    for key, value in network.state_dict().items():
        if is_idle(key):
            continue
        if value.is_floating_point() and not exact:
            value = value.detach().float().cpu()
            if value.ndim > 1 and len(value) > 1:  # positions of a ViT would have one scale for all
                rows = value.flatten(1)
                scale = rows.abs().amax(1).clamp_min(1e-12) / 127
                tensors[key + SCALE] = scale
                value = (rows / scale[:, None]).round().to(torch.int8).view_as(value)
            else:
                value = value.to(torch.float16)
        tensors[key] = value.contiguous()
    save_file(tensors, path, {**metadata, "config": network.config.to_json()})


def expanded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file of ours with matrices as numbers again."""
    return {
        key: value.float() * tensors[key + SCALE].view(-1, *[1] * (value.ndim - 1)) if key + SCALE in tensors else value
        for key, value in tensors.items()
        if not key.endswith(SCALE)
    }
