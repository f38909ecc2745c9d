"""What a node says of its pace, and that the newest frame wins."""

import threading
from functools import partial

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from instance_depth_ros.nodes.diagnostics import Monitor, punctuality, times_ms  # noqa: E402
from instance_depth_ros.nodes.worker import Worker  # noqa: E402


def test_late_is_what_takes_longer_than_the_next_frame_takes_to_come():
    arrivals_s = np.arange(10) * 0.1
    departures_s = np.array([0.05, 0.15, 0.25, 0.39, 0.45])
    values = punctuality(arrivals_s, departures_s, np.array([50.0, 50.0, 50.0, 140.0]))
    assert values["deadline_ms"] == pytest.approx(100) and values["late_share"] == 0.25
    assert values["interval_ms_p50"] == pytest.approx(100)
    assert values["jitter_ms"] == pytest.approx(np.percentile([60, 100, 100, 140], 95) - 66)


def test_before_a_second_frame_there_is_no_pace():
    monitor = Monitor()
    monitor.received()
    monitor.done({"processing_ms": 5.0})
    assert not {"deadline_ms", "late_share", "jitter_ms"} & monitor.values().keys()
    monitor.received()
    monitor.done({"processing_ms": 1e6})
    assert monitor.values()["late_share"] >= 0.5 and monitor.values()["jitter_ms"] == 0


def test_what_is_no_network_is_the_hosts_work():
    stages = {"decode": 2.0, "segment": 10.0, "network": 100.0, "estimate": 130.0, "publish": 3.0}
    times = times_ms(0, 0, 0, stages)
    assert times["processing_ms"] - times["host_ms"] == pytest.approx(110)
    assert times["processing_ms"] - times["graph_ms"] == pytest.approx(130)


def test_the_newest_frame_wins_and_what_it_replaced_is_counted():
    done, lost, busy, go = [], [], threading.Event(), threading.Event()

    def work(item):
        busy.set()
        go.wait(60)
        done.append(item)

    worker = Worker(work, lost.append)
    worker.put(0)
    assert busy.wait(60)
    for item in range(1, 6):
        worker.put(item)
    go.set()
    worker.finish()
    assert done == [0, 5] and lost == ["overwritten"] * 4
    worker.put(6)
    assert done == [0, 5] and lost[4:] == ["stale"]


def test_what_is_left_of_a_frame_is_done_beside_the_next_one_in_order_and_does_not_pile_up():
    begun, sent, busy, go = [], [], threading.Semaphore(0), threading.Event()

    def send(item):
        go.wait(60)
        sent.append(item)

    def work(item):
        begun.append(item)
        busy.release()
        return partial(send, item)

    worker = Worker(work, None)
    for item in range(2):
        worker.put(item)
        assert busy.acquire(timeout=60)
    worker.put(2)
    assert begun == [0, 1] and not sent and not busy.acquire(timeout=0.1)
    go.set()
    worker.finish()
    assert begun == sent == [0, 1, 2]
