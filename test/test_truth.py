"""The truth of a moment is true: checked against formulas, other pictures, and pictures of one instance alone."""

from functools import cached_property

import cv2
import numpy as np
import parade
import pytest

from instance_depth_ros import config, geometry

try:
    from instance_depth_ros.simulation import truth
    from instance_depth_ros.simulation.render import mujoco
    from instance_depth_ros.simulation.scene import MAX_DEPTH_M, Scene
    from instance_depth_ros.simulation.world import BALL

    Scene("room", 0, "test", 64, 48).close()
except RuntimeError as error:
    pytest.skip(str(error), allow_module_level=True)

TIMES_S = (1.0, 1.05)
# an ordinary view; a wide one amid the crowd
VIEWS = {"aside": {}, "amid": {"place": (-2.05, -1.7, 1.0), "target": (2, -1.1, 0.9), "fov_deg": 105}}


SEEDS, LATER_S = range(1, 9), 0.2


class Clip(tuple):
    """(scene, here, there, amodal): two moments, and the amodal masks of the first; what was drawn of it is kept."""

    @cached_property
    def alone_m(self):
        """{id: (H, W)} depth of a picture of one instance and nothing else."""
        scene, here = self[:2]
        return {int(who): alone(scene, here, who) for who in scene.ids}


def filmed(name):
    """An activity, at a moment that has all there is to check: told by its picture, not by what is checked."""
    with pytest.MonkeyPatch.context() as patch:
        if name in VIEWS:
            scene = parade.scene(patch, **VIEWS[name])
            here, there = (scene.render(time_s, truth=True) for time_s in TIMES_S)
        else:
            scene, here, there = busy(name)
        yield Clip((scene, here, there, truth.amodal_masks(scene, here)))
        scene.close()


def busy(activity):
    """A scene and two moments: the camera moves, much that stands is near, and many are seen, one before another."""
    for seed in SEEDS:
        scene = Scene(activity, seed, "test", 320, 240)
        for time_s in (1.0, 2.5, 4.0):
            here, there = (scene.render(time_s + later_s, truth=True) for later_s in (0, LATER_S))
            moved = np.abs(there.world_from_camera - here.world_from_camera).max() > 0.015
            near = (truth.static_mask(scene, here) & (here.depth_m < 8)).mean() > 0.2
            people = [who for who in scene.joints(time_s) if (here.ids == who).sum() > 150]
            if moved and near and people and touching(here.ids) >= 20:
                return scene, here, there
        scene.close()
    raise AssertionError(f"no view of {activity} has enough to check")


def touching(ids):
    """How many pixels of one instance have one of another on their right."""
    left, right = ids[:, :-1], ids[:, 1:]
    return int(((left != right) & (left > 0) & (right > 0)).sum())


@pytest.fixture(scope="module", params=VIEWS)
def clip(request):
    yield from filmed(request.param)


@pytest.fixture(scope="module", params=(*VIEWS, *config.ACTIVITIES))
def any_clip(request):
    yield from filmed(request.param)


def world_points(moment):
    """(H, W, 3) metres, float64."""
    points = geometry.unproject(moment.depth_m.astype(float), geometry.rays(moment.intrinsics).astype(float))
    return points @ moment.world_from_camera[:3, :3].T + moment.world_from_camera[:3, 3]


def project(moment, points):
    """Pixels (..., 2) and depths of points (..., 3) in the world."""
    local = (points - moment.world_from_camera[:3, 3]) @ moment.world_from_camera[:3, :3]
    pixels = local @ moment.intrinsics.K.T
    return pixels[..., :2] / pixels[..., 2:], local[..., 2]


def sample(image, pixels):
    """image at pixels (..., 2), bilinear."""
    return cv2.remap(image, *np.moveaxis(pixels.astype(np.float32), -1, 0), cv2.INTER_LINEAR)


def grid(moment):
    return np.stack(np.meshgrid(*[np.arange(n) for n in moment.ids.shape[::-1]]), -1).astype(np.float32)


