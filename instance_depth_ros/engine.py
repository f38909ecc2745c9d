"""How the network runs: device, precision, engine, and the check that what is faster still says the same."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from types import SimpleNamespace

import torch
from torch import Tensor

from .engines import NAMES, backend, store
from .engines.built import DTYPES, Built, EngineError, Kind, build, eagerly, line, load
from .engines.probe import disagreement, hear
from .model import checkpoint
from .model.folded import fold_norms, reduced
from .model.memory import Memory
from .model.network import DepthNetwork, Prediction
from .process import use_threads

log = logging.getLogger(__name__)
HOPELESS = 3.0  # a precision whose first frame takes so many times a frame in fp32 is not tried on: it is emulated


class Engine:
    """One call: image and lens of a frame and the stream's memory in, the network's Prediction out.

    engine: 'eager' torch; 'compiled', 'onnx' or 'tensorrt', made ahead of time for the size of input and the instances
    that a stream has; 'auto': what the store says is fastest here (choice.py), else eager. The first frame of a stream,
    pictures without memory, several at once and masks from elsewhere run in eager torch, whatever the engine.

    precision 'auto' takes the fastest in eager torch that agrees with fp32 on the probe clip; onnx is fp32 and tensorrt
    fp16. `refused` says what was not taken, and why or how far off it was. relative: whether its depth is disparity.

    An engine that is asked for by name is built in the call that first needs it, unless `builds` is False: then eager
    serves, `lacking` says what for, and look() takes it once it has been built elsewhere.
    """

    def __init__(
        self,
        network: DepthNetwork,
        device: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        engine: str = "auto",
    ):
        self.device = choose_device(device)
        use_threads(threads)
        self.config, self.asked, self._asked_precision = network.config, engine, precision
        self.relative = False
        self.refused: dict[str, str] = {}
        self.builds, self.lacking = True, set[Kind]()
        self._at_once = streams_at_once(self.device)
        self._side_by_side = ThreadPoolExecutor(self._at_once, thread_name_prefix="stream")
        self._built: dict[Kind, Built | None] = {}
        self._running: Built | None = None
        if engine != "eager" or precision == "auto":
            self._origin = store.origin(network, self.device)
        # A copy, as the network given may be in training.
        folded = fold_norms(deepcopy(network).eval()).to(self.device, memory_format=torch.channels_last)
        if engine in NAMES:
            precision = self._required(precision)
        if precision == "auto":
            precision = self._fastest(folded)
        self.precision, self.dtype = precision, DTYPES[precision]
        self.network = folded if precision == "fp32" else reduced(folded, self.dtype)
        self.fp32 = folded if self.asked in NAMES else None  # what is built is made from it or compared with it

    @classmethod
    def of(cls, settings: SimpleNamespace, **more) -> Engine:
        """The engine of a depth node's settings, its weights loaded; more: other arguments."""
        network, kind = checkpoint.load(settings.weights)
        if settings.weights_kind != "auto" and not network.config.ours:
            kind = settings.weights_kind
        engine = cls(network, settings.device, settings.precision, settings.threads, settings.engine, **more)
        engine.relative = kind == "relative"
        return engine

    @torch.inference_mode()
    def __call__(
        self,
        image: Tensor,
        lens: Tensor | None,
        memory: Memory | None,
        masks: Tensor | None = None,
        instances: bool = True,
    ) -> Prediction:
        """As DepthNetwork.forward(), which says what all of them are; image, lens and what comes back are fp32."""
        lens = None if lens is None else lens.to(self.device)  # fp32: it scales metres
        streaming = memory is not None and memory.frames > 0
        if streaming and masks is None and len(image) == 1 and (built := self._ahead_of_time(image, instances)):
            try:
                return built(image.to(self.device), lens, memory)
            except Exception as error:  # a library's own; the memory is as it was, so eager can go on from it
                self.refuse(built.name, f"failed in a stream: {line(error)}")
                self._running = self._built[self._kind(image, instances)] = None
        if streaming:
            memory.cast(self.dtype)
        return self.network(self._picture(image), lens, memory, masks, instances)

    @torch.inference_mode()
    def together(
        self, images: list[Tensor], lenses: list[Tensor | None], memories: list[Memory], instances: bool = True
    ) -> list[Prediction]:
        """As so many calls, a frame each of streams that have all seen one; images and lenses of one shape.

        Side by side, as far as there are cores; else eager torch takes them in one pass, and an engine made ahead of
        time one after another.
        """
        # not self(...), which in a SharedEngine waits for other streams
        alone = partial(Engine.__call__, self, instances=instances)
        if len(images) == 1:
            return [alone(images[0], lenses[0], memories[0])]
        if self._at_once > 1 or self._ahead_of_time(images[0], instances):
            return list(self._side_by_side.map(alone, images, lenses, memories))
        for memory in memories:
            memory.cast(self.dtype)
        lens = None if lenses[0] is None else torch.cat(lenses).to(self.device)
        return self.network.together(self._picture(torch.cat(images)), lens, memories, instances)

    def _picture(self, image: Tensor) -> Tensor:
        return image.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)

    def _kind(self, image: Tensor, instances: bool) -> Kind:
        return Kind(*image.shape[-2:], instances and self.config.queries > 0)

    def _ahead_of_time(self, image: Tensor, instances: bool) -> Built | None:
        """The engine made ahead of time that takes such frames of a stream, if one does; it is what is running then."""
        if self.asked == "eager":
            return None
        kind = self._kind(image, instances)
        if kind not in self._built:
            self.look(kind)
        self._running = self._built[kind]
        return self._running

    @property
    def info(self) -> dict[str, str]:
        """Engine and precision of the stream's last frames, device, and what was refused."""
        running = self._running
        name, precision = (running.name, running.precision) if running else ("eager", self.precision)
        info = {"engine": name, "precision": precision, "device": str(self.device)}
        return info | {f"refused {other}": why for other, why in self.refused.items()}

    def look(self, kind: Kind) -> None:
        """From the next frame of this kind on, take what the store has for it; any thread may call this."""
        built, name = None, self._chosen(kind) if self.asked == "auto" else self.asked
        self.lacking.discard(kind)
        try:
            if name in NAMES:
                built = self.obtain(name, kind, self.fp32 if self.builds else None)
            if built is None and name != "eager":
                self.lacking.add(kind)
        except (EngineError, OSError) as error:
            self.refuse(name, str(error))
        self._built[kind] = built

    def obtain(self, name: str, kind: Kind, fp32: DepthNetwork | None) -> Built | None:
        """The engine from the store. If it is not there: built and checked against fp32, or None without one."""
        key, network = self.key(name, kind), fp32 if fp32 is not None and backend(name).PRECISION else self.network
        entry = store.find(key)
        if entry is None and fp32 is None:
            return None
        if entry is None:
            log.info("building engine '%s' for %d x %d, which can take minutes", name, kind.width, kind.height)
            entry = build(key, network, fp32, kind, self.device)
        return load(entry, network, kind, self.device)

    def key(self, name: str, kind: Kind) -> dict:
        """What the store knows an engine by, or, of 'auto', the choice of one."""
        precision = (backend(name).PRECISION or self.precision) if name in NAMES else self._asked_precision
        return {**self._origin, "engine": name, "precision": precision, **kind._asdict()}

    def refuse(self, name: str, why: str) -> None:
        self.refused = self.refused | {name: why}  # a new one, as another thread may be reading
        log.warning("engine '%s' is not taken: %s", name, why)

    def _chosen(self, kind: Kind) -> str:
        """The engine that was found fastest for this kind of frame; '' where nobody has looked yet."""
        choice = store.find(self.key("auto", kind))
        if choice is None:
            return ""
        self.refused = self.refused | choice.says["refused"]
        return choice.says["engine"]

    def _required(self, precision: str) -> str:
        """The precision that an engine asked for by name has; where it cannot run, eager serves instead."""
        module = backend(self.asked)
        if problem := module.problem(self.device):
            self.refuse(self.asked, problem)
            self.asked = "eager"
            return precision
        if module.PRECISION and precision not in ("auto", module.PRECISION):
            raise ValueError(f"precision of engine {self.asked} must be auto or {module.PRECISION}, got '{precision}'")
        return module.PRECISION or precision

    def _fastest(self, fp32: DepthNetwork) -> str:
        """The precision in which eager torch is fastest and agrees with fp32; found out once, then from the store."""
        key = {**self._origin, "engine": "eager", "precision": "auto"}
        if stored := store.find(key):
            self.refused |= stored.says["refused"]
            return stored.says["precision"]
        best, reference = "fp32", hear(eagerly(fp32, self.device), self.config)
        least_s = reference.frame_s
        # fp16 is slower than fp32 on a CPU without half-precision arithmetic; there bf16 is the one to try.
        for name in ("fp16", "bf16") if self.device.type == "cuda" else ("bf16",):
            heard = hear(eagerly(reduced(fp32, DTYPES[name]), self.device), self.config, most_s=HOPELESS * least_s)
            seconds = heard.frame_s
            slow = f"{seconds * 1e3:.0f} ms a frame, {best} {least_s * 1e3:.0f} ms" if seconds >= least_s else ""
            if error := disagreement(heard, reference) or slow:
                self.refused[name] = error
            else:
                best, least_s = name, seconds
        try:
            store.put(key, {"precision": best, "refused": dict(self.refused)})
        except OSError as error:
            log.info("the choice of %s cannot be kept for the next start: %s", best, error)
        return best


def streams_at_once(device: torch.device) -> int:
    """How many frames can be in the network side by side, each on torch's number of threads."""
    return max(1, len(os.sched_getaffinity(0)) // torch.get_num_threads()) if device.type == "cpu" else 1


def choose_device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device '{device}' asked for, but torch {torch.__version__} sees no CUDA; take auto or cpu")
    return torch.device(device)
