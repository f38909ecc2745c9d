"""The real clip of the demo: OpenCV's vtest.avi, brought from the distribution's package opencv-doc into a cache.

`python -m instance_depth_ros.demo.clip` prints its path.
"""

from __future__ import annotations

import gzip
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from .. import config
from ..cameras import CameraError, open_camera

PACKAGE, NAME = "opencv-doc", "vtest.avi"
THANKS = "vtest.avi: PETS 2009, sequence S2.L1, view 1, University of Reading; for research, with acknowledgement"
APT = ("apt-get", "-q", "-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=20", "download")


class _NoClip(Exception):
    """Why there is no clip, in a line."""


def fetch_demo_clip(log: Callable[[str], None] = print) -> Path | None:
    """The path of vtest.avi in the user's cache, fetched (96 MB, no root) where it is not there yet.

    None, and a line through log that says why, where apt cannot give it.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "instance_depth_ros"
    clip = cache / NAME
    if not clip.is_file():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            # Beside its destination, so that the last step is a rename: the clip is there whole or not at all.
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                found = _extract(_download(Path(folder), log), Path(folder) / NAME)
                _check(found)
                os.replace(found, clip)
        except (_NoClip, OSError) as error:
            log(f"no demo clip: {error}")
            return None
        log(f"{clip} is ready")
    log(THANKS)
    return clip


def _download(folder: Path, log: Callable[[str], None]) -> Path:
    """The .deb, by apt: from the mirror, and with the signatures, that this system trusts."""
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise _NoClip(f"{tool} is not here; only Debian and Ubuntu ship the clip")
    asked = subprocess.run([*APT, "--print-uris", PACKAGE], capture_output=True, text=True, cwd=folder)
    if asked.returncode:
        raise _NoClip(f"apt does not know {PACKAGE} ({_last_line(asked.stderr)}); 'sudo apt-get update' may help")
    _, name, size = shlex.split(asked.stdout.splitlines()[-1])[:3]
    log(f"fetching {PACKAGE} ({int(size) / 1e6:.0f} MB) once, for {NAME}")
    with open(folder / "errors", "w+") as errors:
        apt = subprocess.Popen([*APT, PACKAGE], cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            while apt.poll() is None:
                try:
                    apt.wait(3)
                except subprocess.TimeoutExpired:
                    got = sum(file.stat().st_size for file in folder.glob("*.deb*"))
                    log(f"  {got / 1e6:.0f} of {int(size) / 1e6:.0f} MB")
        finally:
            apt.kill()
            apt.wait()
        errors.seek(0)
        if apt.returncode:
            raise _NoClip(f"apt could not download {PACKAGE}: {_last_line(errors.read())}")
    return folder / name


def _extract(deb: Path, to: Path) -> Path:
    """The one file out of the package, which some releases compress once more."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as unpack:
        try:
            with tarfile.open(fileobj=unpack.stdout, mode="r|") as archive:
                for member in archive:
                    if member.isfile() and Path(member.name).name in (NAME, f"{NAME}.gz"):
                        packed = archive.extractfile(member)
                        with gzip.open(packed) if member.name.endswith(".gz") else packed as source:
                            with open(to, "wb") as target:
                                shutil.copyfileobj(source, target)
                        return to
        except (tarfile.TarError, EOFError) as error:
            raise _NoClip(f"{deb.name} is damaged: {error}") from None
        finally:
            # The rest of the package is of no interest.
            unpack.kill()
    raise _NoClip(f"{deb.name} does not hold {NAME}")


def _check(clip: Path) -> None:
    try:
        with open_camera(config.make("camera", camera="file", camera_path=str(clip), rate="max")) as camera:
            camera.read()
    except CameraError as error:
        raise _NoClip(str(error)) from None


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("E:")] or text.splitlines() or ["no reason given"]
    return lines[-1].removeprefix("E:").strip()


if __name__ == "__main__":
    path = fetch_demo_clip(lambda line: print(line, file=sys.stderr, flush=True))
    if path is None:
        sys.exit(1)
    print(path)
