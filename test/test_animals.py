"""Animals and vehicles: true sizes, planted hooves, wheels that roll, and nobody where he does not belong."""

import numpy as np
import pytest

from instance_depth_ros.simulation import activities
from instance_depth_ros.simulation.actors.animals import Animals
from instance_depth_ros.simulation.actors.bodies import BELLY, CHEST, FOOT, GEOMS, NOSE, RUMP
from instance_depth_ros.simulation.actors.script import Script
from instance_depth_ros.simulation.actors.species import SPECIES
from instance_depth_ros.simulation.actors.vehicles import KINDS, Vehicles, grips
from instance_depth_ros.simulation.sets.stage import Stage
from instance_depth_ros.simulation.world import PERSON

try:
    from instance_depth_ros.simulation.render import mujoco
except RuntimeError as error:
    pytest.skip(str(error), allow_module_level=True)


# shoulder heights of adults, metres
HEIGHTS_M = {
    "zebra": (1.1, 1.45), "deer": (0.95, 1.3), "doe": (0.8, 1.0), "giraffe": (2.4, 3.3), "goat": (0.6, 0.85),
    "cow": (1.2, 1.5), "llama": (1.0, 1.25), "lion": (0.95, 1.25), "lioness": (0.9, 1.1), "tiger": (0.8, 1.1),
    "bear": (0.9, 1.3), "wolf": (0.65, 0.85), "elephant": (2.2, 2.9),
}  # fmt: skip
# length, width, height of the box about a vehicle, metres
SIZES_M = {
    "car": ((4.0, 4.9), (1.7, 2.2), (1.35, 1.6)), "van": ((4.9, 5.6), (1.9, 2.4), (2.0, 2.5)),
    "golf_cart": ((2.2, 2.7), (1.0, 1.4), (1.6, 2.0)), "hand_cart": ((0.9, 1.3), (0.5, 0.8), (0.9, 1.1)),
    "delivery_robot": ((0.6, 1.0), (0.45, 0.7), (1.0, 1.4)), "pallet_mover": ((1.1, 1.5), (0.7, 1.0), (0.2, 2.2)),
    "forklift": ((2.5, 3.4), (0.9, 1.3), (1.9, 2.3)), "rover": ((0.6, 1.1), (0.5, 0.8), (0.9, 1.8)),
}  # fmt: skip


