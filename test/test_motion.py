"""How simulated people move: on their feet, smoothly, apart from one another, and as they are told."""

import numpy as np
import pytest

from instance_depth_ros import config
from instance_depth_ros.simulation import activities
from instance_depth_ros.simulation.actors import gestures
from instance_depth_ros.simulation.actors.anatomy import FOOT, SHIN, WEARS
from instance_depth_ros.simulation.actors.people import JOINTS, People
from instance_depth_ros.simulation.actors.script import Script
from instance_depth_ros.simulation.world import BALL, RACKET

try:
    from instance_depth_ros.simulation.render import mujoco
except RuntimeError as error:
    pytest.skip(str(error), allow_module_level=True)


ELEVATION_M, SLIP_M, THROUGH_M = 0.005, 0.03, 0.05
BONES = [(a, b) for s in "lr" for a, b in ((f"hip_{s}", f"knee_{s}"), (f"knee_{s}", f"ankle_{s}"),
                                           (f"shoulder_{s}", f"elbow_{s}"), (f"elbow_{s}", f"wrist_{s}"))]  # fmt: skip


def crowd(seed=0, count=8, half=4.0, every_s=5.0, faces=None) -> Script:
    """People between places by chance, each of whom stands for a while too."""
    rng, script = np.random.default_rng(seed), Script()
    for _ in range(count):
        times = np.arange(0, 48 - every_s, every_s) + rng.uniform(0, every_s)
        places = rng.uniform(-half, half, (len(times), 2))
        places[1] = places[0]
        script.walk(times, places, faces=faces)
    script.settle()
    return script


def everybody(script, seed=0, **how) -> People:
    return People(np.random.default_rng(seed), script, range(script.count), **how)


def alone(**how) -> People:
    script = Script()
    script.stand((1.0, 2.0), 0.7)
    return everybody(script, **how)


def film(people, times_s):
    """Centres (t, people, geoms, 3), rotations (t, people, geoms, 3, 3) and joints (t, people, JOINTS, 3)."""
    moments = [(*people.pose(t), people.joints(t)) for t in times_s]
    centers, rotations, joints = (np.stack(part) for part in zip(*moments, strict=True))
    shape = len(times_s), people.count, len(WEARS)
    return centers.reshape(*shape, 3), rotations.reshape(*shape, 3, 3), joints


def ends_of(people, centers, rotations, limb):
    """The middles of both round ends of limbs, (t, people, 2 sides, 2 ends, 3), and radii (people, 2, 1)."""
    sizes = people.body.sizes[:, limb]
    half = rotations[:, :, limb, :, 2] * sizes[..., 1:2]
    return np.stack([centers[:, :, limb] - half, centers[:, :, limb] + half], -2), sizes[..., :1]


def slips(people, centers, rotations):
    """How deep the lowest foot is in the floor, and the longest way that an end of a foot slides while it is down."""
    ends, radii = ends_of(people, centers, rotations, FOOT)
    height = ends[..., 2] - radii
    down, longest = height < ELEVATION_M, 0.0
    began = ends[0, ..., :2].copy()
    for t in range(1, len(ends)):
        began = np.where((down[t] & down[t - 1])[..., None], began, ends[t, ..., :2])
        longest = max(longest, np.linalg.norm(ends[t, ..., :2] - began, axis=-1).max())
    return -height.min(), longest


@pytest.fixture(scope="module", params=["walkers", "runners", "players"])
def moving(request):
    """People and a film of them: who walk and stand, who run, who step sidewards and jump with eyes on a point."""
    if request.param == "walkers":
        people = everybody(crowd(1, half=3.0), child_share=0.3)
    elif request.param == "runners":
        people = everybody(crowd(2, half=6.0, every_s=3.8))
    else:
        people = everybody(crowd(3, half=3.0, every_s=4.0, faces=(0.0, 0.0)))
        rng = np.random.default_rng(0)
        for person in range(people.count):
            people.rest(person, "ready")
            for start_s in (3.0, 9.0):
                people.jump(person, start_s + rng.uniform(0, 3), rng.uniform(0.1, 0.45))
    times_s = np.arange(0, 16, 1 / 60)
    return request.param, people, times_s, film(people, times_s)


def test_walks_through_its_keys_and_round_again():
    script = Script()
    places = np.array([[0, 0], [3, 1], [3, 1], [-2, 0]], float)
    script.walk([5, 10, 14, 40], places)
    for time_s, place in zip((5, 10, 14, 40), places, strict=True):
        assert np.linalg.norm(script.place(0, time_s) - place) < 0.12  # corners are rounded
    assert np.ptp([script.place(0, t) for t in np.linspace(10.7, 13.3, 20)], axis=0).max() < 1e-3, "stands"
    here, there = script.at(7.3), script.at(7.3 + script.period_s)
    assert np.allclose(here[0], there[0]) and np.allclose(here[2], there[2])
    assert np.cos(here[1] - there[1]) == pytest.approx(1)
    with pytest.raises(ValueError, match="times_s must increase"):
        script.walk([5, 4], [[0, 0], [1, 1]])


