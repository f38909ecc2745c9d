"""One engine for the cameras of a process: frames that are ready together go through the network in one pass."""

from __future__ import annotations

import threading
import time
from collections.abc import MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from weakref import WeakKeyDictionary

from torch import Tensor

from .engine import Engine
from .model.memory import Memory
from .model.network import Prediction

OF_ENGINE = ("weights", "weights_kind", "engine", "precision", "device", "threads")


@dataclass
class Call:
    """A frame that waits for the network, as an Engine is called, and where its prediction will be."""

    image: Tensor
    lens: Tensor | None
    memory: Memory | None
    masks: Tensor | None = None
    instances: bool = True
    caller: threading.Thread = field(default_factory=threading.current_thread)
    says: Future = field(default_factory=Future)

    @property
    def kind(self) -> tuple | None:
        """Calls of one kind can go together; None: this one goes alone, as a stream's first frame does."""
        if self.memory is None or self.memory.frames == 0 or self.masks is not None or len(self.image) > 1:
            return None
        return self.image.shape, self.image.dtype, self.instances


class SharedEngine(Engine):
    """An Engine for several threads, each with a stream of its own; one more thread runs the network.

    A frame waits at most wait_ms, and only for streams whose last frame came within wait_ms of the last of its own:
    cameras in step are batched, and nobody waits for one out of step, silent or ended. Frames of one size in
    mid-stream go together, all others one after another. RuntimeError in all callers of a batch that failed.
    """

    def __init__(self, *of_engine, wait_ms: float = 5.0):
        super().__init__(*of_engine)
        self._wait_s = wait_ms / 1e3
        self._calls: list[Call] = []
        self._came = WeakKeyDictionary[threading.Thread, float]()
        self._changed = threading.Condition()
        self._runner = ThreadPoolExecutor(1, thread_name_prefix="network")  # ends when nobody has the engine any more

    def __call__(self, *frame, **asked) -> Prediction:
        """As Engine's; see Call."""
        call = Call(*frame, **asked)
        with self._changed:
            now_s, partners = time.monotonic(), self._partners(call.caller)
            self._came[call.caller] = now_s
            self._calls.append(call)
            self._changed.notify()
            if len(self._calls) == 1:
                self._runner.submit(self._run, partners, now_s + self._wait_s)
        return call.says.result()

    def _partners(self, caller: threading.Thread) -> set[threading.Thread]:
        """Those who came together with this one the last time."""
        last_s = self._came.get(caller)
        if last_s is None:
            return set()
        others = ((other, came_s) for other, came_s in self._came.items() if other is not caller and other.is_alive())
        return {other for other, came_s in others if abs(came_s - last_s) <= self._wait_s}

    def _run(self, partners: set[threading.Thread], until_s: float) -> None:
        """All calls that are there once the partners have come or their time is up."""
        with self._changed:
            self._changed.wait_for(
                lambda: partners <= {call.caller for call in self._calls}, max(0.0, until_s - time.monotonic())
            )
            calls, self._calls = self._calls, []
        batches: dict[object, list[Call]] = {}
        for call in calls:
            batches.setdefault(call.kind or call.caller, []).append(call)
        for batch in batches.values():
            self._answer(batch)

    def _answer(self, batch: list[Call]) -> None:
        try:
            if batch[0].kind:
                frames = zip(*((call.image, call.lens, call.memory) for call in batch), strict=True)
                answers = self.together(*frames, batch[0].instances)
            else:
                (call,) = batch
                answers = [super().__call__(call.image, call.lens, call.memory, call.masks, call.instances)]
        except BaseException as error:  # whatever it is, somebody waits
            for call in batch:
                call.says.set_exception(error if len(batch) == 1 else _of_all(batch, error))
        else:
            for call, says in zip(batch, answers, strict=True):
                call.says.set_result(says)


def _of_all(batch: list[Call], error: BaseException) -> RuntimeError:
    failed = RuntimeError(f"{len(batch)} frames that went through the network together failed: {error!r}")
    failed.__cause__ = error
    return failed


def shared(settings: SimpleNamespace, engines: MutableMapping[tuple, SharedEngine]) -> SharedEngine:
    """The one of these engines that was made for such settings of the network, else a new one among them."""
    key = tuple(getattr(settings, name) for name in OF_ENGINE)
    engine = engines.get(key)
    if engine is None:
        engine = engines[key] = SharedEngine.of(settings, wait_ms=settings.batch_wait_ms)
    return engine
