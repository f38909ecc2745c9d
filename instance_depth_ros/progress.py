"""How far it is: one line that is written over on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time

_TERMINAL_S, _LINES_S = 0.2, 5.0
_BAR = 24


class Progress:
    """Of so many frames; those that were there before do not count for the rate."""

    def __init__(self, total: int, there: int = 0):
        self.total, self.there, self.done = total, there, there
        self._start = time.monotonic()
        self._said, self._terminal = 0.0, sys.stdout.isatty()

    def at(self, done: int, note: str = "") -> None:
        """Say that done frames are ready, if it is time to."""
        self.done, now = done, time.monotonic()
        if now - self._said >= (_TERMINAL_S if self._terminal else _LINES_S):
            self._said = now
            self._write(self._line(note))

    def end(self, note: str = "") -> None:
        """The last line."""
        self._write(self._line(note), last=True)

    @property
    def rate(self) -> float:
        """Frames per second so far."""
        return (self.done - self.there) / max(time.monotonic() - self._start, 1e-6)

    def _line(self, note: str) -> str:
        share = self.done / max(self.total, 1)
        bar = "#" * round(_BAR * share)
        left_s = (self.total - self.done) / self.rate if self.rate else 0
        left = f"{left_s // 3600:.0f}:{left_s // 60 % 60:02.0f}:{left_s % 60:02.0f} left"
        return f"[{bar:{_BAR}}] {self.done}/{self.total} frames, {self.rate:.1f} frames/s, {left}  {note}".rstrip()

    def _write(self, line: str, last: bool = False) -> None:
        if self._terminal:
            print(f"\r\x1b[K{line}", end="\n" if last else "", flush=True)
        else:
            print(line, flush=True)