def test_velocity_is_the_slope_of_the_place():
    script = crowd(5, count=4)
    for time_s in (0.01, 11.111, 29.99):
        slope = (script.at(time_s + 1e-4)[0] - script.at(time_s - 1e-4)[0]) / 2e-4
        assert np.allclose(slope, script.at(time_s)[2], atol=1e-4)


def test_settle_keeps_apart_smoothly_and_leaves_who_stands():
    script = Script()
    script.walk([0, 6, 24], [[-4, 0], [4, 0], [4, 0]], 0.4)
    script.walk([0, 6, 24], [[4, 0], [-4, 0], [-4, 0]], 0.4)
    sitter = script.stand((1.8, 0.5), 1.0)
    left_m = script.settle([(-2, -0.1, 0.5)], half=(4.5, 3))
    assert left_m < 0.03 and np.allclose(script.place(sitter, 3), (1.8, 0.5))
    times_s = np.arange(0, 48, 0.05)
    places, _, velocities = (np.stack(part) for part in zip(*map(script.at, times_s), strict=True))
    assert np.linalg.norm(places[:, 0] - places[:, 1], axis=-1).min() > 0.75
    assert np.linalg.norm(places[:, :2] - (-2, -0.1), axis=-1).min() > 0.85
    assert np.abs(places).max() < 4.5
    assert np.linalg.norm(np.diff(velocities, axis=0) / 0.05, axis=-1).max() < 6


def test_faces_a_point_until_he_runs():
    script = Script()
    for side_m, seconds in ((3.0, 4.0), (15.0, 4.0)):
        script.walk([10, 10 + seconds, 30], [[0, 0], [0, side_m], [0, 0]], faces=(50.0, 0.0))
    ahead = [np.cos(script.at(t)[1]) for t in np.linspace(10, 14, 40)]
    assert np.min(ahead, 0)[0] > 0.9, "a walk sidewards"
    assert np.min(ahead, 0)[1] < 0.3, "a run turns to where it goes"


def test_feet_are_on_the_ground_and_do_not_slide(moving):
    _, people, _, (centers, rotations, _) = moving
    sunk_m, slid_m = slips(people, centers, rotations)
    assert sunk_m < 0.001 and slid_m < SLIP_M


def test_bones_keep_their_length(moving):
    _, _, _, (_, _, joints) = moving
    for a, b in BONES:
        length = np.linalg.norm(joints[:, :, JOINTS.index(a)] - joints[:, :, JOINTS.index(b)], axis=-1)
        assert np.ptp(length, axis=0).max() < 1e-6, (a, b)


def test_accelerations_are_bounded(moving):
    """In m/s2; a push off the floor takes more than a walk, and a knee that straightens more than a pelvis."""
    name, _, times_s, (_, _, joints) = moving
    most = np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1).max((0, 1)) / (times_s[1] - times_s[0]) ** 2
    limits = {"walkers": (30, 200), "runners": (100, 500), "players": (100, 450)}[name]
    for joint, limit in zip(("pelvis", "knee_l"), limits, strict=True):
        assert most[JOINTS.index(joint)] < limit, (joint, most[JOINTS.index(joint)])


def test_shins_do_not_pass_through_one_another(moving):
    _, people, _, (centers, rotations, _) = moving
    ends, radii = ends_of(people, centers, rotations, SHIN)
    start, end = np.moveaxis(ends, -2, 0)
    along = np.linspace(0, 1, 7)[:, None]
    left, right = (start[:, :, i, None] + along * (end - start)[:, :, i, None] for i in (0, 1))
    apart = np.linalg.norm(left[..., :, None, :] - right[..., None, :, :], axis=-1).min((-1, -2)) - radii.sum(1)[:, 0]
    assert apart.min() > -0.1 and np.quantile(apart, 0.005) > -0.05


def test_the_loop_closes(moving):
    _, people, _, _ = moving
    for time_s in (0.0, 17.3):
        for here, there in zip(people.pose(time_s), people.pose(time_s + people.script.period_s), strict=True):
            assert np.abs(here - there).max() < 1e-6
    before, after = people.joints(48 - 1e-4), people.joints(1e-4)
    assert np.abs(before - after).max() < 0.01


def test_same_seed_same_people():
    poses = [everybody(crowd(1), seed=4).pose(12.34) for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*poses, strict=True))


