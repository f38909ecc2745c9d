"""Estimator.step: what a user of one frame, of a stream, of two cameras and of live settings relies on."""

import logging
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from conftest import SMALL, lively
from goldens.fill import clip

from instance_depth_ros import config
from instance_depth_ros.estimator import Estimator, State
from instance_depth_ros.frame import SOURCE_NETWORK, SOURCE_NONE, SOURCE_SENSOR, Frame
from instance_depth_ros.geometry import Intrinsics, rays
from instance_depth_ros.model import checkpoint
from instance_depth_ros.model.preprocess import DEVIATION, lens_planes, network_size, normalise, prepare
from instance_depth_ros.model.presets import PRESETS

FRAME_NS = 33_000_000
HEIGHT, WIDTH = 72, 96
LENS = Intrinsics.from_fov(WIDTH, HEIGHT, 60)
PICTURES = clip(12, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def weights(lively_weights):
    return str(lively_weights)


@pytest.fixture
def estimator(weights):
    return Estimator(config.make("depth", weights=weights, precision="fp32", max_depth_m=1000.0))


def frame(index=0, **changes) -> Frame:
    return Frame(**{"color": PICTURES[index], "stamp_ns": index * FRAME_NS, "intrinsics": LENS} | changes)


def stream(estimator, frames, state=None):
    estimates = []
    for each in frames:
        estimate, state = estimator.step(each, state)
        estimates.append(estimate)
    return estimates, state


def assert_same(one, other):
    np.testing.assert_array_equal(one.depth_m, other.depth_m)
    np.testing.assert_array_equal(one.confidence, other.confidence)


def test_an_estimate_says_what_it_is(estimator):
    estimate, state = estimator.step(frame(3))
    assert (estimate.stamp_ns, estimate.frame_id, estimate.reset) == (3 * FRAME_NS, frame().frame_id, "start")
    assert estimate.depth_m.shape == estimate.confidence.shape == estimate.source.shape == (HEIGHT, WIDTH)
    assert (estimate.depth_m.dtype, estimate.confidence.dtype, estimate.source.dtype) == ("f4", "u1", "u1")
    assert (estimate.depth_m > 0).all() and (estimate.source == SOURCE_NETWORK).all()
    assert estimate.intrinsics == LENS and estimate.disparity is None
    stages = "preprocess segment network instances steady scale track upsample fuse finish"
    assert list(estimate.timings_ms) == stages.split() and estimate.ids.shape == (HEIGHT, WIDTH)
    assert estimator.info["precision"] == "fp32" and estimator.info["kind"] == "metric"
    assert estimator.step(frame(4), state)[0].reset == ""


@pytest.mark.parametrize("fov", [40, 90])
def test_metres_are_those_of_the_network_which_knows_the_lens(estimator, fov):
    lens = replace(Intrinsics.from_fov(WIDTH, HEIGHT, fov), fy=1.2 * LENS.fy)
    size = network_size(HEIGHT, WIDTH, SMALL)
    of_input = lens.resized(size[1], size[0])
    planes = torch.from_numpy(lens_planes(of_input, SMALL.canonical_focal_px))[None]
    with torch.inference_mode():
        says = lively()(prepare(PICTURES[0], size, SMALL), planes, None, instances=False)
    metres, logit = cv2.resize(says.depth[0].numpy(), (WIDTH, HEIGHT)), says.logit
    estimator.instances = "none"
    estimate = estimator.step(frame(intrinsics=lens))[0]
    assert estimate.ids is None and estimate.instances == ()
    np.testing.assert_allclose(estimate.depth_m, metres, rtol=1e-4)
    sure = cv2.resize((torch.sigmoid(logit[0]) * 255).byte().numpy(), (WIDTH, HEIGHT))
    assert np.abs(estimate.confidence.astype(int) - sure).max() <= 1 and estimate.confidence.max() < 255


def test_estimates_are_not_overwritten(estimator):
    depth = np.full((HEIGHT, WIDTH), 3, np.float32)
    estimator.settings.fuse = "replace"
    first, state = estimator.step(frame(0, depth_m=depth[:, ::-1]))
    kept = first.depth_m.copy(), first.confidence.copy(), first.source.copy()
    stream(estimator, [frame(i) for i in range(1, 4)], state)
    for now, then in zip((first.depth_m, first.confidence, first.source), kept, strict=True):
        np.testing.assert_array_equal(now, then)
    assert (depth == 3).all() and not np.shares_memory(first.depth_m, depth)


def test_two_cameras_share_weights_and_nothing_else(estimator):
    other_lens = Intrinsics.from_fov(WIDTH, HEIGHT, 80)
    front = [frame(i) for i in range(6)]
    rear = [frame(i, color=PICTURES[i][::-1, ::-1], intrinsics=other_lens) for i in range(6)]
    alone = [stream(estimator, frames)[0] for frames in (front, rear)]
    states, together = [None, None], [[], []]
    for pair in zip(front, rear, strict=True):
        for which, each in enumerate(pair):
            estimate, states[which] = estimator.step(each, states[which])
            together[which].append(estimate)
    for one, other in zip(sum(alone, []), sum(together, []), strict=True):
        assert_same(one, other)
    with pytest.raises(AssertionError):
        assert_same(alone[0][5], estimator.step(front[5])[0])


def test_a_clone_of_the_state_goes_its_own_way(estimator):
    _, state = stream(estimator, [frame(i) for i in range(4)])
    fork = state.clone()
    expected, _ = stream(estimator, [frame(4), frame(5)], state.clone())
    stream(estimator, [frame(9), frame(10)], fork)
    actual, _ = stream(estimator, [frame(4), frame(5)], state)
    for one, other in zip(expected, actual, strict=True):
        assert_same(one, other)


def noise(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(
    "reason, after",
    [
        ("scene cut", {"color": noise(1)}),
        ("gap", {"stamp_ns": 4 * FRAME_NS + 2_001_000_000}),
        ("stamps went back", {"stamp_ns": 3 * FRAME_NS}),
        ("size changed", {"color": clip(1, 64, 64)[0], "intrinsics": None}),
    ],
)
def test_memory_is_dropped_at_once_and_whole(estimator, reason, after):
    estimates, state = stream(estimator, [frame(i) for i in range(5)])
    assert [e.reset for e in estimates] == ["start", "", "", "", ""]
    after = frame(4, **after)
    fresh = estimator.step(after)[0]
    dropped, state = estimator.step(after, state)
    assert dropped.reset == reason
    assert_same(dropped, fresh)
    assert estimator.step(after, state)[0].reset == ""


def test_a_looped_clip_gives_the_same_the_second_time(estimator):
    loop = [frame(i) for i in range(12)]
    estimates, _ = stream(estimator, loop + loop)
    assert estimates[12].reset == "stamps went back"
    for first, second in zip(estimates[:12], estimates[12:], strict=True):
        assert_same(first, second)


def test_a_covered_camera_is_one_cut_there_and_one_back(estimator):
    rng = np.random.default_rng(0)
    dark = [np.clip(rng.normal(8, 3, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8) for _ in range(4)]
    colors = [noise(1), noise(1), *dark, noise(1), noise(1)]
    estimates, _ = stream(estimator, [frame(color=color, stamp_ns=i) for i, color in enumerate(colors)])
    assert [e.reset for e in estimates] == ["start", "", "scene cut", "", "", "", "scene cut", ""]


def test_settings_act_at_the_next_frame(estimator):
    settings = estimator.settings
    before, state = estimator.step(frame())
    settings.max_depth_m = float(np.median(before.depth_m))
    after = estimator.step(frame())[0]
    np.testing.assert_array_equal(np.isnan(after.depth_m), before.depth_m > settings.max_depth_m)
    nothing = np.isnan(after.depth_m)
    assert nothing.any() and (after.confidence[nothing] == 0).all() and (after.source[nothing] == SOURCE_NONE).all()
    settings.max_depth_m = 1000.0
    settings.min_confidence = float(np.median(before.confidence)) / 255
    after = estimator.step(frame())[0]
    np.testing.assert_array_equal(np.isnan(after.depth_m), before.confidence < settings.min_confidence * 255)
    settings.min_confidence = 0.0

    settings.assumed_fov_deg = 100.0
    assert estimator.step(frame(intrinsics=None))[0].intrinsics == Intrinsics.from_fov(WIDTH, HEIGHT, 100, True)
    settings.reset_gap_s = 0.1
    late = frame(1, stamp_ns=200_000_000)
    assert estimator.step(late, state.clone())[0].reset == "gap"
    settings.reset_gap_s = 1.0
    assert estimator.step(late, state.clone())[0].reset == ""
    cut = frame(1, color=noise(1))
    assert estimator.step(cut, state.clone())[0].reset == "scene cut"
    settings.cut_threshold = 1.0
    assert estimator.step(cut, state.clone())[0].reset == ""


def test_fuse_keeps_what_the_sensor_measured(estimator):
    depth = np.random.default_rng(0).uniform(0.3, 9, (HEIGHT, WIDTH)).astype(np.float32)
    depth[:, :40], depth[0], depth[1], depth[2] = np.nan, 0, -1, np.inf
    measured = np.isfinite(depth) & (depth > 0)
    given = depth.copy()
    estimator.settings.fuse, estimator.settings.scale_anchors = "off", ""
    network = estimator.step(frame(depth_m=depth))[0]
    assert (network.source == SOURCE_NETWORK).all()
    estimator.settings.fuse = "replace"
    fused = estimator.step(frame(depth_m=depth))[0]
    assert fused.depth_m[measured].tobytes() == depth[measured].tobytes()
    np.testing.assert_array_equal(fused.depth_m[~measured], network.depth_m[~measured])
    np.testing.assert_array_equal(fused.source, np.where(measured, SOURCE_SENSOR, SOURCE_NETWORK))
    np.testing.assert_array_equal(fused.confidence == 255, measured)
    np.testing.assert_array_equal(depth, given)
    estimator.settings.max_depth_m = 5.0
    assert np.isnan(estimator.step(frame(depth_m=depth))[0].depth_m[measured & (depth > 5)]).all()


def test_without_memory_a_frame_is_alone(weights):
    estimator = Estimator(config.make("depth", weights=weights, precision="fp32", memory="none"))
    estimates, state = stream(estimator, [frame(i) for i in range(3)])
    assert_same(estimates[2], estimator.step(frame(2))[0])
    assert [e.reset for e in estimates] == ["start", "", ""] and state.memory.megabytes == 0


def test_an_assumed_lens_is_said_once(estimator, caplog):
    with caplog.at_level(logging.WARNING):
        estimator.warm_up(HEIGHT, WIDTH)
        estimator.step(frame())
        assert not caplog.records
        estimates, _ = stream(estimator, [frame(i, intrinsics=None) for i in range(3)])
    assert len(caplog.records) == 1 and "60 degrees" in caplog.text
    assert all(e.intrinsics.assumed for e in estimates)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (48, 64), (200, 50), (40, 800), (720, 1280)])
def test_any_size_of_picture(estimator, size):
    estimates, state = stream(estimator, [Frame(clip(1, *size)[0], i) for i in range(2)])
    assert estimates[1].reset == ""
    assert all(e.depth_m.shape == e.confidence.shape == size and np.isfinite(e.depth_m).all() for e in estimates)


@pytest.mark.parametrize("color", [np.zeros((0, 5, 3), np.uint8), np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3))])
def test_what_is_no_picture_is_refused_with_its_shape(color):
    with pytest.raises(ValueError, match=r"color must be \(H, W, 3\) uint8 RGB.*, got \("):
        Frame(color, 0)


