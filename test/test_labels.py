"""Label images: what is fast says what the plain way says."""

import numpy as np
import pytest
from scipy.ndimage import find_objects

from instance_depth_ros.labels import boxes, looked_up


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (30, 41)])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_boxes_are_those_of_scipy(shape, count):
    rng = np.random.default_rng(count)
    for share in (0.02, 0.5, 1.0):
        labels = (rng.integers(0, count + 1, shape) * (rng.random(shape) < share)).astype(np.uint16)
        expected = find_objects(labels, count) if count else []
        assert boxes(labels, count) == expected


def test_a_label_that_fills_the_picture_or_a_row_has_its_box():
    labels = np.ones((4, 6), np.uint16)
    assert boxes(labels, 2) == [(slice(0, 4), slice(0, 6)), None]
    labels[2] = 2
    assert boxes(labels, 2) == [(slice(0, 4), slice(0, 6)), (slice(2, 3), slice(0, 6))]


@pytest.mark.parametrize("count", [0, 3, 255, 256, 1000])
def test_values_are_looked_up_whatever_their_number(count):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 65536, count + 1).astype(np.uint16)
    labels = rng.integers(0, count + 1, (20, 31)).astype(np.uint16)
    found = looked_up(values, labels)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, values[labels])
