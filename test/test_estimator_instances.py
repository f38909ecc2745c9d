"""Instances on the way of a frame: identities, borders, live settings, and masks from elsewhere."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SMALL, lively
from goldens.fill import clip

from instance_depth_ros import config
from instance_depth_ros.borders import invented_share
from instance_depth_ros.estimator import Estimator
from instance_depth_ros.frame import Frame
from instance_depth_ros.geometry import Intrinsics
from instance_depth_ros.model import checkpoint
from instance_depth_ros.model.instances import Instances
from instance_depth_ros.model.network import Prediction
from instance_depth_ros.model.presets import PRESETS

FRAME_NS = 100_000_000
HEIGHT, WIDTH = 128, 192
CELLS = (32, 48)  # half of the network's input, which has a short side of 64
LENS = Intrinsics.from_fov(WIDTH, HEIGHT, 60)
PICTURES = clip(12, HEIGHT, WIDTH)
PERSON, ANIMAL, OTHER = 1, 2, 6


class Told:
    """An engine that says what it is told to, and remembers what it was asked."""

    def __init__(self, engine):
        self.engine, self.says, self.asked = engine, None, None

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def __call__(self, image, lens, memory, masks=None, instances=True) -> Prediction:
        self.asked = masks, instances
        return self.says if instances else self.says._replace(instances=None)


def says(step: int = 0, certain: float = 0.99) -> Prediction:
    """A person who walks in front of an animal; holistic depth is 10 % too far."""
    queries = SMALL.queries
    labels, classes = np.zeros(CELLS, int), np.full((queries, 7), 1e-6, np.float32)
    labels[10:24, 18:30] = 2
    labels[4:26, 8 + step : 16 + step] = 1
    classes[:, 0] = 1
    classes[:2, 0] = 1 - certain
    classes[0, PERSON] = classes[1, ANIMAL] = certain
    masks = np.full((queries, *CELLS), -4, np.float32)
    masks[0][labels == 1], masks[1][labels == 2] = 4, 4
    depth_m = np.float32([9, 2, 4])[labels]
    layer_m = np.float32([2, 4, *[5] * (queries - 2)])
    guest = np.array([1, 0, *[-1] * (queries - 2)])
    spread, embedding = np.full(queries, np.log(0.05), np.float32), np.eye(queries, 16, dtype=np.float32)
    arrays = (np.log(classes), masks, layer_m, spread, embedding, guest, np.zeros(0, np.float32))
    instances = Instances(*(torch.from_numpy(array)[None] for array in arrays), ())
    depth = torch.from_numpy(depth_m)[None]
    return Prediction(depth, torch.full((1, *CELLS), 2.0), depth * 1.1, instances)


@pytest.fixture
def estimator(lively_weights):
    estimator = Estimator(config.make("depth", weights=str(lively_weights), precision="fp32", cut_threshold=1.0))
    estimator.engine = Told(estimator.engine)
    return estimator


def walk(estimator, steps, state=None, after=0, **frame):
    estimates = []
    for step in steps:
        estimator.engine.says = says(step)
        stamp_ns = (after + step) * FRAME_NS
        estimate, state = estimator.step(Frame(PICTURES[0], stamp_ns, intrinsics=LENS, **frame), state)
        estimates.append(estimate)
    return estimates, state


def test_instances_have_lasting_identities_and_their_pixels(estimator):
    estimates, _ = walk(estimator, range(8))
    assert estimates[0].instances == () and not estimates[0].ids.any()  # nobody is confirmed at once
    for estimate in estimates[4:]:
        person, animal = estimate.instances
        assert (person.id, animal.id) == (estimates[4].instances[0].id, estimates[4].instances[1].id)
        assert (person.class_id, animal.class_id) == (PERSON, ANIMAL)
        assert estimate.ids.shape == (HEIGHT, WIDTH) and estimate.ids.dtype == np.uint16
        assert set(np.unique(estimate.ids)) == {0, person.pixel, animal.pixel}
        assert (person.hidden_by, animal.hidden_by) == (0, person.id)
        for instance, depth_m in ((person, 2), (animal, 4)):
            x, y, width, height = instance.box_px
            rows, columns = np.nonzero(estimate.ids == instance.pixel)
            assert (x, y, x + width - 1, y + height - 1) == (columns.min(), rows.min(), columns.max(), rows.max())
            assert instance.depth_m == depth_m and instance.sigma_m == pytest.approx(0.05 * depth_m)
            assert instance.center_m[2] == pytest.approx(depth_m, rel=0.01) and instance.age_s > 0
    assert estimates[-1].instances[0].age_s == pytest.approx(0.7)
    # it went ahead, and hides more and more
    assert estimates[4].instances[1].visible > estimates[7].instances[1].visible


def test_depth_follows_the_borders_of_instances(estimator):
    for estimate in walk(estimator, range(8))[0][4:]:
        assert invented_share(estimate.depth_m, estimate.ids) == 0
        for value, depth_m in zip((0, *(i.pixel for i in estimate.instances)), (9, 2, 4), strict=True):
            np.testing.assert_allclose(estimate.depth_m[estimate.ids == value], depth_m, rtol=1e-5)


def test_a_cut_begins_anew_and_no_identity_is_given_twice(estimator):
    before, state = walk(estimator, range(5))
    estimator.settings.cut_threshold = 0.05
    noise = np.random.default_rng(0).integers(0, 255, PICTURES[0].shape, np.uint8)
    cut, state = estimator.step(Frame(noise, 5 * FRAME_NS, intrinsics=LENS), state)
    assert cut.reset == "scene cut" and cut.instances == ()
    estimator.settings.cut_threshold = 1.0
    after, state = walk(estimator, range(6), state, after=6)
    renewed, _ = walk(estimator, range(6), state.renewed(), after=20)
    assert renewed[0].reset == "start" and renewed[0].instances == ()
    ids, pixels = (
        [tuple(getattr(i, name) for i in e[-1].instances) for e in (before, after, renewed)] for name in ("id", "pixel")
    )
    for given in (ids, pixels):
        assert len(set(sum(given, ()))) == 6


def test_a_gap_is_no_end_of_identities(estimator):
    before, state = walk(estimator, range(5))
    after, _ = walk(estimator, range(4, 8), state, after=30)
    assert after[0].reset == "gap"
    assert [i.id for i in after[-1].instances] == [i.id for i in before[-1].instances]


def test_a_clone_tracks_by_itself(estimator):
    _, state = walk(estimator, range(5))
    fork = state.clone()
    expected, _ = walk(estimator, range(5, 8), state.clone())
    walk(estimator, range(2), fork, after=100)
    actual, _ = walk(estimator, range(5, 8), state)
    assert [e.instances for e in actual] == [e.instances for e in expected]


def test_live_settings_act_at_the_next_frame(estimator):
    estimates, state = walk(estimator, range(5))
    estimator.settings.rectify = False
    (holistic,), state = walk(estimator, [5], state)
    person, animal = holistic.instances
    assert (person.depth_m, animal.depth_m) == pytest.approx((2.2, 4.4))
    assert person.sigma_m == pytest.approx(0.11)
    np.testing.assert_allclose(holistic.depth_m[holistic.ids == person.pixel], 2.2, rtol=1e-5)
    estimator.settings.rectify, estimator.settings.instance_threshold = True, 0.995
    (strict,), state = walk(estimator, [6], state)
    assert strict.instances == () and not strict.ids.any()
    estimator.settings.instance_threshold = 0.5
    (again,), _ = walk(estimator, [7], state)
    assert [i.id for i in again.instances] == [i.id for i in estimates[-1].instances]


def test_without_memory_it_is_still_known_where_instances_were(estimator):
    """The camera's motion is told by the background, whether depth is averaged or not."""
    estimator.settings.memory = "none"
    _, state = walk(estimator, range(3))
    assert state.still.moving.any() and not state.still.moving.all()


