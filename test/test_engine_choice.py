"""`engine: auto`: what is fastest and agrees is taken, measured by `engine build` or by a child beside the node."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from conftest import lively
from stand_in import StandIn, install
from test_engine import KIND, stream

from instance_depth_ros import config
from instance_depth_ros.cli import main
from instance_depth_ros.engine import Engine
from instance_depth_ros.engines import choice, compiled, store
from instance_depth_ros.nodes import building
from instance_depth_ros.nodes.building import Builder

LIVELY = {"precision": "fp32", "threads": 1}


@pytest.fixture(autouse=True)
def stand_ins(tmp_path, monkeypatch):
    """compiled is right, onnx is wrong; the store is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    install(monkeypatch, "compiled", StandIn())
    install(monkeypatch, "onnx", StandIn(precision="fp32", factor=1.1))


def test_the_fastest_of_those_that_agree_is_kept_and_the_refused_are_named(monkeypatch, lively_weights, capsys):
    monkeypatch.setattr(choice, "times_ms", lambda calls, *_: {"eager": 30.0, "compiled": 20.0})
    options = ["--precision", "fp32", "--threads", "1", "--width", "96", "--height", "64"]
    options += ["--network-short-side", "64"]
    assert main(["engine", "build", "--weights", str(lively_weights), *options]) == 0
    out = capsys.readouterr().out
    assert "taken: compiled" in out and "onnx        not taken: sigma1" in out
    engine = Engine(lively(), "cpu", "fp32", 1, "auto")
    stream(engine)
    assert engine.info["engine"] == "compiled" and "REL 0.08" in engine.info["refused onnx"]
    monkeypatch.setattr(choice, "times_ms", lambda calls, *_: {"eager": 10.0, "compiled": 20.0})
    choice.choose(lively(), SimpleNamespace(device="cpu", **LIVELY), KIND)
    engine = Engine(lively(), "cpu", "fp32", 1, "auto")
    stream(engine)
    assert engine.info["engine"] == "eager" and not engine.lacking


def test_what_would_stop_the_node_runs_only_by_name(monkeypatch):
    slow = install(monkeypatch, "compiled", StandIn())
    slow.against = compiled.against
    entry = choice.choose(lively(), SimpleNamespace(device="cpu", **LIVELY), KIND)
    assert "holds the interpreter" in entry.says["refused"]["compiled"] and slow.built == 0
    assert compiled.against(torch.device("cuda")) == ""
    named = Engine(lively(), "cpu", "fp32", 1, "compiled")
    stream(named)
    assert named.info["engine"] == "compiled"


def test_they_are_timed_in_turns(monkeypatch):
    monkeypatch.setattr(choice, "ROUNDS", 2)
    order = []

    def called(name):
        def call(image, lens, memory, masks, instances):
            order.append(name)
            return SimpleNamespace(depth=torch.zeros(1))

        return call

    engine = SimpleNamespace(config=lively().config)
    ms = choice.times_ms({"eager": called("eager"), "compiled": called("compiled")}, engine, KIND)
    assert order == ["eager", "compiled"] * 5 and ms.keys() == {"eager", "compiled"}


start = subprocess.Popen


class Child:
    """A process that ends when it is told to."""

    started = []

    def __init__(self, command, stdout, stderr):
        self.command, self.returncode, self.output = command, None, stdout
        self.process = start([sys.executable, "-c", "import time; time.sleep(60)"])
        self.pid = self.process.pid
        Child.started.append(self)

    def poll(self):
        return self.returncode

    def end(self, status, said=b""):
        self.output.write(said)
        self.returncode = status
        self.terminate()

    def terminate(self):
        self.process.kill()

    def wait(self):
        self.process.wait()


@pytest.fixture
def node(monkeypatch):
    """An engine as the depth node has it, streaming, and its Builder."""
    monkeypatch.setattr(building, "SETTLED_S", 0.0)
    monkeypatch.setattr(building.subprocess, "Popen", Child)
    Child.started, lines = [], []
    engine = Engine(lively(), "cpu", "fp32", 1, "auto")
    builder = Builder(engine, config.make("depth", network_short_side=64, **LIVELY), lines.append)
    stream(engine)
    yield SimpleNamespace(engine=engine, builder=builder, lines=lines)
    builder.close()


def test_a_child_builds_while_torch_serves_and_its_engine_is_taken_over(node):
    assert node.builder.message == ""
    node.builder.look((64, 96))
    (child,) = Child.started
    assert child.command[1:5] == ["-m", "instance_depth_ros.cli", "engine", "build"]
    assert {"--width=96", "--height=64", "--threads=1", "--engine=auto", "--precision=fp32"} <= set(child.command)
    assert node.builder.message == "building engine, 0 s" and node.engine.info["engine"] == "eager"
    choice.choose(lively(), SimpleNamespace(device="cpu", **LIVELY), KIND)  # what the child does
    store.forget(node.engine.key("auto", KIND))
    store.put(node.engine.key("auto", KIND), {"engine": "compiled", "refused": {}})
    child.end(0)
    node.builder.look((64, 96))
    node.builder.close()
    stream(node.engine)
    assert node.engine.info["engine"] == "compiled" and node.builder.message == ""
    assert "engine built in" in node.lines[0]
    node.builder.look((64, 96))
    assert len(Child.started) == 1


def test_a_child_that_fails_is_named_and_not_started_again(node):
    node.builder.look((64, 96))
    Child.started[0].end(1, b"a trace\nerror: no space left on device\n")
    for _ in range(3):
        node.builder.look((64, 96))
    assert node.engine.refused["auto"] == "error: no space left on device" and len(Child.started) == 1


def test_a_node_that_ends_takes_its_child_along(node):
    node.builder.look((64, 96))
    node.builder.close()
    deadline = time.monotonic() + 10
    while Child.started[0].process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Child.started[0].process.returncode == -9 and node.builder.message == ""


def test_where_nothing_is_to_be_built_no_child_starts(node):
    node.builder._settings.engine_build = False
    node.builder.look((64, 96))
    assert not Child.started
