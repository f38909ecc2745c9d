"""Sensor depth is kept to the bit, and what it does not see is at its scale, without steps and jumps."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import lively

from instance_depth_ros import config, fusion
from instance_depth_ros.datasets.film import Film
from instance_depth_ros.datasets.splits import split_clips
from instance_depth_ros.estimator import Estimator
from instance_depth_ros.frame import SOURCE_NETWORK_SCALED, SOURCE_SENSOR, Frame
from instance_depth_ros.geometry import valid
from instance_depth_ros.model import checkpoint
from instance_depth_ros.model.presets import PRESETS

SIZE = HEIGHT, WIDTH = 240, 320
FRAME_NS = 100_000_000
HOLE, CORNER = np.s_[80:140, 100:200], np.s_[:60, 240:]
V, U = np.mgrid[:HEIGHT, :WIDTH] / HEIGHT
FLOOR_M = (1 / (0.1 + 0.4 * V)).astype(np.float32)
# off by a fifth, and by another one across the picture
NETWORK_M = (FLOOR_M * 1.2 * np.exp(0.2 * (U - V))).astype(np.float32)


def measured_of(truth_m, rng, noise=0.01, wild=0.0):
    """What a sensor gives: noise, a share of wild pixels, a hole, nothing in one corner."""
    measured_m = truth_m * np.exp(rng.normal(0, noise, SIZE)).astype(np.float32)
    measured_m[rng.random(SIZE) < wild] *= 0.4
    measured_m[HOLE], measured_m[CORNER] = np.nan, 0
    return measured_m


def test_what_was_measured_stays_and_holes_meet_it_without_a_step():
    measured_m = measured_of(FLOOR_M, np.random.default_rng(0))
    given = measured_m.copy(), NETWORK_M.copy()
    fused_m, measured, _ = fusion.fill(NETWORK_M, measured_m, 0, None)
    np.testing.assert_array_equal(measured, valid(measured_m))
    assert fused_m[measured].tobytes() == measured_m[measured].tobytes()
    error = np.abs(fused_m / FLOOR_M - 1)
    assert error[HOLE].mean() < 0.01 and error[CORNER].mean() < 0.05
    steps = [
        np.abs(np.log(fused_m[80:140, at - 3 : at].mean(1) / fused_m[80:140, at : at + 3].mean(1))).mean()
        for at in (100, 200)
    ]
    assert max(steps) < 0.02
    for array, kept in zip((measured_m, NETWORK_M), given, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_wild_pixels_do_not_bend_what_is_filled():
    fused_m, measured, _ = fusion.fill(NETWORK_M, measured_of(FLOOR_M, np.random.default_rng(1), wild=0.15), 0, None)
    assert np.abs(fused_m / FLOOR_M - 1)[~measured].mean() < 0.02


def test_a_sensor_that_goes_blind_leaves_its_scale_behind():
    rng, ratios = np.random.default_rng(2), None
    for index in range(5):
        fused_m, _, ratios = fusion.fill(NETWORK_M, measured_of(FLOOR_M, rng), index * FRAME_NS, ratios)
    before_m = fused_m
    for index in range(5, 300, 20):
        fused_m, measured, ratios = fusion.fill(NETWORK_M, np.zeros(SIZE, np.float32), index * FRAME_NS, ratios)
        assert not measured.any() and np.abs(fused_m / before_m - 1).mean() < 0.02
    assert np.abs(fused_m / FLOOR_M - 1).mean() < 0.03


def test_a_sensor_that_never_saw_anything_changes_nothing():
    fused_m, measured, ratios = fusion.fill(NETWORK_M, np.zeros(SIZE, np.float32), 0, None)
    np.testing.assert_array_equal(fused_m, NETWORK_M)
    assert not measured.any() and ratios is None


def test_holes_do_not_tremble_with_the_sensors_noise():
    rng, ratios, holes = np.random.default_rng(3), None, []
    for index in range(12):
        fused_m, measured, ratios = fusion.fill(NETWORK_M, measured_of(FLOOR_M, rng, 0.03), index * FRAME_NS, ratios)
        holes.append(np.log(fused_m[~measured]))
    assert np.abs(np.diff(holes[4:], axis=0)).mean() < 0.002


@pytest.mark.parametrize("wild", [0.0, 0.3])
def test_disparity_becomes_metres(wild):
    disparity = (3 / FLOOR_M - 0.2).astype(np.float32)
    measured_m = measured_of(FLOOR_M, np.random.default_rng(4), wild=wild)
    alignment = fusion.align(disparity, measured_m, 0, None)
    np.testing.assert_allclose(alignment.metres(disparity), FLOOR_M, rtol=0.01)
    # beyond the horizon
    assert not valid(alignment.metres(np.float32([-0.3])))[0]


def test_disparity_moves_smoothly_and_waits_for_enough():
    disparity, rng = (3 / FLOOR_M - 0.2).astype(np.float32), np.random.default_rng(5)
    assert fusion.align(disparity, np.zeros(SIZE, np.float32), 0, None) is None
    assert fusion.align(np.zeros(SIZE, np.float32), FLOOR_M, 0, None) is None  # tells nothing
    assert fusion.align(-disparity, FLOOR_M, 0, None) is None  # the wrong way round
    first = fusion.align(disparity, measured_of(FLOOR_M, rng), 0, None)
    assert fusion.align(disparity, np.zeros(SIZE, np.float32), FRAME_NS, first) is first
    then = fusion.align(disparity, measured_of(1.5 * FLOOR_M, rng), FRAME_NS, first)
    assert first.scale > then.scale > 0.85 * first.scale


def test_relative_weights_become_metric_with_a_sensor(tmp_path):
    path = tmp_path / "relative.safetensors"
    checkpoint.save(lively(replace(PRESETS["small"], depths=(4,), taps=(0, 1, 2, 3))), path, {"name": "relative"})
    estimator = Estimator(config.make("depth", weights=str(path), weights_kind="relative", precision="fp32"))
    color = np.random.default_rng(6).integers(0, 255, (*SIZE, 3), np.uint8)
    alone, state = estimator.step(Frame(color, 0))
    assert alone.depth_m is None and alone.disparity is not None
    truth_m = (1 / (0.5 * alone.disparity / alone.disparity.max() + 0.1)).astype(np.float32)
    measured_m = truth_m.copy()
    measured_m[:, 160:] = np.nan
    fused, state = estimator.step(Frame(color, FRAME_NS, depth_m=measured_m), state)
    assert (fused.source[:, :160] == SOURCE_SENSOR).all() and (fused.source[:, 160:] == SOURCE_NETWORK_SCALED).all()
    assert np.nanmedian(np.abs(fused.depth_m / truth_m - 1)[:, 160:]) < 0.1
    later, _ = estimator.step(Frame(color, 2 * FRAME_NS), state)
    assert later.depth_m is not None and np.nanmedian(np.abs(later.depth_m / truth_m - 1)) < 0.1


def test_what_a_d455_does_not_see_is_told_better_than_by_the_network_alone():
    clip = next(clip for clip in split_clips("sim-val") if clip.activity == "dance")
    fused, alone = (
        Estimator(config.make("depth", engine="eager", **more)) for more in ({}, {"fuse": "off", "scale_anchors": ""})
    )
    film, states, errors = Film(clip), [None, None], [[], []]
    for index in range(3):
        shot = film.read(index, ["color", "depth_m", "truth_m"])
        truth_m = shot["truth_m"]
        judged = ~valid(shot["depth_m"]) & (truth_m > 0.1) & (truth_m < 80)
        for which, estimator in enumerate((fused, alone)):
            frame = Frame(shot["color"], shot["stamp_ns"], intrinsics=film.intrinsics, depth_m=shot["depth_m"])
            estimate, states[which] = estimator.step(frame, states[which])
            errors[which].append(np.nanmean(np.abs(estimate.depth_m - truth_m)[judged] / truth_m[judged]))
    film.close()
    assert np.mean(errors[0]) < 0.6 * np.mean(errors[1])