def test_without_instances_the_network_is_not_asked_for_any(lively_weights):
    estimator = Estimator(config.make("depth", weights=str(lively_weights), precision="fp32", instances="none"))
    estimator.engine = Told(estimator.engine)
    estimate = walk(estimator, [0])[0][0]
    assert estimator.engine.asked == (None, False)
    assert estimate.ids is None and estimate.instances == () and estimator.info["instances"] == "none"


def test_weights_that_know_of_no_instances_give_none_and_say_so(tmp_path, caplog):
    path = tmp_path / "plain.safetensors"
    checkpoint.save(lively(replace(SMALL, queries=0)), path, {"name": "plain"}, exact=True)
    with caplog.at_level(logging.INFO):
        estimator = Estimator(config.make("depth", weights=str(path), precision="fp32"))
        estimates = [estimator.step(Frame(PICTURES[i], i, intrinsics=LENS))[0] for i in range(2)]
    assert all(e.ids is None and e.instances == () and np.isfinite(e.depth_m).any() for e in estimates)
    assert caplog.text.count("no instances") == 1 and estimator.info["instances"] == "none"


def test_ids_of_a_topic_are_kept_and_their_masks_refined(lively_weights):
    estimator = Estimator(config.make("depth", weights=str(lively_weights), precision="fp32", instances="topic"))
    estimator.engine = Told(estimator.engine)
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    ids[20:100, 30:70], ids[40:96, 70:120] = 40000, 17
    estimate = walk(estimator, [0], ids=ids)[0][0]
    np.testing.assert_array_equal(estimate.ids, ids)
    assert {(i.id, i.pixel, i.class_id) for i in estimate.instances} == {(40000, 40000, OTHER), (17, 17, OTHER)}
    masks, _ = estimator.engine.asked
    assert masks.shape == (1, SMALL.queries, *CELLS)
    # the largest first, the cells that have their centre in its mask
    np.testing.assert_array_equal((masks[0] > 0).sum((1, 2))[:3], [20 * 10, 14 * 13, 0])
    # nobody published any
    nothing = walk(estimator, [1])[0][0]
    assert not nothing.ids.any() and nothing.instances == ()


