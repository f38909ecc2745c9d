"""How long a metre is: from the camera's height and from people, when they are right and when they are wrong."""

from functools import lru_cache
from math import exp, log

import numpy as np
import pytest

from instance_depth_ros import config, ground, scale
from instance_depth_ros.datasets.splits import split_clips
from instance_depth_ros.geometry import Intrinsics, rays, sampled
from instance_depth_ros.scale import Anchor, Scale, heeded
from instance_depth_ros.sightings import Seen

try:
    import instance_depth_ros.simulation.render  # noqa: F401
    from instance_depth_ros.datasets.film import Film
except RuntimeError as error:
    pytest.skip(str(error), allow_module_level=True)

FACTORS = (0.5, 0.7, 1.0, 1.4, 2.0)
FRAME_NS = 100_000_000
CLIPS = ("badminton_1000_0", "dance_1000_0", "plaza_1001_0")


def seen_of(labels: np.ndarray, classes: list[int]) -> Seen:
    nothing = np.ones(len(classes), np.float32)
    return Seen(
        labels, np.array(classes), nothing, nothing, nothing, np.full(len(classes), -1), np.empty((len(classes), 0))
    )


@lru_cache
def shots(name: str) -> list[tuple]:
    """Of some frames of a simulated clip: true depth (h, w), true masks, rays, the camera's height, the stamp."""
    film = Film(next(clip for clip in split_clips("sim-val") if clip.name == name))
    size = film.intrinsics.height // 4, film.intrinsics.width // 4
    ray, found = rays(film.intrinsics.resized(*size[::-1])), []
    for index in range(0, 18, 3):
        shot = film.read(index, ["truth_m", "ids"])
        depth_m, ids = (sampled(shot[layer], size) for layer in ("truth_m", "ids"))
        numbers = np.unique(ids[ids > 0])
        classes = {row["id"]: row["class"] for row in shot["instances"]}
        labels = np.searchsorted(np.append(0, numbers), ids).astype(np.uint16)
        seen = seen_of(labels, [config.CLASSES.index(classes[number]) for number in numbers])
        found.append((np.nan_to_num(depth_m), seen, ray, shot["world_from_camera"][2, 3], shot["stamp_ns"]))
    film.close()
    return found


def streamed(name: str, factor: float, anchors: str, height_factor: float = 1.0) -> Scale:
    """The scale after frames whose depth is the true one times a hidden factor."""
    found = Scale()
    for depth_m, seen, ray, height_m, stamp_ns in shots(name):
        depth_m = (depth_m * factor).astype(np.float32)
        floor = ground.fit(depth_m, seen.labels, ray)
        said = []
        if "height" in anchors:
            said.append(scale.of_height(floor, height_m * height_factor))
        if "stature" in anchors:
            stance = floor and ground.stance(floor, depth_m, seen.labels, ray, seen.boxes)
            said.append(scale.of_stature(floor, stance, seen, ray))
        found = found.after([anchor for anchor in said if anchor], stamp_ns)
    return found


def error_of(found: Scale, factor: float) -> float:
    return abs(found.log_scale + log(factor))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("name", CLIPS)
def test_a_hidden_factor_is_found_by_height_and_by_people(name, factor):
    assert error_of(streamed(name, factor, "height"), factor) < log(1.05)
    assert error_of(streamed(name, factor, "stature"), factor) < log(1.1)
    assert error_of(streamed(name, factor, "height stature"), factor) < log(1.05)


@pytest.mark.parametrize("off", [1 / 3, 3.0])
@pytest.mark.parametrize("factor", FACTORS)
def test_a_height_off_by_three_does_no_harm(factor, off):
    """People in view contradict it, whatever the hidden factor; without one it is implausible by itself."""
    found = streamed("dance_1000_0", factor, "height stature", off)
    without = max(error_of(other, factor) for other in (Scale(), streamed("dance_1000_0", factor, "stature")))
    assert error_of(found, factor) < without + 0.01
    if factor == 1:
        alone = streamed("dance_1000_0", factor, "height", off)
        assert abs(alone.log_scale) < 0.01 and "height" in str(alone) and "not heeded" in str(alone)


