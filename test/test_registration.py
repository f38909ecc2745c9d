"""Depth registered to colour: where geometry says, without holes, nearest first, as the RealSense SDK has it."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from instance_depth_ros.geometry import Intrinsics, depth_from_codes, rays
from instance_depth_ros.registration import register

SMALL = Intrinsics(96, 72, 80.0, 80.0, 47.0, 36.5)
LENSES = {
    "pinhole": SMALL,
    "plumb_bob": Intrinsics(96, 72, 80.0, 81.0, 46.0, 35.0, "plumb_bob", (-0.28, 0.09, 0.001, -0.0005, -0.01)),
    "rational": Intrinsics(
        96, 72, 80.0, 80.0, 48.0, 36.0, "rational_polynomial", (0.6, -2.6, 0.0003, -0.0005, 1.5, 0.48, -2.4, 1.4)
    ),
    "equidistant": Intrinsics(96, 72, 60.0, 60.0, 47.5, 35.5, "equidistant", (0.05, -0.01, 0.003, -0.001)),
}


def pose(x_m=0.0, y_m=0.0, z_m=0.0, turn_deg=(0.0, 0.0, 0.0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = cv2.Rodrigues(np.radians(turn_deg))[0]
    matrix[:3, 3] = x_m, y_m, z_m
    return matrix


def plane(lens: Intrinsics, normal, distance_m: float) -> np.ndarray:
    """(H, W) float32 depth of the plane normal . p = distance."""
    ray = rays(lens).astype(np.float64)
    return (distance_m / (ray[..., 0] * normal[0] + ray[..., 1] * normal[1] + normal[2])).astype(np.float32)


def boxes(lens: Intrinsics) -> np.ndarray:
    """(H, W) uint16 millimetres: a wall, boxes before it, holes."""
    codes = np.full((lens.height, lens.width), 3000, np.uint16)
    for number, (top, left) in enumerate(((8, 10), (20, 50), (40, 24))):
        codes[top : top + 18, left : left + 20] = 900 + 300 * number
    codes[50:58, 70:80] = 0
    return codes


@pytest.mark.parametrize("lens", LENSES.values(), ids=LENSES)
def test_the_same_lens_in_the_same_place_gives_the_input_bit_by_bit(lens):
    depth_m = depth_from_codes(np.random.default_rng(0).integers(0, 9000, (72, 96), np.uint16))
    registered = register(depth_m, lens, lens, np.eye(4))
    assert registered.dtype == np.float32 and np.array_equal(registered, depth_m, equal_nan=True)
    assert not np.shares_memory(registered, depth_m)


@pytest.mark.parametrize("color", LENSES.values(), ids=LENSES)
@pytest.mark.parametrize("depth", LENSES.values(), ids=LENSES)
def test_a_plane_is_where_geometry_says_through_every_pair_of_lenses(depth, color):
    color_from_depth = pose(-0.06, 0.01, 0.02, (2.0, -3.0, 1.0))
    normal, distance_m = np.array([0.3, -0.2, 1.0]), 2.0
    turn, shift = color_from_depth[:3, :3], color_from_depth[:3, 3]
    expected = plane(color, turn @ normal, distance_m + (turn @ normal) @ shift)
    registered = register(plane(depth, normal, distance_m), depth, color, color_from_depth)
    both = np.isfinite(registered) & np.isfinite(expected)
    # the depth of a slanted plane changes by so much from one pixel to the next
    step_m = np.fmax(*(np.abs(np.gradient(expected, axis=axis)) for axis in (0, 1)))
    assert (np.abs(registered - expected)[both] <= 3 * step_m[both] + 1e-3).all()
    assert np.isfinite(registered)[24:48, 32:64].all() and both.mean() > 0.4


@pytest.mark.parametrize("focal_px", (50.0, 80.0, 82.0, 128.0, 200.0, 330.0))
def test_a_finer_picture_has_no_pin_holes_and_no_wall_shines_through_a_box(focal_px):
    color = Intrinsics(96, 72, focal_px, focal_px, 47.0, 36.0)
    depth_m = np.full((72, 96), 3.0, np.float32)
    depth_m[24:49, 32:64] = 0.8
    registered = register(depth_m, SMALL, color, pose(-0.05, 0.004))
    scale = focal_px / 80.0

    def cut(z_m, rows, columns, margin):
        """Where these pixels of depth come out, less a margin."""
        left, right = (scale * (c - 47.0 - 80.0 * 0.05 / z_m) + 47.0 for c in columns)
        top, bottom = (scale * (r - 36.5 + 80.0 * 0.004 / z_m) + 36.0 for r in rows)
        inside = np.zeros(registered.shape, bool)
        low = [max(0, int(np.ceil(a + margin))) for a in (top, left)]
        inside[low[0] : max(0, int(bottom - margin) + 1), low[1] : max(0, int(right - margin) + 1)] = True
        return inside

    box = cut(0.8, (24, 48), (32, 63), 0.5)
    assert box.sum() > 100 and (registered[box] == np.float32(0.8)).all()
    wall = cut(3.0, (0, 71), (0, 95), 1.0) & ~cut(0.8, (24, 48), (32, 63), -1 - scale)
    shadow = cut(3.0, (24, 48), (32, 63), -1 - scale)
    assert (registered[wall & ~shadow] == 3.0).all()
    hidden = registered[wall & shadow]
    assert (np.isnan(hidden) | (hidden == 3.0)).all(), "what the depth camera did not see is not made up"


def test_a_steep_plane_has_no_cracks():
    normal = np.array([-0.9, 0.0, 0.44])
    registered = register(plane(SMALL, normal, 0.5), SMALL, SMALL, pose(0.05))
    assert np.isfinite(registered)[10:60, 25:70].all()


def test_depth_that_is_none_stays_none():
    depth_m = np.full((72, 96), 2.0, np.float32)
    depth_m[:24], depth_m[24:36], depth_m[36:48], depth_m[48:] = 0.0, -1.0, np.inf, np.nan
    for place in (np.eye(4), pose(-0.05, 0.0, 0.3)):
        with np.errstate(all="raise"):
            assert np.isnan(register(depth_m, SMALL, SMALL, place)).all()


def test_what_lies_behind_the_colour_camera_is_not_seen():
    wall = np.full((72, 96), 0.5, np.float32)
    assert np.isnan(register(wall, SMALL, SMALL, pose(z_m=-0.6))).all()
    assert np.allclose(register(wall, SMALL, SMALL, pose(z_m=-0.1))[10:60, 10:80], 0.4)


def test_cameras_that_are_alike_are_registered_at_once_and_what_was_given_stays():
    rng = np.random.default_rng(0)
    images = [rng.uniform(0.5, 5, (72, 96)).astype(np.float32) for _ in range(40)]
    place = pose(-0.05, 0.004)
    expected = [register(depth_m, SMALL, LENSES["plumb_bob"], place) for depth_m in images]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda depth_m: register(depth_m, SMALL, LENSES["plumb_bob"], place), images))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_no_pose_or_not_this_lens_is_refused():
    depth_m = np.ones((72, 96), np.float32)
    with pytest.raises(ValueError, match=r"\(4, 4\) pose, got shape \(3, 4\)"):
        register(depth_m, SMALL, SMALL, np.eye(4)[:3])
    with pytest.raises(ValueError, match="finite pose with a rotation"):
        register(depth_m, SMALL, SMALL, 2 * np.eye(4))
    with pytest.raises(ValueError, match=r"depth_m must be \(72, 96\)"):
        register(depth_m[:70], SMALL, SMALL, np.eye(4))


def near(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether each pixel's depth stands in the other within a pixel; borders apart, where the SDK cuts pixels off."""
    around = [np.roll(other, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    same = np.any([one == values for values in around], axis=0) | np.isnan(one)
    return same[3:-3, 3:-3]


@pytest.mark.parametrize(
    "focal_px, size, coeffs, translation_m",
    (
        (80.0, (96, 72), (0.0,) * 5, (0.0, 0.0, 0.0)),
        (80.0, (96, 72), (0.0,) * 5, (-0.059, 0.001, 0.0)),
        (130.0, (144, 108), (0.0,) * 5, (-0.015, 0.0, 0.0)),
        (60.0, (96, 72), (0.0,) * 5, (-0.059, 0.0, 0.0)),
        (80.0, (96, 72), (-0.055, 0.064, 0.0003, -0.0005, -0.02), (-0.059, 0.0, 0.0)),
    ),
)
def test_it_is_within_a_pixel_of_the_sdks_own_alignment(tmp_path, focal_px, size, coeffs, translation_m):
    import software_camera as soft

    color, codes = soft.sdk_lens(focal_px, *size, "inverse_brown_conrady", coeffs), boxes(SMALL)
    device = soft.SoftwareCamera(color, soft.sdk_lens(80.0, 96, 72), translation_m)
    moment = {"color": soft.color_of(0, color), "codes": codes}
    theirs = depth_from_codes(soft.aligned_by_the_sdk(device.record(tmp_path / "boxes.db3", [moment] * 3)))
    lenses = [
        Intrinsics(s.width, s.height, s.fx, s.fy, s.ppx, s.ppy, distortion=tuple(s.coeffs))
        for s in (device.depth_lens, device.color_lens)
    ]
    ours = register(depth_from_codes(codes), *lenses, pose(*translation_m))
    assert near(ours, theirs).all() and near(theirs, ours).all()
