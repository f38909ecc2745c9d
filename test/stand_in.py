"""In place of a compiler that takes minutes: what it builds is the graph itself, perhaps wrong by a factor."""

import sys

import torch

from instance_depth_ros.engines.probe import PROBE_FRAMES


class StandIn:
    """A module of instance_depth_ros.engines. built, calls: how often; probed: the calls that checking it takes.

    failing: calls raise; meeting: a barrier at which each call waits.
    """

    probed, failing, meeting = PROBE_FRAMES - 1, False, None

    def __init__(self, precision: str = "", problem: str = "", factor: float = 1.0):
        self.PRECISION, self.factor = precision, factor
        self.problem, self.against = lambda device: problem, lambda device: ""
        self.built = self.calls = 0
        self._graphs = {}

    def build(self, graph, inputs, folder):
        self.built += 1
        self._graphs[str(self.built)] = graph
        (folder / "graph").write_text(str(self.built))

    def load(self, folder, device):
        graph = self._graphs[(folder / "graph").read_text()]

        def run(*tensors):
            self.calls += 1
            if self.meeting:
                self.meeting.wait(60)
            if self.failing:
                raise RuntimeError("device lost")
            with torch.no_grad():
                depth, logit, holistic, *rest = graph(*tensors)
            return depth * self.factor, logit, holistic * self.factor, *rest

        return run


def install(monkeypatch, name: str, stand_in: StandIn) -> StandIn:
    monkeypatch.setitem(sys.modules, f"instance_depth_ros.engines.{name}", stand_in)
    return stand_in
