"""A subscription that asks for reliable delivery when it misses images, and counts those that never arrived."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS")
import rclpy  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from ros_graph import image, own_domain, picture  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from instance_depth_ros.nodes.listening import Listener, SequenceGaps  # noqa: E402
from instance_depth_ros.nodes.pairing import stamp_ns  # noqa: E402

own_domain()


@pytest.fixture
def listening():
    """A function (on_message, QoS overrides) that listens to /pictures: the Listener, a publisher, how to wait."""
    context = Context()
    rclpy.init(context=context)
    executor, made = SingleThreadedExecutor(context=context), []

    def listen(on_message, silence_s=lambda: float("inf"), **overrides):
        given = [Parameter(f"qos_overrides./pictures.subscription.{n}", value=v) for n, v in overrides.items()]
        node = rclpy.create_node("listener", context=context, parameter_overrides=given)
        made.append(node)
        executor.add_node(node)
        publisher = node.create_publisher(Image, "pictures", QoSProfile(depth=50))
        listener = Listener(node, Image, "pictures", on_message, silence_s=silence_s)

        def until(predicate):
            for _ in range(1000):
                if predicate():
                    return
                executor.spin_once(timeout_sec=0.05)
            raise AssertionError("waited in vain")

        until(publisher.get_subscription_count)
        until(lambda: node.get_publishers_info_by_topic("/pictures"))
        return listener, publisher, until

    yield listen
    executor.shutdown()
    for node in made:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_asking_for_reliable_loses_no_count_and_keeps_what_the_user_chose(listening):
    arrived = []
    listener, publisher, until = listening(arrived.append, depth=7)
    publisher.publish(image(picture(0), 0))
    until(lambda: arrived)
    listener._ask_for_reliable()
    assert (listener._qos.depth, listener._qos.reliability) == (7, ReliabilityPolicy.RELIABLE)
    for number in range(1, 4):
        publisher.publish(image(picture(number), number))
    until(publisher.get_subscription_count)
    publisher.publish(image(picture(4), 4))
    until(lambda: stamp_ns(arrived[-1]) == 4)
    assert len(arrived) + listener._missed == 5


def test_silence_after_a_first_image_asks_for_reliable(listening):
    """One large image may come through by chance, and none after it: no gap is ever seen."""
    arrived = []
    listener, publisher, until = listening(arrived.append, silence_s=lambda: 0.5)
    publisher.publish(image(picture(0), 0))
    until(lambda: arrived)
    until(lambda: listener._qos.reliability == ReliabilityPolicy.RELIABLE)


def test_a_subscription_that_has_gone_deaf_is_made_anew(listening):
    arrived = []
    listener, publisher, until = listening(arrived.append, silence_s=lambda: 0.2, reliability="best_effort")
    listener._node.destroy_subscription(listener._subscription)
    until(lambda: not publisher.get_subscription_count())
    until(publisher.get_subscription_count)
    publisher.publish(image(picture(0), 0))
    until(lambda: arrived)


def test_best_effort_that_the_user_asked_for_stays(listening):
    listener, *_ = listening(lambda message: None, reliability="best_effort")
    listener._ask_for_reliable()
    assert listener._qos.reliability == ReliabilityPolicy.BEST_EFFORT


def test_gaps_in_publication_numbers_are_frames_that_never_arrived():
    gaps = SequenceGaps()
    seen = [("a", 5), ("a", 6), ("a", 9), ("b", 40), ("a", 10), ("b", 42), ("b", 1), ("b", 2)]
    missed = [gaps.missed({"publication_sequence_number": n, "publisher_gid": gid}) for gid, n in seen]
    assert missed == [0, 0, 2, 0, 0, 1, 0, 0]
    assert gaps.missed({"publication_sequence_number": None}) == gaps.missed({}) == 0
