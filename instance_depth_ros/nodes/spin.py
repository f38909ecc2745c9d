"""How every node's process starts, spins and ends: the last diagnostics are still sent after Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

# Exit status of a node that would fail in the same way again: nobody need restart it.
UNUSABLE = 2


def run(make_node, args=None) -> int:
    """Spin make_node() until a signal or until node.ended is set; returns the process's exit status.

    The node has `ended` (threading.Event), `status` (exit status) and `close()` (publishes its last words).
    A ValueError from make_node is a wrong setting: it is printed and the status is UNUSABLE.
    """
    # rclpy's own handlers would shut the context down before close() could publish.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    try:
        try:
            node = make_node()
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            return UNUSABLE
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not (stop.is_set() or node.ended.is_set()):
            executor.spin_once(timeout_sec=0.2)
        node.close()
        executor.remove_node(node)
        node.destroy_node()
        return node.status
    finally:
        rclpy.shutdown()
