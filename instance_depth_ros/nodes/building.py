"""Engines are built by a process beside the node, at lower priority, while torch serves."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from types import SimpleNamespace

PASSED = ("weights", "engine", "precision", "device", "network_short_side", "instances")
SETTLED_S = 10.0  # a stream comes first
NICE = 10


class Builder:
    """Sees what the engine lacks, has it built, and has it taken over between two frames; says on `message` how long.

    log: called with each line for people. look() is called after a frame, from the thread that estimates.
    """

    def __init__(self, engine, settings: SimpleNamespace, log):
        self._engine, self._settings, self._log = engine, settings, log
        self._child = self._kind = self._output = self._taking = None
        self._tried, self._since = set(), time.monotonic()
        engine.builds = False

    @property
    def message(self) -> str:
        return f"building engine, {time.monotonic() - self._since:.0f} s" if self._child else ""

    def look(self, size: tuple[int, int]) -> None:
        """size: (height, width) of the camera's last frame."""
        if self._child:
            if self._child.poll() is not None:
                self._take()
        elif self._settings.engine_build and time.monotonic() - self._since > SETTLED_S:
            if kind := next(iter(self._engine.lacking - self._tried), None):
                self._tried.add(kind)
                self._engine.lacking.discard(kind)  # no other node that shares the engine builds it, too
                try:
                    self._start(kind, size)
                except OSError as error:
                    self._engine.refuse(self._settings.engine, f"its building cannot be started: {error}")

    def close(self) -> None:
        """End the child, if there is one, and wait for what is being taken over; look() begins anew."""
        if self._child:
            self._child.terminate()
            self._child.wait()
            self._tried.discard(self._kind)
            self._engine.lacking.add(self._kind)
            self._child, self._since = None, time.monotonic()
        if self._taking:
            self._taking.join()

    def _start(self, kind, size: tuple[int, int]) -> None:
        import torch  # as many threads as serve: what is fastest depends on it

        given = {name: getattr(self._settings, name) for name in PASSED}
        given |= {"threads": torch.get_num_threads(), "height": size[0], "width": size[1]}
        options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
        command = [sys.executable, "-m", f"{__package__.split('.')[0]}.cli", "engine", "build", *options]
        self._output = tempfile.TemporaryFile()
        self._child = subprocess.Popen(command, stdout=self._output, stderr=subprocess.STDOUT)
        os.setpriority(os.PRIO_PROCESS, self._child.pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE))
        self._kind, self._since = kind, time.monotonic()

    def _take(self) -> None:
        """The child has ended: with what it made, or with a reason."""
        status, kind, seconds = self._child.returncode, self._kind, time.monotonic() - self._since
        self._child = None
        if status:
            self._output.seek(0)
            said = self._output.read().decode(errors="replace").strip().splitlines()
            self._engine.refuse(self._settings.engine, (said or [f"its building ended with status {status}"])[-1])
        else:
            self._log(f"engine built in {seconds:.0f} s")
            # loading takes seconds, in which frames go on
            self._taking = threading.Thread(target=self._engine.look, args=(kind,), name="engine", daemon=True)
            self._taking.start()
