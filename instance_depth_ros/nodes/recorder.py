"""The recorder node: what the graph publishes becomes a bag, as bytes; it says at once when something is lost."""

from __future__ import annotations

import sys
import threading

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from .. import process
from ..recording.space import RecordingError
from . import spin
from .diagnostics import Complaints, Diagnostics
from .parameters import Parameters
from .session import ERROR, OK, Session

LOOK_S, WATCH_S = 0.5, 0.2


class RecorderNode(Node):
    """Records from its start, or when recorder/record says so; a bag ends with the node, or when the disk is full.

    While nothing is recorded and record_snapshot_s is set, a bag stands by: it has its last seconds in memory.
    ValueError where recording cannot begin at the start.
    """

    def __init__(self, **node_args):
        super().__init__("recorder", **node_args)
        self.ended, self.status = threading.Event(), 0
        self._session: Session | None = None
        self.settings = Parameters(self, "recorder", locked=lambda: self._open).settings
        spin.log_through(self.get_logger())
        process.schedule(self.settings)
        self._problem, self._complain, self._alarms = "", Complaints(self.get_logger()), None
        if self.settings.record_at_start:
            try:
                self._begin()
            except RecordingError as error:
                raise ValueError(str(error)) from error
        for name, kind, act in (
            ("record", SetBool, self._on_record),
            ("pause", SetBool, self._on_pause),
            ("split", Trigger, self._on_split),
            ("snapshot", Trigger, self._on_snapshot),
        ):
            self.create_service(kind, f"recorder/{name}", act)
        self._diagnostics = Diagnostics(self, self, self._describe)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(LOOK_S, self._look, clock=steady)
        self.create_timer(WATCH_S, self._watch, clock=steady)
        process.settle()

    def close(self) -> None:
        if self._session:
            self._session.close()
        self._diagnostics.publish_last()

    def values(self) -> dict[str, object]:
        """Of the present bag, else of the last, for Diagnostics."""
        return self._session.values() if self._session else {}

    @property
    def _open(self) -> bool:
        return self._session is not None and self._session.open

    def _begin(self, standby: bool = False) -> None:
        self._session, self._problem = Session(self, self.settings, standby), ""
        if not standby:
            self.get_logger().info(f"recording to {self._session.path}")

    def _look(self) -> None:
        """Follow the graph and the settings; end what ended by itself, hold the past where it is asked for."""
        session, holds = self._session, self.settings.record_snapshot_s > 0
        if self._open:
            session.look()
            if session.ended or (session.standby and not holds):
                self._problem = session.problem
                session.close()
        elif holds and not self._problem:
            try:
                self._begin(standby=True)
            except RecordingError as error:
                self._problem = str(error)
                self._complain(self._problem)

    def _watch(self) -> None:
        """A loss is said as soon as it is known, not with the next second."""
        alarms = self._session.alarms if self._session else None
        if alarms != self._alarms:
            self._alarms = alarms
            level, message, _ = self._describe()
            if level == ERROR:
                self._complain(message)
            self._diagnostics.publish()

    def _describe(self):
        level, message = self._session.condition() if self._open else (OK, "not recording")
        if self._problem:
            level, message = ERROR, self._problem
        state = self._session.state if self._open else "stopped"
        return level, message, {"state": state, "camera": self.settings.camera}

    def _on_record(self, request, response):
        return self._answer(response, self._start if request.data else self._stop)

    def _on_pause(self, request, response):
        return self._answer(response, lambda: self._recorded().pause(request.data))

    def _on_split(self, request, response):
        return self._answer(response, lambda: self._recorded().split())

    def _on_snapshot(self, request, response):
        def snapshot() -> str:
            if not (self._open and self.settings.record_snapshot_s):
                raise RecordingError("nothing of the past is held; set record_snapshot_s, and try again after as long")
            return self._session.snapshot()

        return self._answer(response, snapshot)

    def _answer(self, response, act):
        """What act() says, or why it cannot."""
        try:
            response.success, response.message = True, act()
        except RecordingError as error:
            response.success, response.message = False, str(error)
        self._diagnostics.publish()
        return response

    def _start(self) -> str:
        if self._open and not self._session.standby:
            raise RecordingError(f"{self._session.path} is being recorded already")
        if self._open:
            self._session.start()
        else:
            self._begin()
        return str(self._session.path)

    def _stop(self) -> str:
        session = self._recorded()
        session.close()
        return f"{session.path}: {session.summary}"

    def _recorded(self) -> Session:
        if not self._open or self._session.standby:
            raise RecordingError("nothing is being recorded; recorder/record begins")
        return self._session


def main(args=None) -> int:
    return spin.run(lambda: [RecorderNode()], args)


if __name__ == "__main__":
    sys.exit(main())
