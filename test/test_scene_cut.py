"""A cut is noticed within a frame; movement, exposure and darkness are none."""

import cv2
import numpy as np
import pytest

from instance_depth_ros import config
from instance_depth_ros.model.scene_cut import difference, thumbnail

THRESHOLD = config.make("depth").cut_threshold


def texture(seed: int, height: int = 480, width: int = 640) -> np.ndarray:
    """A picture with things of all sizes in it, below a bright sky as in most."""
    rng, picture = np.random.default_rng(seed), np.zeros((height, width, 3), np.float32)
    for cells in (4, 8, 16, 32):
        coarse = rng.normal(0, 1, (cells * 3 // 4, cells, 3)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / cells**0.3
    picture += np.linspace(2, -1, height, dtype=np.float32)[:, None, None]
    return np.clip(110 + 28 * picture, 0, 255).astype(np.uint8)


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return difference(thumbnail(b), thumbnail(a))


@pytest.mark.parametrize("seed", range(10))
def test_unrelated_pictures_are_a_cut_though_sky_and_ground_are_alike(seed):
    assert apart(texture(seed), texture(seed + 100)) > THRESHOLD


@pytest.mark.parametrize("gain, offset", [(0.4, 0), (0.6, 20), (1.6, 0), (2.2, 0)])
def test_exposure_is_no_cut(gain, offset):
    picture = texture(1)
    assert apart(picture, np.clip(picture * np.float32(gain) + offset, 0, 255).astype(np.uint8)) < THRESHOLD


@pytest.mark.parametrize("right, down", [(0.03, 0), (0.07, 0.02), (0.15, 0), (0, 0.1), (-0.12, 0.05)])
def test_a_fast_pan_is_no_cut(right, down):
    wide = texture(2, 960, 1280)
    x, y = 320 + int(right * 640), 240 + int(down * 480)
    assert apart(wide[240:720, 320:960], wide[y : y + 480, x : x + 640]) < THRESHOLD


@pytest.mark.parametrize("level, noise", [(0, 0), (3, 2), (20, 4), (127, 6), (255, 0)])
def test_a_covered_or_blinded_camera_does_not_cut_at_each_frame(level, noise):
    rng = np.random.default_rng(0)
    frames = [np.clip(level + rng.normal(0, noise, (480, 640, 3)), 0, 255).astype(np.uint8) for _ in range(5)]
    assert max(map(apart, frames, frames[1:])) < THRESHOLD
    assert apart(frames[0], texture(3)) > THRESHOLD


@pytest.mark.parametrize("size", [(1, 1), (2, 500), (24, 32), (100, 3000), (720, 1280)])
def test_any_size_of_picture(size):
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    assert apart(picture, picture) < 1e-5
    assert apart(picture[:, ::-1, ::-1], picture[:, ::-1, ::-1]) < 1e-5


def test_simulated_clips_hold_together_and_differ_from_each_other():
    scenes = pytest.importorskip("instance_depth_ros.simulation.scene")
    clips = []
    try:
        for activity, seed in (("room", 1), ("dance", 2), ("plaza", 3), ("plaza", 4)):
            scene = scenes.Scene(activity, seed, "test", 160, 120)
            clips.append([thumbnail(scene.render(index / 10).color) for index in range(6)])
            scene.close()
    except RuntimeError as error:
        pytest.skip(str(error))
    for clip in clips:
        assert max(map(difference, clip[1:], clip)) < THRESHOLD
    for before in clips:
        for after in clips:
            assert before is after or difference(after[0], before[-1]) > THRESHOLD
