"""What the simulated depth cameras give, against what their makers say, on scenes whose depth is known."""

import numpy as np
import pytest

from instance_depth_ros.geometry import Intrinsics, rays
from instance_depth_ros.simulation.sensor import SENSORS
from instance_depth_ros.simulation.sensor_color import Imager

LENS = Intrinsics.from_fov(640, 480, 90)
MIDDLE = np.s_[150:330, 200:440]


def wall(depth_m, lens=LENS):
    return np.full((lens.height, lens.width), depth_m, np.float32)


def plain(level=200, lens=LENS):
    return np.full((lens.height, lens.width, 3), level, np.uint8)


def textured(lens=LENS):
    return np.random.default_rng(5).integers(60, 255, (lens.height, lens.width, 3), np.uint8)


def measure(name, depth_m, color=None, seed=0, lens=LENS):
    return SENSORS[name].measure(
        depth_m, plain(lens=lens) if color is None else color, lens, np.random.default_rng(seed)
    )


def box(near_m=2.0, far_m=5.0):
    """A box in rows 150..330, columns 280..360, before a wall."""
    depth_m = wall(far_m)
    depth_m[150:330, 280:360] = near_m
    return depth_m


def hole_px(depth_m, columns):
    """How many pixels are missing in the rows of the box, on average."""
    return np.isnan(depth_m[170:310, columns]).sum(1).mean()


@pytest.mark.parametrize("distance_m", (2.0, 4.0, 6.0))
def test_stereo_noise_grows_with_the_square_of_depth_and_has_no_bias(distance_m):
    # 0.08 px of 446.8 px and 95 mm
    stated_m = distance_m**2 * 0.08 / (446.8 * 0.095)
    error = measure("d455_color", wall(distance_m), textured())[MIDDLE] - distance_m
    assert np.isfinite(error).mean() > 0.98
    assert np.nanstd(error) == pytest.approx(stated_m, rel=0.2)
    assert abs(np.nanmean(error)) < 0.25 * stated_m


def test_stereo_errors_of_neighbours_go_together_and_those_of_frames_do_not():
    error = [measure("d455_color", wall(4.0), textured(), seed)[MIDDLE] - 4 for seed in (1, 2)]
    error = [np.nan_to_num(e - np.nanmean(e)) for e in error]
    variance = np.mean(error[0] ** 2)
    assert np.mean(error[0][:, 1:] * error[0][:, :-1]) > 0.6 * variance
    assert abs(np.mean(error[0][:, 90:] * error[0][:, :-90])) < 0.25 * variance
    assert abs(np.mean(error[0] * error[1])) < 0.25 * variance


def test_stereo_depth_comes_in_steps_of_disparity_and_whole_millimetres():
    depth_m = measure("d455_color", wall(5.0), textured())
    depth_m = np.unique(depth_m[np.isfinite(depth_m)]).astype(np.float64)
    np.testing.assert_allclose(depth_m * 1000, np.rint(depth_m * 1000), atol=1e-3)
    sensor = SENSORS["d455_color"]
    disparity = sensor.focal_px * sensor.baseline_m / depth_m
    assert np.abs(disparity * 32 - np.rint(disparity * 32)).max() < 32 * disparity.max() * 0.0006 / depth_m.min()
    assert len(depth_m) < 60


def test_what_the_right_imager_does_not_see_is_missing_left_of_occluders():
    depth_m = measure("d455_depth", box(), textured())
    assert hole_px(depth_m, np.s_[240:282]) == pytest.approx(320 * 0.095 * (1 / 2 - 1 / 5), abs=1.5)
    assert hole_px(depth_m, np.s_[362:400]) < 0.5


def test_registered_to_colour_there_are_parallax_holes_on_both_sides():
    depth_m = measure("d455_color", box(), textured())
    assert hole_px(depth_m, np.s_[240:282]) == pytest.approx(320 * 0.036 * (1 / 2 - 1 / 5), abs=1.5)
    assert hole_px(depth_m, np.s_[358:400]) == pytest.approx(320 * 0.059 * (1 / 2 - 1 / 5), abs=1.5)
    assert np.isfinite(depth_m[170:310, 290:350]).all()


def test_a_pole_thinner_than_the_baseline_hides_no_more_than_its_width():
    depth_m = wall(6.0)
    depth_m[:, 318:322] = 1.0
    missing = np.isnan(measure("d455_depth", depth_m, textured())[150:330, 200:440]).sum(1).mean()
    assert 2 < missing < 8


@pytest.mark.parametrize("name, nearest, farthest", [("d455_color", 0.4, 20), ("kinect_narrow", 0.5, 5.46),
                                                     ("kinect_wide", 0.25, 2.88)])  # fmt: skip
