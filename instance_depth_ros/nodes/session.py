"""One bag from its begin to its end: what is subscribed to, what is known of its origin, how it is doing."""

from __future__ import annotations

import json
import os
import time
from collections import Counter, deque
from datetime import datetime, timezone
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.utilities import get_rmw_implementation_identifier

from .. import __version__, config
from ..provenance import commit, machine
from ..recording.recording import Options, Recording
from .diagnostics import RATE_WINDOW_S
from .origins import Origins
from .recorded import RecordedTopics

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
# Messages wait for so long in the middleware, which knows when they came.
TAKE_S = 0.03
# A loss is an error for so long; after it, a warning to the end of the bag.
ALARM_S = 10.0
# The low-water mark is near.
NEAR_MINUTES = 5.0


class Session:
    """Records into a new bag until close(); standby: only into memory, until start().

    ended: why it ended by itself, '' while it did not. alarms: grows when something is lost or goes wrong.
    RecordingError as of Recording.
    """

    def __init__(self, node, settings, standby: bool):
        self._node, self._settings = node, settings
        self._limits = limits(settings)
        name = node.get_namespace().strip("/").replace("/", "_") or settings.camera
        folder = Path(settings.record_folder).expanduser()
        self._recording = Recording(folder, self._limits, _provenance(node, settings), paused=standby, name=name)
        self._origins = Origins(node, self._recording.note)
        self._topics = RecordedTopics(node, settings, self._recording, self._origins)
        self.open, self.standby, self._paused = True, standby, False
        self._begun_s, self._lost, self._lost_s, self._said_minutes = time.monotonic(), 0, -ALARM_S, standby
        self._history = deque([self._moment()], maxlen=2 + int(RATE_WINDOW_S))
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(TAKE_S, self._topics.take, clock=steady)
        self.look()

    @property
    def path(self) -> Path:
        return self._recording.path

    @property
    def ended(self) -> str:
        return self._recording.ended

    @property
    def problem(self) -> str:
        return self._recording.problem

    @property
    def state(self) -> str:
        return "standby" if self.standby else "paused" if self._paused else "recording"

    @property
    def alarms(self) -> tuple[int, str]:
        """Changes when something is lost or goes wrong."""
        lost = sum(self._losses().values())
        if lost > self._lost:
            self._lost, self._lost_s = lost, time.monotonic()
        return lost, self.problem

    @property
    def summary(self) -> str:
        """Of the whole bag, in one line."""
        written = sum(counts.written for counts in self._recording.counts.values())
        lost = _said(self._losses()) or "none lost"
        return f"{written} messages, {self._recording.bytes_written / 1e6:.0f} MB, {lost}"

    def look(self) -> None:
        """Follow the graph and the settings."""
        self._topics.look()
        self._origins.look()
        if (now := limits(self._settings)) != self._limits:
            self._limits = now
            self._recording.limit(now)
        if not self._said_minutes and (minutes := self._recording.minutes_left) is not None:
            self._said_minutes = True
            self._node.get_logger().info(f"room for {minutes:.0f} minutes of what comes now, {self._speed()}")

    def start(self) -> None:
        """End the standby."""
        self.standby = self._said_minutes = False
        self._recording.pause(False)

    def pause(self, paused: bool) -> str:
        self._paused = paused
        self._recording.pause(paused)
        return f"{self.path} is {self.state}"

    def split(self) -> str:
        self._recording.split()
        return f"the next file of {self.path} begins"

    def snapshot(self) -> str:
        return str(self._recording.snapshot())

    def close(self) -> None:
        """Take what has arrived, and finish the bag; once."""
        if self.open:
            self._node.destroy_timer(self._timer)
            self._topics.close()
            self._origins.close()
            self._recording.close({"ended": _utc()})
            self.open = False
            if not self.standby:
                self._node.get_logger().info(f"{self.path} is closed: {self.summary}")

    def condition(self) -> tuple[bytes, str]:
        """Level and message for diagnostics."""
        recording, (lost, problem) = self._recording, self.alarms
        if problem:
            return ERROR, problem
        if lost:
            level = ERROR if time.monotonic() - self._lost_s < ALARM_S else WARN
            return level, f"{_said(self._losses())} so far: {recording.path.name} is not complete"
        if recording.minutes_left is not None and recording.minutes_left < NEAR_MINUTES:
            return WARN, f"room for {recording.minutes_left:.1f} minutes on {recording.folder}; then the bag is closed"
        silent_s = time.monotonic() - max(self._topics.pictured_s, self._begun_s)
        if silent_s > self._settings.silence_s:
            return WARN, f"no picture for {silent_s:.0f} s; topics there are: {', '.join(self._topics.names) or 'none'}"
        return OK, self.state

    def values(self) -> dict[str, object]:
        """messages_in = messages_out + messages_waiting + lost + lost_paused; rates; and of each topic a line."""
        recording, all_counts = self._recording, dict(self._recording.counts)
        lost = self._losses()
        paused = sum(counts.lost["paused"] for counts in all_counts.values())
        came = sum(counts.received + counts.lost["not_received"] for counts in all_counts.values())
        out, total = sum(counts.written for counts in all_counts.values()), sum(lost.values())
        values = {"bag": recording.path, "messages_in": came, "messages_out": out}
        values |= {"messages_waiting": came - out - total - paused, "lost": total, "messages_paused": paused}
        values |= {f"lost_{reason}": count for reason, count in lost.items()}
        rates = self._rates()
        values |= {"input_hz": sum(rates.values()) - rates["bytes"], "mb_per_s": rates["bytes"] / 1e6}
        values |= {"mb_written": recording.bytes_written / 1e6, "free_mb": recording.free_bytes / 1e6}
        left, speed = recording.minutes_left, recording.disk_bytes_per_s
        values |= {"minutes_left": "unknown" if left is None else left}
        values |= {"disk_mb_per_s": "unknown" if speed is None else speed / 1e6}
        for name, counts in all_counts.items():
            values[name] = f"{counts.written} written, {rates[name]:.1f} Hz"
            if said := _said(_real(counts)):
                values[name] += f", {said}"
        return values | {f"skipped {name}": why for name, why in self._topics.skipped.items()}

    def _losses(self) -> Counter:
        return sum((_real(counts) for counts in dict(self._recording.counts).values()), Counter())

    def _moment(self) -> tuple[float, Counter]:
        received = {name: counts.received for name, counts in dict(self._recording.counts).items()}
        return time.monotonic(), Counter(received | {"bytes": self._recording.bytes_written})

    def _rates(self) -> Counter:
        """Per second, over the last RATE_WINDOW_S: messages by topic, and bytes."""
        now, latest = self._moment()
        if now - self._history[-1][0] > 0.9:
            self._history.append((now, latest))
        then, before = self._history[0]
        return Counter({name: (count - before[name]) / max(now - then, 1e-3) for name, count in latest.items()})

    def _speed(self) -> str:
        free, speed = self._recording.free_bytes, self._recording.disk_bytes_per_s
        return f"{free / 1e9:.0f} GB free" + (f", written at {speed / 1e6:.0f} MB/s" if speed else "")


