"""What tests of the recorder give it, and what they find in its bags."""

from pathlib import Path

import pytest

pytest.importorskip("mcap", reason="mcap knows how bags are laid out")
pytest.importorskip("rosbags", reason="rosbags knows message definitions, and opens bags")
from mcap.reader import make_reader  # noqa: E402
from rosbags.rosbag2 import Reader  # noqa: E402
from rosbags.typesys import Stores, get_typestore  # noqa: E402

from instance_depth_ros.recording.bag_writer import Topic  # noqa: E402
from instance_depth_ros.recording.recording import Options  # noqa: E402
from instance_depth_ros.recording.verify import check_bag  # noqa: E402

STORE = get_typestore(Stores.ROS2_JAZZY)
COLOR, DEPTH, CLOUD, TF = "/camera/color/image_raw", "/camera/depth/image_raw", "/depth/points", "/tf_static"
TYPES = {
    COLOR: "sensor_msgs/msg/Image",
    DEPTH: "sensor_msgs/msg/Image",
    CLOUD: "sensor_msgs/msg/PointCloud2",
    TF: "tf2_msgs/msg/TFMessage",
}
START_NS = 1_700_000_000_000_000_000
PROVENANCE = {"serial": "f1234", "commit": "abc", "ros_distro": "jazzy"}
MINUTE_S = 60.0
_DURATION = "{{sec: {0}, nsec: {1}}}"
_FOREVER = _DURATION.format(9223372036, 854775807)


def qos(reliability: str = "reliable", durability: str = "volatile") -> str:
    return (
        f"- history: keep_last\n  depth: 5\n  reliability: {reliability}\n  durability: {durability}\n"
        f"  deadline: {_FOREVER}\n  lifespan: {_FOREVER}\n  liveliness: automatic\n"
        f"  liveliness_lease_duration: {_FOREVER}\n  avoid_ros_namespace_conventions: false\n"
    )


def topic(name: str = COLOR, rank: int = 0, **more) -> Topic:
    kind = TYPES[name]
    given = {"qos": qos(durability="transient_local" if name == TF else "volatile"), **more}
    return Topic(name, kind, STORE.generate_msgdef(kind, ros_version=2)[0], STORE.hash_rihs01(kind), rank=rank, **given)


def options(**more) -> Options:
    """Roomy, but for what a test is about."""
    return Options(**{"queue_bytes": 1 << 28, "flush_s": 1.0, "least_free_bytes": 1 << 20, **more})


def payload(number: int, size: int = 1000) -> bytes:
    """The bytes of a message, another for each number; readers need no more of it."""
    return (b"\0\1\0\0" + number.to_bytes(4, "little") + bytes(range(256)) * (size // 256 + 1))[:size]


def number_of(data: bytes) -> int:
    return int.from_bytes(data[4:8], "little")


def read(path: Path) -> list[tuple[str, int, bytes]]:
    """(topic, log time, bytes) of all messages, by rosbags."""
    with Reader(path) as reader:
        return [(connection.topic, time, bytes(data)) for connection, time, data in reader.messages()]


def read_files(path: Path) -> list:
    """(topic, message of the package mcap) in the order of the files, chunk CRCs checked."""
    found = []
    for file in sorted(path.glob("*.mcap"), key=lambda file: (len(file.name), file.name)):
        with open(file, "rb") as stream:
            messages = make_reader(stream, validate_crcs=True).iter_messages(log_time_order=False)
            found += [(channel.topic, message) for _, channel, message in messages]
    return found


def problems(path: Path) -> list[str]:
    return check_bag(path)[0]
