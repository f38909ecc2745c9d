"""How the middleware carries large images: the profiles in config/, and what they need of the machine."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import PackageNotFoundError, version

from .shared import shared_file

IMAGE_BYTES = 1280 * 720 * 3
# Fast DDS 2 (to Jazzy, rclpy 7) and 3 read the profile's path from different variables.
FAST_DDS_FILE = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
FIRST_RCLPY_WITH_FAST_DDS_3 = 9
CYCLONE_DDS_FILE = "CYCLONEDDS_URI"
# What the segments of the Fast DDS profile may take; a container's /dev/shm of 64 MB is too small.
SHARED_MEMORY_BYTES = 512 * 2**20


def prepare_transport() -> None:
    """Before rclpy.init: images arrive that by themselves do not; what the user chose wins."""
    os.environ.setdefault(CYCLONE_DDS_FILE, shared_file("config/cyclonedds.xml").as_uri())
    if any(name in os.environ for name in FAST_DDS_FILE):
        return
    if not os.path.isdir("/dev/shm") or shutil.disk_usage("/dev/shm").free < SHARED_MEMORY_BYTES:
        return
    try:
        new = int(version("rclpy").split(".")[0]) >= FIRST_RCLPY_WITH_FAST_DDS_3
    except PackageNotFoundError:
        new = True
    os.environ[FAST_DDS_FILE[new]] = str(shared_file("config/fastdds.xml"))
