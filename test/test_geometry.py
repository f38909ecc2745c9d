"""Lenses, units and clouds: what a user would see as bent walls, wrong metres or points in the air."""

import warnings

import cv2
import numpy as np
import pytest

from instance_depth_ros.geometry import (
    POINT,
    Intrinsics,
    cloud,
    depth_from_millimetres,
    depth_steps,
    millimetres_from_depth,
    rays,
    unproject,
)

LENSES = (
    ("plumb_bob", (-0.28, 0.09, 0.001, -0.0005, -0.01)),
    ("plumb_bob", (0.2, 0.1, 0.0, 0.0, 0.0)),
    ("rational_polynomial", (0.6, -2.6, 0.0003, -0.0005, 1.5, 0.48, -2.4, 1.4)),
    ("equidistant", (0.05, -0.01, 0.003, -0.001)),
    ("equidistant", (0.0, 0.0, 0.0, 0.0)),
    ("equidistant", ()),
)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def project(lens: Intrinsics, points: np.ndarray) -> np.ndarray:
    """(N, 3) points -> (N, 2) pixels, by OpenCV."""
    D = np.array(lens.distortion or (0.0,) * 4)
    forward = cv2.fisheye.projectPoints if lens.model == "equidistant" else cv2.projectPoints
    return forward(points.reshape(-1, 1, 3).astype(np.float64), np.zeros(3), np.zeros(3), lens.K, D)[0].reshape(-1, 2)


