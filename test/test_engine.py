"""How the network runs: folded, reduced, in the precision and by the engine that is fastest of those that agree."""

import logging

import numpy as np
import pytest
import torch
from conftest import SMALL, lively
from stand_in import StandIn, install

from instance_depth_ros import engine
from instance_depth_ros.engine import Engine
from instance_depth_ros.engines import probe, store
from instance_depth_ros.engines.built import Kind
from instance_depth_ros.engines.probe import Heard, agreement, mask_agreement
from instance_depth_ros.model.folded import fold_norms, reduced
from instance_depth_ros.model.memory import Memory

KIND = Kind(64, 96, True)


@pytest.fixture(autouse=True)
def empty_store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def inputs(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 4, 1, 3, 64, 96, generator=generator)


@torch.inference_mode()
def run(network, dtype=torch.float32):
    memory = Memory()
    return torch.cat(
        [network(image.to(dtype), lens.to(dtype), memory)[0] for image, lens in zip(*inputs(), strict=True)]
    )


def test_folded_norms_are_the_same_function():
    network = lively()
    before = run(network)
    folded = fold_norms(network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(run(folded), before, rtol=1e-4, atol=1e-4)


def test_reduced_keeps_the_weights_and_the_last_layers_whole():
    network = fold_norms(lively())
    half = reduced(network, torch.bfloat16)
    for (key, value), (other, copy) in zip(network.state_dict().items(), half.state_dict().items(), strict=True):
        assert key == other
        last = key.startswith("head.scratch.output_conv2")
        assert torch.equal(copy, value if last else value.bfloat16()), key
    assert (run(half, torch.bfloat16) / run(network)).log().abs().mean() < 0.05


def test_engine_leaves_the_given_network_as_it_was():
    network = lively().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    Engine(network, "cpu", "bf16")
    assert network.training and network.pretrained.stem[1].training
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key


# precision


def test_auto_takes_no_precision_that_disagrees(monkeypatch):
    monkeypatch.setattr(engine, "HOPELESS", 1e9)
    monkeypatch.setattr(probe, "AGREE_REL", 0.0)
    strict = Engine(lively(), "cpu", "auto", 1)
    assert strict.precision == "fp32" and strict.dtype == torch.float32 and strict.network.config == SMALL
    assert "REL" in strict.refused["bf16"]


def test_agreement_says_how_far_off():
    assert agreement(np.full(9, 2.0), np.full(9, 2.005)) == ""
    assert agreement(np.full(9, np.nan), np.full(9, 2.0)) == "not finite"
    assert "sigma1 0.0000" in agreement(np.full(9, 1.0), np.full(9, 2.0))
    assert agreement(np.zeros(9), np.zeros(9)) == ""
    assert "where fp32 says nothing" in agreement(np.full(9, 1.0), np.zeros(9))
    assert mask_agreement(np.ones(9, bool), np.ones(9, bool)) == mask_agreement(np.ones(0), np.ones(0)) == ""
    assert "0.8000 of the pixels" in mask_agreement(np.arange(10) < 8, np.ones(10, bool))


def heard(seconds):
    return Heard(np.full((1, 3, 3), 2.0), np.ones((1, 3, 3), bool), [seconds])


def test_the_faster_precision_of_those_that_agree_is_found_out_once(monkeypatch):
    measured = iter([heard(0.02), heard(0.01), heard(0.01), heard(0.02)])
    monkeypatch.setattr(engine, "hear", lambda *_, **__: next(measured))
    first, second = lively(), lively(seed=1)
    faster, slower = (Engine(network, "cpu", "auto", 1) for network in (first, second))
    assert (faster.precision, faster.dtype) == ("bf16", torch.bfloat16)
    assert (slower.precision, slower.dtype) == ("fp32", torch.float32)
    assert slower.refused == {"bf16": "20 ms a frame, fp32 10 ms"}
    memory = Memory()
    with torch.inference_mode():
        image, lens = inputs()[:, 0]
        depth = faster(image, lens, memory).depth
    assert depth.dtype == torch.float32 and memory.keys[0].dtype == torch.bfloat16
    # nothing is left to measure: the same weights on the same machine are known
    again, other = (Engine(network, "cpu", "auto", 1) for network in (first, second))
    assert again.precision == "bf16" and other.precision == "fp32" and other.refused == slower.refused


def test_a_cache_that_cannot_be_written_costs_only_time(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(engine, "hear", lambda *_, **__: heard(0.01))
    assert Engine(lively(), "cpu", "auto", 1).precision == "fp32"


def test_a_device_that_is_not_there_is_named():
    if torch.cuda.is_available():
        pytest.skip("there is CUDA")
    with pytest.raises(ValueError, match="'cuda:1'.*no CUDA.*auto or cpu"):
        Engine(lively(), "cuda:1")


# engines made ahead of time


def stream(engine, frames=4, memory=None, **asked):
    """Depth (T, h, w) of so many of the inputs."""
    memory = Memory() if memory is None else memory
    return torch.cat([engine(*inputs()[:, index], memory, **asked).depth for index in range(frames)])


def test_an_engine_serves_the_middle_of_a_stream_and_eager_torch_the_rest(monkeypatch):
    compiled = install(monkeypatch, "compiled", StandIn())
    eager, built = (Engine(lively(), "cpu", "fp32", 1, name) for name in ("eager", "compiled"))
    torch.testing.assert_close(stream(built), stream(eager))
    assert built.info["engine"] == "compiled" and (compiled.built, compiled.calls) == (1, 3 + compiled.probed)
    image, lens = inputs()[:, 0]
    torch.testing.assert_close(built(image, lens, None).depth, eager(image, lens, None).depth)
    stream(built, masks=torch.full((1, SMALL.queries, 32, 48), -8.0))
    assert compiled.calls == 3 + compiled.probed
    stream(built, instances=False)
    assert compiled.built == 2, "one for each kind of frame"


def test_the_second_process_finds_the_engine_built(monkeypatch):
    compiled = install(monkeypatch, "compiled", StandIn())
    once, later = (stream(Engine(lively(), "cpu", "fp32", 1, "compiled")) for _ in range(2))
    assert torch.equal(once, later) and compiled.built == 1
    stream(Engine(lively(seed=1), "cpu", "fp32", 1, "compiled"))
    assert compiled.built == 2


def test_an_engine_that_disagrees_is_refused_with_how_far_off_it_is(monkeypatch, caplog):
    install(monkeypatch, "compiled", StandIn(factor=1.02))
    built = Engine(lively(), "cpu", "fp32", 1, "compiled")
    torch.testing.assert_close(stream(built), stream(Engine(lively(), "cpu", "fp32", 1, "eager")))
    assert built.info["engine"] == "eager" and "REL 0.0" in built.refused["compiled"] and not store.entries()
    assert "engine 'compiled' is not taken: sigma1" in caplog.text
    assert built.info["refused compiled"] == built.refused["compiled"]


def test_what_an_engine_needs_is_said_and_eager_serves(monkeypatch):
    install(monkeypatch, "onnx", StandIn(problem="onnx not installed; pip install onnx"))
    absent = Engine(lively(), "cpu", "fp32", 1, "onnx")
    assert torch.isfinite(stream(absent)).all() and "pip install onnx" in absent.refused["onnx"]
    install(monkeypatch, "onnx", StandIn(precision="fp32"))
    with pytest.raises(ValueError, match="precision of engine onnx must be auto or fp32, got 'bf16'"):
        Engine(lively(), "cpu", "bf16", 1, "onnx")


def test_a_compiler_that_fails_is_said_and_eager_serves(monkeypatch):
    compiled = install(monkeypatch, "compiled", StandIn())
    compiled.build = lambda *_: 1 / 0
    failing = Engine(lively(), "cpu", "fp32", 1, "compiled")
    assert torch.isfinite(stream(failing)).all()
    assert failing.refused["compiled"] == "cannot be built: ZeroDivisionError: division by zero"


def test_a_change_of_engine_and_precision_keeps_the_stream(monkeypatch):
    """As after a build beside a running node: the memory goes on from bf16 to fp32."""
    onnx = install(monkeypatch, "onnx", StandIn(precision="fp32"))
    node, beside = Engine(lively(), "cpu", "bf16", 1, "auto"), Engine(lively(), "cpu", "fp32", 1, "eager")
    memory, whole = Memory(), Memory()
    before = stream(node, 3, memory), stream(beside, 3, whole)
    assert node.lacking == {KIND} and node.info["precision"] == "bf16"
    key = node.key("onnx", KIND)
    node.obtain("onnx", KIND, beside.network)
    store.put(node.key("auto", KIND), {"engine": "onnx", "refused": {"compiled": "slow"}})
    node.look(KIND)
    after = stream(node, 4, memory), stream(beside, 4, whole)
    assert not node.lacking and node.info["engine"] == "onnx" and key["precision"] == node.info["precision"] == "fp32"
    assert memory.keys[0].dtype == torch.float32 and memory.frames == 7 and onnx.calls >= 4
    for part in (before, after):
        assert (part[0] / part[1]).log().abs().mean() < 0.05
    assert node.refused["compiled"] == "slow"


def test_a_library_takes_what_is_chosen_and_builds_nothing_unasked(monkeypatch, caplog):
    compiled = install(monkeypatch, "compiled", StandIn())
    stream(Engine(lively(), "cpu", "fp32", 1, "auto"))
    store.put(Engine(lively(), "cpu", "fp32", 1, "auto").key("auto", KIND), {"engine": "compiled", "refused": {}})
    with caplog.at_level(logging.WARNING):
        stream(Engine(lively(), "cpu", "fp32", 1, "auto"))
    assert not compiled.built and not caplog.text
    stream(Engine(lively(), "cpu", "fp32", 1, "compiled"))
    chosen = Engine(lively(), "cpu", "fp32", 1, "auto")
    stream(chosen)
    assert chosen.info["engine"] == "compiled" and compiled.built == 1


def test_an_engine_that_fails_in_a_stream_hands_over_to_eager_torch_in_the_same_frame(monkeypatch):
    compiled = install(monkeypatch, "compiled", StandIn())
    built, memory = Engine(lively(), "cpu", "fp32", 1, "compiled"), Memory()
    before = stream(built, 2, memory)
    monkeypatch.setattr(compiled, "failing", True)
    whole = torch.cat([before, *(built(*inputs()[:, index], memory).depth for index in (2, 3))])
    torch.testing.assert_close(whole, stream(Engine(lively(), "cpu", "fp32", 1, "eager")))
    assert built.info["engine"] == "eager"
    assert "failed in a stream: RuntimeError: device lost" in built.refused["compiled"]


def test_a_file_that_the_runtime_refuses_is_said_and_eager_serves(monkeypatch):
    compiled = install(monkeypatch, "compiled", StandIn())
    stream(Engine(lively(), "cpu", "fp32", 1, "compiled"))
    compiled.load = lambda *_: [][0]
    later = Engine(lively(), "cpu", "fp32", 1, "compiled")
    assert torch.isfinite(stream(later)).all() and "cannot be loaded: IndexError" in later.refused["compiled"]
