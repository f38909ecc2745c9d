"""A folder that is written as .NAME.part beside its place, and moved there when it is complete."""

from __future__ import annotations

import fcntl
from pathlib import Path


class Part:
    """part: where to write. locked: the file of that name in it, open to append; who holds its lock writes.

    FileExistsError where the folder is there, BlockingIOError where another process is writing it. A context: leaving
    it without an error calls finish().
    """

    def __init__(self, folder: Path, name: str):
        self.folder, self.part = folder, folder.with_name(f".{folder.name}.part")
        self._check_absent()
        self.part.mkdir(parents=True, exist_ok=True)
        self.locked = open(self.part / name, "ab")
        try:
            fcntl.flock(self.locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._check_absent()  # another may have finished it since
        except OSError as error:
            self.locked.close()
            if isinstance(error, BlockingIOError):
                raise BlockingIOError(f"{self.folder}: another command is writing it") from None
            raise

    def _check_absent(self) -> None:
        if self.folder.exists():
            raise FileExistsError(f"{self.folder} is there already; remove it or choose another place")

    def finish(self) -> None:
        """Move what was written to its place."""
        self.part.rename(self.folder)
        self.locked.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.locked.close()