def test_out_of_range_there_is_no_depth(name, nearest, farthest):
    for distance_m, kept in ((nearest * 0.8, 0), (nearest * 1.2, 1), (farthest * 0.93, 1), (farthest * 1.1, 0)):
        given = np.isfinite(measure(name, wall(distance_m), textured())[MIDDLE]).mean()
        assert given == pytest.approx(kept, abs=0.1), distance_m
    slope = np.linspace(0.2, 8, 640, dtype=np.float32) * np.ones((480, 1), np.float32)
    depth_m = measure(name, slope, textured())
    assert np.nanmin(depth_m) >= nearest and np.nanmax(depth_m) <= farthest


def test_stereo_misses_dark_surfaces_and_far_ones_without_texture():
    color = plain()
    color[150:330, 280:360] = 4
    depth_m = measure("d455_color", wall(4.0), color)
    assert np.isnan(depth_m[160:320, 290:350]).mean() > 0.95
    assert np.isfinite(depth_m[160:320, 180:260]).mean() > 0.95
    # at 17 m the projector does not help any more
    assert np.isnan(measure("d455_color", wall(17.0))[MIDDLE]).mean() > 0.8
    assert np.isfinite(measure("d455_color", wall(17.0), textured())[MIDDLE]).mean() > 0.9


@pytest.mark.parametrize("name", ("d455_color", "d455_depth"))
def test_stereo_misses_grazing_surfaces(name):
    given = []
    for angle_deg in (60.0, 87.0):
        depth_m = (1.5 / (1 + rays(LENS)[..., 0] * np.tan(np.radians(angle_deg)))).astype(np.float32)
        depth_m[(depth_m < 0.8) | (depth_m > 2.4)] = np.nan
        seen = np.isfinite(depth_m[MIDDLE])
        given.append(np.isfinite(measure(name, depth_m)[MIDDLE])[seen].mean())
    assert given[0] > 0.85 and given[1] < 0.25


def test_stereo_sees_no_farther_to_the_sides_than_both_imagers():
    depth_m = measure("d455_color", wall(2.0), textured())
    top = 240 - 320 * np.tan(np.radians(29))
    assert np.isnan(depth_m[: int(top) - 2]).all() and np.isfinite(depth_m[int(top) + 4, 200:440]).mean() > 0.9
    given = np.isfinite(depth_m[200:280]).mean(0) > 0.5
    left, right = np.flatnonzero(given)[[0, -1]]
    # the right imager ends the left side, the left imager the right one
    edge = np.tan(np.radians(43.5))
    assert left == pytest.approx(319.5 + 320 * (0.036 / 2 - edge), abs=3)
    assert right == pytest.approx(319.5 + 320 * (edge - 0.059 / 2), abs=3)


def test_a_narrower_picture_is_whole_to_its_edges():
    lens = Intrinsics.from_fov(640, 480, 50)
    slope = np.linspace(1, 2, 640, dtype=np.float32) * np.ones((480, 1), np.float32)
    for depth_m in (slope, slope[:, ::-1]):
        assert np.isfinite(measure("d455_color", depth_m, textured(lens), lens=lens)).mean() > 0.99


@pytest.mark.parametrize("name, distances", [("kinect_color", (1, 2, 3.2, 4.3, 5.3)), ("kinect_wide", (0.5, 1.5, 2.7))])
def test_kinect_errors_are_within_its_specification(name, distances):
    random_m = []
    for distance_m in distances:
        color = plain(66)
        color[:40] = 200
        error = measure(name, wall(distance_m), color)[MIDDLE] - distance_m
        assert np.isfinite(error).mean() > 0.95
        assert abs(np.nanmean(error)) < 0.011 + 0.001 * distance_m
        random_m.append(np.nanstd(error))
    assert max(random_m) <= 0.0175
    assert np.all(np.diff(random_m) > 0)


def test_kinect_pixels_at_edges_fly_between_the_surfaces_or_are_missing():
    near_m, far_m = 1.5, 3.5
    depth_m = measure("kinect_narrow", box(near_m, far_m))
    assert np.nanmin(depth_m) > near_m - 0.05 and np.nanmax(depth_m) < far_m + 0.08
    flying = (depth_m > near_m + 0.1) & (depth_m < far_m - 0.1)
    around = np.zeros(flying.shape, bool)
    around[145:335, 275:365] = True
    around[155:325, 285:355] = False
    assert flying[170:310].sum(1).mean() > 0.5
    assert not flying[~around].any()
    assert 0.5 < hole_px(depth_m, np.s_[270:290]) < 4


def test_kinect_misses_black_and_sees_its_parallax():
    color = plain()
    color[150:330, 280:360] = 4
    assert np.isnan(measure("kinect_color", wall(2.0), color)[155:325, 285:355]).all()
    depth_m = measure("kinect_color", box(1.5, 4.0))
    shadow = hole_px(depth_m, np.s_[350:400]) - hole_px(depth_m, np.s_[240:290])
    assert shadow == pytest.approx(320 * 0.032 * (1 / 1.5 - 1 / 4), abs=1.5)


