"""`instance-depth bench`: how long things take on this machine, as medians; the last line printed is JSON.

Rows: name, ms_p50, ms_p99, fps (of the median), ratio (docs/performance.md says to what); null where `why` says so.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from ...provenance import provenance
from . import data, host, network, official, recorder, roofline, sensors, soak, writer
from .timing import Job, write


def main(args: Namespace) -> int:
    """args: out (a file, '' for that of the kind), rows (prefixes of names), against, soak, settings. Exit status."""
    observer = _observer()
    if args.soak:
        return soak.main(args, observer)
    # What a checkout is compared with is not measured a second time.
    jobs = chain(
        official.jobs(args.settings, args.against),
        network.jobs(args.settings),
        *(roofline.jobs(args.settings, d, network.all_cores(args.settings)) for d in network.devices(args.settings)),
        host.jobs(args.settings, observer),
        sensors.jobs(observer),
        writer.jobs(),
        recorder.jobs(observer),
        data.jobs(),
    )
    rows = []
    for row in measure(jobs, args.rows):
        rows.append(row)
        print(line(row), flush=True)
    if not rows:
        raise ValueError(f"no row begins with {' or '.join(args.rows)}; docs/performance.md names them")
    write(Path(args.out or "out/bench.json"), {**provenance(), "rows": rows})
    return 0


def _observer() -> type | None:
    """Before anything else: rclpy from wheels starts the interpreter anew when it is first imported."""
    try:
        from ...nodes.observer import Observer
    except ImportError as error:
        print(f"there is no ROS 2 here ({error})")
        return None
    return Observer


def measure(jobs: Iterable[Job], prefixes: tuple[str, ...] = ()) -> Iterator[dict]:
    """Each row whose name begins with one of the prefixes, once, as soon as it is known; only its jobs are run."""
    known = set()
    for job in jobs:
        wanted = {name for name in job.names if name.startswith(prefixes or "")} - known
        if not wanted:
            continue
        for row in job.measure():
            if row["name"] in wanted:
                known.add(row["name"])
                yield row


def line(row: dict) -> str:
    """A row as people read it."""
    if row["ms_p50"] is None:
        return f"{row['name']:40} not measured: {row['why']}"
    more = {"ratio": row["ratio"]} | {key: value for key, value in list(row.items())[5:]}
    said = "".join(f", {key} {value}" for key, value in more.items() if value is not None)
    return f"{row['name']:40}{row['ms_p50']:10.3f} ms, p99 {row['ms_p99']:.3f} ms{said}"
