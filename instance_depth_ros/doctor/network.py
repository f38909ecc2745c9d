"""Whether large images get through: socket buffers, fragments, shared memory."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from ..shared import shared_file
from ..sysfs import text
from ..transport import FAST_DDS_FILE, IMAGE_BYTES, SHARED_MEMORY_BYTES
from .check import OK, RED, WARN, Check

# ROS documentation, "DDS tuning": of an image that lost a fragment the rest fills the kernel's memory for that long.
FRAGMENTS_BYTES, FRAGMENTS_S = 128 * 2**20, 3
SYSCTL = "/etc/sysctl.d/60-instance-depth.conf"


def checks(root: Path, environ: Mapping[str, str], rmw: str) -> list[Check]:
    of_fast_dds = [] if "cyclone" in rmw else [segment(environ), shared_memory(root)]
    return [sockets(root, rmw), *of_fast_dds]


def sockets(root: Path, rmw: str) -> Check:
    """The kernel's buffers, against what config/cyclonedds.xml asks for; Cyclone DDS loses images without."""
    needs = {
        "net.core.rmem_max": wanted_socket_bytes(),
        "net.ipv4.ipfrag_high_thresh": FRAGMENTS_BYTES,
        "net.ipv4.ipfrag_time": FRAGMENTS_S,
    }
    have = {name: text(root / "proc/sys" / name.replace(".", "/")) for name in needs}
    found = ", ".join(f"{name} {value}" for name, value in have.items() if value)
    numbers = {name: int(value) for name, value in have.items() if value.isdigit()}
    wrong = {n: needs[n] for n, v in numbers.items() if (v > needs[n] if n.endswith("_time") else v < needs[n])}
    if not wrong:
        return Check("kernel sockets", OK, found or "unknown here")
    found += ": little for images between machines, and with Cyclone DDS"
    lines = "\\n".join(f"{name}={value}" for name, value in wrong.items())
    too_small = numbers.get("net.core.rmem_max", IMAGE_BYTES) < IMAGE_BYTES
    state = RED if too_small and "cyclone" in rmw else WARN
    return Check("kernel sockets", state, found, f"printf '{lines}\\n' | sudo tee {SYSCTL} && sudo sysctl --system")


def wanted_socket_bytes() -> int:
    """What our profile of Cyclone DDS asks for."""
    size = _element(shared_file("config/cyclonedds.xml"), "SocketReceiveBufferSize").get("max")
    return int(size.removesuffix("MB")) * 2**20


def segment(environ: Mapping[str, str]) -> Check:
    """The segment of shared memory in the profile of Fast DDS that counts, against an image."""
    name, ours = "Fast DDS segment", shared_file("config/fastdds.xml")
    variable = next((variable for variable in FAST_DDS_FILE if variable in environ), "")
    if variable and not environ[variable]:
        return Check(name, RED, f"{variable} is empty: 0.5 MB, less than an image", f"unset {variable}")
    file = Path(environ.get(variable, ours))
    try:
        size = int(_element(file, "segment_size").text)
    except (OSError, ElementTree.ParseError, AttributeError, ValueError, TypeError) as error:
        why = "sets no segment of shared memory" if isinstance(error, AttributeError) else str(error)
        return Check(name, WARN, f"{file} of {variable}: {why}", f"export {variable}={ours}")
    found = f"{size / 1e6:.1f} MB in {file}; a 720p image has {IMAGE_BYTES / 1e6:.1f}"
    if size < IMAGE_BYTES:
        return Check(name, RED, found, f"export {variable}={ours}")
    return Check(name, OK, found)


def shared_memory(root: Path) -> Check:
    """Where the segments of Fast DDS lie."""
    name, folder = "shared memory", root / "dev/shm"
    mend = "sudo mount -o remount,size=1G /dev/shm; of a container: docker run --shm-size=1g ..."
    if not folder.is_dir():
        return Check(name, WARN, "no /dev/shm: images go through UDP", "sudo mount -t tmpfs -o size=1G shm /dev/shm")
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**20:.0f} MB free in /dev/shm"
    if free < SHARED_MEMORY_BYTES:
        return Check(name, WARN, f"{found}, wanted {SHARED_MEMORY_BYTES / 2**20:.0f}: images go through UDP", mend)
    return Check(name, OK, found)


def _element(file: Path, name: str):
    """The first element of this name, whatever its namespace; None without one."""
    tree = ElementTree.parse(file)
    return next((element for element in tree.iter() if re.sub("{.*}", "", element.tag) == name), None)
