"""Real processes: one that is killed goes on exactly, and two share a batch as if they were one."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from test_training import REFINED, Watched, recipe, sequences  # noqa: F401, a fixture

from instance_depth_ros.datasets.clips import Written
from instance_depth_ros.training.data import Batches, layers
from instance_depth_ros.training.loop import Trainer
from instance_depth_ros.training.phases import Phase

SHARED = Phase("all", 2, 2, 2, (64, 64), (1.0, 1.2), REFINED | {"instances": 1e-3}, frozen_norm=True)


class Doomed(Trainer):
    """Killed by itself in step 5, in the last phase, after a save at 4; a process of its own reads its batches."""

    def _train_step(self, batch, phase):
        if self.step == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._train_step(batch, phase)


def doomed(_, folder, out) -> None:
    torch.set_num_threads(1)
    Doomed(recipe(folder, workers=1), Path(out), False).run()


def test_a_run_that_was_killed_repeats_the_curve(sequences, tmp_path):  # noqa: F811
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums are added in the same order in all three runs
    try:
        whole = Watched(recipe(sequences), tmp_path / "whole", False)
        whole.run()
        child = multiprocessing.spawn(doomed, (str(sequences), str(tmp_path / "killed")), join=False)
        child.processes[0].join(timeout=300)
        assert child.processes[0].exitcode == -signal.SIGKILL
        (tmp_path / "killed/last.pt.part").write_bytes(b"half a checkpoint")
        second = Watched(recipe(sequences), tmp_path / "killed", True)
        second.run()
    finally:
        torch.set_num_threads(threads)
    assert sorted(second.curve) == [4, 5]
    assert all(second.curve[step] == whole.curve[step] for step in (4, 5))
    ours, theirs = whole.network.state_dict(), second.network.state_dict()
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []


def gradients(trainer: Trainer, batch: dict) -> tuple[dict, dict]:
    terms = trainer._gradients(batch, SHARED)
    return {name: p.grad for name, p in trainer.network.named_parameters() if p.grad is not None}, terms


def one_of_two(rank, folder, out) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}/meeting", rank=rank, world_size=2)
    batch = torch.load(f"{out}/batch.pt", weights_only=True)
    mine = {key: value[rank : rank + 1] for key, value in batch.items()}
    trainer = Trainer(alike(folder), Path(out) / f"{rank}", False)
    torch.save(gradients(trainer, mine), f"{out}/gradients{rank}.pt")
    dist.destroy_process_group()


def alike(folder):
    return replace(recipe(folder, phases=(SHARED,)), precision="fp32")


def test_two_processes_get_the_gradients_of_one_with_both_batches(sequences, tmp_path):  # noqa: F811
    """The norms' statistics are frozen, as they are over clips; where they are not, each process has its own."""
    batch = Batches(Written(sequences, layers), 1, 2, 2, (64, 64), (1.0, 1.5), 64.0, (3,))[0]
    batch["depth_m"][0, :, :40] = torch.nan  # so that both halves count differently
    batch["ids"][1][batch["ids"][1] == 1] = 0
    torch.save(batch, tmp_path / "batch.pt")
    multiprocessing.spawn(one_of_two, (str(sequences), str(tmp_path)), nprocs=2)
    whole, terms = gradients(Trainer(alike(sequences), tmp_path / "one", False), batch)
    for rank in (0, 1):
        shared, said = torch.load(tmp_path / f"gradients{rank}.pt", weights_only=True)
        assert shared.keys() == whole.keys()
        for name, gradient in whole.items():
            torch.testing.assert_close(
                shared[name], gradient, rtol=1e-3, atol=1e-3 * gradient.abs().max().item() + 1e-6
            )
        for name, term in terms.items():
            torch.testing.assert_close(said[name], term, rtol=1e-4, atol=1e-6)
