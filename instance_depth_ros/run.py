"""`instance-depth run`: the graph as processes, restarted when one dies, and never left behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from . import graph

# A node that ended for good: 0 its work is done, 2 it would fail in the same way again.
DONE, UNUSABLE = 0, 2
RESTARTS, WITHIN_S, FIRST_DELAY_S = 5, 60.0, 0.5
# After Ctrl-C a node has so long to say its last words.
GRACE_S = 8.0
PR_SET_PDEATHSIG = 1
# What the graph can do without: its end ends nothing else.
OPTIONAL = ("viewer", "recorder")
# Interrupted once the others have ended: it keeps their last words, too.
LAST, LAST_GRACE_S = ("recorder",), 60.0


@dataclass
class Process:
    """One node as a process in a group of its own, so that its helpers go with it."""

    spec: graph.NodeSpec
    child: subprocess.Popen | None = None
    starts: list[float] = field(default_factory=list)
    next_start: float = 0.0
    log: Path | None = None

    def start(self) -> None:
        self.starts.append(time.monotonic())
        command = self.spec.command()
        with open(self.log, "ab") if self.log else nullcontext() as output:
            self.child = subprocess.Popen(
                command, start_new_session=True, preexec_fn=_die_with_parent, stdout=output, stderr=output
            )

    def signal(self, number: int) -> None:
        try:
            os.killpg(self.child.pid, number)
        except ProcessLookupError:
            pass

    def delay_s(self) -> float | None:
        """How long to wait before it is started again; None when it died too often. Old starts are forgotten."""
        self.starts = [moment for moment in self.starts if time.monotonic() - moment < WITHIN_S]
        if len(self.starts) > RESTARTS:
            return None
        return FIRST_DELAY_S * 2 ** max(0, len(self.starts) - 1)


def _die_with_parent() -> None:
    """In the child: Linux sends it SIGINT should this process be killed outright."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


class Supervisor:
    """Runs a graph until a node's work is done, one dies for good, or stop() was called; OPTIONAL ones may go earlier.

    Of several cameras one may be done before the others.

    logs: a folder where each node's output goes to NAME.log, instead of the terminal.
    """

    def __init__(self, specs: list[graph.NodeSpec], logs: Path | None = None):
        self.processes = [Process(spec, log=logs and logs / f"{spec.title.replace('/', '_')}.log") for spec in specs]
        self._stopping = False

    def stop(self, *_) -> None:
        self._stopping = True

    def run(self) -> int:
        """0 when the work is done or it was stopped, 1 when a node could not be kept running."""
        try:
            for process in self.processes:
                process.start()
            while not self._stopping:
                for process in list(self.processes):
                    status = self._tend(process)
                    if status is not None:
                        return status
                time.sleep(0.05)
            return 0
        finally:
            self.stop_all()

    def _tend(self, process: Process) -> int | None:
        """Start a dead process again; an exit status when the graph is to end."""
        if process.child is None:
            if time.monotonic() >= process.next_start:
                process.start()
            return None
        returncode = process.child.poll()
        if returncode is None:
            return None
        process.signal(signal.SIGKILL)
        delay_s = process.delay_s()
        gone = returncode in (DONE, UNUSABLE) or delay_s is None
        if gone and process.spec.name in OPTIONAL:
            print(f"the {process.spec.title} ended with status {returncode}; the others go on", file=sys.stderr)
            self.processes.remove(process)
            return None
        if returncode == DONE:
            self.processes.remove(process)
            return None if any(other.spec.name == process.spec.name for other in self.processes) else 0
        if gone:
            print(f"error: the {process.spec.title} node ended with status {returncode}; see above", file=sys.stderr)
            return 1
        print(f"the {process.spec.title} node died ({returncode}); again in {delay_s:g} s", file=sys.stderr)
        process.child, process.next_start = None, time.monotonic() + delay_s
        return None

    def stop_all(self) -> None:
        """SIGINT to each group, and SIGKILL to what is left of it after GRACE_S; then the same to those in LAST."""
        alive = [process for process in self.processes if process.child]
        for last, grace_s in ((False, GRACE_S), (True, LAST_GRACE_S)):
            self._stop([process for process in alive if (process.spec.name in LAST) == last], grace_s)

    def _stop(self, alive: list[Process], grace_s: float) -> None:
        for process in alive:
            process.signal(signal.SIGINT)
        deadline = time.monotonic() + grace_s
        for process in alive:
            try:
                process.child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            process.signal(signal.SIGKILL)
            process.child.wait()


def main(args: Namespace) -> int:
    """args: settings (dict of what was given), namespace, viewer, record, params (YAML files), cameras, remap."""
    specs = graph.nodes(
        args.settings, args.namespace, args.viewer, tuple(args.params), args.cameras, args.remap, args.record
    )
    supervisor = Supervisor(specs)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, supervisor.stop)
    return supervisor.run()
