"""Training: phases from a YAML file, resumed exactly after a kill, weights written at the end.

`instance-depth train --config config/train/tiny.yaml`; phases.py has what the file holds. Several GPUs or processes:
`torchrun --nproc_per_node 4 -m instance_depth_ros.cli train --config FILE`, each takes its share of every batch;
several machines: the same on each, with --nnodes, --node_rank and --rdzv_endpoint as of torchrun. Gradients are those
of one process with the whole batch; only the statistics of batch norms, where not frozen, are of each share alone.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader

from ..datasets.clips import Live, Written, open_clips
from ..model import checkpoint
from ..model.network import DepthNetwork, Prediction
from ..model.preprocess import normalise
from ..model.temporal import Clip
from ..provenance import commit
from . import data, objective, start
from .curves import Curves
from .data import Batches
from .phases import Phase, TrainConfig, keys_of, only, parts_of, trained_steps
from .teacher import Teacher, WithPictures, distillation
from .validation import Score

CPU = torch.device("cpu")


class Trainer:
    """One run in out/train/NAME: last.pt to resume from, log.jsonl with the curve, NAME.safetensors at the end."""

    def __init__(self, config: TrainConfig, folder: Path, resume: bool):
        self.config, self.folder = config, folder
        self.rank, self.processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        for phase in config.phases:
            phase.share(self.processes)  # refused before anything is read
        self.device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else CPU
        torch.manual_seed(config.seed)
        self.network = DepthNetwork(config.model_config).to(self.device, memory_format=torch.channels_last)
        last = folder / "last.pt"
        resume = resume and last.is_file()
        if config.start and not resume:
            anew = start.begin(self.network, config.start, config.anew)
            if self.rank == 0:
                print(f"begins with {config.start}; anew: {start.summary(anew)}", flush=True)
        self.average = {key: value.detach().clone() for key, value in self.network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(self._groups(), lr=1e-3, betas=(0.9, 0.99))
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        if resume:
            self._load(last)
        self.teacher = Teacher(config.teacher, self.device) if config.teacher else None
        self.curves = Curves(folder, self.step) if self.rank == 0 else None
        self.train_clips = open_clips(config.data, data.layers, (self.rank, self.processes))
        self.val_clips = Written(config.validation, data.layers, "val")

    def _groups(self) -> list[dict]:
        """Of each part, matrices and vectors: no weight decay on norms, biases and scales."""
        groups = []
        for part, modules in parts_of(self.network).items():
            parameters = [p for module in modules for p in module.parameters()]
            for decay, chosen in (
                (self.config.weight_decay, [p for p in parameters if p.ndim > 1]),
                (0.0, [p for p in parameters if p.ndim <= 1]),
            ):
                if chosen:
                    groups.append({"params": chosen, "weight_decay": decay, "part": part})
        return groups

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
            self.curves.close()

    def _phase(self, phase: Phase, begin: int) -> None:
        config = self.config
        loader = self._loader(phase, begin)
        started, seen = time.monotonic(), 0
        for batch in loader:
            self._set_rates(phase, self.step - begin)
            terms = self._train_step(batch, phase)
            self.step += 1
            seen += phase.batch * phase.frames
            if self.rank:
                continue  # the first process speaks, saves and validates for all
            if self.step % 10 == 0:
                speed = seen / (time.monotonic() - started)
                left_s = (begin + phase.steps - self.step) * phase.batch * phase.frames / speed
                self.curves.add(
                    {"phase": phase.name, "step": self.step, **terms, "frames_per_s": speed, "left_s": left_s}
                )
            if self.step % config.save_every == 0:
                self._save()
            if self.step % config.validate_every == 0:
                self.curves.add({"step": self.step, **self.validate(phase)})

    def _loader(self, phase: Phase, begin: int) -> DataLoader:
        """The batches of a phase that are still to come."""
        batches = Batches(
            self.train_clips,
            phase.steps,
            phase.share(self.processes),
            phase.frames,
            phase.size,
            phase.zoom,
            self.network.config.canonical_focal_px,
            (self.config.seed + begin, self.rank),
            phase.views,
            phase.strides,
        )
        if phase.distilled:
            batches = WithPictures(batches, self.config.unlabelled, max(1, phase.distilled // self.processes))
        # a live stream has workers of its own, and belongs to the process that opened it
        workers = 0 if isinstance(self.train_clips, Live) else self.config.workers
        return DataLoader(
            batches,
            batch_size=None,
            sampler=range(self.step - begin, phase.steps),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
        )

    def _set_rates(self, phase: Phase, at: int) -> None:
        """Linear warm-up, then cosine to 2 % of the peak."""
        ramp = min(1.0, (at + 1) / self.config.warm_up)
        share = ramp * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * at / phase.steps)))
        for group in self.optimiser.param_groups:
            group["lr"] = share * phase.rates.get(group["part"], 0.0)

    def _train_step(self, batch: dict[str, Tensor], phase: Phase) -> dict[str, float]:
        terms = self._gradients(batch, phase)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self._follow()
        return {key: value.item() for key, value in terms.items()}

    @torch.no_grad()
    def _follow(self) -> None:
        """The average goes after the weights: of each part the quicker, the newer that part is."""
        values = self.network.state_dict()
        for part, modules in parts_of(self.network).items():
            trained = trained_steps(self.config.phases, part, self.step)
            decay = min(self.config.average, (trained + 1) / (trained + 20))
            for key in keys_of(self.network, modules):
                value, mean = values[key], self.average[key]
                mean.lerp_(value, 1 - decay) if value.is_floating_point() else mean.copy_(value)

    def _gradients(self, batch: dict[str, Tensor], phase: Phase) -> dict[str, Tensor]:
        """Fills the gradients of what the phase trains; returns the terms of the loss."""
        batch = {key: value.to(self.device, non_blocking=True) for key, value in batch.items()}
        with only(phase, self.network):
            prediction = self._predict(self.network, batch, causal_context(phase.frames, self.step), phase)
            terms = objective.terms(prediction, batch, phase, self.config, self.step)
            if phase.distilled:
                with self._mixed():
                    taught = distillation(self.network, self.teacher, batch["unlabelled"])
                terms["distilled"] = self.config.weights.distilled * taught
            loss = sum(terms.values())
            if not torch.isfinite(loss):
                values = {key: value.item() for key, value in terms.items()}
                raise RuntimeError(f"loss is {loss.item()} at step {self.step}: {values}")
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
        self._share_gradients()
        return terms

    def _share_gradients(self) -> None:
        """The mean over all processes, as if one had seen all of their batches."""
        if self.processes == 1:
            return
        trained = [p for p in self.network.parameters() if p.requires_grad]
        # who had no pair to learn from is given zeros, if another had; what nobody used stays without a gradient
        used = torch.tensor([float(p.grad is not None) for p in trained], device=self.device)
        dist.all_reduce(used)
        trained = [p for p, by in zip(trained, used.tolist(), strict=True) if by]
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained])
        dist.all_reduce(flat)
        for p, part in zip(trained, (flat / self.processes).split([p.numel() for p in trained]), strict=True):
            p.grad = part.view_as(p)

    def _predict(self, network: DepthNetwork, batch: dict[str, Tensor], context: Clip, phase: Phase) -> Prediction:
        images = normalise(batch["color"])
        lens = batch["lens"][:, None].expand(-1, images.shape[1], -1, -1, -1)
        with self._mixed():
            return network.clip(images, lens, context, instances=phase.with_instances)

    def _mixed(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    @torch.no_grad()
    def validate(self, phase: Phase) -> dict[str, float]:
        """Quick figures of the averaged weights on held-out clips, whole pictures, causal memory (validation.py)."""
        network = self.averaged()
        frames = max(phase.frames, 1)
        focal_px = network.config.canonical_focal_px
        clips = Batches(self.val_clips, 0, 1, frames, phase.size, (1.0, 1.0), focal_px, (0,))
        score = Score(self.config)
        for index in range(min(self.val_clips.count, 60)):
            batch = {key: value.to(self.device) for key, value in clips.plain(index).items()}
            score.add(self._predict(network, batch, Clip.causal(frames), phase), batch)
        return score.figures()

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


def causal_context(frames: int, step: int) -> Clip:
    """Every second step as at the beginning of a stream, else as later in it."""
    return Clip.causal(frames) if step % 2 == 0 else Clip.causal_late(frames)


def begin_process(threads: int) -> int:
    """Join the others of torchrun, if there are any; returns the number of this one."""
    if "WORLD_SIZE" in os.environ:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if threads:
        torch.set_num_threads(threads)
    return dist.get_rank() if dist.is_initialized() else 0


def end_process() -> None:
    """Take leave of the others, if there are any."""
    if dist.is_initialized():
        dist.destroy_process_group()


def main(args) -> int:
    """args: config, out, resume, threads. Under torchrun each process takes its share of every batch."""
    config = TrainConfig.read(Path(args.config))
    begin_process(args.threads)
    Trainer(config, Path(args.out) / config.name, args.resume).run()
    end_process()
    return 0


if __name__ == "__main__":
    sys.exit("use: instance-depth train --config FILE [--resume]")
