"""The memory is the official rule, exactly, and costs nothing more after hundreds of frames."""

import gc
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL, lively

from instance_depth_ros import config
from instance_depth_ros.estimator import Estimator
from instance_depth_ros.frame import Frame
from instance_depth_ros.geometry import Intrinsics
from instance_depth_ros.model.memory import Memory, remembered
from instance_depth_ros.model.temporal import HEADS, Streaming, TemporalAttention


def rule(n: int) -> list[int]:
    """The frames seen at frame n >= 1, as the released code has them."""
    return [0, n - 41 if n > 41 else 0] + [n - back if n > back else 0 for back in range(29, 0, -1)] + [n]


def test_rule_at_some_frames():
    assert remembered(1) == [0] * 31 + [1]
    assert remembered(5) == [0] * 27 + [1, 2, 3, 4, 5]
    assert remembered(30) == [0, 0, *range(1, 31)]
    assert remembered(42) == [0, 1, *range(13, 43)]
    assert remembered(100) == [0, 59, *range(71, 101)]


def test_ring_holds_what_the_rule_says():
    memory = Memory()
    for n in range(200):
        if n:
            frames = memory.keys[0][0, 0, 0, :, 0].tolist()
            by_slot = dict(zip(memory.slots().tolist(), frames, strict=True))
            assert [by_slot[slot] for slot in range(31)] == rule(n)[:-1] == remembered(n)[:-1]
            assert torch.equal(memory.values[0], -memory.keys[0])
        new = torch.full((1, 1, 1, 1), float(n))
        memory.push([new], [-new])


class Naive:
    """Keeps the normed inputs of all frames and projects those of the rule again at each, with their positions."""

    def __init__(self, layer: TemporalAttention):
        self.layer, self.inputs = layer, []

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """x: (B, N, C), one frame."""
        layer, table = self.layer, self.layer.pos_encoder.pe[0]
        self.inputs.append(x)
        n = len(self.inputs) - 1
        seen = rule(n) if n else [0]
        states = torch.stack([self.inputs[frame] + table[slot] for slot, frame in enumerate(seen)], -2)
        q, k, v = (
            project(y).unflatten(-1, (HEADS, -1)).transpose(-2, -3)  # (B, N, heads, S, d)
            for project, y in ((layer.to_q, states[..., -1:, :]), (layer.to_k, states), (layer.to_v, states))
        )
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        return layer.to_out[0]((weights @ v).squeeze(-2).flatten(-2))


@torch.inference_mode()
def test_projecting_once_is_exact():
    torch.manual_seed(0)
    layers, memory = [TemporalAttention(32).double(), TemporalAttention(64).double()], Memory()
    naive = [Naive(layer) for layer in layers]
    for _ in range(60):
        inputs = [2 * torch.randn(2, 5, dim, dtype=torch.float64) for dim in (32, 64)]
        context = Streaming(memory)
        for layer, simple, x in zip(layers, naive, inputs, strict=True):
            # The table of positions is fp32.
            torch.testing.assert_close(layer(x[:, None], context)[:, 0], simple(x), rtol=0, atol=1e-6)
        memory.push(context.new_keys, context.new_values)


@pytest.fixture(scope="module")
def network():
    return lively(SMALL)


def stream(network, memory, seed, frames):
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        return torch.cat(
            [network(*torch.randn(2, 1, 3, 32, 32, generator=generator), memory)[0] for _ in range(frames)]
        )


def test_a_clone_goes_its_own_way(network):
    memory, alone = Memory(), Memory()
    stream(network, memory, 1, 35), stream(network, alone, 1, 35)
    fork = memory.clone()
    one, other = stream(network, memory, 2, 20), stream(network, fork, 3, 20)
    assert torch.equal(one, stream(network, alone, 2, 20))
    assert not torch.equal(one, other)


def test_after_a_reset_nothing_of_the_past_is_left(network):
    memory = Memory()
    stream(network, memory, 1, 45)
    arrays = [x.data_ptr() for x in memory.keys]
    memory.reset()
    assert torch.equal(stream(network, memory, 2, 45), stream(network, Memory(), 2, 45))
    assert arrays == [x.data_ptr() for x in memory.keys]


def test_two_streams_at_once_do_not_mix(network):
    memories, frames = (Memory(), Memory()), ([], [])
    for index in range(40):
        for which in (0, 1):
            frames[which].append(stream(network, memories[which], 10 * index + which, 1))
    for which in (0, 1):
        memory = Memory()
        alone = [stream(network, memory, 10 * index + which, 1) for index in range(40)]
        assert torch.equal(torch.cat(alone), torch.cat(frames[which]))


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def addresses(memory: Memory) -> list[tuple[int, int]]:
    """Where the arrays lie and how many bytes they have."""
    lists = (memory.keys, memory.values, memory.waiting_keys, memory.waiting_values)
    return [(array.data_ptr(), array.nbytes) for arrays in lists for array in arrays]


def live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize("instances", ["none", "network"])
def test_hundreds_of_frames_leave_memory_flat(lively_weights, instances):
    """The whole way of a frame, small, in a process of its own: the heap of many tests has holes that fill up."""
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        (tensors, arrays, mb), after = alone.submit(streamed, str(lively_weights), instances).result()
    assert after[:2] == (tensors, arrays)
    assert after[2] - mb < 4


def streamed(weights: str, instances: str) -> list[tuple]:
    """Live tensors, where memory lies and resident MB, after 100 frames of 32 x 64 pixels that drift and after 500."""
    small = {"weights": weights, "network_short_side": 32, "precision": "fp32", "threads": 1}
    estimator = Estimator(config.make("depth", **small, instances=instances, instance_threshold=0.05))
    state, found = None, []
    lens, ramp = Intrinsics.from_fov(64, 32, 60), np.linspace(0, 200, 74)[None, :, None].repeat(32, 0).repeat(3, 2)
    pictures = [ramp[:, shift : shift + 64].astype(np.uint8) for shift in (0, 1, 2, 3, 4, 5, 4, 3, 2, 1)]
    for index in range(500):
        frame = Frame(pictures[index % 10], index * 100_000_000, intrinsics=lens)
        estimate, state = estimator.step(frame, state)
        if index in (99, 499):
            found.append((live_tensors(), addresses(state.memory), resident_mb()))
    assert state.memory.frames == 500 and np.isfinite(estimate.depth_m).all()
    return found