def alone(scene, moment, who):
    """(H, W) depth of a picture of one instance and nothing else."""
    scene.arrange(moment.time_s)
    group = scene.model.geom_group.copy()
    scene.model.geom_group[scene.instance_of != who] = 5
    fov_deg = 2 * np.degrees(np.arctan(moment.intrinsics.height / 2 / moment.intrinsics.fy))
    depth_m = scene.picture.take(moment.world_from_camera, fov_deg)[1]
    scene.model.geom_group[:] = group
    return np.where(depth_m < MAX_DEPTH_M, depth_m, np.nan)


@pytest.mark.parametrize("oversample", (1, 2))
def test_floor_depth_is_that_of_the_plane(monkeypatch, oversample):
    scene = parade.scene(monkeypatch, fov_deg=100, oversample=oversample)
    moment = scene.render(1.0, truth=True)
    scene.close()
    rays = geometry.unproject(np.ones(moment.depth_m.shape), geometry.rays(moment.intrinsics).astype(float))
    plane_m = -moment.world_from_camera[2, 3] / (rays @ moment.world_from_camera[2, :3])
    floor = truth.ground_mask(scene, moment)
    near = floor & (plane_m <= 5)
    assert near.mean() > 0.2
    assert np.abs(moment.depth_m - plane_m)[near].max() < 1e-4
    assert np.nanmax(np.abs(moment.depth_m / plane_m - 1)[floor]) < 1e-4


def test_flat_ground_of_an_activity_has_the_depth_of_its_plane(any_clip):
    """To a millimetre at 5 m: floors, and where the ground is painted or covered the tops of what lies on them."""
    scene, here, _, _ = any_clip
    model, seen = scene.model, here.surface
    flat = np.isin(model.geom_type, (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_BOX)) & scene.ground
    half = np.where(model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE, 0, model.geom_size[:, 2])
    rays = geometry.unproject(np.ones(here.depth_m.shape), geometry.rays(here.intrinsics).astype(float))
    top_m = np.append(here.centers[:, 2] + half, 0)[seen] - here.world_from_camera[2, 3]
    plane_m = top_m / (rays @ here.world_from_camera[2, :3])
    floor = truth.ground_mask(scene, here) & np.append(flat, False)[seen]
    near = floor & (plane_m > 0) & (plane_m <= 5)
    off_m, edges = np.abs(here.depth_m - plane_m), np.append(half > 0, False)[seen]
    assert near.mean() > 0.05
    assert (off_m[near & ~edges] <= 1e-3).all()
    assert np.mean(off_m[near] <= 1e-3) > 0.99  # few pixels show the edge of a carpet


def test_the_sky_has_no_depth_and_does_not_move(clip):
    scene, here, there, _ = clip
    sky = here.surface < 0
    assert sky.any()
    assert np.isnan(here.depth_m[sky]).all() and not here.ids[sky].any()
    assert truth.static_mask(scene, here)[sky].all() and not truth.ground_mask(scene, here)[sky].any()
    assert np.isfinite(here.depth_m[here.ids > 0]).all()
    assert not truth.flow(scene, here, there)[1][sky].any()


def test_the_next_picture_warped_by_the_flow_is_this_one(clip):
    scene, here, there, _ = clip
    flow, valid = truth.flow(scene, here, there)
    warped = sample(there.color, grid(here) + flow).astype(float)
    difference = np.abs(warped - here.color).max(-1)
    unwarped = np.abs(there.color.astype(float) - here.color).max(-1)
    # where a neighbour is another surface, or the sky, bilinear colours are of both
    one = cv2.erode(here.surface, np.ones((5, 5))) == cv2.dilate(here.surface, np.ones((5, 5)))
    near = here.depth_m < 8  # farther, a floor's texture is finer than pixels
    for moving in (False, True):
        pixels = valid & one & near & (truth.static_mask(scene, here) != moving)
        assert pixels.sum() > 2000
        assert np.mean(difference[pixels]) < 3.5 and np.median(difference[pixels]) < 2
        assert np.mean(unwarped[pixels]) > 3 * np.mean(difference[pixels])


