"""Official and own weights load whole or not at all, and a file that does not fit says where."""

import hashlib
import json
import pickle
from dataclasses import asdict

import numpy as np
import pytest
import torch
from conftest import SMALL, lively, official_shapes
from goldens.fill import clip
from safetensors.torch import load_file, save_file

from instance_depth_ros import config
from instance_depth_ros.estimator import Estimator
from instance_depth_ros.frame import Frame
from instance_depth_ros.geometry import Intrinsics
from instance_depth_ros.model import checkpoint
from instance_depth_ros.model.checkpoint import CheckpointError
from instance_depth_ros.model.network import DepthNetwork
from instance_depth_ros.model.presets import PRESETS

FIRST = "pretrained.blocks.0.attn.qkv.weight"


def hollow(shapes: dict) -> dict[str, torch.Tensor]:
    """Tensors of these shapes that take no room in a file."""
    return {key: torch.zeros(1).expand(shape) for key, shape in shapes.items()}


@pytest.fixture
def official_file(tmp_path):
    """Writes tensors of the vits layout, changed by `change`, and gives the path."""

    def write(change=lambda tensors: None, name="video_depth_anything_vits.pth"):
        tensors = hollow(official_shapes("vits"))
        change(tensors)
        torch.save(tensors, tmp_path / name)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize("layout, size", checkpoint.OFFICIAL_SIZES.items())
def test_every_official_key_is_used_or_idle_and_none_is_missing(layout, size):
    with torch.device("meta"):
        network = DepthNetwork(PRESETS[size])
    own = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    official = official_shapes(layout)
    assert {key: shape for key, shape in official.items() if not checkpoint.is_idle(key)} == {
        key: shape for key, shape in own.items() if not checkpoint.is_idle(key)
    }
    assert checkpoint.official_config(None, hollow(official)).name == size


def test_values_are_those_of_the_file_from_pth_and_from_safetensors(official_weights, tmp_path):
    tensors = torch.load(official_weights, weights_only=True)
    path = tmp_path / "metric_video_depth_anything_vits.safetensors"
    save_file({key: value for key, value in tensors.items() if not checkpoint.is_idle(key)}, path)
    for file, kind in ((official_weights, "relative"), (path, "metric")):
        network, found = checkpoint.load(str(file))
        assert found == kind and not network.training
        for key, value in network.state_dict().items():
            assert checkpoint.is_idle(key) or torch.equal(value, tensors[key]), key


def remove(key):
    return lambda tensors: tensors.pop(key)


def put(key, *shape):
    return lambda tensors: tensors.update({key: torch.zeros(shape)})


@pytest.mark.parametrize(
    "change, words",
    [
        (put(FIRST, 1152, 380), [FIRST, "(1152, 380)", "(1152, 384)"]),
        (put("head.scratch.output_conv2.2.bias", 2), ["head.scratch.output_conv2.2.bias", "(2,)", "(1,)"]),
        (remove(FIRST), [FIRST, "missing", "(1152, 384)"]),
        (put("head.extra.weight", 3, 4), ["head.extra.weight", "(3, 4)", "no place"]),
        (remove("pretrained.cls_token"), ["pretrained.cls_token", "missing", "(1, 1, C)"]),
        (put("pretrained.cls_token", 1, 1, 100), ["pretrained.cls_token", "(1, 1, 100)", "(1, 1, C)"]),
        (put("pretrained.cls_token"), ["pretrained.cls_token", "()", "(1, 1, C)"]),
    ],
)
def test_a_file_that_does_not_fit_names_key_and_shapes(official_file, change, words):
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(official_file(change))
    assert all(word in str(error.value) for word in ["video_depth_anything_vits.pth", *words]), error.value


