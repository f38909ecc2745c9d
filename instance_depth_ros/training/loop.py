"""Training: phases from a YAML file, resumed exactly after a kill, weights written at the end.

`instance-depth train --config config/train/tiny.yaml`. Each phase: steps, batch, frames, size, zoom, rate.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import yaml
from torch import Tensor
from torch.utils.data import DataLoader

from ..datasets.clips import Live, Written, open_clips
from ..model import checkpoint
from ..model.network import DepthNetwork
from ..model.preprocess import normalise
from ..model.presets import PRESETS
from ..model.temporal import Clip
from ..provenance import commit
from . import losses
from .data import LAYERS, MAX_DEPTH_M, Batches

CPU = torch.device("cpu")
NOWHERE_M = 1e6


@dataclass(frozen=True)
class Phase:
    """A stretch of training. size (height, width) and zoom (least, most) of the crops; rate: peak learning rate.

    views 2: every clip is seen through two lenses, which must agree.
    """

    name: str
    steps: int
    batch: int
    frames: int
    size: tuple[int, int]
    zoom: tuple[float, float]
    rate: float
    frozen_norm: bool = False
    views: int = 1


@dataclass(frozen=True)
class TrainConfig:
    """What config/train/*.yaml holds. data: a folder of sequences, or live:sim-train; validation: a folder."""

    name: str
    model: str
    data: str
    validation: str
    seed: int
    phases: tuple[Phase, ...]
    workers: int = 1
    weight_decay: float = 0.02
    average: float = 0.998
    warm_up: int = 200
    save_every: int = 200
    validate_every: int = 1000
    weight_absolute: float = 10.0
    weight_gradient: float = 5.0
    weight_temporal: float = 10.0
    weight_confidence: float = 0.5
    weight_lens: float = 5.0

    @classmethod
    def read(cls, path: Path) -> TrainConfig:
        fields = yaml.safe_load(path.read_text())
        try:
            phases = tuple(
                Phase(**{k: tuple(v) if isinstance(v, list) else v for k, v in p.items()}) for p in fields.pop("phases")
            )
            return cls(phases=phases, **fields)
        except (TypeError, KeyError) as error:
            raise ValueError(f"{path}: {error}") from error


class Trainer:
    """One run in out/train/NAME: last.pt to resume from, log.jsonl with the curve, NAME.safetensors at the end."""

    def __init__(self, config: TrainConfig, folder: Path, resume: bool):
        self.config, self.folder = config, folder
        self.rank, self.processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        self.device = torch.device("cuda", self.rank % torch.cuda.device_count()) if torch.cuda.is_available() else CPU
        torch.manual_seed(config.seed)
        self.network = DepthNetwork(PRESETS[config.model]).to(self.device, memory_format=torch.channels_last)
        self.average = {key: value.detach().clone() for key, value in self.network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(self._groups(), lr=1e-3, betas=(0.9, 0.99))
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        if resume and (folder / "last.pt").is_file():
            self._load(folder / "last.pt")
        self.train_clips = open_clips(config.data, LAYERS, (self.rank, self.processes))
        self.val_clips = Written(config.validation, LAYERS)

    def _groups(self) -> list[dict]:
        """No weight decay on norms, biases and scales."""
        matrices = [p for p in self.network.parameters() if p.ndim > 1]
        vectors = [p for p in self.network.parameters() if p.ndim <= 1]
        return [
            {"params": matrices, "weight_decay": self.config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]

    def run(self) -> None:
        """Train what is left and export the weights."""
        begin = 0
        for phase in self.config.phases:
            if self.step < begin + phase.steps:
                self._phase(phase, begin)
            begin += phase.steps
        if self.rank == 0:
            self._save()
            self._export()

    def _phase(self, phase: Phase, begin: int) -> None:
        config = self.config
        batches = Batches(
            self.train_clips,
            phase.steps,
            phase.batch // self.processes,
            phase.frames,
            phase.size,
            phase.zoom,
            PRESETS[config.model].canonical_focal_px,
            (config.seed + begin, self.rank),
            phase.views,
        )
        # a live stream has workers of its own, and belongs to the process that opened it
        workers = 0 if isinstance(self.train_clips, Live) else config.workers
        loader = DataLoader(
            batches,
            batch_size=None,
            sampler=range(self.step - begin, phase.steps),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
        )
        started, seen = time.monotonic(), 0
        for batch in loader:
            self._set_rate(phase, self.step - begin)
            terms = self._train_step(batch, phase)
            self.step += 1
            seen += phase.batch * phase.frames
            if self.rank:
                continue  # the first process speaks, saves and validates for all
            if self.step % 10 == 0:
                speed = seen / (time.monotonic() - started)
                left_s = (begin + phase.steps - self.step) * phase.batch * phase.frames / speed
                self._log({"phase": phase.name, "step": self.step, **terms, "frames_per_s": speed, "left_s": left_s})
            if self.step % config.save_every == 0:
                self._save()
            if self.step % config.validate_every == 0:
                self._log({"step": self.step, **self.validate(phase)})

    def _set_rate(self, phase: Phase, at: int) -> None:
        """Linear warm-up, then cosine to 2 % of the peak."""
        ramp = min(1.0, (at + 1) / self.config.warm_up)
        rate = phase.rate * ramp * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * at / phase.steps)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def _train_step(self, batch: dict[str, Tensor], phase: Phase) -> dict[str, float]:
        self.network.train()
        if phase.frozen_norm:
            freeze_norms(self.network)
        terms = self._losses(batch, causal_context(phase.frames, self.step), phase.views)
        loss = sum(terms.values())
        if not torch.isfinite(loss):
            raise RuntimeError(f"loss is {loss.item()} at step {self.step}: {terms}")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._share_gradients()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        decay = min(self.config.average, (self.step + 1) / (self.step + 20))
        with torch.no_grad():
            for key, value in self.network.state_dict().items():
                mean = self.average[key]
                mean.lerp_(value, 1 - decay) if value.is_floating_point() else mean.copy_(value)
        return {key: value.item() for key, value in terms.items()}

    def _share_gradients(self) -> None:
        """The mean over all processes, as if one had seen all of their batches."""
        if self.processes > 1:
            gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(flat)
            parts = (flat / self.processes).split([gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    def _losses(self, batch: dict[str, Tensor], context: Clip, views: int) -> dict[str, Tensor]:
        prediction_m, logit, truth_m, mask = self._predict(self.network, batch, context)
        config = self.config
        everything = torch.ones_like(mask)
        sky_m = torch.where(mask, truth_m, NOWHERE_M)  # nothing said about the sky is right
        terms = {
            "silog": losses.silog(prediction_m, truth_m, mask),
            "absolute": config.weight_absolute * losses.log_absolute(prediction_m, truth_m, mask),
            "gradient": config.weight_gradient * losses.log_gradient(prediction_m, truth_m, mask),
            "confidence": config.weight_confidence * losses.confidence_loss(logit, prediction_m, sky_m, everything),
        }
        if views == 2:
            rays = batch["lens"][:, :2, ::2, ::2].to(self.device)
            terms["lens"] = config.weight_lens * losses.lens_agreement(prediction_m, rays, mask)
        if truth_m.shape[1] > 1:
            terms["temporal"] = config.weight_temporal * losses.log_temporal(prediction_m, truth_m, mask)
        return terms

    def _predict(self, network: DepthNetwork, batch: dict[str, Tensor], context: Clip):
        """Metric prediction, logit, truth and mask at the size of the network's output."""
        batch = {key: value.to(self.device, non_blocking=True) for key, value in batch.items()}
        images = normalise(batch["color"])
        lens = batch["lens"][:, None].expand(-1, images.shape[1], -1, -1, -1)
        with torch.autocast(self.device.type, torch.bfloat16):
            depth, logit = network.clip(images, lens, context)
        scale = batch["focal_px"] / network.config.canonical_focal_px
        # An output pixel covers 2 x 2 of the input: truth comes from each corner in turn, on average from the centre.
        down, right = (self.step >> 1) & 1, (self.step >> 2) & 1
        truth_m = batch["depth_m"][..., down::2, right::2]
        mask = torch.isfinite(truth_m) & (truth_m > 0.1) & (truth_m < MAX_DEPTH_M)
        return depth * scale[:, None, None, None], logit, truth_m, mask

    @torch.no_grad()
    def validate(self, phase: Phase) -> dict[str, float]:
        """sigma1 and REL of the averaged weights on held-out clips, whole pictures, causal memory."""
        network = self.averaged()
        size = (phase.size[0], phase.size[1])
        frames = max(phase.frames, 1)
        clips = Batches(self.val_clips, 0, 1, frames, size, (1.0, 1.0), network.config.canonical_focal_px, (0,))
        sums = {"sigma1": 0.0, "rel": 0.0}
        count = min(self.val_clips.count, 60)
        for index in range(count):
            batch = clips.plain(index)
            prediction_m, _, truth_m, mask = self._predict(network, batch, Clip.causal(frames))
            p, g = prediction_m[mask], truth_m[mask]
            sums["sigma1"] += (torch.maximum(p / g, g / p) < 1.25).float().mean().item() / count
            sums["rel"] += ((p - g).abs() / g).mean().item() / count
        return sums

    def averaged(self) -> DepthNetwork:
        network = DepthNetwork(self.network.config).to(self.device, memory_format=torch.channels_last)
        network.load_state_dict(self.average, strict=False)
        return network.eval()

    def _save(self) -> None:
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        part = self.folder / "last.pt.part"
        torch.save(state, part)
        os.replace(part, self.folder / "last.pt")

    def _load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.update(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]

    def _export(self) -> Path:
        path = self.folder / f"{self.config.name}.safetensors"
        metadata = {
            "name": self.config.name,
            "steps": str(self.step),
            "seed": str(self.config.seed),
            "clips": str(self.train_clips.count),
            "commit": commit() or "unknown",
        }
        checkpoint.save(self.averaged(), path, metadata)
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")
        return path

    def _log(self, row: dict) -> None:
        row = {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
        with open(self.folder / "log.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")
        print(" ".join(f"{key}={value}" for key, value in row.items()), flush=True)


def causal_context(frames: int, step: int) -> Clip:
    """Every second step as at the beginning of a stream, else as later in it."""
    return Clip.causal(frames) if step % 2 == 0 else Clip.causal_late(frames)


def freeze_norms(network: DepthNetwork) -> None:
    """Neighbouring frames are too alike for batch statistics: those of the image phase stay."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()


def main(args) -> int:
    """args: config, out, resume, threads. Under torchrun each process takes its share of every batch."""
    config = TrainConfig.read(Path(args.config))
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if args.threads:
        torch.set_num_threads(args.threads)
    Trainer(config, Path(args.out) / config.name, args.resume).run()
    return 0


if __name__ == "__main__":
    sys.exit("use: instance-depth train --config FILE [--resume]")