def test_kinect_fields_of_view():
    lens = Intrinsics.from_fov(640, 480, 130)
    x, y = np.moveaxis(rays(lens), -1, 0)
    narrow = np.isfinite(measure("kinect_narrow", wall(1.5, lens), lens=lens))
    wide = np.isfinite(measure("kinect_wide", wall(1.0, lens), lens=lens))
    for given, half_x, half_y in ((narrow, 37.5, 32.5), (wide, 60, 45)):
        assert np.abs(x[given]).max() == pytest.approx(np.tan(np.radians(half_x)), rel=0.03)
        assert np.abs(y[given]).max() <= np.tan(np.radians(half_y)) + 0.75
    assert np.abs(y[narrow]).max() == pytest.approx(np.tan(np.radians(32.5)), rel=0.03)
    # cut corners, a round rim
    assert not narrow[(np.abs(x) > 0.6) & (np.abs(y) > 0.5)].any()
    assert np.hypot(x, y)[wide].max() <= np.tan(np.radians(60)) + 0.01
    # registered to colour, it looks down by six degrees
    below = np.isfinite(measure("kinect_color", wall(1.5, lens), lens=lens))
    assert np.degrees(np.arctan(y[below].max())) == pytest.approx(32.5 + 6, abs=1.5)
    assert np.degrees(np.arctan(y[below].min())) == pytest.approx(6 - 32.5, abs=1.5)


@pytest.mark.parametrize("name", SENSORS)
def test_nothing_comes_from_nothing_and_the_same_from_the_same(name):
    depth_m = box(1.2, 2.5)
    depth_m[:200] = np.nan
    first, again, other = (measure(name, depth_m, textured(), seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other, equal_nan=True)
    assert first.dtype == np.float32 and first.shape == depth_m.shape
    assert np.isnan(first[:195]).all() and np.isfinite(first[205:]).mean() > 0.3
    assert np.isnan(measure(name, wall(np.nan), textured())).all()
    np.testing.assert_array_equal(depth_m[200:], box(1.2, 2.5)[200:])


@pytest.mark.parametrize("name", SENSORS)
def test_night_is_no_hole(name):
    """Infrared light is the camera's own: a dark picture of the same surfaces gives the same depth."""
    color = plain(240)
    color[150:330, 280:360] = 120
    day, night = (np.isfinite(measure(name, box(1.5, 2.5), (color * light).astype(np.uint8))) for light in (1, 0.4))
    assert np.mean(day != night) < 0.01 and day.mean() > 0.3


def test_colour_noise_is_that_of_photons_and_reading():
    imager = Imager(vignetting=0.0, white_e=7000, read_e=3, gain=4)
    for level in (40, 120, 220):
        linear = ((level / 255 + 0.055) / 1.055) ** 2.4
        electrons = 7000 / 4 * linear
        # through the slope of the sRGB curve
        stated = np.sqrt(electrons + 9) / electrons * linear * 255 * 1.055 / 2.4 * linear ** (1 / 2.4 - 1)
        color = imager.take(plain(level), np.random.default_rng(1)).astype(np.float64)
        assert color[..., 1].std() == pytest.approx(stated, rel=0.1)
        assert abs(color.mean() - level) < 0.3
        # partly grey
        together = np.corrcoef(color[..., 0].ravel(), color[..., 2].ravel())[0, 1]
        assert 0.6 < together < 0.95


def test_corners_are_darker_and_white_has_a_tint():
    imager = Imager(vignetting=0.3, gains=(1.1, 1.0, 0.9))
    color = imager.take(plain(150), np.random.default_rng(1)).astype(np.float64)
    corner, middle = color[:12, :12].mean((0, 1)), color[230:250, 310:330].mean((0, 1))
    np.testing.assert_allclose(corner / middle, 0.7, atol=0.03)
    np.testing.assert_allclose(middle, (165, 150, 135), atol=1)


def test_jpeg_is_a_mild_change_and_a_draw_is_reproducible():
    color = textured()
    draws = [Imager.draw(np.random.default_rng(seed), jpeg=90) for seed in (7, 7, 8)]
    assert draws[0] == draws[1] != draws[2]
    one, again = (draws[0].take(color, np.random.default_rng(2)) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    smooth = np.repeat(np.linspace(20, 230, 640, dtype=np.uint8)[None, :, None], 480, 0).repeat(3, 2)
    quiet = Imager(vignetting=0.0, white_e=1e9, read_e=0.0)
    packed = Imager(vignetting=0.0, white_e=1e9, read_e=0.0, jpeg=85).take(smooth, np.random.default_rng(2))
    np.testing.assert_allclose(quiet.take(smooth, np.random.default_rng(2)), smooth, atol=1)
    assert 0 < np.abs(packed.astype(int) - smooth).mean() < 3
