"""Cameras that share an engine: what each gets is what it would get alone, whoever comes when, ends or fails."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import lively
from stand_in import StandIn, install
from test_engine import KIND

from instance_depth_ros import config, sharing
from instance_depth_ros import engine as engine_module
from instance_depth_ros.engine import Engine
from instance_depth_ros.estimator import Estimator
from instance_depth_ros.frame import Frame
from instance_depth_ros.geometry import Intrinsics
from instance_depth_ros.model.adaptive import AdaptiveMemory
from instance_depth_ros.model.memory import Memory
from instance_depth_ros.sharing import SharedEngine, shared

PATIENCE_S = 60
FOREVER_MS = 1e3 * 60 * 60
SIZE = (64, 96)


def pictures(seed: int, frames: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Images and lenses (1, 3, H, W) of a stream."""
    generator = torch.Generator().manual_seed(seed)
    lens = 0.5 * torch.ones(1, 3, *SIZE) + 0.1 * seed
    return [(torch.randn(1, 3, *SIZE, generator=generator), lens) for _ in range(frames)]


def leaves(x):
    """All tensors of a prediction."""
    if isinstance(x, tuple):
        return [leaf for item in x for leaf in leaves(item)]
    return [] if x is None else [x]


def assert_same(one, other):
    for a, b in zip(leaves(one), leaves(other), strict=True):
        assert a.shape == b.shape
        scale = max(1.0, float(b.abs().max())) if b.numel() else 1.0
        torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-5 * scale)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Several that wait for each other crawl where others have the cores; streams go in one pass on every machine."""
    monkeypatch.setattr(engine_module, "streams_at_once", lambda device: 1)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@torch.inference_mode()
def test_together_each_stream_gets_what_it_gets_alone():
    """Streams of other ages, rules and lenses; also past the ring's turn."""
    network, ages = lively(), (1, 4, 33)
    alone = [Memory(), Memory(), AdaptiveMemory()]
    clips = [pictures(seed, age + 3) for seed, age in enumerate(ages)]
    for memory, clip, age in zip(alone, clips, ages, strict=True):
        for n in range(age):
            memory.expect(n * 100_000_000)
            network(*clip[n], memory, instances=False)
    joint = [memory.clone() for memory in alone]
    for step in range(3):
        frames = [clip[age + step] for clip, age in zip(clips, ages, strict=True)]
        for memories in (alone, joint):
            memories[2].expect((ages[2] + step) * 100_000_000)
        expected = [network(*frame, memory) for frame, memory in zip(frames, alone, strict=True)]
        image, lens = (torch.cat(x) for x in zip(*frames, strict=True))
        for one, other in zip(network.together(image, lens, joint), expected, strict=True):
            assert_same(one, other)
    for one, other in zip(joint, alone, strict=True):
        assert one.frames == other.frames
        assert_same((*one.keys, *one.values), (*other.keys, *other.values))


class Counted(SharedEngine):
    """Notes the streams of each pass of the network."""

    def __init__(self, *of_engine, **how):
        super().__init__(*of_engine, **how)
        self.batches = []

    def together(self, images, lenses, memories, instances=True):
        self.batches.append(len(images))
        return super().together(images, lenses, memories, instances)


class Stream:
    """A camera's thread: `step()` gives the engine the next frame, `says` are the answers."""

    def __init__(self, engine, seed: int = 0, frames: int = 8):
        self.engine, self.memory, self.clip, self.says = engine, Memory(), iter(pictures(seed, frames)), []
        self._thread = ThreadPoolExecutor(1)

    def step(self, **how):
        return self._thread.submit(lambda: self.says.append(self.engine(*next(self.clip), self.memory, **how)))

    def end(self):
        self._thread.shutdown()


def in_step(*streams, **how):
    """A frame of each, given at once."""
    for answer in [stream.step(**how) for stream in streams]:
        answer.result(PATIENCE_S)


def engine_of(wait_ms: float, kind=Counted) -> SharedEngine:
    return kind(lively(), "cpu", "fp32", 1, "eager", wait_ms=wait_ms)


def test_cameras_in_step_are_batched_and_none_is_mixed_up():
    engine, frames = engine_of(FOREVER_MS), 6
    streams = [Stream(engine, seed, frames) for seed in range(3)]
    for _ in range(frames):
        in_step(*streams)
    # First frames go alone; then all came together the last time, and wait for each other.
    assert engine.batches == [3] * (frames - 1)
    plain = Engine(lively(), "cpu", "fp32", 1, "eager")
    for seed, stream in enumerate(streams):
        memory = Memory()
        for says, frame in zip(stream.says, pictures(seed, frames), strict=True):
            assert_same(says, plain(*frame, memory))


def test_nobody_waits_for_a_camera_that_ended():
    engine = engine_of(FOREVER_MS)
    one, other = Stream(engine), Stream(engine)
    for _ in range(2):
        in_step(one, other)
    other.end()
    in_step(one)
    assert engine.batches == [2, 1]


