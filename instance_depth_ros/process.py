"""What this process takes of the machine: threads, cores, priority, memory; and how garbage is not looked for."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys
from types import SimpleNamespace

import cv2
import numpy as np

log = logging.getLogger(__name__)
# Builds of OpenBLAS differ in what they call the same function: NumPy's and SciPy's wheels, distributions.
BLAS_SETTERS = [f"{name}_set_num_threads{end}" for name in ("scipy_openblas", "openblas") for end in ("64_", "")]
# glibc's names and numbers; a threshold of 32 MiB is the most that it takes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
MOST_BYTES, KEPT_BYTES, RESERVED_BYTES = 32 << 20, 512 << 20, 1 << 20


class Mallinfo2(ctypes.Structure):
    """What glibc 2.33 and later tells of its heap; arena: its size in bytes, used or free."""

    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    _fields_ = [(name, ctypes.c_size_t) for name in names]


def use_threads(count: int = 0) -> int:
    """As many threads for OpenCV and BLAS, and for torch where it is imported; 0: all cores but one. Their number.

    One core is left to the camera and the transport: two threads that wait for each other on a busy pair of cores are
    far slower than one (docs/log.md).
    """
    count = count or max(1, len(os.sched_getaffinity(0)) - 1)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)
    cv2.setNumThreads(count)
    for path in _loaded("openblas"):
        library = ctypes.CDLL(path)
        for setter in filter(None, (getattr(library, name, None) for name in BLAS_SETTERS)):
            setter(count)
    return count


def _loaded(name: str) -> set[str]:
    """Shared libraries of this process with `name` in their own."""
    with open("/proc/self/maps") as maps:
        paths = {line.split(maxsplit=5)[-1].strip() for line in maps if ".so" in line}
    return {path for path in paths if name in os.path.basename(path)}


def schedule(settings: SimpleNamespace) -> None:
    """cpu_affinity and realtime_priority for all threads there are; later ones inherit them. A refusal is logged.

    ValueError for a cpu_affinity that is no list of CPUs.
    """
    if settings.cpu_affinity:
        cpus = cpu_list(settings.cpu_affinity)
        here = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        _for_threads(
            lambda thread: os.sched_setaffinity(thread, cpus),
            f"cpu_affinity '{settings.cpu_affinity}'",
            f"this process may use {here}",
        )
    if settings.realtime_priority:
        parameter = os.sched_param(settings.realtime_priority)
        _for_threads(
            lambda thread: os.sched_setscheduler(thread, os.SCHED_FIFO, parameter),
            f"realtime_priority {settings.realtime_priority}",
            "it takes an rtprio limit for the user in /etc/security/limits.conf, or the capability SYS_NICE",
        )


def _for_threads(act, what: str, way_out: str) -> None:
    try:
        for thread in map(int, os.listdir("/proc/self/task")):
            try:
                act(thread)
            except ProcessLookupError:  # it ended in between
                pass
    except OSError as error:
        log.warning("%s refused (%s): %s; going on without", what, error.strerror, way_out)


def cpu_list(text: str) -> set[int]:
    """The CPUs of '0,2-3', as taskset writes them."""
    try:
        ends = [tuple(map(int, part.split("-"))) for part in text.split(",")]
        cpus = {cpu for first, *last in ends for cpu in range(first, (last or [first])[0] + 1)}
        if cpus and min(cpus) >= 0 and all(len(pair) < 3 for pair in ends):
            return cpus
    except ValueError:
        pass
    raise ValueError(f"cpu_affinity must be CPUs such as 0,2-3, got '{text}'")


def keep_memory() -> None:
    """What arrays of a frame took stays with this process for those of the next, up to 512 MiB; glibc alone does it.

    Else each array of a picture's size is a mapping of its own, fresh from the kernel: 2600 page faults a frame of
    720p, which cost more than what is written into it. One heap for all threads, where this comes before they do: what
    one thread makes and another gives up would leave holes in several.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_MMAP_THRESHOLD, MOST_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_ARENA_MAX, 1)


def reserve(size: int) -> None:
    """The heap is this much larger from now on, and touched; glibc since 2.33 alone does it.

    Else a process grows whenever more is on its way at the same time than ever before, in ever rarer steps, for hours.
    What has its place in holes that were there already enlarges nothing, so arrays are made until the heap has grown.
    """
    if mallinfo2 := getattr(ctypes.CDLL(None), "mallinfo2", None):
        mallinfo2.restype, arrays = Mallinfo2, []
        before = mallinfo2()
        most = (before.fordblks + size) // RESERVED_BYTES + 1  # where another allocator is loaded, nothing grows
        while mallinfo2().arena < before.arena + size and len(arrays) < most:
            arrays.append(np.ones(RESERVED_BYTES, np.uint8))


def settle() -> None:
    """After warming up: what is there now will stay, and is not looked through for garbage any more."""
    gc.collect()
    gc.freeze()


def unsettle() -> None:
    """Once much is given up: look through everything again, now, and give back what was kept."""
    gc.unfreeze()
    gc.collect()
    give_back()


def give_back() -> None:
    """What is free in the heap goes back to the kernel; some milliseconds, and what is needed next is mapped anew."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def rss_mb() -> float:
    """Resident memory of this process in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def shared_mb() -> float:
    """Of it, what is shared memory: the transport's segments, of fixed size, touched bit by bit.

    Each process that has them counts them.
    """
    with open("/proc/self/status") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("RssShmem:")) / 1e3 * 1.024