def _around(script, radius_m, seconds, middle=(0, 0), stop=True):
    """A round with a stop in it."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    times = np.arange(12) * seconds / 12
    places = np.asarray(middle) + radius_m * np.stack([np.cos(angles), np.sin(angles)], -1)
    if stop:
        times, places = np.append(times, seconds), np.concatenate([places, places[:1]])
    return script.walk(times, places, 0.5)


@pytest.fixture(scope="module")
def herd():
    """Every species, walking round; zebras and wolves trot as well."""
    script, names = Script(), [*SPECIES, "zebra", "wolf"]
    actors = [
        _around(script, 1.2 + 1.1 * SPECIES[name].withers_m, 30, (20 * i, 0)) for i, name in enumerate(names[:-2])
    ]
    actors += [_around(script, 12.0, 30, (20 * i, 60)) for i in range(2)]
    script.settle()
    return Animals(np.random.default_rng(5), script, names, actors)


def _geoms(animals, time_s):
    """Centres (n, GEOMS, 3), NaN where an animal has none."""
    centers = np.full((animals.count * GEOMS, 3), np.nan)
    centers[animals.body.has.reshape(-1)] = animals.pose(time_s)[0]
    return centers.reshape(animals.count, GEOMS, 3)


def test_shoulders_are_as_high_as_those_of_real_animals(herd):
    herd.dress(Stage(), np.random.default_rng(0))
    for index, name in enumerate(herd.species):
        least, most = HEIGHTS_M[name]
        top = _geoms(herd, 3.0)[index, CHEST, 2] + herd.body.sizes_m[index, CHEST, 0]
        assert least <= top <= most, name


def test_hooves_are_planted_while_they_carry(herd):
    times = np.arange(0, 48, 0.05)
    feet = np.stack([herd.limbs(t)[:, :, 3] for t in times])
    part = np.stack([herd.footfalls.at(t)[2] for t in times])
    standing = (part == 0) | (part == 1)
    both = standing[1:] & standing[:-1]
    assert both.mean() > 0.5
    assert (~standing).any(axis=(0, 2)).all(), "every animal that goes lifts its feet"
    # slip over a whole stance: between any of its moments and its first
    for animal, foot in np.ndindex(feet.shape[1:3]):
        first = None
        for k in np.flatnonzero(standing[:, animal, foot]):
            if first is None or not standing[k - 1, animal, foot]:
                first = feet[k, animal, foot]
            assert np.linalg.norm(feet[k, animal, foot, :2] - first[:2]) <= 0.03, herd.species[animal]
    low = feet[..., 2] - herd.body.sizes_m[:, FOOT][None, ..., 0]
    assert low.min() > -0.01 and low[standing].max() < 0.05
    assert low.max() > 0.03, "feet are lifted"


def test_limbs_keep_their_lengths(herd):
    for time_s in np.arange(0, 48, 0.7):
        bones = np.linalg.norm(np.diff(herd.limbs(time_s), axis=2), axis=-1)
        np.testing.assert_allclose(bones, herd.body.legs_m, atol=1e-6)


def test_a_walk_has_four_beats_and_a_trot_two(herd):
    def together(animal):
        part = np.stack([herd.footfalls.at(t)[2][animal] for t in np.arange(4, 24, 0.02)])
        air = (part > 0) & (part < 1)
        return np.mean(air[:, 0] == air[:, 3]), air.mean()

    diagonal, in_air = together(herd.species.index("zebra"))
    trotting, more_air = together(len(herd.species) - 2)
    assert trotting > 0.9 > diagonal and more_air > in_air


def test_moves_are_smooth_and_the_loop_closes(herd):
    step = 0.02
    track = np.stack([herd.pose(t)[0] for t in np.arange(2, 12, step)])
    force = np.linalg.norm(np.diff(track, 2, axis=0), axis=-1) / step**2
    trots = np.repeat(np.arange(herd.count) >= herd.count - 2, herd.geoms_each)
    # a jump of 5 cm would be 125 m/s2; the hoof of a trot swings two metres in a third of a second
    assert force[:, ~trots].max() < 100 and force[:, trots].max() < 220
    trunk = np.stack([_geoms(herd, t)[:, [CHEST, BELLY, RUMP, NOSE]] for t in np.arange(2, 12, step)])
    assert np.linalg.norm(np.diff(trunk, 2, axis=0), axis=-1).max() / step**2 < 15
    for now, later in zip(herd.pose(1.3), herd.pose(1.3 + herd.footfalls.period_s), strict=True):
        np.testing.assert_allclose(now, later, atol=1e-6)


def test_one_that_lies_rests_on_the_ground():
    script = Script()
    names = ["zebra", "deer", "goat", "lion", "tiger", "bear", "wolf"]
    actors = [script.stand((5 * i, 0), 0.3 * i) for i in range(len(names))]
    animals = Animals(np.random.default_rng(1), script, names, actors, [True] * len(names))
    belly = _geoms(animals, 2.0)[:, BELLY, 2] - animals.body.sizes_m[:, BELLY, 0]
    assert (np.abs(belly) < 0.03).all()
    centers, rotations = animals.pose(2.0)
    sizes = animals.body.sizes_m[animals.body.has]
    low = centers[:, 2] - np.linalg.norm(rotations[:, 2] * sizes, axis=-1)
    assert low.min() > -0.06


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match="an animal must be one of .*zebra.*, got unicorn"):
        Animals(np.random.default_rng(0), Script(), ["unicorn"], [0])
    with pytest.raises(ValueError, match="a vehicle must be one of .*car.*, got hovercraft"):
        Vehicles(Script(), ["hovercraft"], [0])


def _parked(kind, seed=0):
    script, stage = Script(), Stage()
    vehicles = Vehicles(script, [kind], [script.stand((2, 1), 0.0)])
    vehicles.dress(stage, np.random.default_rng(seed))
    model = stage.compile(64, 64, 10, 100)
    return vehicles, model


@pytest.mark.parametrize("kind", KINDS)
def test_vehicles_are_as_large_as_real_ones(kind):
    vehicles, model = _parked(kind)
    centers, rotations = vehicles.pose(0.0)
    boxes = model.geom_aabb[:, 3:]
    reach = (np.abs(rotations) * boxes[:, None]).sum(-1)
    size = (centers + reach).max(0) - (centers - reach).min(0)
    for length, (least, most) in zip(size, SIZES_M[kind], strict=True):
        assert least <= length <= most, size
    assert abs((centers - reach)[:, 2].min()) < 0.01, "wheels stand on the ground"
    if kind != "hand_cart":
        corners = np.abs(np.concatenate([centers + reach, centers - reach])[:, :2] - (2, 1))
        assert np.linalg.norm(corners, axis=-1).max() < 1.15 * KINDS[kind].radius_m


def test_parked_ones_never_move():
    vehicles, _ = _parked("car")
    assert vehicles.still == [True]
    for one, other in zip(vehicles.pose(0.0), vehicles.pose(17.3), strict=True):
        np.testing.assert_array_equal(one, other)


def test_driving_ones_roll_ahead_without_slipping_sideways():
    script, kinds = Script(), [kind for kind in KINDS if kind != "hand_cart"]
    actors = [_around(script, 3 + 2 * KINDS[kind].radius_m, 36, (40 * i, 0)) for i, kind in enumerate(kinds)]
    script.settle()
    vehicles = Vehicles(script, kinds, actors)
    vehicles.dress(Stage(), np.random.default_rng(2))
    assert not any(vehicles.still)
    trail_m = np.array([KINDS[kind].trail_m for kind in kinds])
    first = np.concatenate([[0], np.cumsum(vehicles.geoms_each)[:-1]])

    def axle(time_s):
        places, rotations = script.at(time_s)[0], vehicles.pose(time_s)[1][first]
        return places - trail_m[:, None] * rotations[:, :2, 0], rotations[:, :2, 0]

    for time_s in np.arange(0, 48, 0.5):
        (rear, ahead), (later, _) = axle(time_s), axle(time_s + 0.01)
        speed = (later - rear) / 0.01
        aside = speed[:, 1] * ahead[:, 0] - speed[:, 0] * ahead[:, 1]
        assert np.abs(aside).max() < 0.05
        assert (speed * ahead).sum(-1).min() > -0.05
    for now, later in zip(vehicles.pose(1.3), vehicles.pose(1.3 + script.period_s), strict=True):
        np.testing.assert_allclose(now, later, atol=1e-6)


def test_wheels_turn_as_far_as_they_go():
    script = Script()
    vehicles = Vehicles(script, ["car"], [_around(script, 10.0, 44, stop=False)])
    script.settle()
    stage = Stage()
    vehicles.dress(stage, np.random.default_rng(0))
    model = stage.compile(64, 64, 10, 100)
    wheel = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_CYLINDER)[0]
    radius = model.geom_size[wheel, 0]
    before, after = (vehicles.pose(t)[1][wheel] for t in (5.0, 5.1))
    turned = np.arccos(np.clip((np.trace(before.T @ after) - 1) / 2, -1, 1))
    speed = np.linalg.norm(script.at(5.05)[2])
    assert turned * radius == pytest.approx(0.1 * speed, rel=0.1)


@pytest.mark.parametrize("seed", [0, 4, 7])
def test_animals_stay_in_and_visitors_out(seed):
    world = activities.build("zoo", np.random.default_rng(seed))
    animals = next(troupe for troupe in world.troupes if isinstance(troupe, Animals))
    visitors = next(troupe for troupe in world.troupes if troupe.class_id == PERSON)
    fence = max(world.script.at(t)[0][visitors.actors, 1].max() for t in range(0, 48, 2)) + 0.2
    for time_s in np.arange(0, 48, 1.5):
        centers, rotations = animals.pose(time_s)
        reach = np.linalg.norm(rotations[:, 1] * animals.body.sizes_m[animals.body.has], axis=-1)
        assert (centers[:, 1] - reach).min() > fence


@pytest.mark.parametrize("activity, seed", [("zoo", 2), ("zoo", 5), ("yard", 0), ("yard", 3)])
def test_nobody_passes_through_anybody(activity, seed):
    rng = np.random.default_rng(seed)
    world = activities.build(activity, rng)
    for troupe in world.troupes:
        troupe.dress(world.stage, rng)
    count = sum(sum(troupe.geoms_each) for troupe in world.troupes)
    owners = np.repeat(
        np.arange(sum(len(t.geoms_each) for t in world.troupes)), sum((t.geoms_each for t in world.troupes), [])
    )
    model = world.stage.compile(64, 64, 10, 100)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    ours, bound = np.arange(model.ngeom - count, model.ngeom), model.geom_rbound[-count:]
    for time_s in np.arange(0, 48, 4.0):
        poses = [troupe.pose(time_s) for troupe in world.troupes]
        data.geom_xpos[ours] = np.concatenate([centers for centers, _ in poses])
        data.geom_xmat[ours] = np.concatenate([rotations.reshape(-1, 9) for _, rotations in poses])
        places = data.geom_xpos[ours]
        gaps = np.linalg.norm(places[:, None] - places[None], axis=-1) - bound[:, None] - bound[None]
        for a, b in np.argwhere((gaps < 0) & (owners[:, None] < owners[None])):
            deep = mujoco.mj_geomDistance(model, data, int(ours[a]), int(ours[b]), 0.0, np.zeros(6))
            assert deep > -0.05, (activity, seed, time_s, a, b)


def test_a_cart_is_pushed_by_its_bar():
    script = Script()
    actor = _around(script, 6.0, 40)
    script.settle()
    vehicles = Vehicles(script, ["hand_cart"], [actor])
    stage = Stage()
    vehicles.dress(stage, np.random.default_rng(0))
    for time_s in (3.0, 21.0):
        hands = grips(script, actor, time_s)
        centers = vehicles.pose(time_s)[0]
        bar = centers[np.abs(centers[:, 2] - 1.0) < 0.01]
        assert len(bar) == 1 and np.linalg.norm(hands.mean(0) - bar[0]) < 0.06
        ahead = (centers.mean(0) - hands.mean(0))[:2] @ script.at(time_s)[2][actor]
        assert ahead > 0, "the cart is before him"
