"""`instance-depth doctor`: a line for each thing that streaming depth needs, and the command that mends what is red."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from . import compute, network, ros, sources
from .check import RED, Check


def main(args: Namespace) -> int:
    """args: json. Exit status: 1 when anything is red."""
    checks = examine()
    red = sum(check.state == RED for check in checks)
    if args.json:
        print(json.dumps({"red": red, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        print(table(checks))
    return int(red > 0)


def examine(root: str | Path = "/", environ: Mapping[str, str] = os.environ) -> list[Check]:
    """All checks; root: a folder that holds sys/, proc/, dev/, etc/ and opt/ of the machine."""
    root = Path(root)
    of_ros, rmw = ros.checks(root, environ)
    return [*compute.checks(root), *of_ros, *network.checks(root, environ, rmw), *sources.checks(root)]


def table(checks: list[Check]) -> str:
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.state:4}  {check.name:{width}}  {check.found}")
        if check.mend:
            lines.append(f"{'':{width + 6}}  mend: {check.mend}")
    return "\n".join(lines)
