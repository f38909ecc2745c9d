"""What is done on a GPU says what OpenCV and numpy say; torch's CPU stands for the device."""

import cv2
import numpy as np
import pytest
import torch
from goldens.fill import clip
from test_estimator_instances import Told, says

from instance_depth_ros import config, on_device
from instance_depth_ros.borders import upsample
from instance_depth_ros.estimator import Estimator
from instance_depth_ros.frame import Frame
from instance_depth_ros.geometry import Intrinsics, cloud
from instance_depth_ros.model.preprocess import DEVIATION, network_size, prepare
from instance_depth_ros.model.presets import PRESETS
from instance_depth_ros.sightings import Seen

LEVEL = 1 / 255 / min(DEVIATION)
CPU = torch.device("cpu")


@pytest.mark.parametrize("height, width", [(480, 640), (720, 1280), (721, 1283), (100, 90)])
def test_the_input_is_off_by_no_more_than_noise(height, width):
    tiny = PRESETS["tiny"]
    color, size = clip(1, height, width)[0], network_size(height, width, tiny)
    off = (on_device.prepare(color, size, CPU) - prepare(color, size, tiny)).abs()
    assert off.mean() < 0.5 * LEVEL and off.quantile(0.99) < 2.5 * LEVEL


@pytest.mark.parametrize("instances", ["network", "topic", "none"])
def test_an_estimate_is_the_same(lively_weights, instances):
    height, width = 240, 360
    lens = Intrinsics.from_fov(width, height, 60)
    settings = config.make("depth", weights=str(lively_weights), precision="fp32", instances=instances)
    ids = np.zeros((height, width), np.uint16)
    ids[20:90, 30:80], ids[100:103, 200:300] = 40000, 7
    streams = []
    for there in (False, True):
        estimator, state = Estimator(settings), None
        estimator.engine, estimator.on_device = Told(estimator.engine), there
        stream = []
        for index, color in enumerate(clip(6, height, width)):
            estimator.engine.says = says(index)
            estimate, state = estimator.step(Frame(color, index * 33_000_000, intrinsics=lens, ids=ids), state)
            stream.append(estimate)
        streams.append(stream)
    for here, there in zip(*streams, strict=True):
        # at a border OpenCV takes the other side now and then, and is then off by what lies between both
        off = np.abs(there.depth_m / here.depth_m - 1)
        assert (off > 1e-5).mean() < 0.005 and there.depth_m.dtype == np.float32
        if instances == "none":
            continue
        assert (here.ids != there.ids).mean() < 0.005 and there.ids.dtype == np.uint16
        assert [one.id for one in here.instances] == [one.id for one in there.instances]
    assert here.instances or instances == "none"


def test_labels_are_those_of_opencv_but_for_some_pixels_at_borders():
    rng, size = np.random.default_rng(0), (240, 426)
    evidence = np.stack([cv2.resize(rng.normal(size=(5, 7)).astype(np.float32), (64, 36)) - 0.3 for _ in range(4)])
    labels = np.where(evidence.max(0) > 0, evidence.argmax(0) + 1, 0).astype(np.uint16)
    nothing = np.zeros(4, np.float32)
    seen = Seen(labels, nothing, nothing, nothing, nothing, nothing, nothing, evidence)
    differ = on_device.labels_at_full_size(seen, size, CPU).numpy() != seen.at_full_size(size)
    assert differ.mean() < 0.002


def test_pixels_far_from_their_cells_have_the_depth_of_their_label():
    """As borders.upsample(): the nearest inside, or the layer of what has none."""
    rng, (h, w), size = np.random.default_rng(1), (36, 64), (240, 426)
    labels, depth_m = np.zeros((h, w), np.uint16), rng.uniform(1, 9, (h, w)).astype(np.float32)
    labels[5:20, 8:30], labels[30, 50] = 1, 2
    full = cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST)
    full[60:70, 190:260], full[200:230, 5:9] = 1, 2
    nothing, layer_m = np.zeros(2, np.float32), np.float32([3, 7])
    seen = Seen(labels, nothing, nothing, layer_m, nothing, nothing, nothing, full=full)
    whole, of_whole = on_device.full_size(depth_m, seen, size, CPU)
    np.testing.assert_allclose(whole, upsample(depth_m, labels, full, layer_m), rtol=1e-5)
    np.testing.assert_array_equal(of_whole, full)


@pytest.mark.parametrize("stride, size", [(1, (60, 80)), (2, (61, 83)), (3, (5, 7))])
def test_points_are_those_of_geometry(stride, size):
    """Surfaces with steps between them, holes, and a lens whose corners have no ray."""
    rng = np.random.default_rng(stride)
    depth_m = np.linspace(9, 2, size[0], dtype=np.float32)[:, None].repeat(size[1], 1)
    depth_m[size[0] // 3 :, size[1] // 2 :] = 1.5
    depth_m[rng.random(size) < 0.05] = np.nan
    color = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    lens = Intrinsics(size[1], size[0], 20.0, 20.0, size[1] / 2, size[0] / 2, "plumb_bob", (-0.3, 0.05, 0, 0, 0))
    asked = depth_m, lens, color, stride, 0.1, 4.0
    here, there = cloud(*asked), on_device.cloud(*asked, device=CPU)
    assert there.dtype == here.dtype and there.shape == here.shape
    for name in here.dtype.names:
        np.testing.assert_allclose(there[name], here[name], rtol=1e-6)
    assert np.isnan(here["z"]).any() and np.isfinite(here["z"]).any()
