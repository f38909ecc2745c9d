"""Built engines, and what was found fastest, in the user's cache folder: each known by all that it was made from.

An entry is a folder, ENGINE-HASH: a manifest and the files it lists. What differs in one thing has another hash, so
nothing stale is ever found. Entries appear whole or not at all, and take the place of those that differ from them only
in what an update changes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from ..model.checkpoint import is_idle
from ..model.network import DepthNetwork
from ..provenance import processor

log = logging.getLogger(__name__)
MANIFEST = "manifest.json"
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "torch_tensorrt", "tensorrt")
PACKAGE = Path(__file__).parent.parent
UPDATED = ("code", "versions")  # parts of a key that an update of this package or of another changes


@dataclass(frozen=True)
class Entry:
    """key: what it was made from; says: what was found out when it was made; both as JSON has them."""

    path: Path
    key: dict
    says: dict

    @property
    def megabytes(self) -> float:
        return sum(file.stat().st_size for file in self.path.iterdir()) / 1e6


def folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "instance_depth_ros" / "engines"


def origin(network: DepthNetwork, device: torch.device) -> dict[str, object]:
    """What everything made of this network on this machine depends on; the rest of a key is the engine's own."""
    weights = hashlib.sha256()
    for name, value in network.state_dict().items():
        if is_idle(name):  # not in files, and so different at each start
            continue
        weights.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        weights.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return {
        "network": network.config.name,
        "weights": weights.hexdigest(),
        "config": hashlib.sha256(network.config.to_json().encode()).hexdigest(),
        "code": _code(),
        "machine": _machine(device),
        "threads": torch.get_num_threads() if device.type == "cpu" else 0,
        "versions": {name: _version(name) for name in PACKAGES},
    }


def find(key: dict) -> Entry | None:
    """The entry made from exactly this; a damaged one is taken away, with one line."""
    path = _place(key)
    if not path.is_dir():
        return None
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        if manifest["key"] == key and all(_digest(path / name) == sha for name, sha in manifest["files"].items()):
            return Entry(path, key, manifest["says"])
        why = "its files are not those that were written"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
    log.warning("stored engine %s is damaged (%s): it has to be made again", path, why)
    shutil.rmtree(path, ignore_errors=True)
    return None


def put(key: dict, says: dict | Callable[[Path], dict]) -> Entry:
    """Store what `says`; a function writes the entry's files into the folder it is given, and returns what it says.

    Where it raises, nothing is stored. An entry of the same key that appeared meanwhile stays. Entries of the same
    thing from before an update are taken away.
    """
    path = _place(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".building-") as temporary:
        made = Path(temporary) / "entry"
        made.mkdir()
        said = says(made) if callable(says) else says
        said = {"made": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M}", **said}
        files = {file.name: _digest(file) for file in sorted(made.iterdir())}
        (made / MANIFEST).write_text(json.dumps({"key": key, "says": said, "files": files}, indent=1))
        try:
            made.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    for other in entries():
        if other.path != path and _lasting(other.key) == _lasting(key):
            shutil.rmtree(other.path, ignore_errors=True)
    return Entry(path, key, said)


def _lasting(key: dict) -> dict:
    return {name: value for name, value in key.items() if name not in UPDATED}


def entries() -> list[Entry]:
    """All that can be read, by name."""
    found = []
    for path in sorted(folder().glob("[!.]*/")):
        try:
            manifest = json.loads((path / MANIFEST).read_text())
            found.append(Entry(path, manifest["key"], manifest["says"]))
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("%s is no stored engine; instance-depth engine clear takes it away", path)
    return found


def forget(key: dict) -> None:
    """Take away the entry of this key, if there is one."""
    shutil.rmtree(_place(key), ignore_errors=True)


def clear() -> float:
    """Take everything away; how many MB that were."""
    megabytes = sum(file.stat().st_size for file in folder().rglob("*") if file.is_file()) / 1e6
    shutil.rmtree(folder(), ignore_errors=True)
    return megabytes


def _place(key: dict) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return folder() / f"{key['engine']}-{digest[:20]}"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _code() -> str:
    """Of all of our code that decides what a graph computes."""
    files = [*sorted(PACKAGE.glob("model/*.py")), *sorted(PACKAGE.glob("engines/*.py"))]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"{torch.cuda.get_device_name(device)}, SM {major}.{minor}, CUDA {torch.version.cuda}"
    return f"{processor()}, {torch.backends.cpu.get_cpu_capability()}"


def _version(package: str) -> str | None:
    if package == "torch":
        return torch.__version__
    try:
        return version(package)
    except PackageNotFoundError:
        return None
