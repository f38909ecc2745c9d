"""`engine: auto`: which engine is fastest on this machine, measured once and kept in the store."""

from __future__ import annotations

import logging
import time

import torch

from ..engine import Engine
from ..model.memory import Memory
from ..model.network import DepthNetwork
from ..model.preprocess import network_size
from ..model.presets import ModelConfig
from . import NAMES, backend, store
from .built import EngineError, Kind, eagerly
from .probe import disagreement, hear, probe_inputs

log = logging.getLogger(__name__)
ROUNDS = 20
WARM_UP = 3


def kind_of(network: ModelConfig, settings, height: int, width: int) -> Kind:
    """Of the frames of a camera of so many pixels, with the depth node's settings."""
    size = network_size(height, width, network, settings.network_short_side)
    return Kind(*size, settings.instances == "network" and network.queries > 0)


def choose(network: DepthNetwork, settings, kind: Kind) -> store.Entry:
    """Build what can run here, leave out what disagrees with eager fp32, time the rest, keep the fastest.

    settings: device, precision, threads, as the depth node has them. The entry says engine, ms (by engine, median) and
    refused (by engine, why).
    """
    how = settings.device, settings.precision, settings.threads
    engine = Engine(network, *how, "auto")
    fp32 = engine.network if engine.precision == "fp32" else Engine(network, how[0], "fp32", how[2], "eager").network
    reference = hear(eagerly(fp32, engine.device), engine.config, kind[:2], kind.instances)
    calls, refused = {"eager": eagerly(engine.network, engine.device)}, {}
    for name in NAMES:
        needed = backend(name).PRECISION
        if engine.device.type != "cuda" and name == "tensorrt":
            continue
        if needed and settings.precision not in ("auto", needed):
            refused[name] = f"it is {needed}, and precision {settings.precision} is asked for"
            continue
        if why := backend(name).against(engine.device):
            refused[name] = f"{why}; engine:={name} takes it all the same"
            continue
        try:
            built = engine.obtain(name, kind, fp32)
            call = eagerly(fp32 if needed else engine.network, engine.device, built)
            if error := disagreement(hear(call, engine.config, kind[:2], kind.instances), reference):
                raise EngineError(error)
            calls[name] = call
        except EngineError as error:
            refused[name] = str(error)
    ms = times_ms(calls, engine, kind)
    key = engine.key("auto", kind)
    store.forget(key)
    return store.put(key, {"engine": min(ms, key=ms.get), "ms": ms, "refused": refused})


@torch.inference_mode()
def times_ms(calls: dict, engine: Engine, kind: Kind) -> dict[str, float]:
    """The median of each in turns, so that whatever else the machine does hits all alike."""
    images, lens = probe_inputs(engine.config, kind[:2])
    memories, times = {name: Memory() for name in calls}, {name: [] for name in calls}
    for index in range(WARM_UP + ROUNDS):
        image = images[index % len(images)][None]
        for name, call in calls.items():
            start = time.perf_counter()
            call(image, lens, memories[name], None, kind.instances).depth.cpu()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: round(sorted(taken[WARM_UP:])[ROUNDS // 2], 2) for name, taken in times.items()}
