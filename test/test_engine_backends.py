"""Engines that are made here for real: ONNX Runtime and torch's compiler say what eager torch says."""

from dataclasses import replace

import pytest
import torch
from conftest import lively

from instance_depth_ros.engines import compiled, cuda_graph, onnx
from instance_depth_ros.model.folded import fold_norms
from instance_depth_ros.model.frame_graph import FrameGraph
from instance_depth_ros.model.memory import Memory
from instance_depth_ros.model.presets import PRESETS

CPU = torch.device("cpu")
SIZES = {"tiny": (64, 96), "small": (42, 56)}
# as many layers as show every operator: exporting all of them takes minutes and finds the same
FEWER = {"tiny": {"depths": (1, 1, 1, 1), "query_layers": 1}, "small": {"depths": (4,), "taps": (0, 1, 2, 3)}}


def graph_of(config) -> FrameGraph:
    return FrameGraph(fold_norms(lively(config)))


@torch.no_grad()
def streamed(graph, run, size, frames=3):
    """The graph's and the run's Prediction of each frame of a stream, whose memory eager torch fills."""
    memory, generator = Memory(), torch.Generator().manual_seed(0)
    for index in range(frames):
        image = torch.randn(1, 3, *size, generator=generator).contiguous(memory_format=torch.channels_last)
        lens = torch.randn(1, 3, *size, generator=generator) / 4 if graph.ours else None
        if index == 0:
            graph.network(image, lens, memory)
            continue
        inputs = graph.inputs(image, lens, memory)
        expected, seen = (graph.outputs(call(*inputs)) for call in (graph, run))
        memory.push(expected.keys, expected.values)
        yield expected, seen


def assert_the_same(expected, seen, tolerance):
    for name, want, have in zip(expected.prediction._fields, expected.prediction, seen.prediction, strict=True):
        if isinstance(want, torch.Tensor):
            torch.testing.assert_close(
                have, want, rtol=tolerance, atol=tolerance, msg=lambda text, n=name: f"{n}: {text}"
            )
    if expected.prediction.instances is not None:
        for want, have in zip(expected.prediction.instances, seen.prediction.instances, strict=True):
            if isinstance(want, torch.Tensor):
                torch.testing.assert_close(have, want, rtol=tolerance, atol=tolerance)
    for want, have in zip(expected.keys + expected.values, seen.keys + seen.values, strict=True):
        torch.testing.assert_close(have, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", SIZES)
def test_onnx_runtime_agrees_to_a_thousandth(size, tmp_path):
    pytest.importorskip("onnxscript", reason="needs: pip install onnx onnxscript onnxruntime")
    graph = graph_of(replace(PRESETS[size], **FEWER[size]))
    with torch.no_grad():
        onnx.build(graph, graph.example(*SIZES[size]), tmp_path)  # onnx.checker is part of it
    for expected, seen in streamed(graph, onnx.load(tmp_path, CPU), SIZES[size]):
        assert_the_same(expected, seen, 1e-3)


class Layers(torch.nn.Module):
    """What stands for a FrameGraph: compiling that takes minutes, and every build is checked on the probe anyway."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.LayerNorm(8)

    def forward(self, image, slots):
        return self.norm(self.conv(image).flatten(2).transpose(1, 2)).relu(), slots + 1


def test_torchs_compiler_packs_a_graph_that_computes_the_same(tmp_path):
    if problem := compiled.problem(CPU):
        pytest.skip(problem)
    inputs = torch.randn(1, 3, 16, 24).contiguous(memory_format=torch.channels_last), torch.arange(31)
    layers = Layers().eval()
    with torch.no_grad():
        compiled.build(layers, inputs, tmp_path)
        for want, have in zip(layers(*inputs), compiled.load(tmp_path, CPU)(*inputs), strict=True):
            torch.testing.assert_close(have, want, rtol=1e-4, atol=1e-4)


def test_onnx_says_what_is_missing_and_where_it_runs(monkeypatch):
    assert "take device cpu" in onnx.problem(torch.device("cuda"))
    monkeypatch.setattr(onnx, "find_spec", lambda name: None if name == "onnxscript" else object())
    assert onnx.problem(CPU) == "onnxscript not installed; pip install onnx onnxscript onnxruntime"


def test_another_torch_than_2_6_or_later_is_named(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    assert "needs torch 2.6 or later, this is 2.5.1+cpu" in compiled.problem(CPU)


# CUDA graphs: the recording itself needs a GPU; here a stand-in runs the function again, as a graph would


def recorded(run, inputs):
    outputs = run(*inputs)

    def replay():
        for output, new in zip(outputs, run(*inputs), strict=True):
            output.copy_(new)

    return replay, outputs


def doubled(image, slots):
    return image * 2, slots + 1


def test_a_recorded_graph_takes_each_calls_inputs_and_leaves_former_outputs_alone(monkeypatch):
    monkeypatch.setattr(cuda_graph, "record", recorded)
    replayed = cuda_graph.Replayed(doubled)
    inputs = [(torch.full((2, 3), float(n)), torch.arange(n, n + 4)) for n in range(3)]
    outputs = [replayed(*given) for given in inputs]
    for given, seen in zip(inputs, outputs, strict=True):
        for want, have in zip(doubled(*given), seen, strict=True):
            torch.testing.assert_close(have, want)


def test_what_cannot_be_recorded_is_called_as_it_is_and_said_once(monkeypatch, caplog):
    def refused(run, inputs):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(cuda_graph, "record", refused)
    replayed, given = cuda_graph.Replayed(doubled), (torch.ones(2), torch.arange(2))
    for _ in range(3):
        assert torch.equal(replayed(*given)[0], given[0] * 2)
    assert [record.message for record in caplog.records] == [
        "no CUDA graph, kernels are launched one by one: operation not permitted when stream is capturing"
    ]


@pytest.mark.parametrize("recordable", [True, False])
def test_a_compiled_graph_is_recorded_where_torchs_runner_allows_it(monkeypatch, tmp_path, recordable):
    given = {}

    def new(path, run_single_threaded=False, device_index=-1):
        given.update(single=run_single_threaded, device=device_index)
        return doubled

    def old(path):
        return doubled

    monkeypatch.setattr(torch._inductor, "aoti_load_package", new if recordable else old)
    run = compiled.load(tmp_path, torch.device("cuda", 1))
    assert isinstance(run, cuda_graph.Replayed) == recordable
    assert given == ({"single": True, "device": 1} if recordable else {})
    assert compiled.load(tmp_path, CPU) is doubled
