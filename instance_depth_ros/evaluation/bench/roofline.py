"""How near the encoder comes to what the machine can do: FLOP/s beside a product of matrices, bytes/s beside a copy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ... import config
from ...engine import HOPELESS
from ...engines.built import DTYPES
from ...estimator import Estimator
from ...process import use_threads
from .timing import Job, no_row, repeated, row

MATMUL = {"cpu": 1024, "cuda": 8192}
COPY_MB = 256
EMULATED = "this processor has no arithmetic of that precision and emulates it"


def jobs(settings: dict, device: str, threads: int) -> Iterator[Job]:
    """threads: of the processor."""
    yield Job(tuple(_names(device)), partial(rows, settings, device, threads))


def precisions(device: str) -> tuple[str, ...]:
    return ("fp32", "bf16", "fp16") if device == "cuda" else ("fp32", "bf16")


@cache
def emulated(device: str, precision: str) -> bool:
    """Whether a product of matrices takes several times as long as in fp32."""
    if device == "cuda" or precision in ("auto", "fp32"):
        return False
    fp32, other = (np.median(_product(device, p, 256)) for p in ("fp32", precision))
    return other > HOPELESS * fp32


def _product(device: str, precision: str, side: int) -> list[float]:
    """Milliseconds of runs of a product of square matrices."""
    a, b = (torch.ones(side, side, device=device, dtype=DTYPES[precision]) for _ in range(2))
    return repeated(lambda: _done(a @ b))


def _done(result) -> None:
    """CUDA has only been told to begin."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _names(device: str) -> Iterator[str]:
    end = "_cuda" * (device == "cuda")
    yield f"copy{end}"
    for precision in precisions(device):
        yield f"matmul{end}_{precision}"
        yield f"encoder_small_252x448{end}_{precision}"


@torch.no_grad()
def rows(settings: dict, device: str, threads: int) -> Iterator[dict]:
    """A copy, products of matrices, and the encoder of `small` beside them; ratio: its share of the product's FLOP/s.

    gbytes_s of the encoder counts each layer's weights, input and output once.
    """
    use_threads(threads)
    source, end = torch.ones(COPY_MB * 2**18, device=device), "_cuda" * (device == "cuda")
    target = torch.empty_like(source)
    times = repeated(lambda: _done(target.copy_(source)))
    yield row(f"copy{end}", times, gbytes_s=round(2 * source.nbytes / np.median(times) / 1e6, 2))
    for precision in precisions(device):
        product, name = f"matmul{end}_{precision}", f"encoder_small_252x448{end}_{precision}"
        if emulated(device, precision):
            yield from (no_row(name, EMULATED) for name in (product, name))
            continue
        times = _product(device, precision, MATMUL[device])
        most = 2 * MATMUL[device] ** 3 / np.median(times) / 1e6
        yield row(product, times, gflops_s=round(most, 1))
        fixed = {"weights": "random:small", "device": device, "precision": precision, "engine": "eager"}
        engine = Estimator(config.make("depth", **settings | fixed | {"threads": threads})).engine
        image = torch.ones(1, 3, 252, 448, device=device, dtype=DTYPES[precision])
        image = image.contiguous(memory_format=torch.channels_last)
        encoder = engine.network.pretrained
        flops, moved = work_of(encoder, image)
        times = repeated(partial(_encode, encoder, image))
        rate = flops / np.median(times) / 1e6
        rates = {"gflops_s": round(rate, 1), "gbytes_s": round(moved / np.median(times) / 1e6, 2)}
        yield row(name, times, rate / most, **rates)


def _encode(encoder: nn.Module, image: torch.Tensor) -> None:
    _done(encoder(image, None))


def work_of(encoder: nn.Module, image: torch.Tensor) -> tuple[int, int]:
    """FLOPs of one call, and bytes of weights, inputs and outputs of all its layers."""
    moved = []

    def count(layer, inputs, output):
        tensors = [*layer.parameters(), *inputs, output]
        moved.extend(tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor))

    leaves = [layer for layer in encoder.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(count) for layer in leaves]
    # The counter knows products, not every fused attention.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        encoder(image, None)
    for hook in hooks:
        hook.remove()
    return counter.get_total_flops(), sum(moved)
