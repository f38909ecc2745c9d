"""Files that the kernel makes up as they are read."""

from pathlib import Path


def text(file: Path) -> str:
    """What it says; '' where there is no such file, or the device behind it does not answer."""
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
