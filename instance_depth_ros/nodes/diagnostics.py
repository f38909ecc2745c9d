"""What a node counts, and how it says so on /diagnostics once a second.

Every frame that came in is either out, waiting, or lost for a reason: frames_in = frames_out + frames_waiting + lost.
Keys: state, frames_in, frames_out, frames_waiting, lost, lost_<reason>, input_hz, output_hz, rss_mb,
shared_mb (of it, shared memory);
latency_ms_p50/p95/p99 (stamp to publish, where stamps are of the ROS clock), processing_ms_p50/p95/p99 (received to
published), graph_ms_p50/p95/p99 (processing without the estimator: what ROS costs), host_ms_p50/p95/p99 (processing
without any network), stage_ms_<stage>_p50/p95/p99; deadline_ms (the interval between frames that come in, median),
late_share (of the frames that went out, those that took longer), interval_ms_p50/p95/p99 (between outputs), jitter_ms
(their p95 - p5); what health.py finds; and what the node adds (engine, precision, scale, camera, ...).
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter, deque

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.qos import QoSProfile

from ..health import health
from ..process import rss_mb, shared_mb

REASONS = ("not_received", "overwritten", "unpaired", "stale", "invalid", "queue_full")
# A stamp farther from now is not of this clock (a bag of last year).
SAME_CLOCK_NS = 10_000_000_000
WINDOW = 1000
RATE_WINDOW_S = 5.0
LAST_WORDS_S = 1.0


class Monitor:
    """Counts frames and times them; any thread may call any method."""

    def __init__(self):
        self._lock = threading.Lock()
        self._received = self._out = 0
        self._lost = Counter()
        self._arrivals, self._departures = deque(maxlen=WINDOW), deque(maxlen=WINDOW)
        self._times = {}

    def received(self, count: int = 1) -> None:
        """Frames arrived."""
        with self._lock:
            self._received += count
            self._arrivals.extend([time.monotonic()] * count)

    def lost(self, reason: str, count: int = 1) -> None:
        """Frames that will not become an output; not_received ones never arrived, but were sent."""
        if reason not in REASONS:
            raise ValueError(f"reason must be one of {', '.join(REASONS)}, got '{reason}'")
        with self._lock:
            self._lost[reason] += count

    def done(self, times_ms: dict[str, float]) -> None:
        """A frame went out; times_ms: its durations (latency_ms, processing_ms, stage_ms_...)."""
        with self._lock:
            self._out += 1
            self._departures.append(time.monotonic())
            for name, value in times_ms.items():
                self._times.setdefault(name, deque(maxlen=WINDOW)).append(value)

    def values(self) -> dict[str, object]:
        """All of it by the keys above; one consistent moment."""
        with self._lock:
            lost = {reason: self._lost[reason] for reason in REASONS}
            times = {name: np.array(values) for name, values in self._times.items()}
            received, out = self._received, self._out
            rates = {"input_hz": _rate(self._arrivals), "output_hz": _rate(self._departures)}
            arrivals, departures = np.array(self._arrivals), np.array(self._departures)
        frames_in = received + lost["not_received"]
        total = sum(lost.values())
        values = {"frames_in": frames_in, "frames_out": out, "frames_waiting": frames_in - out - total, "lost": total}
        values.update({f"lost_{reason}": count for reason, count in lost.items()}, **rates)
        values.update(punctuality(arrivals, departures, times.get("processing_ms", np.empty(0))))
        for name, array in times.items():
            values.update({f"{name}_p{q}": float(np.percentile(array, q)) for q in (50, 95, 99)})
        return values


def _rate(moments) -> float:
    """Events per second over the last RATE_WINDOW_S; 0 when silent."""
    now = time.monotonic()
    recent = [moment for moment in moments if now - moment < RATE_WINDOW_S]
    return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 else 0.0


def punctuality(arrivals_s: np.ndarray, departures_s: np.ndarray, processing_ms: np.ndarray) -> dict[str, float]:
    """Deadline, late share, intervals and jitter of recent frames by the keys above; nothing before a second frame."""
    values = {}
    if len(arrivals_s) > 1:
        values["deadline_ms"] = deadline_ms = 1e3 * float(np.median(np.diff(arrivals_s)))
        if len(processing_ms):
            values["late_share"] = float((processing_ms > deadline_ms).mean())
    if len(departures_s) > 1:
        p5, p50, p95, p99 = map(float, np.percentile(1e3 * np.diff(departures_s), (5, 50, 95, 99)))
        values |= {"interval_ms_p50": p50, "interval_ms_p95": p95, "interval_ms_p99": p99, "jitter_ms": p95 - p5}
    return values


def times_ms(stamp_ns: int, received_ns: int, now_ns: int, stages: dict[str, float]) -> dict[str, float]:
    """What Monitor.done takes: latency (only for stamps of this clock), processing, graph, host and stages."""
    times = {"processing_ms": (time.monotonic_ns() - received_ns) / 1e6}
    if "estimate" in stages:
        times["graph_ms"] = times["processing_ms"] - stages["estimate"]
        times["host_ms"] = times["processing_ms"] - sum(stages.get(name, 0.0) for name in ("network", "segment"))
    if abs(now_ns - stamp_ns) < SAME_CLOCK_NS:
        times["latency_ms"] = (now_ns - stamp_ns) / 1e6
    return times | {f"stage_ms_{name}": value for name, value in stages.items()}


class Diagnostics:
    """Publishes monitor.values() and describe()'s on /diagnostics, each second and whenever publish() is called.

    describe() -> (level, message, values): level is DiagnosticStatus.OK, WARN or ERROR.
    """

    def __init__(self, node, monitor: Monitor, describe):
        self._node, self._monitor, self._describe = node, monitor, describe
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
        # Steady: simulated time may stand still, silence must be reported all the same.
        self._timer = node.create_timer(1.0, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def publish(self) -> None:
        # The counts first: what they show, the message told after them knows, too.
        counts = self._monitor.values()
        level, message, values = self._describe()
        memory = {"rss_mb": rss_mb(), "shared_mb": shared_mb()}
        values = {"state": "", **counts, **memory, **health(), **values}
        status = DiagnosticStatus(level=level, name=self._node.get_fully_qualified_name(), message=message)
        status.hardware_id = str(values.get("camera", ""))
        status.values = [KeyValue(key=key, value=_text(value)) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def publish_last(self) -> None:
        """Publish, and wait until everyone has it: the process is about to end."""
        self.publish()
        self._publisher.wait_for_all_acked(Duration(seconds=LAST_WORDS_S))


def _text(value) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


class Complaints:
    """Logs each message once, however many frames it concerns and whatever the numbers in it; remembers a hundred."""

    def __init__(self, logger):
        self._logger = logger
        self._said = deque(maxlen=100)

    def __call__(self, message: str, level: str = "error") -> None:
        kind = re.sub(r"0x[0-9a-f]+|\d+", "#", message)
        if kind not in self._said:
            self._said.append(kind)
            getattr(self._logger, level)(message)
