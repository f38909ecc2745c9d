"""Which messages belong to one moment, when streams differ in rate, stamps and fate."""

import threading
from types import SimpleNamespace

import pytest

from instance_depth_ros.nodes.pairing import SimpleFilter, StampPairer

MS = 1_000_000


def pairer(**options):
    """A pairer of two streams, its pairs and its drops."""
    pairs, drops = [], []
    made = StampPairer(streams=2, on_drop=lambda stream, item: drops.append((stream, item)), **options)
    made.registerCallback(lambda a, b: pairs.append((a, b)))
    return made, pairs, drops


def message(stamp_ns):
    sec, nanosec = divmod(stamp_ns, 10**9)
    return SimpleNamespace(header=SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec)))


def test_equal_stamps_pair_in_any_order_of_arrival():
    made, pairs, drops = pairer()
    for stream, stamp in [(0, 1), (1, 1), (1, 2), (0, 2), (0, 3), (0, 4), (1, 3), (1, 4)]:
        made.add(stream, stamp, stamp)
    assert pairs == [(1, 1), (2, 2), (3, 3), (4, 4)] and not drops


def test_the_nearest_within_the_slop_is_taken_and_skipped_ones_are_reported():
    made, pairs, drops = pairer(slop_ns=15 * MS)
    for stamp in (0, 33, 66):
        made.add(0, stamp * MS, stamp)
    made.add(1, 70 * MS, 70)
    assert pairs == [(66, 70)] and drops == [(0, 0), (0, 33)]
    made.add(1, 200 * MS, 200)
    made.add(0, 180 * MS, 180)
    assert pairs == [(66, 70)], "20 ms apart"


def test_a_slow_partner_pairs_with_each_of_its_frames():
    made, pairs, drops = pairer(capacity=8)
    for tick in range(90):
        made.add(0, tick * 33 * MS, tick)
        if tick % 3 == 0:
            made.add(1, tick * 33 * MS, tick)
    made.flush()
    assert pairs == [(tick, tick) for tick in range(0, 90, 3)]
    assert len(drops) == 60 and {stream for stream, _ in drops} == {0}


@pytest.mark.parametrize("horizon_s, paired", [(1, 3), (10, 5)])
def test_what_a_slow_network_says_seconds_later_pairs_within_the_horizon(horizon_s, paired):
    made, pairs, _ = pairer(horizon_ns=horizon_s * 1000 * MS)
    for tick in range(8):
        made.add(0, tick * 500 * MS, tick)
        if tick >= 3:
            made.add(1, (tick - 3) * 500 * MS, tick - 3)
    assert pairs == [(tick, tick) for tick in range(paired)]


def test_nothing_grows_without_a_partner_and_all_is_accounted_for():
    made, pairs, drops = pairer(capacity=4)
    for tick in range(1000):
        made.add(0, tick, tick)
    assert len(drops) == 996 and drops[0] == (0, 0)
    made.flush()
    assert len(drops) == 1000 and not pairs


@pytest.mark.parametrize("first", [0, 1])
def test_time_jumping_back_stalls_nothing(first):
    """A bag that is looped, its streams at 30 and 10 Hz, leaves unmatched stamps behind."""
    made, pairs, _ = pairer()
    for start in (first, 1 - first):
        for tick in range(90):
            made.add(start, 10**10 + tick * 33 * MS, tick)
            if tick % 3 == 0:
                made.add(1 - start, 10**10 + tick * 33 * MS, tick)
    matched = len(pairs)
    for tick in range(30):
        made.add(0, tick * 33 * MS, tick)
        made.add(1, tick * 33 * MS, tick)
    assert pairs[matched:] == [(tick, tick) for tick in range(30)]


def test_a_callback_that_fails_or_adds_more_does_not_lock_the_pairer():
    made = StampPairer(streams=2)
    seen = []

    def callback(a, b):
        seen.append(a)
        if a == 1:
            made.add(0, 2, 2)
            made.add(1, 2, 2)
            raise RuntimeError("the callback failed")

    made.registerCallback(callback)
    made.add(0, 1, 1)
    with pytest.raises(RuntimeError):
        made.add(1, 1, 1)
    other = threading.Thread(target=lambda: [made.add(0, 3, 3), made.add(1, 3, 3)])
    other.start()
    other.join(timeout=10)
    assert seen == [1, 2, 3]


def test_it_takes_filters_and_is_one():
    sources = [SimpleFilter(), SimpleFilter(), SimpleFilter()]
    made = StampPairer(sources, slop_ns=1)
    got = []
    made.registerCallback(
        lambda *messages: got.append(messages),
    )
    trio = [message(10**9), message(10**9 + 1), message(10**9)]
    for source, one in zip(sources, trio, strict=True):
        source.signalMessage(one)
    assert got == [tuple(trio)] and isinstance(made, SimpleFilter)
    chained = StampPairer([made.__class__(sources[:1]), sources[1]])
    chained.registerCallback(lambda *messages: got.append(messages))
    sources[0].signalMessage(trio[0])
    sources[1].signalMessage(trio[2])
    assert got[-1] == (trio[0], trio[2])


def test_with_message_filters_it_takes_subscribers():
    filters = pytest.importorskip("message_filters", reason="message_filters comes with a ROS installation")
    assert issubclass(StampPairer, filters.SimpleFilter)
