"""CUDA graphs: what a function launches is recorded once and replayed in one call.

A small network is hundreds of kernels of microseconds each; launching them one by one takes longer than they run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

log = logging.getLogger(__name__)
WARM_UP = 3  # calls before recording: libraries take their working memory at the first ones


class Replayed:
    """A function of CUDA tensors of fixed shapes, recorded when it is first called.

    What it returns is the caller's own. Where it cannot be recorded it is called as it is, and one line says why.
    """

    def __init__(self, run: Callable[..., tuple[Tensor, ...]]):
        self._run = run
        self._replay: Callable[[], None] | None = None
        self._inputs = self._outputs = ()
        self._recordable = True

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        if self._replay is None and self._recordable:
            self._record(tensors)
        if self._replay is None:
            return self._run(*tensors)
        for own, given in zip(self._inputs, tensors, strict=True):
            own.copy_(given)
        self._replay()
        return tuple(output.clone() for output in self._outputs)

    def _record(self, tensors: tuple[Tensor, ...]) -> None:
        try:
            self._inputs = tuple(tensor.clone() for tensor in tensors)
            self._replay, self._outputs = record(self._run, self._inputs)
        except RuntimeError as error:  # a call that waits for the device, or that another stream has part in
            self._recordable, self._inputs = False, ()
            log.warning("no CUDA graph, kernels are launched one by one: %s", str(error).strip().splitlines()[0])


def record(run: Callable, inputs: tuple[Tensor, ...]) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
    """What runs it again on these very inputs, and the tensors in which it leaves its outputs."""
    device = inputs[0].device
    with torch.cuda.device(device):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                run(*inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # other threads of a node use the device meanwhile: only this one's calls are to be recorded
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = tuple(run(*inputs))
    return graph.replay, outputs
