"""Where a figure comes from: the commit, the machine, the day."""

from __future__ import annotations

import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from os import sched_getaffinity
from pathlib import Path


def provenance() -> dict[str, str | None]:
    """commit, machine and date (UTC), for a result file."""
    return {"commit": commit(), "machine": machine(), "date": f"{datetime.now(timezone.utc):%Y-%m-%d}"}


def commit() -> str | None:
    """The checkout's commit, with -dirty where files differ; None outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    described = subprocess.run(command, capture_output=True, text=True)
    return described.stdout.strip() or None


def machine() -> str:
    """Processor, cores that this process may use, GPU, and the versions that decide speed."""
    return ", ".join([processor(), f"{len(sched_getaffinity(0))} cores", *_gpus(), *_versions()])


def _versions() -> list[str]:
    """torch's is looked up, not imported, which takes seconds; a recorder runs without."""
    python = f"Python {platform.python_version()}"
    try:
        return [python, f"torch {version('torch')}"]
    except PackageNotFoundError:
        return [python]


def processor() -> str:
    """The processor's name as Linux knows it; some ARM boards say it nowhere."""
    return _field(Path("/proc/cpuinfo"), "model name") or platform.machine()


def _gpus() -> list[str]:
    """Names of the NVIDIA GPUs whose driver runs."""
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    return [name for file in files if (name := _field(file, "Model"))]


def _field(file: Path, key: str) -> str:
    """The value of the first 'key : value' line."""
    try:
        lines = (line.partition(":") for line in file.read_text().splitlines())
        return next((value.strip() for name, _, value in lines if name.strip() == key), "")
    except OSError:
        return ""
