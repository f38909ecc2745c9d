"""`memory: adaptive`: seconds instead of frames, key frames that follow the view, and no jump where they change."""

import cv2
import numpy as np
import pytest
import torch

from instance_depth_ros import config
from instance_depth_ros.estimator import Estimator
from instance_depth_ros.fade import Fade
from instance_depth_ros.frame import Frame
from instance_depth_ros.geometry import Intrinsics
from instance_depth_ros.model import adaptive
from instance_depth_ros.model.adaptive import KEYS, AdaptiveMemory
from instance_depth_ros.model.memory import PAST
from instance_depth_ros.model.network import Prediction

TICK_S = adaptive.TICK_NS / 1e9


def view(place: int) -> list[torch.Tensor]:
    """Keys (1, 4, 1, 8) of a layer that see this place."""
    return [torch.randn(1, 4, 1, 8, generator=torch.Generator().manual_seed(place))]


def seen(memory, time_s: float, place: int = 0) -> bool:
    """Push a frame whose values are its time, as a network would; whether it changed the key frames."""
    time, changes = [torch.full((1, 4, 1, 8), time_s, dtype=torch.float64)], memory.expect(round(time_s * 1e9))
    for _ in range(1 + changes):
        memory.push(view(place), time)
    return changes


def times(memory) -> np.ndarray:
    """(31,) when the frame in each slot was seen."""
    by_slot = torch.empty(PAST, dtype=torch.float64)
    by_slot[memory.slots()] = memory.values[0][0, 0, 0, :, 0]
    return by_slot.numpy()


@pytest.mark.parametrize("rate", [2, 8, 10, 30])
def test_all_rates_see_the_same_seconds(rate):
    memory = AdaptiveMemory()
    for index in range(20 * rate + 1):
        seen(memory, index / rate)
    recent, ticks = times(memory)[KEYS:], 20 - TICK_S * np.arange(PAST - KEYS)[::-1]
    assert recent[-1] == 20 and (np.diff(recent) >= 0).all()
    # each entry is the last frame up to half a tick after its own tick
    late = ticks + TICK_S / 2 - recent
    assert (late > -1e-6).all() and (late < max(TICK_S, 1 / rate) + TICK_S / 2).all()


def test_ten_a_second_are_the_frames_before_though_their_stamps_tremble():
    memory, random = AdaptiveMemory(), np.random.default_rng(0)
    stamps = np.arange(80) / 10 + random.uniform(-0.03, 0.03, 80) * (np.arange(80) > 0)
    for time_s in stamps:
        seen(memory, time_s)
    np.testing.assert_allclose(times(memory)[KEYS:], stamps[-PAST + KEYS :], atol=1e-6)