@pytest.mark.parametrize("size", [(518, 518), (1, 1), (30, 6000), (2000, 10)])
def test_official_input_sizes_are_multiples_of_14(size):
    height, width = network_size(*size, PRESETS["small"])
    assert height >= 14 and width >= 14 and height % 14 == width % 14 == 0


@pytest.mark.parametrize("size", [(720, 1280), (1081, 1919), (540, 2200)])
def test_a_large_picture_is_averaged_where_it_lies(size):
    tiny = PRESETS["tiny"]
    color, (height, width) = clip(1, *size)[0], network_size(*size, tiny)
    at_once = cv2.resize(color.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    off = (prepare(color, (height, width), tiny)[0] - normalise(torch.from_numpy(at_once))).abs().mean()
    assert off < 1.5 / 255 / min(DEVIATION)  # grey levels


@pytest.mark.parametrize("order", [np.s_[..., ::-1], np.s_[::-1, :], np.s_[:, ::-1]])
def test_views_of_pictures_are_read_as_they_are(estimator, order):
    view = PICTURES[0][order]
    view.setflags(write=False)
    assert_same(estimator.step(frame(color=view))[0], estimator.step(frame(color=view.copy()))[0])


def test_rays_that_a_lens_does_not_have_spoil_nothing(estimator):
    """Of a fisheye that sees backwards some pixels have no ray in front; neither this frame nor the next may suffer."""
    lens = replace(LENS, fx=28.0, fy=28.0, model="equidistant")
    assert np.isnan(rays(lens)).any() and np.nanmax(np.abs(rays(lens))) > 10
    assert np.abs(lens_planes(lens, 64.0)).max() <= 4
    estimates, _ = stream(estimator, [frame(i, intrinsics=lens) for i in range(3)])
    assert all(np.isfinite(e.depth_m).all() for e in estimates)


def test_one_state_object_holds_a_stream(estimator):
    """step() consumes its state; a new State and None both begin a stream."""
    first, state = estimator.step(frame())
    again, fresh = estimator.step(frame(), State())
    assert_same(first, again)
    assert fresh.memory.frames == state.memory.frames == 1


# the shipped weights


@pytest.mark.skipif(not (checkpoint.SHIPPED / "instance_depth_tiny.safetensors").is_file(), reason="no shipped weights")
def test_one_scene_through_three_lenses_keeps_its_depth():
    """Median depth over the common field of view at 36, 60 and 90 degrees, largest over smallest, mean of three scenes.

    5 % is what it should be; the shipped weights reach 29 % (docs/log.md), and may not fall behind that.
    """
    settings = config.make("depth", weights="instance_depth_tiny", min_confidence=0.0, scale_anchors="")
    estimator = Estimator(settings)  # by the network alone
    medians = [lens_medians(estimator, activity) for activity in ("room", "basketball", "plaza")]
    spread = np.exp(np.mean([np.log(max(three) / min(three)) for three in medians]))
    assert spread < 1.35, medians


def lens_medians(estimator: Estimator, activity: str, seed: int = 3) -> list[float]:
    """Where there is a surface within 80 m, in the field of view that all three lenses share."""
    scenes = pytest.importorskip("instance_depth_ros.simulation.scene")
    try:
        scene = scenes.Scene(activity, seed, "test", 352, 256)
    except RuntimeError as error:
        pytest.skip(str(error))
    medians = []
    for fov in (36.0, 60.0, 90.0):
        scene.intrinsics = Intrinsics.from_fov(352, 256, fov)
        moments = [scene.render(i / 10) for i in range(3)]
        frames = [Frame(m.color, i * 100_000_000, intrinsics=scene.intrinsics) for i, m in enumerate(moments)]
        depth = stream(estimator, frames)[0][-1].depth_m
        share = np.tan(np.radians(18)) / np.tan(np.radians(fov / 2))
        rows, columns = (slice(round(n * (1 - share) / 2), round(n * (1 + share) / 2)) for n in depth.shape)
        known = np.isfinite(moments[-1].depth_m[rows, columns])
        medians.append(float(np.nanmedian(depth[rows, columns][known])))
    scene.close()
    return medians
