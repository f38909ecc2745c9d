"""The recorder node in a real graph: a tester that publishes, and sees with its own raw subscriptions what went out."""

from pathlib import Path

from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_graph import Tester
from std_srvs.srv import SetBool, Trigger

from instance_depth_ros.nodes.recorder import RecorderNode

COLOR, DEPTH = "camera/color/image_raw", "camera/aligned_depth_to_color/image_raw"
SMALL = {"camera": "topic", "record_min_free_mb": 1.0, "record_flush_s": 0.1}
LATCHED = QoSProfile(depth=5, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class RecorderGraph(Tester):
    """Within `with`. sent: topic -> (bytes, source time) of what went out, for topics made by publisher()."""

    def __init__(self, folder: Path, **parameters):
        self.folder, self.sent = folder, {}
        super().__init__(RecorderNode, record_folder=str(folder), **SMALL | parameters)
        self.place = self.node.get_namespace()

    def publisher(self, kind: type, topic: str, qos=10, heard: bool = True):
        """heard: once the recorder listens."""
        publisher = self.node.create_publisher(kind, topic, qos)
        name = self.name(topic)

        def note(data, info):
            self.sent[name].append((data, info["source_timestamp"]))

        if name not in self.sent:
            self.sent[name] = []
            self.node.create_subscription(kind, topic, note, 500, raw=True)
        if heard:
            self.until(lambda: publisher.get_subscription_count() == 2)
        return publisher

    def name(self, topic: str) -> str:
        return f"{self.place}/{topic}"

    def written(self, count: int, topic: str) -> None:
        """Wait until so many messages of the topic are in the bag's file."""
        self.until(lambda: self.diagnostics().get(self.name(topic), "").startswith(f"{count} written"))

    def record(self, on: bool):
        return self.call(SetBool, "recorder/record", SetBool.Request(data=on))

    def pause(self, on: bool):
        return self.call(SetBool, "recorder/pause", SetBool.Request(data=on))

    def trigger(self, service: str):
        return self.call(Trigger, f"recorder/{service}", Trigger.Request())

    def bag(self) -> Path:
        """The bag, closed now."""
        path = Path(self.diagnostics()["bag"])
        assert self.record(False).success
        return path