def test_a_camera_that_falls_silent_or_out_of_step_is_waited_for_once(monkeypatch):
    now_s, waited_for = 0.0, []
    monkeypatch.setattr(sharing, "time", SimpleNamespace(monotonic=lambda: now_s))

    class Watched(SharedEngine):
        def _partners(self, caller):
            waited_for.append(len(partners := super()._partners(caller)))
            return partners

    engine = engine_of(20.0, Watched)
    one, other = Stream(engine), Stream(engine)
    for moment_s, streams in ((0.0, (one, other)), (0.1, (one, other)), (0.2, (one,)), (0.3, (one,)), (0.35, (other,))):
        now_s = moment_s
        in_step(*streams)
    # The second to come in step finds the first of this frame there, not of the last.
    assert waited_for == [0, 0, 1, 0, 1, 0, 0]
    assert len(one.says) == 4 and len(other.says) == 3


def test_frames_that_do_not_fit_together_go_one_after_another():
    engine = engine_of(FOREVER_MS)
    one, other = Stream(engine), Stream(engine)
    for _ in range(2):
        in_step(one, other)
    for answer in (one.step(instances=False), other.step(instances=True)):
        answer.result(PATIENCE_S)
    assert engine.batches == [2, 1, 1]
    assert one.says[-1].instances is None and other.says[-1].instances is not None


def test_a_batch_that_fails_is_all_callers_failure_and_the_next_works():
    class Failing(Counted):
        def together(self, images, *rest):
            if len(self.batches) == 1:
                self.batches.append("failed")
                raise MemoryError("no room")
            return super().together(images, *rest)

    engine = engine_of(FOREVER_MS, Failing)
    one, other = Stream(engine), Stream(engine)
    for _ in range(2):
        in_step(one, other)
    for answer in [one.step(), other.step()]:
        with pytest.raises(RuntimeError, match="2 frames that went through the network together.*no room"):
            answer.result(PATIENCE_S)
    in_step(one, other)
    assert engine.batches == [2, "failed", 2] and one.memory.frames == other.memory.frames == 3


def test_where_there_are_cores_streams_go_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(engine_module, "streams_at_once", lambda device: 2)
    compiled = install(monkeypatch, "compiled", StandIn())
    engine = Counted(lively(), "cpu", "fp32", 1, "compiled", wait_ms=FOREVER_MS)
    streams = [Stream(engine, seed, 3) for seed in range(2)]
    for index in range(3):
        if index == 2:
            compiled.meeting = threading.Barrier(2)  # broken unless both are in it at once
        in_step(*streams)
    assert engine.info["engine"] == "compiled" and not engine.refused and not compiled.meeting.broken
    assert engine._kind(torch.zeros(1, 3, *SIZE), True) == KIND
    plain = Engine(lively(), "cpu", "fp32", 1, "eager")
    for seed, stream in enumerate(streams):
        memory = Memory()
        for says, frame in zip(stream.says, pictures(seed, 3), strict=True):
            torch.testing.assert_close(says.depth, plain(*frame, memory).depth, rtol=1e-4, atol=1e-4)


def test_many_frames_of_estimators_at_their_own_pace_come_out_once_each(lively_weights):
    """Weights are there once; the streams differ in size, memory and how many frames they have."""
    settings = config.make("depth", weights=str(lively_weights), precision="fp32", engine="eager", threads=1)
    engines = {}
    engine = shared(settings, engines)
    engine._wait_s = 1e-3
    adaptive = config.make("depth", **vars(settings) | {"memory": "adaptive"})
    assert shared(adaptive, engines) is engine
    assert shared(config.make("depth", **vars(settings) | {"precision": "bf16"}), engines) is not engine
    cameras = [(settings, SIZE, 12), (adaptive, SIZE, 9), (settings, SIZE[::-1], 6)]
    rng = np.random.default_rng(0)
    films = [rng.integers(0, 255, (frames, *size, 3), np.uint8) for _, size, frames in cameras]

    def run(estimator, film):
        estimates, state = [], None
        for n, color in enumerate(film):
            lens = Intrinsics.from_fov(color.shape[1], color.shape[0], 60)
            estimate, state = estimator.step(Frame(color, n * 100_000_000, intrinsics=lens), state)
            estimates.append(estimate)
        return estimates

    alone = [run(Estimator(given), film) for (given, *_), film in zip(cameras, films, strict=True)]
    with ThreadPoolExecutor(3) as threads:
        estimators = [Estimator(given, engine) for given, *_ in cameras]
        together = list(threads.map(run, estimators, films, timeout=PATIENCE_S))
    for ours, theirs, film in zip(together, alone, films, strict=True):
        assert [estimate.stamp_ns for estimate in ours] == [n * 100_000_000 for n in range(len(film))]
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one.depth_m, other.depth_m, rtol=1e-3, equal_nan=True)


def test_its_thread_ends_with_the_last_that_has_it():
    engine = engine_of(1.0, SharedEngine)
    in_step(Stream(engine))
    (thread,) = engine._runner._threads
    del engine
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