def test_what_stands_in_an_activity_looks_the_same_along_the_flow(any_clip):
    scene, here, there, _ = any_clip
    flow, valid = truth.flow(scene, here, there)
    same = cv2.erode(here.surface, np.ones((5, 5))) == cv2.dilate(here.surface, np.ones((5, 5)))
    textured = cv2.morphologyEx(here.color, cv2.MORPH_GRADIENT, np.ones((3, 3))).max(-1) > 10
    pixels = valid & same & textured & truth.static_mask(scene, here) & (here.depth_m < 8)
    assert pixels.sum() >= 100

    def off(*shift_px):
        """How unlike the two pictures are, where the second is read that far from where the flow leads."""
        return np.abs(sample(there.color, grid(here) + flow + shift_px).astype(float) - here.color).max(-1)[pixels]

    # shadows move, shine does too, and far texture is finer than pixels
    assert np.median(off(0, 0)) <= 6
    assert np.mean(off(0, 0)) < min(np.mean(off(u, v)) for u, v in ((-1, 0), (1, 0), (0, -1), (0, 1)))
    assert np.mean(off(0, 0)) < np.mean(np.abs(there.color.astype(float) - here.color).max(-1)[pixels])


def test_points_of_moving_shapes_go_where_the_flow_says(clip):
    scene, here, there, _ = clip
    flow, valid = truth.flow(scene, here, there)
    poses = [[np.concatenate(part) for part in zip(*(t.pose(time_s) for t in scene.world.troupes), strict=True)]
             for time_s in TIMES_S]  # fmt: skip
    first = int(np.flatnonzero(scene.instance_of)[0])
    points, checked = world_points(here), 0
    for v, u in np.argwhere(valid & (here.ids > 0))[::97]:
        shape = here.surface[v, u] - first
        (center, rotation), (later, turned) = ((centers[shape], turns[shape]) for centers, turns in poses)
        point = turned @ rotation.T @ (points[v, u] - center) + later
        np.testing.assert_allclose(project(there, point)[0], (u, v) + flow[v, u], atol=0.05)
        checked += 1
    assert checked > 50


def test_flow_forth_and_back_returns(any_clip):
    scene, here, there, _ = any_clip
    (forward, valid), (back, valid_back) = truth.flows(scene, here, there)
    target = grid(here) + forward
    # all four pixels about the target show the same shape
    low, high = np.floor(target).astype(int), np.ceil(target).astype(int)
    height, width = valid.shape
    inside = valid & (low >= 0).all(-1) & (high < (width, height)).all(-1)
    same = inside.copy()
    for u, v in ((low, low), (low, high), (high, low), (high, high)):
        same[inside] &= there.surface[v[inside][:, 1], u[inside][:, 0]] == here.surface[inside]
        same[inside] &= valid_back[v[inside][:, 1], u[inside][:, 0]]
    off = np.linalg.norm(forward + sample(back, target), axis=-1)[same]
    assert same.sum() > 0.8 * valid.sum()
    assert np.percentile(off, 99) < 0.1


def test_valid_flow_leads_to_the_point_and_hidden_points_have_none(any_clip):
    scene, here, there, _ = any_clip
    flow, valid = truth.flow(scene, here, there)
    fixed = truth.static_mask(scene, here) & np.isfinite(here.depth_m)
    target, depth_m = project(there, world_points(here))
    nearest = np.rint(target)
    inside = fixed & (nearest >= 0).all(-1) & (nearest < valid.shape[::-1]).all(-1)
    np.testing.assert_allclose((grid(here) + flow)[inside], target[inside], atol=0.01)
    outside = fixed & ((target < -0.51) | (target > np.array(valid.shape[::-1]) - 0.49)).any(-1)
    assert not valid[outside].any()
    seen_m = np.where(np.isfinite(there.depth_m), there.depth_m, np.inf).astype(np.float32)
    farthest, closest = (change(seen_m, np.ones((3, 3))) for change in (cv2.dilate, cv2.erode))
    column, row = nearest[inside].astype(int).T
    # near a horizon ground a pixel on is much farther, too
    hidden = (farthest[row, column] < 0.9 * depth_m[inside]) & (depth_m[inside] < 30)
    open_ = (closest[row, column] > 0.98 * depth_m[inside]) & (farthest[row, column] < 1.02 * depth_m[inside])
    assert hidden.sum() >= 3 and not valid[inside][hidden].any()
    assert valid[inside][open_].mean() > 0.98


