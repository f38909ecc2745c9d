"""What several test files share: weights in the official layout with golden values, a small lively network, a video."""

import json
import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

# Tests run side by side: threads of one process that wait for each other on busy cores are far slower than one thread.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LP_NUM_THREADS"), "1"))
import torch
from goldens.fill import fill

from instance_depth_ros.model import checkpoint
from instance_depth_ros.model.network import DepthNetwork
from instance_depth_ros.model.presets import PRESETS

# A graph of its own for each worker of a run, which have one parent; and other graphs on this machine are kept out.
DOMAIN = 1 + (os.getppid() + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])) % 90
LONG = [
    f"test_{name}.py"
    for name in "loop engine_backends graph simulation export memory training_processes demo estimator bench viewer "
    "training_recipes recorder_process training annotation camera_faults realsense tensorrt evaluation_stream".split()
]
GOLDENS = Path(__file__).parent / "goldens"
SMALL = replace(
    PRESETS["tiny"], dims=(16, 16, 32, 64), depths=(1, 1, 1, 1), out_channels=(16, 16, 32, 64), short_side=64,
    queries=8, query_dim=32, query_layers=2,
)  # fmt: skip


def official_shapes(size: str) -> dict[str, tuple[int, ...]]:
    shapes = json.loads((GOLDENS / "vda_state_dict_shapes.json").read_text())[size]
    return {key: tuple(shape) for key, shape in shapes.items()}


def lively(config=SMALL, seed: int = 0) -> DepthNetwork:
    """A network in which nothing is zero or one, as if trained: time and norms matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DepthNetwork(config)
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif name.endswith("running_mean"):
                value.normal_(0, 0.3)
            elif name.endswith(("weight", "bias")) and value.unique().numel() == 1:
                value.add_(torch.randn_like(value) * 0.2)
        return network.eval()


def pytest_collection_modifyitems(items):
    """Long files first: else one worker is still at the longest when the others have nothing left."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Nothing that the user's cache holds decides a test, and no test leaves anything there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def memory():
    """A folder in memory where there is such a place: to sync a file costs nothing."""
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def official_weights(tmp_path_factory) -> Path:
    """video_depth_anything_vits.pth with the values of goldens/fill.py."""
    path = tmp_path_factory.mktemp("official") / "video_depth_anything_vits.pth"
    torch.save({key: torch.from_numpy(fill(key, shape)) for key, shape in official_shapes("vits").items()}, path)
    return path


@pytest.fixture(scope="session")
def lively_weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("lively") / "lively.safetensors"
    checkpoint.save(lively(), path, {"name": "lively"}, exact=True)
    return path


@pytest.fixture(scope="session")
def video(tmp_path_factory) -> Path:
    """An AVI of ten numbered pictures, recordings.numbered(), at 10 a second."""
    from recordings import write_video  # needs PyAV

    return write_video(tmp_path_factory.mktemp("video") / "ten.avi", 10)