def test_the_first_offending_key_is_the_one_named(official_file):
    def change(tensors):
        put("head.motion_modules.0.temporal_transformer.norm.weight", 7)(tensors)
        put(FIRST, 1, 1)(tensors)

    with pytest.raises(CheckpointError, match=FIRST):
        checkpoint.load(official_file(change))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_says_so(tmp_path, suffix, share):
    path = tmp_path / f"cut{suffix}"
    tensors = {"pretrained.cls_token": torch.zeros(1, 1, 384), "more": torch.ones(100)}
    torch.save(tensors, path) if suffix == ".pth" else save_file(tensors, path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError, match=f"cut{suffix}.*not readable.*fetch it again"):
        checkpoint.load(str(path))


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("write", [torch.save, lambda trap, path: path.write_bytes(pickle.dumps(trap))])
def test_code_in_a_file_does_not_run(tmp_path, write):
    path, mark = tmp_path / "trap.pth", tmp_path / "was_run"
    write({"pretrained.cls_token": Trap(mark)}, path)
    with pytest.raises(CheckpointError, match="trap.pth"):
        checkpoint.load(str(path))
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_foreign_file_is_refused_in_one_line(tmp_path, content):
    for suffix in (".pth", ".safetensors"):
        (tmp_path / f"page{suffix}").write_bytes(content)
        with pytest.raises(CheckpointError, match=f"page{suffix}.*not readable") as error:
            checkpoint.load(str(tmp_path / f"page{suffix}"))
        assert "\n" not in str(error.value)


def test_a_file_of_something_else_than_tensors_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="list.pth.*list, not a dictionary"):
        checkpoint.load(str(tmp_path / "list.pth"))


def test_unknown_names_say_what_there_is():
    with pytest.raises(CheckpointError, match="no weights 'nowhere/at_all'.*shipped"):
        checkpoint.load("nowhere/at_all")
    with pytest.raises(CheckpointError, match="tiny, small, base, large, instance_small.*, got 'huge'"):
        checkpoint.load("random:huge")


def test_our_weights_carry_their_network(tmp_path):
    network, path = lively(), tmp_path / "ours.safetensors"
    checkpoint.save(network, path, {"steps": "7"})
    back, kind = checkpoint.load(str(path))
    assert back.config == SMALL and kind == "metric"
    for key, value in network.state_dict().items():
        if not checkpoint.is_idle(key):
            # eight bits for each row of a matrix, half precision for the rest
            matrix = value.ndim > 1 and len(value) > 1
            rows = value.flatten(1).abs().amax(1) / 127 if matrix else value.abs() / 1000
            error = (back.state_dict()[key].float() - value.float()).abs()
            assert (error.flatten(1).amax(1) if matrix else error).le(rows * 0.51 + 1e-7).all(), key


@pytest.mark.parametrize("text", ["{", "[]", json.dumps(asdict(SMALL) | {"wings": 2}), json.dumps({"name": "tiny"})])
def test_a_config_of_another_version_is_refused_by_name(tmp_path, text):
    path = tmp_path / "strange.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"config": text})
    with pytest.raises(CheckpointError, match="strange.safetensors.*config"):
        checkpoint.load(str(path))


def test_our_weights_with_a_wrong_shape_name_key_and_shapes(tmp_path, lively_weights):
    tensors, path = load_file(lively_weights), tmp_path / "wrong.safetensors"
    tensors["pretrained.stem.0.weight"] = torch.zeros(1, 2, 3, 3)
    save_file(tensors, path, {"config": SMALL.to_json()})
    with pytest.raises(
        CheckpointError, match=r"pretrained.stem.0.weight has shape \(1, 2, 3, 3\), expected \(16, 6, 3, 3\)"
    ):
        checkpoint.load(str(path))


def one_step(weights, intrinsics=None, **settings):
    settings = config.make("depth", weights=str(weights), network_short_side=56, precision="fp32", **settings)
    estimator = Estimator(settings)
    return estimator, estimator.step(Frame(clip(1, 84, 112)[0], 0, intrinsics=intrinsics))[0]


def test_official_kinds(official_weights, tmp_path):
    """metric_ gives metres that no focal length changes; relative gives disparity and no metres."""
    estimator, estimate = one_step(official_weights)
    assert estimator.relative and estimator.info["kind"] == "relative"
    assert estimator.info["weights_sha256"] == hashlib.sha256(official_weights.read_bytes()).hexdigest()
    assert estimate.depth_m is None and np.isfinite(estimate.disparity).all() and (estimate.disparity >= 0).all()

    metric = tmp_path / f"metric_{official_weights.name}"
    metric.symlink_to(official_weights)
    lenses = [Intrinsics.from_fov(112, 84, fov) for fov in (40, 90)]
    narrow, wide = (one_step(metric, lens)[1] for lens in lenses)
    assert narrow.disparity is None
    np.testing.assert_array_equal(narrow.depth_m, wide.depth_m)
    assert estimate.disparity.max() > 0
    told = one_step(official_weights, weights_kind="metric", max_depth_m=1000.0)[1]
    np.testing.assert_array_equal(np.nan_to_num(told.depth_m), estimate.disparity)