@pytest.mark.parametrize("size", [0.35, 0.6])
def test_mannequins_do_no_harm(size):
    """Of another stature: far smaller ones are implausible, others contradict the camera's height."""
    tiny = Anchor("stature", log(1 / size), 0.1)
    found = Scale()
    for index in range(30):
        said = [tiny] if size < 0.4 else [Anchor("height", 0.02, 0.05), tiny]
        found = found.after(said, index * FRAME_NS)
    assert abs(found.log_scale) < 0.03


def test_who_has_contradicted_is_not_believed_alone():
    height, stature = Anchor("height", 0.5, 0.05), Anchor("stature", -0.3, 0.08)
    found = Scale()
    for index in range(20):
        found = found.after([height, stature], index * FRAME_NS)
    assert abs(found.log_scale) < 0.01 and found.disputed
    for index in range(20, 60):
        found = found.after([height], index * FRAME_NS)
    assert abs(found.log_scale) < 0.01
    for index in range(60, 120):
        found = found.after([height, Anchor("stature", 0.45, 0.08)], index * FRAME_NS)
    assert found.log_scale == pytest.approx(0.48, abs=0.03) and not found.disputed


def test_it_moves_smoothly_and_stays_when_nobody_is_in_view():
    found, before = Scale(), 0.0
    for index in range(20):
        found = found.after([], index * FRAME_NS)
    for index in range(20, 80):
        found = found.after([Anchor("height", 0.6, 0.05)], index * FRAME_NS)
        assert abs(found.log_scale - before) < 0.07
        before = found.log_scale
    assert before == pytest.approx(0.6, abs=0.02)
    for index in range(80, 200):
        found = found.after([], index * FRAME_NS)
    assert found.log_scale == before


def test_one_wild_frame_is_not_heard():
    found = Scale()
    for index in range(30):
        found = found.after([Anchor("height", -0.9 if index == 20 else 0.3, 0.05)], index * FRAME_NS)
        if index > 10:
            assert found.log_scale == pytest.approx(0.29, abs=0.02)


def test_a_sensor_is_believed_before_all_others():
    said, disputed = heeded([Anchor("sensor", 1.5, 0.01), Anchor("height", 0.1, 0.05)])
    assert [anchor.holds for anchor in said] == [True, False] and not disputed
    assert Scale().after(said, 0).factor == pytest.approx(exp(1.5), rel=0.01)


def test_a_floor_that_tf_knows_tells_the_scale_though_the_network_tilts_it():
    ray = rays(Intrinsics.from_fov(160, 120, 70))
    truth, seen_plane = np.array([0.02, 0.6, 0.12]), np.array([0.0, 0.66, 0.06])  # 1.6 m above it, pitched otherwise
    inverse_m = ray @ seen_plane[:2] + seen_plane[2]
    depth_m = np.where(inverse_m > 0.05, 0.8 / np.maximum(inverse_m, 0.05), 16).astype(np.float32)
    labels = np.zeros(depth_m.shape, np.uint16)
    found = scale.of_floor(ground.fit(depth_m, labels, ray), truth, depth_m, ray)
    lower = np.s_[70:]
    true_m = 1 / (ray[lower] @ truth[:2] + truth[2])
    assert found.log_scale == pytest.approx(np.median(np.log(true_m / depth_m[lower])), abs=0.04)
    assert scale.of_floor(None, truth, depth_m, ray) is None


def test_a_sensor_says_the_median_and_nothing_where_it_sees_next_to_nothing():
    depth_m = np.full((60, 80), 2.0, np.float32)
    measured_m = np.full((240, 320), 2.6, np.float32)
    measured_m[:, :100] = 9.0
    assert scale.of_sensor(depth_m, measured_m).log_scale == pytest.approx(log(1.3))
    measured_m[:, 4:] = np.nan
    assert scale.of_sensor(depth_m, measured_m) is None


@pytest.mark.parametrize(
    "given, kept",
    [("sensor, height", "sensor,height"), ("[height]", "height"), (["stature", "sensor"], "stature,sensor"), ("", "")],
)
def test_anchors_are_given_as_text_or_as_a_list(given, kept):
    assert config.BY_NAME["scale_anchors"].check(given) == kept
    with pytest.raises(ValueError, match="scale_anchors must be some of sensor, height, stature, got 'lidar'"):
        config.BY_NAME["scale_anchors"].check("sensor,lidar")