def test_steps_are_done_in_half_a_second_and_who_stands_has_both_feet_down(moving):
    name, people, times_s, (centers, rotations, _) = moving
    ends, radii = ends_of(people, centers, rotations, FOOT)
    up = (ends[..., 2] - radii).min(-1) > ELEVATION_M
    run = longest = np.zeros(up.shape[1:], int)
    for now in up:
        run = (run + 1) * now
        longest = np.maximum(longest, run)
    if name != "players":  # whose feet hang in the air as long as they jump
        assert longest.max() * (times_s[1] - times_s[0]) < 0.55
    speed = np.array([np.linalg.norm(people.script.at(t)[2], axis=-1) for t in times_s])
    resting = np.lib.stride_tricks.sliding_window_view(speed < 0.02, 120, axis=0).all(-1)  # for two seconds
    if name == "walkers":
        assert resting.any() and not up[60 : 60 + len(resting)][resting].all(-1).any()


def test_statures_are_those_of_people():
    script = Script()
    for i in range(600):
        script.stand((i, 0), 0)
    grown, young = everybody(script).stature_m, everybody(script, child_share=1.0).stature_m
    assert grown.min() >= 1.5 and grown.max() <= 1.95 and grown.mean() == pytest.approx(1.70, abs=0.015)
    assert young.min() >= 1.0 and young.max() <= 1.45


def test_a_jump_falls_as_things_fall():
    people = alone()
    people.jump(0, 10.0, 0.4)
    step_s = 0.01
    flight = np.arange(-0.27, 0.271, step_s) + 10.0
    joints = np.array([people.joints(t)[0] for t in flight])
    for joint in ("pelvis", "head"):
        height = joints[:, JOINTS.index(joint), 2]
        assert np.diff(height, 2) / step_s**2 == pytest.approx(-9.81, abs=1.0)
    standing = people.joints(5.0)[0, JOINTS.index("pelvis"), 2]
    assert joints[:, JOINTS.index("pelvis"), 2].max() - standing == pytest.approx(0.4, abs=0.05)
    soles = [people.pose(t)[0].reshape(1, -1, 3)[0, FOOT, 2].min() for t in (9.5, 10.0, 10.5)]
    assert soles[1] - soles[0] == pytest.approx(0.4, abs=0.06) and soles[2] == pytest.approx(soles[0], abs=0.01)


def test_a_hand_goes_where_it_is_told():
    people = alone()
    shoulder = people.joints(5.0)[0, JOINTS.index("shoulder_r")]
    points = shoulder + np.array([[0.3, 0.2, 0.1], [0.2, 0.3, 0.3], [0.35, 0.1, -0.2]])
    people.reach(0, 1, [5.0, 5.6, 6.4], points)
    for time_s, point in zip((5.0, 5.6, 6.4), points, strict=True):
        assert np.linalg.norm(people.hand(0, 1, time_s) - point) < 0.02
    far = shoulder + np.array([4.0, 3.0, 0.0])
    people.reach(0, 1, 20.0, far)
    way = people.hand(0, 1, 20.0) - people.joints(20.0)[0, JOINTS.index("shoulder_r")]
    assert way @ (0.8, 0.6, 0) / np.linalg.norm(way) > 0.99, "stretched towards it"
    where, frame = people.hand_frame(0, 1, 20.0)
    assert frame[:, 2] @ way > 0.9 * np.linalg.norm(way) and np.allclose(where, people.hand(0, 1, 20.0))
    with pytest.raises(ValueError, match="increasing"):
        people.reach(0, 1, [3.0, 2.0], points[:2])


def test_heads_look_where_they_are_told():
    people = alone()
    head = people.joints(9.0)[0, JOINTS.index("head")]
    point = head + np.array([np.cos(1.4), np.sin(1.4), 0.1]) * 3.0
    gaze = []
    people.look(0, [10.0, 12.0], [point, point])
    for time_s in (8.0, 11.0):
        _, rotations = people.pose(time_s)
        gaze.append(rotations[0, :, 0] @ (point - head) / np.linalg.norm(point - head))
    assert gaze[1] > 0.97 > gaze[0]


def test_gestures_move_what_they_name():
    people = alone()
    gestures.wave(people, 0, 5.0, hand=1)
    gestures.bend(people, 0, 20.0)
    gestures.clap(people, 0, 30.0)
    joints = people.joints(6.0)[0]
    assert joints[JOINTS.index("wrist_r"), 2] > joints[JOINTS.index("shoulder_r"), 2]
    assert people.joints(20.5)[0, JOINTS.index("head"), 2] < 0.8 * people.joints(15.0)[0, JOINTS.index("head"), 2]
    apart = [np.linalg.norm(people.hand(0, 0, t) - people.hand(0, 1, t)) for t in np.arange(30, 32, 0.05)]
    assert min(apart) < 0.15 < max(apart)
    with pytest.raises(ValueError, match="a channel is one of"):
        people.act(0, [1, 2], wings=[0, 1])
    with pytest.raises(ValueError, match="a resting style is one of"):
        people.rest(0, "asleep")


