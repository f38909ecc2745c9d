"""The network says what the official implementation says, to 1e-3, for weights that both can make."""

import numpy as np
import pytest
import torch
from conftest import GOLDENS, SMALL, lively
from goldens.fill import clip

from instance_depth_ros import config
from instance_depth_ros.estimator import Estimator
from instance_depth_ros.frame import Frame
from instance_depth_ros.model import checkpoint
from instance_depth_ros.model.memory import Memory
from instance_depth_ros.model.offline import offline
from instance_depth_ros.model.preprocess import network_size, normalise, prepare
from instance_depth_ros.model.presets import PRESETS
from instance_depth_ros.model.temporal import Clip

CLOSE = {"rtol": 0, "atol": 1e-3}


@pytest.fixture(scope="module")
def network(official_weights):
    return checkpoint.load(str(official_weights))[0]


@pytest.fixture(scope="module")
def images():
    return normalise(torch.from_numpy(clip(64, 98, 126)))


@torch.inference_mode()
def test_encoder_features_are_dinov2s(network, images):
    golden = np.load(GOLDENS / "dinov2_s_features.npz")
    np.testing.assert_allclose(images[0], golden["input"], **CLOSE)
    for tap, layer in zip(network.pretrained(images[:1]), PRESETS["small"].taps, strict=True):
        np.testing.assert_allclose(tap[0].flatten(1).T[::7], golden[f"layer{layer}"], **CLOSE)


@torch.inference_mode()
def test_single_picture_and_64_streamed_frames(network, images):
    memory = Memory()
    depth = torch.cat([network(image[None], None, memory)[0] for image in images])
    golden = np.load(GOLDENS / "vda_s_streaming.npz")
    np.testing.assert_allclose(depth[0], np.load(GOLDENS / "vda_s_single.npz")["depth"], **CLOSE)
    np.testing.assert_allclose(depth[golden["frames"]], golden["depth"], **CLOSE)
    alone = network(images[9:10], None, None)[0]
    torch.testing.assert_close(alone, network(images[9:10], None, Memory())[0])
    assert (alone - depth[9]).abs().max() > 0.01  # what the memory is for


@torch.inference_mode()
def test_offline_windows_of_a_whole_video(network, images):
    golden = np.load(GOLDENS / "vda_s_offline.npz")
    depth = offline(64, lambda frames: network.clip(images[frames][None], None, Clip.window(32))[0][0].numpy())
    np.testing.assert_allclose(depth[golden["frames"]], golden["depth"], **CLOSE)


@pytest.mark.parametrize("frames, begins", [(1, [0]), (22, [0]), (23, [0, 22]), (50, [0, 22, 44])])
def test_offline_windows_begin_every_22_frames_and_repeat_the_last_frame(frames, begins):
    windows = []
    depth = offline(frames, lambda window: windows.append(window) or np.array(window, np.float32)[:, None, None])
    assert [window[10] for window in windows] == [min(begin + 10, frames - 1) for begin in begins]
    assert all(len(window) == 32 and max(window) == frames - 1 for window in windows[-1:])
    np.testing.assert_allclose(depth[:, 0, 0], np.arange(frames), atol=1e-3)


@pytest.mark.parametrize("height, width", [(480, 640), (720, 1280), (400, 1000), (1280, 720)])
def test_preprocessing(height, width):
    golden = np.load(GOLDENS / "preprocess.npz")
    size = network_size(height, width, PRESETS["small"])
    assert size == tuple(golden[f"shape_{height}x{width}"][-2:])
    image = prepare(clip(1, height, width)[0], size, PRESETS["small"])[0]
    np.testing.assert_allclose(image[:, ::23, ::29], golden[f"sample_{height}x{width}"], **CLOSE)


def test_estimator_streams_official_weights_as_the_official_code_does(official_weights):
    settings = config.make("depth", weights=str(official_weights), network_short_side=98, precision="fp32")
    estimator, state, disparity = Estimator(settings), None, []
    for index, color in enumerate(clip(5, 180, 320)):
        estimate, state = estimator.step(Frame(color, index * 33_000_000), state)
        assert estimate.depth_m is None
        disparity.append(estimate.disparity[::3, ::3])
    golden = np.load(GOLDENS / "preprocess.npz")["stream_180x320_input98_every3"]
    np.testing.assert_allclose(np.stack(disparity), golden, **CLOSE)


@torch.inference_mode()
def test_a_clip_in_training_sees_what_streaming_sees():
    network = lively(SMALL)
    generator = torch.Generator().manual_seed(1)
    images, lens = torch.randn(2, 2, 47, 3, 64, 96, generator=generator).unbind(0)
    memory = Memory()
    streamed = [network(images[:, t], lens[:, t], memory) for t in range(47)]
    clip = network.clip(images, lens, Clip.causal(47))
    for name in ("holistic", "logit"):
        one_by_one = torch.stack([getattr(seen, name) for seen in streamed], 1)
        torch.testing.assert_close(getattr(clip, name), one_by_one, rtol=1e-4, atol=1e-4)
    alone = network(images[:, 40], lens[:, 40], None).holistic
    assert (alone / clip.holistic[:, 40]).log().abs().mean() > 0.01  # time is not without effect in this network
