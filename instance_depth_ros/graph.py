"""Which nodes run with which parameters: the one answer for the launch file and for `instance-depth run`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from . import config
from .cameras import CLASSES

PACKAGE = "instance_depth_ros"
# A recorder may be held up for a second on a busy machine: what the publisher has not kept is then lost (docs/log.md).
RECORDED_QUEUE = 30
NAME = re.compile(r"/?[A-Za-z]\w*(/[A-Za-z]\w*)*", re.ASCII)
REMAP = "another name of a topic, such as camera/color/image_raw:=/front/image"
CAMERAS = "several cameras, such as front,left: each a namespace, all depth nodes in one process that share an engine"


@dataclass(frozen=True)
class NodeSpec:
    """A node of this package: its name, its parameters (only what differs from the defaults), YAML files of more.

    cameras: namespaces, of which each has such a node, all in one process; `namespace` counts where there are none.
    remaps: (from, to), names of topics as in ROS.
    """

    name: str
    namespace: str = ""
    parameters: dict[str, object] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    remaps: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """As people tell it from others: front/camera."""
        return f"{self.namespace.strip('/')}/{self.name}".strip("/")

    @property
    def executable(self) -> str:
        return f"{self.name}_node"

    def command(self) -> list[str]:
        """What starts it as a process of this Python, without any ROS installation."""
        arguments = [sys.executable, "-m", f"{PACKAGE}.nodes.{self.name}", *self.cameras, "--ros-args"]
        if self.namespace:
            arguments += ["-r", f"__ns:=/{self.namespace.strip('/')}"]
        for pair in self.remaps:
            arguments += ["-r", ":=".join(pair)]
        for path in self.files:
            arguments += ["--params-file", path]
        for name, value in self.parameters.items():
            # rcl reads the value as YAML, of which JSON is a part: a string stays one, whatever it looks like.
            arguments += ["-p", f"{name}:={json.dumps(value, ensure_ascii=False)}"]
        return arguments


def nodes(
    settings: dict[str, object],
    namespace: str = "",
    viewer: bool = False,
    files: tuple[str, ...] = (),
    cameras: str = "",
    remaps: Iterable[str] = (),
    record: bool = False,
) -> list[NodeSpec]:
    """The graph for these settings (names of config.py): a camera node for one that is named, depth, and what is asked.

    Topics of others, and camera: auto, are found by the depth node. record: a recorder in each namespace of a camera.

    With instances: topic, depth pairs each picture with the id image (16UC1 or mono8) of its stamp on camera/instances.
    cameras: 'front,left' has them below the namespace, with all of them in one process of depth nodes.
    remaps: 'from:=to', for all nodes. ValueError for a setting that no node has, and for a bad value.
    """
    names = namespaces(cameras.split(","), namespace) if cameras else ()
    if names and viewer:
        raise ValueError("the viewer shows one camera: leave it out, and start one with namespace:=front beside this")
    wanted = ["camera"] * (settings.get("camera") in CLASSES) + ["depth"] + ["viewer"] * viewer + ["recorder"] * record
    for name in settings:
        if name not in config.BY_NAME:
            raise ValueError(f"there is no setting '{name}'; `instance-depth run --help` lists them")
    checked = {name: config.BY_NAME[name].check(value) for name, value in settings.items()}
    if record:
        checked.setdefault("publish_queue", RECORDED_QUEUE)
    taken = {setting.name for setting in config.for_node("camera")} if "camera" in wanted else set()
    taken.discard("publish_queue")  # each node's own
    parameters = {name: _parameters(name, checked, taken) for name in wanted}
    if "camera" in wanted:
        parameters["depth"]["camera"] = "topic"
    shared = {"files": tuple(files), "remaps": tuple(map(_remap, remaps))}
    if names:
        own = [node for node in wanted if node != "depth"]
        specs = [NodeSpec(node, name, parameters[node], **shared) for node in own for name in names]
        return [*specs, NodeSpec("depth", "", parameters["depth"], cameras=names, **shared)]
    return [NodeSpec(name, namespace, parameters[name], **shared) for name in wanted]


def namespaces(cameras: Iterable[str], below: str = "") -> tuple[str, ...]:
    """The cameras' namespaces below that one, '/robot/front'; ValueError for one that is none, or comes twice."""
    cameras = [camera.strip() for camera in cameras]
    for camera in cameras:
        if not NAME.fullmatch(camera):
            raise ValueError(f"cameras must be namespaces such as front,left (letters, digits, _), got '{camera}'")
    found = tuple("/" + "/".join(filter(None, (below.strip("/"), camera.strip("/")))) for camera in cameras)
    for name in found:
        if found.count(name) > 1:
            raise ValueError(f"cameras must differ, got '{name}' twice")
    return found


def _remap(text: str) -> tuple[str, str]:
    wanted, _, there = text.partition(":=")
    if not (wanted and there):
        raise ValueError(f"remap must be from:=to, such as camera/color/image_raw:=/front/image, got '{text}'")
    return wanted, there


def _parameters(node: str, settings: dict[str, object], by_the_camera: set[str]) -> dict[str, object]:
    """A node's share of the settings; where a camera node takes its own, the depth node takes what that publishes."""
    known = {setting.name for setting in config.for_node(node)} - (by_the_camera if node == "depth" else set())
    return {name: value for name, value in settings.items() if name in known}
