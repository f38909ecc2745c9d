"""What a look at one thing found."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

OK, WARN, RED = "ok", "warn", "red"


@dataclass(frozen=True)
class Check:
    """state: ok; warn, it runs but could be better; red, it does not run. mend: the command, of warn and red only."""

    name: str
    state: str
    found: str
    mend: str = ""

    def __post_init__(self):
        if (self.state == OK) == bool(self.mend):
            raise ValueError(f"the check of {self.name} is {self.state}, with mend '{self.mend}'")


def installed(package: str) -> str:
    """Its version, '' without it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