def test_who_sits_sits_on_the_seat_with_feet_on_the_floor():
    people = alone(child_share=0.0)
    people.sit(0, 0.45)
    joints, centers = people.joints(3.0)[0], people.pose(3.0)[0]
    assert joints[JOINTS.index("pelvis"), 2] == pytest.approx(0.45 + 0.075 * people.stature_m[0], abs=0.02)
    assert centers[FOOT, 2] == pytest.approx(people.body.sizes[0, FOOT, 0], abs=0.005)
    forward = np.array([np.cos(0.7), np.sin(0.7), 0])
    assert (
        (joints[[JOINTS.index("knee_l"), JOINTS.index("knee_r")]] - joints[JOINTS.index("pelvis")]) @ forward
    ).min() > 0.25


@pytest.mark.parametrize("activity", config.ACTIVITIES)
def test_in_every_activity_people_stand_firm_and_keep_out_of_one_another(activity):
    world = activities.build(activity, np.random.default_rng((2, config.ACTIVITIES.index(activity), 2001)))
    for people in (troupe for troupe in world.troupes if isinstance(troupe, People)):
        sunk_m, slid_m = slips(people, *film(people, np.arange(10, 14, 1 / 30))[:2])
        assert sunk_m < 0.005 and slid_m < SLIP_M
    deepest_m, who = deepest_contact(world, closest_moments(world.script))
    assert deepest_m < THROUGH_M, who


def closest_moments(script) -> np.ndarray:
    """Seconds at which two actors are nearest to one another, of each pair that ever comes within 1 m, and others."""
    places = np.stack([script.at(t)[0] for t in script.times_s[::4]])
    apart = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
    a, b = np.nonzero(np.triu(apart.min(0) < 1.0, 1))
    return np.union1d(script.times_s[::4][apart[:, a, b].argmin(0)], np.arange(0, script.period_s, 3.0))


def deepest_contact(world, times_s) -> tuple[float, str]:
    """How deep people, animals and vehicles are in one another or in what stands there, by MuJoCo, and who in whom.

    Those who sit are compared with one another only: they touch their seats.
    """
    stage, rng, owner, sits, first = world.stage, np.random.default_rng(0), [], [], len(world.stage.geoms)
    for index, troupe in enumerate(world.troupes):
        troupe.dress(stage, rng)
        seated = np.isfinite(troupe._seat_m) if isinstance(troupe, People) else np.zeros(len(troupe.geoms_each), bool)
        owner += [(index, i) for i, count in enumerate(troupe.geoms_each) for _ in range(count)]
        sits += np.repeat(seated, troupe.geoms_each).tolist()
    model = stage.compile(16, 16, 10, 100)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    whose = np.unique(owner, axis=0, return_inverse=True)[1].reshape(-1)
    held = np.array([world.troupes[index].class_id in (BALL, RACKET) for index, _ in owner])
    standing = np.flatnonzero(~np.array(stage.ground[:first]))
    frames, boxes = data.geom_xmat[standing].reshape(-1, 3, 3), model.geom_aabb[standing]
    middles = data.geom_xpos[standing] + (frames @ boxes[:, :3, None])[..., 0]
    reach, worst, who = model.geom_rbound[first:], 0.0, ""
    for time_s in times_s:
        poses = [troupe.pose(time_s) for troupe in world.troupes]
        centers = data.geom_xpos[first:] = np.concatenate([centers for centers, _ in poses])
        data.geom_xmat[first:] = np.concatenate([rotations for _, rotations in poses]).reshape(-1, 9)
        near = np.linalg.norm(centers[:, None] - centers, axis=-1) < reach[:, None] + reach - THROUGH_M
        near &= (whose[:, None] < whose) & ~held[:, None] & ~held
        local = np.abs(((centers[:, None] - middles)[:, :, None] @ frames)[:, :, 0]) - boxes[:, 3:]
        inside = np.linalg.norm(local.clip(0), axis=-1) < reach[:, None] - THROUGH_M
        inside &= ~(held | np.array(sits))[:, None]
        touching = [(first + a, first + b) for a, b in np.argwhere(near)]
        touching += [(first + a, standing[b]) for a, b in np.argwhere(inside)]
        for a, b in touching:
            depth = -mujoco.mj_geomDistance(model, data, int(a), int(b), 0.01, np.zeros(6))
            if depth > worst:
                other = owner[b - first] if b >= first else stage.geoms[b]
                worst, who = depth, f"{owner[a - first]} in {other} at {time_s:.2f} s"
    return worst, who
