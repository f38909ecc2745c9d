"""Pictures in a folder, in the order in which people count."""

from __future__ import annotations

import re
from pathlib import Path

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def pictures_in(folder: Path) -> list[Path]:
    """Its pictures, in natural order."""
    return sorted((path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES), key=natural)


def natural(path: Path) -> list:
    """A key to sort by: numbers in a name count as numbers, 2.png comes before 10.png."""
    return [int(part) if part.isdigit() else part.lower() for part in re.split(r"([0-9]+)", path.name)]
