"""How every node's process starts, spins and ends: the last diagnostics are still sent after Ctrl-C."""

from __future__ import annotations

import logging
import signal
import sys
import threading

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from ..process import keep_memory
from ..transport import prepare_transport

# Exit status of a node that would fail in the same way again: nobody need restart it.
UNUSABLE = 2


class _ToRos(logging.Handler):
    """The core logs without ROS; in a node it is the node that speaks."""

    def __init__(self, logger):
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        # a line for each: rclpy refuses a line of code that speaks at two levels
        if record.levelno >= logging.ERROR:
            self._logger.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            self._logger.warning(record.getMessage())
        else:
            self._logger.info(record.getMessage())


def log_through(logger) -> None:
    """Send what the core logs to this ROS logger, from now on only there."""
    core = logging.getLogger(__package__.split(".")[0])
    core.handlers, core.propagate = [_ToRos(logger)], False
    core.setLevel(logging.INFO)


def run(make_nodes, args=None) -> int:
    """Spin the list of make_nodes() until a signal or until each's `ended` is set; returns the worst exit status.

    A node has `ended` (threading.Event), `status` (exit status) and `close()` (publishes its last words).
    A ValueError from make_nodes is a wrong setting: it is printed and the status is UNUSABLE.
    """
    prepare_transport()
    keep_memory()
    # rclpy's own handlers would shut the context down before close() could publish.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()

    def on_signal(*_):
        stop.set()
        if not spinning:
            raise KeyboardInterrupt

    spinning = False
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    try:
        try:
            nodes = make_nodes()
        except KeyboardInterrupt:
            # Loading a network may take long, and there is nothing yet to say goodbye to.
            return 0
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            return UNUSABLE
        spinning = True
        executor = SingleThreadedExecutor()
        for node in nodes:
            executor.add_node(node)
        while not (stop.is_set() or all(node.ended.is_set() for node in nodes)):
            executor.spin_once(timeout_sec=0.2)
        for node in nodes:
            node.close()
            executor.remove_node(node)
            node.destroy_node()
        return max(node.status for node in nodes)
    finally:
        rclpy.shutdown()
