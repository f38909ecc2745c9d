"""Processes that write sequences, and the one that waits for them, counts frames and can stop them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from .clips import beginning_workers

_LOOK_S = 0.2

_frames_done = _frames_known = _stop = _parent = None  # of a worker


class Stopped(Exception):
    """The user asked for an end."""


def work(function: Callable[..., dict[str, str]], jobs: list[tuple], workers: int) -> Iterator[tuple[int, int, dict]]:
    """Call function(*job) of each job, in so many processes (0: one a core).

    It gives the reason why, by name, of what failed. Every moment comes how many frames are done and known of, by
    count(), and what has failed since. Who leaves the iteration stops the workers after their next frame.
    """
    with beginning_workers() as context:
        done_value, known_value, stop = context.Value("q", 0), context.Value("q", 0), context.Event()
        begin = (done_value, known_value, stop, os.getpid())
        most = min(workers or len(os.sched_getaffinity(0)), len(jobs)) or 1
        pool = ProcessPoolExecutor(most, context, _begin, begin)
        left = {pool.submit(function, *job) for job in jobs}
    try:
        while left:
            done, left = wait(left, _LOOK_S, FIRST_COMPLETED)
            failed = {k: v for future in done for k, v in future.result().items()}
            yield done_value.value, known_value.value, failed
    except BrokenProcessPool:
        raise RuntimeError(
            "a worker process died, perhaps for lack of memory: the same command goes on, try fewer --workers"
        ) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _begin(frames_done, frames_known, stop, parent: int) -> None:
    """In a worker, before all else."""
    global _frames_done, _frames_known, _stop, _parent
    _frames_done, _frames_known, _stop, _parent = frames_done, frames_known, stop, parent


def count(done: int, known: int = 0) -> None:
    """So many more are done, and known of; Stopped is raised where that is enough. It does nothing but in a worker."""
    if _frames_done is None:
        return
    for value, more in ((_frames_done, done), (_frames_known, known)):
        with value.get_lock():
            value.value += more
    if os.getppid() != _parent:
        os._exit(1)  # nobody waits for what a worker of a killed command does
    if _stop.is_set():
        raise Stopped


@contextmanager
def failing_into(failed: dict[str, str], name: str):
    """What goes wrong within is noted and said, and the rest goes on."""
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        fail(failed, name, error)


def fail(failed: dict[str, str], name: str, error: Exception) -> None:
    """Say the first reason at once: who presses Ctrl-C has seen it."""
    if name not in failed:
        failed[name] = f"{error or 'failed'} ({type(error).__name__})"
        over = "\r\x1b[K" if sys.stderr.isatty() else ""
        sys.stderr.write(f"{over}error: {name}: {failed[name]}\n")
