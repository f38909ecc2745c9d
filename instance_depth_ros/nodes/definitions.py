"""What a bag says of a topic besides its messages: the text of their definition, and the QoS that was offered."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import yaml

# A line of these between a definition and each that it is made of, as rosbag2 and Foxglove read it.
RULE = "=" * 80
PRIMITIVES = {
    *("bool", "byte", "char", "float32", "float64", "string", "wstring"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


@lru_cache
def message_class(kind: str) -> type:
    """The Python class of 'sensor_msgs/msg/Image'; ImportError names the package to install."""
    package, _, name = kind.split("/")
    try:
        return getattr(import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        hint = f"ros-DISTRO-{package.replace('_', '-')}"
        raise ImportError(f"no Python class for {kind} ({error}): apt install {hint}") from error


@lru_cache
def definition(kind: str) -> str:
    """The ros2msg text of 'sensor_msgs/msg/Image' and, below rules, of all that it is made of; '' where unknown.

    From the .msg files that lie beside the Python package, as ROS installations and wheels have it, else by rosbags.
    """
    texts, todo = {}, [kind]
    while todo:
        name = todo.pop(0)
        if name not in texts:
            file = _file(name)
            if file is None:
                return _by_rosbags(kind)
            texts[name] = file.read_text()
            todo += _parts(texts[name], name.split("/")[0])
    text = texts.pop(kind)
    for name, part in texts.items():
        package, _, short = name.split("/")
        text = f"{text.rstrip()}\n\n{RULE}\nMSG: {package}/{short}\n{part}"
    return text


def _file(kind: str) -> Path | None:
    package, _, name = kind.split("/")
    try:
        places = Path(import_module(package).__file__).resolve().parents
    except (ImportError, TypeError):
        return None
    files = (prefix / "share" / package / "msg" / f"{name}.msg" for prefix in places)
    return next((file for file in files if file.is_file()), None)


def _parts(text: str, package: str) -> list[str]:
    """The types of a definition's fields that are messages themselves."""
    words = (line.partition("#")[0].split() for line in text.splitlines())
    types = (line[0].partition("[")[0].partition("<")[0] for line in words if len(line) > 1)
    names = [name if "/" in name else f"{package}/{name}" for name in types if name not in PRIMITIVES]
    return [name.replace("/", "/msg/") for name in names]


def _by_rosbags(kind: str) -> str:
    try:
        from rosbags.typesys import Stores, TypesysError, get_typestore
    except ImportError:
        return ""
    try:
        return get_typestore(Stores.LATEST).generate_msgdef(kind, ros_version=2)[0]
    except TypesysError:
        return ""


def qos_yaml(offers: Iterable) -> str:
    """offered_qos_profiles of rosbag2's metadata since version 9, for the QoSProfiles that publishers offer."""

    def duration(value) -> dict[str, int]:
        sec, nsec = divmod(value.nanoseconds, 1_000_000_000)
        return {"sec": sec, "nsec": nsec}

    profiles = [
        {
            "history": offer.history.name.lower(),
            "depth": offer.depth,
            "reliability": offer.reliability.name.lower(),
            "durability": offer.durability.name.lower(),
            "deadline": duration(offer.deadline),
            "lifespan": duration(offer.lifespan),
            "liveliness": offer.liveliness.name.lower(),
            "liveliness_lease_duration": duration(offer.liveliness_lease_duration),
            "avoid_ros_namespace_conventions": offer.avoid_ros_namespace_conventions,
        }
        for offer in offers
    ]
    return yaml.safe_dump(profiles, sort_keys=False)