def test_points_that_a_ball_turns_away_are_hidden(monkeypatch):
    scene = parade.scene(monkeypatch)
    here, there = (scene.render(time_s, truth=True) for time_s in (1.0, 1.5))
    scene.close()
    _, valid = truth.flow(scene, here, there)
    balls = scene.world.troupes[1]
    (centers, turns), (later, turned) = balls.pose(1.0), balls.pose(1.5)
    points, hidden, seen = world_points(here), [], []
    for ball, who in enumerate(np.flatnonzero(scene.classes == BALL) + 1):
        out = (points[here.ids == who] - centers[ball]) @ turns[ball] @ turned[ball].T
        facing = ((there.world_from_camera[:3, 3] - later[ball] - out) * out).sum(-1)
        hidden += list(valid[here.ids == who][facing < -0.1])
        seen += list(valid[here.ids == who][facing > 0.1])
    assert len(hidden) > 20 and not any(hidden)
    assert len(seen) > 100 and np.mean(seen) > 0.9


def test_sites_of_bodies_land_on_their_instance(any_clip):
    scene, here, _, _ = any_clip
    landed = 0
    for who, sites in scene.joints(here.time_s).items():
        pixels, depth_m = project(here, sites)
        inside = (np.rint(pixels) >= 0).all(-1) & (np.rint(pixels) < here.ids.shape[::-1]).all(-1) & (depth_m > 0.1)
        inside &= depth_m < 0.08 * here.intrinsics.fx  # farther, limbs are thinner than pixels
        u, v = np.rint(pixels[inside]).astype(int).T
        # inside a body: either it is seen within half a pixel, or something stands before it
        assert ((here.ids[v, u] == who) | (here.depth_m[v, u] < depth_m[inside])).all()
        landed += np.sum(here.ids[v, u] == who)
    assert landed >= 10


def test_an_id_is_the_same_actor_all_the_time(clip):
    scene, *_ = clip
    places = np.concatenate([troupe.places[:, :2] for troupe in scene.world.troupes])
    classes = np.concatenate([[troupe.class_id] * len(troupe.places) for troupe in scene.world.troupes])
    for time_s in (0.0, 7.3, 60.0):
        scene.path.speed = 0.0
        moment = scene.render(time_s, truth=True)
        points = world_points(moment)
        for who in np.unique(moment.ids[moment.ids > 0]):
            off = np.linalg.norm(points[moment.ids == who][:, :2] - places[who - 1], axis=-1)
            assert off.max() < 1.5
            assert (truth.class_image(scene, moment)[moment.ids == who] == classes[who - 1]).all()
    scene.path.speed = 1.2


def test_amodal_masks_are_those_of_each_instance_alone(any_clip):
    scene, here, _, amodal = any_clip
    compared = 0
    for who, alone_m in any_clip.alone_m.items():
        expected = np.isfinite(alone_m)
        mask = amodal[who].full(*expected.shape) if who in amodal else np.zeros_like(expected)
        assert mask[here.ids == who].all()
        if expected.sum() > 200:
            assert (mask & expected).sum() > 0.97 * (mask | expected).sum()
            compared += 1
        assert abs(int(mask.sum()) - int(expected.sum())) <= 3 + 0.01 * expected.sum()
    assert compared >= 2


def test_the_amodal_mask_of_what_reaches_behind_the_camera(monkeypatch):
    scene = parade.scene(monkeypatch, place=(0.5, -2.3, 0.75), target=(3.5, -0.6, 0.4), fov_deg=105)
    here = scene.render(1.0, truth=True)
    cart = int(np.flatnonzero(scene.still)[0]) + 1
    mask, expected = truth.amodal_masks(scene, here)[cart].full(240, 320), np.isfinite(alone(scene, here, cart))
    scene.close()
    assert expected.sum() > 5000
    assert (mask & expected).sum() > 0.999 * (mask | expected).sum()


