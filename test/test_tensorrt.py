"""Everything around NVIDIA's compiler, with a stand-in that records what it is given and keeps the exported graph.

Its functions have the documented signatures; the engine itself needs a GPU and is not built here.
"""

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import torch
from conftest import SMALL, lively
from test_engine import inputs, stream

from instance_depth_ros.engine import Engine
from instance_depth_ros.engines import store, tensorrt
from instance_depth_ros.engines.built import Kind
from instance_depth_ros.model.memory import Memory

KIND = Kind(64, 96, False)
BARE = replace(SMALL, queries=0, ranges="")  # exported in a third of the time
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Recorder(ModuleType):
    """torch_tensorrt with what our code calls of it."""

    def __init__(self, compile):
        super().__init__("torch_tensorrt")
        self.dynamo = SimpleNamespace(compile=compile(self))
        self.compiled, self.saved = [], []

    def record(self, program, given, **options):
        self.compiled.append((program, given, options))
        return SimpleNamespace(program=program)

    def save(self, module, file_path="", *, output_format="exported_program", inputs=None, arg_inputs=None,
             kwarg_inputs=None, retrace=True):  # fmt: skip
        self.saved.append((output_format, inputs))
        torch.export.save(module.program, file_path)


def up_to_2_9(recorder):
    def compile(exported_program, inputs=None, *, arg_inputs=None, kwarg_inputs=None, device=None,
                enabled_precisions=frozenset({torch.float32}), min_block_size=5):  # fmt: skip
        return recorder.record(exported_program, inputs, device=device, enabled_precisions=enabled_precisions)

    return compile


def from_2_10(recorder):
    def compile(exported_program, inputs=None, *, arg_inputs=None, kwarg_inputs=None, device=None, min_block_size=5,
                enable_autocast=False, autocast_low_precision_type=None, autocast_excluded_nodes=frozenset(),
                autocast_excluded_ops=frozenset(), **kwargs):  # fmt: skip
        assert not kwargs, "this version takes no enabled_precisions"
        options = enable_autocast, autocast_low_precision_type, autocast_excluded_ops
        return recorder.record(exported_program, inputs, device=device, autocast=options)

    return compile


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Install a stand-in by its signature; the store is empty, and the GPU is not asked for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tensorrt, "problem", lambda device: "")

    def install(compile):
        recorder = Recorder(compile)
        monkeypatch.setitem(sys.modules, "torch_tensorrt", recorder)
        return recorder

    return install


def test_without_it_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    assert "pip install torch-tensorrt" in tensorrt.problem(CUDA)
    assert tensorrt.problem(CPU) == "runs on an NVIDIA GPU, and the device is cpu; take device cuda"
    monkeypatch.setitem(sys.modules, "torch_tensorrt", Recorder(from_2_10))
    assert tensorrt.problem(CUDA) == ""


def test_a_build_compiles_checks_and_stores_and_the_next_start_loads(installed):
    """fp16 memory, everything else fp32 at the border; it agrees with eager, as the stand-in computes the same."""
    recorder = installed(up_to_2_9)
    eager = Engine(lively(BARE), "cpu", "fp32", 1, "eager")
    serving = Engine(lively(BARE), "cpu", "fp32", 1, "auto")
    built = serving.obtain("tensorrt", KIND, eager.network)
    ((program, given, options),) = recorder.compiled
    assert options == {"device": CPU, "enabled_precisions": {torch.float16}}
    assert [x.dtype for x in given] == [torch.float32] * 2 + [torch.int64] + [torch.float16] * 16
    assert isinstance(program, torch.export.ExportedProgram) and given[0].shape == (1, 3, 64, 96)
    ((output_format, kept),) = recorder.saved
    assert output_format == "exported_program" and len(kept) == len(given)
    memory = Memory()
    stream(serving, 3, memory, instances=False)
    image, lens = inputs()[:, 3]
    with torch.inference_mode():
        expected = eager(image, lens, memory.clone(), None, False).depth
        depth = built(image, lens, memory).depth
    assert depth.dtype == torch.float32 and memory.keys[0].dtype == torch.float16 and memory.frames == 4
    assert (depth / expected).log().abs().mean() < 1e-3
    (entry,) = store.entries()
    assert entry.key["precision"] == "fp16" and (entry.path / tensorrt.FILE).stat().st_size > 0
    assert serving.obtain("tensorrt", KIND, None).precision == "fp16" and len(recorder.compiled) == 1


@pytest.mark.parametrize("signature", [up_to_2_9, from_2_10])
def test_each_version_is_asked_for_fp16_in_its_own_words(signature):
    recorder = Recorder(signature)
    compiler = recorder.dynamo.compile
    compiler("program", ["inputs"], **tensorrt.half_precision(compiler))
    ((_, _, options),) = recorder.compiled
    if signature is up_to_2_9:
        assert options["enabled_precisions"] == {torch.float16}
    else:
        autocast, dtype, islands = options["autocast"]
        assert autocast and dtype == torch.float16
        assert {"torch.ops.aten.layer_norm.default", "torch.ops.aten._softmax.default"} <= islands
        for name in islands:
            packet, overload = name.removeprefix("torch.ops.aten.").split(".")
            assert overload in getattr(torch.ops.aten, packet).overloads(), name
