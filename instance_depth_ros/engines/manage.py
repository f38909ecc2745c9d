"""`instance-depth engine build|list|clear`: engines made ahead of time, and which one is fastest here."""

from __future__ import annotations

from argparse import Namespace

from .. import config
from . import store


def main(args: Namespace) -> int:
    """args: action; of build also settings. Exit status."""
    return {"build": _build, "list": _list, "clear": _clear}[args.action](args)


def _build(args: Namespace) -> int:
    # Here and not above: torch takes seconds.
    from ..engine import Engine
    from ..model import checkpoint
    from .built import EngineError
    from .choice import choose, kind_of

    settings = config.make("depth", **args.settings)
    if settings.engine == "eager":
        raise ValueError("engine eager needs no building; take auto, compiled, onnx or tensorrt")
    if settings.instances in ("hf", "topic"):
        raise ValueError(f"instances '{settings.instances}' come from elsewhere, which only eager torch can take")
    network, _ = checkpoint.load(settings.weights)
    kind = kind_of(network.config, settings, settings.height, settings.width)
    print(f"engine {settings.engine} for {kind.width} x {kind.height}: this can take minutes", flush=True)
    if settings.engine == "auto":
        entry = choose(network, settings, kind)
        for name, ms in sorted(entry.says["ms"].items(), key=lambda item: item[1]):
            print(f"{name:10}{ms:9.2f} ms")
        for name, why in entry.says["refused"].items():
            print(f"{name:10}  not taken: {why}")
        print(f"taken: {entry.says['engine']}")
        return 0
    engine = Engine(network, settings.device, settings.precision, settings.threads, settings.engine)
    if settings.engine in engine.refused:
        raise EngineError(f"engine {settings.engine}: {engine.refused[settings.engine]}")
    engine.obtain(settings.engine, kind, engine.fp32)
    entry = store.find(engine.key(settings.engine, kind))
    print(f"{entry.path.name}: {entry.megabytes:.1f} MB for {kind.width} x {kind.height}")
    return 0


def _list(args: Namespace) -> int:
    entries = store.entries()
    for entry in entries:
        key, says = entry.key, entry.says
        size = f"{key['width']} x {key['height']}" if "width" in key else ""
        what = f"takes {says[part]}" if (part := "engine") in says or (part := "precision") in says else ""
        instances = {True: "with instances", False: "without instances"}.get(key.get("instances"), "")
        columns = (key["engine"], key["network"], key["precision"], size, instances, what, says["made"])
        print("  ".join(column for column in columns if column) + f"  {entry.megabytes:.1f} MB  {key['machine']}")
    print(f"{len(entries)} in {store.folder()}")
    return 0


def _clear(args: Namespace) -> int:
    print(f"{store.clear():.1f} MB taken away from {store.folder()}")
    return 0