def test_key_frames_stay_with_the_view_and_leave_with_it():
    memory = AdaptiveMemory()
    assert not any(seen(memory, index / 10) for index in range(100))
    assert (times(memory)[:KEYS] == 0).all()
    changed = [seen(memory, index / 10, place=1 + (index - 100) // 100) for index in range(100, 400)]
    # once a place, when it is no longer recent
    assert np.flatnonzero(changed).tolist() == [PAST - KEYS + 100 * place for place in range(3)]
    assert (np.diff(times(memory)) >= 0).all() and sorted(memory.slots().tolist()) == list(range(PAST))
    np.testing.assert_allclose(times(memory)[:KEYS], np.array([10, 20, 30][-KEYS:]), atol=0.11)


def test_in_a_pan_key_frames_change_once_a_second_at_most():
    memory = AdaptiveMemory()
    changed = np.flatnonzero([seen(memory, index / 30, place=index) for index in range(300)]) / 30
    assert len(changed) > 5 and np.diff(changed).min() > 0.95


def test_thousands_of_frames_take_no_more_memory_and_a_reset_forgets():
    memory = AdaptiveMemory()
    for index in range(50):
        seen(memory, index / 10)
    lists = (memory.keys, memory.values, memory.waiting_keys, memory.waiting_values)
    arrays = [(array.data_ptr(), array.nbytes) for arrays in lists for array in arrays]
    fork = memory.clone()
    changes = sum(seen(memory, index / 10, place=index // 40) for index in range(50, 3000))
    assert changes > 60
    assert arrays == [(array.data_ptr(), array.nbytes) for arrays in lists for array in arrays]
    assert fork.exchanged == 0 and times(fork)[-1] == 4.9
    memory.reset()
    fresh = AdaptiveMemory()
    for index in range(40):
        assert seen(memory, 300 + index / 10, place=index // 10) == seen(fresh, 300 + index / 10, place=index // 10)
    np.testing.assert_array_equal(times(memory), times(fresh))


SIZE, FRAME_NS = (96, 128), 100_000_000
WALL = cv2.resize(
    np.random.default_rng(3).integers(0, 255, (24, 120, 3), np.uint8), (960, SIZE[0]), interpolation=cv2.INTER_CUBIC
)


@pytest.fixture(scope="module")
def estimator():
    """The shipped weights, small; a camera that passes a wall sees another view after some frames."""
    small = {"network_short_side": 96, "precision": "fp32", "threads": 1, "instances": "none", "cut_threshold": 1.0}
    return Estimator(config.make("depth", memory="adaptive", steady_s=0.0, min_confidence=0.0, **small))


def passing(index: int) -> Frame:
    """Frame number index of it, 0.1 s apart."""
    left = min(6 * index, WALL.shape[1] - SIZE[1])
    return Frame(WALL[:, left : left + SIZE[1]], index * FRAME_NS, intrinsics=Intrinsics.from_fov(*SIZE[::-1], 60))


def test_depth_does_not_jump_where_key_frames_change(estimator, monkeypatch):
    state, jumps, unfaded = None, [], []
    for index in range(60):
        before, exchanged = state and state.clone(), state.memory.exchanged if state else 0
        estimate, state = estimator.step(passing(index), state)
        if state.memory.exchanged > exchanged:
            monkeypatch.setattr(adaptive, "MOVED", np.inf)
            as_before, _ = estimator.step(passing(index), before)
            monkeypatch.undo()
            jumps.append(np.abs(np.log(estimate.depth_m / as_before.depth_m)).mean())
            unfaded.append(abs(state.fade.shift) + abs(state.fade.scale - 1))
    assert len(jumps) > 1 and max(jumps) < 0.01, jumps
    assert min(unfaded) > 0


def test_a_standing_camera_changes_no_key_frame_and_a_clone_goes_its_own_way(estimator):
    random, state = np.random.default_rng(0), None
    picture = WALL[:, : SIZE[1]].astype(float)
    lens = Intrinsics.from_fov(*SIZE[::-1], 60)
    for index in range(45):
        noisy = np.clip(picture + random.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)
        _, state = estimator.step(Frame(noisy, index * FRAME_NS, intrinsics=lens), state)
    assert state.memory.exchanged == 0
    fork = state.clone()
    one, _ = estimator.step(passing(60), state.clone())
    estimator.step(passing(50), fork)
    other, _ = estimator.step(passing(60), state)
    np.testing.assert_array_equal(one.depth_m, other.depth_m)


def says(depth_m: torch.Tensor) -> Prediction:
    return Prediction(depth_m, None, depth_m)


@pytest.mark.parametrize("relative", [False, True])
def test_what_changed_fades(relative):
    before = torch.linspace(1, 9, 60).reshape(1, 6, 10)
    after = 0.8 * before + 0.3 if relative else 0.9 * before**1.1
    fade = Fade.between(after, before, 10**9, relative)
    torch.testing.assert_close(fade.apply(says(after), 10**9).depth, before, rtol=0.01, atol=0.01)
    halfway = fade.apply(says(after), 10**9 + 700_000_000).holistic
    off = (halfway - before).abs().mean() / (after - before).abs().mean()
    assert 0.4 < off < 0.6
    assert fade.apply(says(after), 10**11).depth is after
