"""Where the files that come with the package lie: launch/, config/ and package.xml."""

from pathlib import Path


def shared_file(name: str) -> Path:
    """The path of e.g. 'config/vtest_camera_info.yaml' in a checkout, a wheel or a colcon workspace.

    A checkout has it beside the package, an installation under <prefix>/share. FileNotFoundError names both places.
    """
    package = Path(__file__).resolve().parent
    places = [package.parent, *(prefix / "share" / package.name for prefix in package.parents)]
    for place in places:
        if (place / name).exists():
            return place / name
    raise FileNotFoundError(
        f"{name} is neither in {package.parent} nor under a share/{package.name} above it; install the package again"
    )
