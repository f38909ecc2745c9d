"""`instance_every: n`: looked for in every n-th frame, carried along in between, and nothing else is different."""

import numpy as np
import pytest
from test_estimator_instances import FRAME_NS, LENS, PICTURES, Told, says

from instance_depth_ros import config
from instance_depth_ros.carrying import carried
from instance_depth_ros.estimator import Estimator
from instance_depth_ros.frame import Frame
from instance_depth_ros.model.instances import from_masks
from instance_depth_ros.motion import STILL
from instance_depth_ros.sightings import from_network
from instance_depth_ros.tracking import Tracks, foresee, named, track


class Walk(Told):
    """An engine before which somebody walks; `looked`: in which frames it was to look for instances, `given`: masks."""

    def __init__(self, engine):
        super().__init__(engine)
        self.looked, self.given, self.step = [], [], 0

    def __call__(self, image, lens, memory, masks=None, instances=True):
        told = says(self.step)
        if instances and masks is None:
            self.looked.append(self.step)
            return told
        self.given.append(masks)
        found = from_masks(masks, told.holistic) if instances else None
        return told._replace(instances=found)


@pytest.fixture
def estimator(lively_weights):
    estimator = Estimator(config.make("depth", weights=str(lively_weights), precision="fp32", instance_every=3))
    estimator.engine = Walk(estimator.engine)
    return estimator


def walk(estimator, steps, state=None):
    estimates = []
    for estimator.engine.step in steps:
        frame = Frame(PICTURES[0], estimator.engine.step * FRAME_NS, intrinsics=LENS)
        estimate, state = estimator.step(frame, state)
        estimates.append(estimate)
    return estimates, state


def test_every_third_frame_is_looked_at_and_all_have_their_instances(estimator):
    estimates, _ = walk(estimator, range(14))
    assert estimator.engine.looked == [0, 3, 6, 9, 12] and len(estimator.engine.given) == 9
    assert [estimate.stamp_ns for estimate in estimates] == [step * FRAME_NS for step in range(14)]
    identities = [[(one.id, one.pixel, one.class_id) for one in estimate.instances] for estimate in estimates]
    assert all(told == identities[6] for told in identities[6:]) and len(identities[6]) == 2
    for step, estimate in enumerate(estimates[6:], 6):
        person, animal = estimate.instances
        assert set(np.unique(estimate.ids)) == {0, person.pixel, animal.pixel}
        assert person.age_s == pytest.approx(step / 10)
        assert (person.depth_m, animal.depth_m) == pytest.approx((2, 4), rel=0.02)
        assert person.sigma_m == pytest.approx(0.05 * person.depth_m, rel=1e-3)
        assert (person.hidden_by, animal.hidden_by) == (0, person.id)


def test_what_walks_is_carried_along_as_it_walks(estimator):
    estimates, _ = walk(estimator, range(14))
    # a cell a frame, of four pixels
    for step in (10, 11, 13):
        columns = np.flatnonzero((estimates[step].ids == estimates[step].instances[0].pixel).any(0))
        assert abs(columns.mean() - (4 * (8 + step) + 15.5)) <= 2.5, step


def test_a_reset_begins_with_a_frame_that_is_looked_at(estimator):
    _, state = walk(estimator, range(5))
    after, state = walk(estimator, [30, 31, 32], state)
    assert after[0].reset == "gap" and estimator.engine.looked == [0, 3, 30]
    walk(estimator, [33, 34], state.renewed())
    assert estimator.engine.looked == [0, 3, 30, 33]


def test_the_setting_acts_at_the_next_frame(estimator):
    _, state = walk(estimator, range(2))
    estimator.settings.instance_every = 1
    walk(estimator, range(2, 5), state)
    assert estimator.engine.looked == [0, 2, 3, 4]


def test_nobody_looks_where_nobody_asks(estimator):
    estimator.instances = "none"
    estimates, _ = walk(estimator, range(5))
    assert not estimator.engine.looked and all(estimate.ids is None for estimate in estimates)
    assert estimator.engine.given == [None] * 5


def test_a_real_network_refines_what_is_carried(lively_weights):
    settings = {"weights": str(lively_weights), "precision": "fp32", "instance_threshold": 0.05, "max_depth_m": 1000.0}
    estimator, state, decoded = Estimator(config.make("depth", instance_every=4, **settings)), None, []
    estimator.engine.network.instances.register_forward_hook(lambda *_: decoded.append(index))
    for index, color in enumerate(PICTURES):
        estimate, state = estimator.step(Frame(color, index * FRAME_NS, intrinsics=LENS), state)
        assert estimate.ids.shape == estimate.depth_m.shape and np.isfinite(estimate.depth_m).all()
        assert {one.pixel for one in estimate.instances} == set(np.unique(estimate.ids)) - {0}
    assert decoded == [0, 4, 8]


def seen_twice():
    """Two sightings with identities, of which the first walks a cell every 0.1 s, and what is remembered of them."""
    tracks, settings = Tracks(), config.make("depth")
    for step in range(5):
        seen = from_network(says(step).instances, 0.5)
        identities, tracks = track(seen.sightings(), tracks, step * FRAME_NS, STILL, settings)
    return seen, identities, tracks


def test_carried_by_the_camera_and_by_itself():
    seen, identities, tracks = seen_twice()
    aside = np.float32([[1, 0, 5], [0, 1, 2]])
    now = carried(seen, identities, foresee(tracks, 5 * FRAME_NS, aside))
    assert [who.id for who in named(tracks, now.ids)] == [who.id for who in identities]
    for k, far in ((1, 5 + 1), (2, 5)):
        (rows, columns), (rows_then, columns_then) = (np.nonzero(labels == k) for labels in (now.labels, seen.labels))
        assert rows.min() - rows_then.min() == 2
        assert columns.min() - columns_then.min() == pytest.approx(far, abs=0.5 + (k == 2))
    assert (now.evidence.max(0) > 0).astype(bool).tolist() == (now.labels > 0).tolist()


def test_who_has_left_the_picture_or_has_no_identity_is_not_carried():
    seen, identities, tracks = seen_twice()
    gone = carried(seen, identities, foresee(tracks, 5 * FRAME_NS, np.float32([[1, 0, 90], [0, 1, 0]])))
    assert len(gone) == 0 and not gone.labels.any() and gone.evidence.shape == (0, *seen.labels.shape)
    unknown = carried(seen, [None, identities[1]], foresee(tracks, 5 * FRAME_NS, STILL))
    assert unknown.ids.tolist() == [identities[1].id] and set(np.unique(unknown.labels)) == {0, 1}