def test_masks_of_a_segmenter_are_tracked_and_refined(estimator):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[20:100, 30:70] = True
    estimator.instances, estimator._segmenter = "hf", lambda color: [(mask, ANIMAL, 0.8)]
    estimates, _ = walk(estimator, range(5))
    (instance,) = estimates[-1].instances
    np.testing.assert_array_equal(estimates[-1].ids == instance.pixel, mask)
    assert (instance.class_id, instance.score) == (ANIMAL, pytest.approx(0.8))
    assert (estimator.engine.asked[0][0, 0] > 0).sum() == 20 * 10


@pytest.mark.parametrize("source", ["network", "topic"])
def test_a_real_network_takes_what_it_is_given(lively_weights, source):
    """Nothing made up: whatever such weights see, it fits together."""
    settings = config.make(
        "depth",
        weights=str(lively_weights),
        precision="fp32",
        instances=source,
        instance_threshold=0.0,
        max_depth_m=1000.0,
    )
    estimator, state = Estimator(settings), None
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    ids[20:100, 30:70] = 5
    for index, color in enumerate(PICTURES[:5]):
        estimate, state = estimator.step(Frame(color, index * FRAME_NS, intrinsics=LENS, ids=ids), state)
    assert estimate.ids.shape == estimate.depth_m.shape and np.isfinite(estimate.depth_m).all()
    assert {i.pixel for i in estimate.instances} == set(np.unique(estimate.ids)) - {0}
    if source == "topic":
        np.testing.assert_array_equal(estimate.ids, ids)
        assert np.isfinite(estimate.instances[0].depth_m)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ids": np.zeros((3, 4), np.uint16)},
        {"ids": np.zeros((HEIGHT, WIDTH), np.int32)},
        {"world_from_camera": np.eye(3)},
    ],
)
def test_what_does_not_fit_the_picture_is_refused(wrong):
    with pytest.raises(ValueError, match="ids must be registered|world_from_camera must be"):
        Frame(PICTURES[0], 0, **wrong)


def test_official_metric_weights_take_instances_from_elsewhere(official_weights):
    settings = {"weights": str(official_weights), "weights_kind": "metric", "precision": "fp32", "max_depth_m": 1000.0}
    estimator = Estimator(config.make("depth", instances="topic", network_short_side=56, **settings))
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    ids[20:100, 30:70] = 5
    estimate, _ = estimator.step(Frame(PICTURES[0], 0, intrinsics=LENS, ids=ids))
    np.testing.assert_array_equal(estimate.ids, ids)
    (instance,) = estimate.instances
    inside = np.nan_to_num(estimate.depth_m[22:98, 32:68])
    assert inside.min() <= instance.depth_m <= inside.max() and instance.box_px == (30, 20, 40, 80)
    relative = Estimator(config.make("depth", instances="topic", **settings | {"weights_kind": "relative"}))
    assert relative.instances == "none"


def test_what_is_not_finite_is_no_instance(estimator):
    """A network that fails in one query does not fail in the others."""
    estimator.engine.says = broken = says()
    broken.instances.masks[0, 1] = np.nan
    broken.instances.classes[0, 2] = np.nan
    broken.instances.layer_m[0, 3] = np.inf
    state = None
    for step in range(4):
        estimate, state = estimator.step(Frame(PICTURES[0], step * FRAME_NS, intrinsics=LENS), state)
    (person,) = estimate.instances
    assert person.class_id == PERSON and np.isfinite(estimate.depth_m).all()


def test_a_vit_of_ours_takes_the_lens_and_masks_from_elsewhere(tmp_path):
    config_of_vit = replace(
        PRESETS["instance_small"], dims=(48,), depths=(4,), heads=4, taps=(0, 1, 2, 3), features=32,
        out_channels=(16, 16, 32, 32), query_dim=32, query_layers=1, short_side=56,
    )  # fmt: skip
    path = tmp_path / "vit.safetensors"
    checkpoint.save(lively(config_of_vit), path, {"name": "vit"}, exact=True)
    for source in ("network", "topic"):
        estimator = Estimator(config.make("depth", weights=str(path), precision="fp32", instances=source))
        ids = np.zeros((120, 160), np.uint16)
        ids[20:80, 30:90] = 7
        frame = Frame(np.full((120, 160, 3), 90, np.uint8), 0, intrinsics=Intrinsics.from_fov(160, 120, 60.0), ids=ids)
        estimate, _ = estimator.step(frame)
        assert estimate.depth_m.shape == estimate.ids.shape == (120, 160)
        if source == "topic":
            assert [instance.id for instance in estimate.instances] == [7]
