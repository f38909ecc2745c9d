"""Depth at the picture's size: sharp between instances, plain bilinear elsewhere."""

import cv2
import numpy as np
import pytest

from instance_depth_ros.borders import invented_share, upsample

SIZE, CELLS = (96, 128), (24, 32)
NEAR_M, FAR_M, BEHIND_M = 2.0, 4.0, 9.0


def scene(shift_px: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two persons side by side before a wall: labels and true depth at the picture's size."""
    labels = np.zeros(SIZE, np.uint16)
    labels[16:80, 20 + shift_px : 60 + shift_px] = 1
    labels[24:88, 60 + shift_px : 104 + shift_px] = 2
    return labels, np.float32([BEHIND_M, NEAR_M, FAR_M])[labels]


def seen_by_a_network(labels: np.ndarray, depth_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and depth in cells; depth is blurred across borders."""
    low = cv2.blur(cv2.resize(depth_m, CELLS[::-1], interpolation=cv2.INTER_AREA), (3, 3))
    return labels[2::4, 2::4].copy(), low


@pytest.mark.parametrize("shift_px", range(4))
def test_no_depth_is_invented_between_instances(shift_px):
    labels, truth_m = scene(shift_px)
    cells, low_m = seen_by_a_network(labels, truth_m)
    plain = cv2.resize(low_m, SIZE[::-1])
    out = upsample(low_m, cells, labels, np.array([NEAR_M, FAR_M]))
    np.testing.assert_array_equal(upsample(low_m, cells, labels.astype(np.uint8), np.array([NEAR_M, FAR_M])), out)
    assert invented_share(plain, labels) > 0.5
    assert invented_share(out, labels) == 0
    # the persons' outlines before the wall too
    np.testing.assert_allclose(out, truth_m, rtol=0.02)


def test_inside_of_one_thing_and_without_things_it_is_bilinear():
    rng = np.random.default_rng(0)
    low_m = rng.uniform(1, 9, CELLS).astype(np.float32)
    plain = cv2.resize(low_m, SIZE[::-1])
    nothing = np.zeros(SIZE, np.uint16)
    np.testing.assert_array_equal(upsample(low_m, nothing[::4, ::4].copy(), nothing, np.empty(0)), plain)
    everything = np.ones(SIZE, np.uint16)
    np.testing.assert_array_equal(upsample(low_m, everything[::4, ::4].copy(), everything, np.array([5.0])), plain)
    labels, _ = scene()
    out = upsample(low_m, labels[2::4, 2::4].copy(), labels, np.array([NEAR_M, FAR_M]))
    np.testing.assert_array_equal(out[40:60, 38:44], plain[40:60, 38:44])


def test_what_is_smaller_than_a_cell_has_its_layer():
    labels = np.zeros(SIZE, np.uint16)
    labels[45:47, 64:66] = 1  # a ball between the centres of four cells
    labels[60:70, 30:40] = 2  # cells, but none inside
    cells, low_m = labels[2::4, 2::4].copy(), np.full(CELLS, BEHIND_M, np.float32)
    assert 1 not in cells and 2 in cells
    out = upsample(low_m, cells, labels, np.array([NEAR_M, FAR_M]))
    np.testing.assert_allclose(out, np.float32([BEHIND_M, NEAR_M, FAR_M])[labels], rtol=1e-6)
    unknown = upsample(low_m, cells, labels, np.array([np.nan, np.nan]))
    np.testing.assert_allclose(unknown, BEHIND_M, rtol=1e-6)


def test_a_thing_in_two_parts_has_its_depth_in_both():
    """Behind a post; the smaller part has no inside of its own."""
    labels = np.zeros(SIZE, np.uint16)
    labels[20:70, 10:70] = 1
    labels[:, 52:62] = 2
    truth_m = np.float32([BEHIND_M, FAR_M, NEAR_M])[labels]
    cells, low_m = seen_by_a_network(labels, truth_m)
    out = upsample(low_m, cells, labels, np.array([FAR_M, NEAR_M]))
    np.testing.assert_allclose(out[labels == 1], FAR_M, rtol=0.02)


def test_invented_share_by_hand():
    ids = np.zeros((20, 40), np.uint16)
    ids[:, :20], ids[:, 20:] = 7, 900
    depth_m = np.where(ids == 7, 2.0, 4.0).astype(np.float32)
    assert invented_share(depth_m, ids) == 0
    # the border pixels are the four columns 18 to 21
    depth_m[:, 19] = 3.0
    assert invented_share(depth_m, ids) == 0.25
    depth_m[:10, 20] = 3.0
    assert invented_share(depth_m, ids) == 0.375
    depth_m[:, 19], depth_m[:, 20] = 2.09, 3.85  # within 5 %
    assert invented_share(depth_m, ids) == 0
    depth_m[:, 19] = 1.0  # nearer than both is another fault
    assert invented_share(depth_m, ids) == 0
    depth_m[:, 19] = np.nan  # not judged
    depth_m[:, 20] = 3.0
    assert invented_share(depth_m, ids) == pytest.approx(1 / 3)


def test_background_is_no_side_and_without_borders_there_is_no_share():
    ids = np.zeros((20, 40), np.uint16)
    ids[:, :20] = 1
    assert np.isnan(invented_share(np.ones((20, 40), np.float32), ids))


def test_slim_things_count_with_their_median():
    ids = np.ones((20, 40), np.uint16)
    ids[:, 20:23] = 2
    depth_m = np.where(ids == 2, 2.0, 4.0).astype(np.float32)
    assert invented_share(depth_m, ids) == 0
    depth_m[:, 19] = 3.0
    # border pixels: 18, 19, 20, 21, 22, 23, 24
    assert invented_share(depth_m, ids) == pytest.approx(1 / 7)