def test_who_hides_whom_agrees_with_the_order_in_depth(any_clip):
    scene, here, _, amodal = any_clip
    found = {one.id: one for one in truth.instances(scene, here, amodal)}
    pairs = 0
    for hidden in found:
        behind_m = any_clip.alone_m[hidden]
        for who, one in found.items():
            over = (here.ids == who) & np.isfinite(behind_m)
            if who == hidden or 0 < over.sum() < 8:
                continue
            assert (hidden in one.hides) == bool(over.any())
            if over.any():
                assert np.mean(here.depth_m[over] < behind_m[over]) > 0.98
                pairs += 1
    assert pairs >= 1


def test_border_pixels_of_a_hiding_pair_are_nearer(any_clip):
    scene, here, _, amodal = any_clip
    nearer = {(one.id, hidden) for one in truth.instances(scene, here, amodal) for hidden in one.hides}
    ids, depth_m, right = here.ids, here.depth_m, []
    for a, b in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        for one, other in ((a, b), (b, a)):
            steps = (ids[one] != ids[other]) & (ids[one] > 0) & (ids[other] > 0)
            for who, hidden in set(zip(ids[one][steps].tolist(), ids[other][steps].tolist(), strict=True)) & nearer:
                at_border = steps & (ids[one] == who) & (ids[other] == hidden)
                at_border &= amodal[hidden].full(*ids.shape)[one]
                if (hidden, who) not in nearer:
                    right += (depth_m[one][at_border] < depth_m[other][at_border] + 0.05).tolist()
    # at a thin limb the pixel beside may be another part of the body
    assert len(right) >= 10 and np.mean(right) > 0.95


def test_3d_boxes_hold_their_instances(any_clip):
    scene, here, _, amodal = any_clip
    points = world_points(here)
    for one in truth.instances(scene, here, amodal):
        cos, sin = np.cos(one.yaw_rad), np.sin(one.yaw_rad)
        local = (points[here.ids == one.id] - one.center_m) @ np.array([(cos, -sin, 0), (sin, cos, 0), (0, 0, 1)])
        assert (np.abs(local) <= one.size_m / 2 + 1e-3).all()


def test_3d_boxes_are_no_larger_than_what_they_hold_and_turn_with_it(clip):
    scene, here, there, _ = clip
    found, later = ({one.id: one for one in truth.instances(scene, moment)} for moment in (here, there))
    for one in found.values():
        if one.still:
            np.testing.assert_allclose(one.size_m, (1.2, 0.7, 0.6), atol=1e-5)
            np.testing.assert_array_equal(one.center_m, later[one.id].center_m)
        elif one.joints_m is not None and one.id in later:
            assert later[one.id].yaw_rad - one.yaw_rad == pytest.approx(TIMES_S[1] - TIMES_S[0], abs=0.02)


def test_instances_sum_up_their_pixels(any_clip):
    scene, here, _, amodal = any_clip
    found = truth.instances(scene, here, amodal)
    assert [one.id for one in found] == sorted(amodal) and {one.id for one in found} >= set(np.unique(here.ids)) - {0}
    assert [one.id for one in truth.instances(scene, here)] == [one.id for one in found if one.area_px]
    for one in found:
        pixels = here.ids == one.id
        assert one.area_px == pixels.sum()
        assert one.visible == pytest.approx(pixels.sum() / amodal[one.id].mask.sum())
        if one.area_px:
            assert one.box_px == cv2.boundingRect(pixels.astype(np.uint8))
            assert one.depth_m == pytest.approx(here.depth_m[pixels].mean(), rel=1e-5)
        assert one.box_amodal_px == cv2.boundingRect(amodal[one.id].full(*pixels.shape).astype(np.uint8))
    assert any(one.visible < 1 for one in found) and any(one.visible == 1 for one in found)


def test_what_is_parked_stands_still_and_what_acts_does_not(clip):
    scene, here, _, _ = clip
    static = truth.static_mask(scene, here)
    parked = np.isin(here.ids, np.flatnonzero(scene.still) + 1)
    assert parked.any() and static[parked].all()
    np.testing.assert_array_equal(static, (here.ids == 0) | parked)
