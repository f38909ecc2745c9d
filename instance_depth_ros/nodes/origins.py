"""Where a bag comes from, as the graph tells it: lenses, mounting, model, and the parameters of who publishes."""

from __future__ import annotations

import json
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message

from .definitions import message_class

INFO, TRANSFORMS = "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage"
# Of the diagnostics, besides camera_...; the rest changes by the second.
TOLD = ("weights", "weights_sha256", "network", "engine", "precision", "device", "camera", "lens")


class Origins:
    """Calls note({key: text}) with whatever is new, from the executor's thread; look() is to be called now and then.

    Keys: 'intrinsics TOPIC' and 'tf_static' (JSON), 'parameters NODE' (JSON) of each node that publishes what is
    recorded; and what the camera and depth node beside this one tell in their diagnostics (TOLD, camera_...).
    """

    def __init__(self, node, note: Callable[[dict[str, str]], None]):
        self._node, self._note = node, note
        self.told, self._transforms, self._asked, self._calls = {}, {}, set(), []
        qos = QoSProfile(depth=10)
        self._subscription = node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos)

    def close(self) -> None:
        self._node.destroy_subscription(self._subscription)
        for call in self._calls:
            self._node.destroy_client(call.client)

    def look(self) -> None:
        """Go on with what was asked."""
        for call in [call for call in self._calls if call.done()]:
            self._calls.remove(call)
            self._node.destroy_client(call.client)

    def on_publisher(self, endpoint) -> None:
        """Ask its node for its parameters, once."""
        name = f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name}"
        if name not in self._asked and name != self._node.get_fully_qualified_name():
            self._asked.add(name)
            self._call(
                ListParameters, f"{name}/list_parameters", {}, lambda listed: self._get(name, listed.result.names)
            )

    def on_message(self, topic: str, kind: str, data: bytes) -> bool:
        """Whether it has more to tell of this topic's next message: of static transforms, each of which adds some."""
        if kind == INFO:
            info = deserialize_message(data, message_class(kind))
            lens = {"width": info.width, "height": info.height, "K": list(info.k), "frame_id": info.header.frame_id}
            lens |= {"distortion_model": info.distortion_model, "D": list(info.d)}
            self._tell(f"intrinsics {topic}", json.dumps(lens))
        elif kind == TRANSFORMS and topic.endswith("tf_static"):
            self._transforms |= mounting(deserialize_message(data, message_class(kind)))
            self._tell("tf_static", json.dumps(list(self._transforms.values())))
            return True
        return False

    def _on_diagnostics(self, message) -> None:
        beside = self._node.get_namespace().rstrip("/")
        for status in message.status:
            if status.name in (f"{beside}/camera", f"{beside}/depth"):
                for value in status.values:
                    # of a depth node that listens to another's topics, their name, which is no camera
                    told = value.key in TOLD or value.key.startswith("camera_")
                    if told and not value.value.startswith("/"):
                        self._tell(value.key, value.value)

    def _tell(self, key: str, text: str) -> None:
        if self.told.get(key) != text:
            self.told[key] = text
            self._note({key: text})

    def _get(self, node: str, names: list[str]) -> None:
        def tell(got) -> None:
            values = dict(zip(names, map(parameter_value_to_python, got.values), strict=True))
            self._tell(f"parameters {node}", json.dumps(values, default=list))

        self._call(GetParameters, f"{node}/get_parameters", {"names": names}, tell)

    def _call(self, service: type, name: str, request: dict, then: Callable) -> None:
        self._calls.append(_Call(self._node.create_client(service, name), service.Request(**request), then))


def mounting(message) -> dict[str, dict]:
    """Of each child frame of a TFMessage where it stands in its parent: parent_from_child, a quaternion x y z w."""
    found = {}
    for one in message.transforms:
        shift, turn = one.transform.translation, one.transform.rotation
        found[one.child_frame_id] = {
            "parent": one.header.frame_id,
            "child": one.child_frame_id,
            "translation_m": [shift.x, shift.y, shift.z],
            "rotation_xyzw": [turn.x, turn.y, turn.z, turn.w],
        }
    return found


class _Call:
    """then(response) of a service, once it is there and has answered; it may never do so."""

    def __init__(self, client, request, then: Callable):
        self.client, self._request, self._then, self._future = client, request, then, None

    def done(self) -> bool:
        if self._future is None and self.client.service_is_ready():
            self._future = self.client.call_async(self._request)
        if self._future is None or not self._future.done():
            return False
        if self._future.exception() is None:
            self._then(self._future.result())
        return True