@pytest.mark.parametrize("model, distortion", LENSES)
@pytest.mark.parametrize("stride", (1, 3))
def test_unprojected_pixels_project_back_onto_themselves(model, distortion, stride):
    lens = Intrinsics(640, 480, 420.0, 430.0, 325.0, 236.0, model, distortion)
    lens.check((480, 640))
    ray = rays(lens, stride)
    assert ray.shape == (480 // stride, -(-640 // stride), 2)
    pixels = project(lens, unproject(np.full(ray.shape[:2], 3.0, np.float32), ray).reshape(-1, 3))
    v, u = np.mgrid[0:480:stride, 0:640:stride]
    assert np.abs(pixels - np.stack([u, v], -1).reshape(-1, 2)).max() < 1e-2


def test_pixels_that_no_lens_in_front_explains_give_no_points():
    # 640 px at f = 220 reach beyond 90 degrees from the axis in the corners.
    lens = Intrinsics(640, 480, 220.0, 220.0, 319.5, 239.5, "equidistant", (0.05, -0.01, 0.003, -0.001))
    points = cloud(np.full((480, 640), 2.0, np.float32), lens, np.zeros((480, 640, 3), np.uint8), stride=1)
    assert np.isnan(points["z"][0, 0]) and np.isfinite(points["z"][240, 320])
    seen = np.isfinite(points["z"])
    assert np.array_equal(seen, np.isfinite(points["x"]) & np.isfinite(points["y"]))
    pixels = project(lens, np.stack([points[axis][seen] for axis in "xyz"], -1))
    assert np.abs(pixels - np.argwhere(seen)[:, ::-1]).max() < 0.6


def test_resizing_the_image_keeps_every_ray():
    lens = Intrinsics(640, 480, 420.0, 430.0, 325.0, 236.0, "plumb_bob", (-0.2, 0.05, 0.001, 0.0, 0.0))
    half = rays(lens.resized(320, 240))
    # A pixel of the half-size image covers four: its ray is their middle.
    full = rays(lens).reshape(240, 2, 320, 2, 2).mean((1, 3))
    assert np.abs(half - full).max() < 1e-5
    assert lens.resized(640, 480) == lens
    assert lens.resized(1280, 960).resized(640, 480).cx == pytest.approx(lens.cx)


def test_from_fov_spans_the_angle():
    lens = Intrinsics.from_fov(640, 480, 90.0)
    assert lens.fx == pytest.approx(320.0)
    left, right = rays(lens)[0, 0, 0], rays(lens)[0, -1, 0]
    assert left == pytest.approx(-right) and right == pytest.approx(319.5 / 320)


@pytest.mark.parametrize(
    "change, complaint",
    (
        ({"fx": 0.0}, "fx=0.0"),
        ({"cy": float("nan")}, "cy=nan"),
        ({"model": "mystery"}, "mystery"),
        ({"distortion": (0.1, 0.2, 0.3)}, "coefficients"),
        ({"model": "equidistant", "distortion": (0.1,) * 5}, "coefficients"),
        ({"width": 320}, "320x480"),
    ),
)
def test_impossible_lenses_are_refused(change, complaint):
    values = dict(width=640, height=480, fx=420.0, fy=420.0, cx=320.0, cy=240.0) | change
    with pytest.raises(ValueError, match=complaint):
        Intrinsics(**values).check((480, 640))


def test_millimetres_survive_the_round_trip():
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    depth_m = depth_from_millimetres(every)
    assert np.isnan(depth_m[0, 0]) and np.isfinite(depth_m.ravel()[1:]).all()
    assert depth_m.ravel()[1500] == pytest.approx(1.5)
    assert np.array_equal(millimetres_from_depth(depth_m), every)


def test_what_has_no_millimetres_becomes_zero():
    depth_m = np.array([[np.nan, np.inf, -np.inf, -1.0, 0.0, 65.536, 80.0, 3e38]], np.float32)
    assert not millimetres_from_depth(depth_m).any()


def blurred_step(near: float, far: float) -> np.ndarray:
    """Depth as a network gives it after upsampling: a foreground square whose edge is interpolated."""
    small = np.full((24, 32), far, np.float32)
    small[8:16, 10:20] = near
    return cv2.resize(small, (128, 96), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("stride", (1, 2, 3))
@pytest.mark.parametrize("far", (2.3, 2.5, 3.0, 8.0))
def test_no_points_hang_between_foreground_and_background(stride, far):
    depth_m = blurred_step(2.0, far)
    lens, color = Intrinsics.from_fov(128, 96, 60), np.zeros((96, 128, 3), np.uint8)
    z = cloud(depth_m, lens, color, stride, step_ratio=0.1, detail_px=4.0)["z"]
    z = z[np.isfinite(z)]
    # What is left belongs to one of the two, to within 0.6 of what counts as a step.
    assert np.all((np.abs(z / 2 - 1) < 0.06) | (np.abs(z / far - 1) < 0.06))
    middle = (2 + far) / 2
    assert (z < middle).sum() > 0.4 * 40 * 32 / stride**2
    assert (z > middle).sum() > 0.8 * (96 * 128 - 44 * 36) / stride**2


def test_a_slanted_floor_is_no_step():
    # Floor seen by a camera 1.5 m up, from 2 to 12 m.
    rows = np.linspace(1 / 12, 1 / 2, 240, dtype=np.float32)
    for reach in (1, 2, 5):
        assert not depth_steps(np.repeat(1 / rows[:, None], 320, 1), 0.1, reach).any()


def test_a_floor_that_falls_away_keeps_its_points_up_to_the_horizon():
    # A robot's camera 0.3 m up: near the horizon depth grows by far more than 10 % from row to row.
    rows = np.linspace(-0.05, 0.4, 240)
    floor = np.where(rows > 0.01, 0.3 / np.maximum(rows, 1e-6), np.nan).astype(np.float32)
    assert np.nanmax(floor[:-1] / floor[1:]) > 1.15
    assert not depth_steps(np.repeat(floor[:, None], 320, 1), 0.1, 2).any()


def test_missing_depth_is_no_step_and_no_point():
    depth_m = np.full((48, 64), 4.0, np.float32)
    depth_m[:10], depth_m[20, 30] = np.nan, np.nan
    points = cloud(depth_m, Intrinsics.from_fov(64, 48, 60), np.zeros((48, 64, 3), np.uint8), stride=1)
    assert np.array_equal(np.isnan(points["z"]), np.isnan(depth_m))
    assert np.isnan(
        cloud(np.full_like(depth_m, np.nan), Intrinsics.from_fov(64, 48, 60), np.zeros((48, 64, 3), "u1"))["z"]
    ).all()


@pytest.mark.parametrize("stride, shape", ((1, (49, 65)), (2, (25, 33)), (4, (13, 17))))
def test_cloud_holds_place_and_colour_of_its_pixels(stride, shape):
    color = np.random.default_rng(0).integers(0, 256, (49, 65, 3), dtype=np.uint8)
    lens = Intrinsics(65, 49, 60.0, 61.0, 30.0, 25.0)
    points = cloud(np.full((49, 65), 2.0, np.float32), lens, color, stride)
    assert points.shape == shape and points.dtype == POINT
    v, u = np.mgrid[0:49:stride, 0:65:stride]
    assert np.allclose(points["x"], (u - 30.0) / 60.0 * 2.0) and np.allclose(points["y"], (v - 25.0) / 61.0 * 2.0)
    rgb = points["rgb"]
    assert np.array_equal(np.stack([rgb >> 16, rgb >> 8 & 255, rgb & 255], -1), color[::stride, ::stride])
    assert not points["instance_id"].any()


def test_a_cloud_leaves_its_inputs_alone():
    depth_m = blurred_step(2.0, 8.0)
    depth_m[0, 0] = np.nan
    before = depth_m.copy()
    depth_m.setflags(write=False)
    cloud(depth_m, Intrinsics.from_fov(128, 96, 60), np.zeros((96, 128, 3), np.uint8))
    assert np.array_equal(depth_m, before, equal_nan=True)