def limits(settings) -> Options:
    """Of the settings in people's units."""
    return Options(
        queue_bytes=round(settings.record_queue_mb * 1e6),
        flush_s=settings.record_flush_s,
        least_free_bytes=round(settings.record_min_free_mb * 1e6),
        split_s=settings.record_split_s,
        split_bytes=round(settings.record_split_mb * 1e6),
        ring_s=settings.record_snapshot_s,
        ring_bytes=round(settings.record_snapshot_mb * 1e6),
        compression=settings.record_compression,
    )


def _real(counts) -> Counter:
    """Losses by reason; what was not wanted is none. Another thread counts on, so a copy."""
    return Counter({reason: count for reason, count in dict(counts.lost).items() if reason != "paused"})


def _said(lost: Counter) -> str:
    """'3 lost: 2 queue_full, 1 not_received', '' where nothing is."""
    if not (total := sum(lost.values())):
        return ""
    return f"{total} lost: " + ", ".join(f"{count} {reason}" for reason, count in lost.most_common())


def _provenance(node, settings) -> dict[str, str]:
    """What is known at the start."""
    own = {setting.name: getattr(settings, setting.name) for setting in config.for_node("recorder")}
    return {
        "tool": f"instance_depth_ros {__version__}",
        "commit": commit() or "unknown",
        "machine": machine(),
        "started": _utc(),
        "camera": settings.camera,
        "namespace": node.get_namespace(),
        "ros_distro": os.environ.get("ROS_DISTRO", ""),
        "rmw": get_rmw_implementation_identifier(),
        f"parameters {node.get_fully_qualified_name()}": json.dumps(own),
    }


def _utc() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
