"""The simulation gives truth: the same scene twice, exact depth, people of human size, splits that share nothing."""

import av
import numpy as np
import pytest

from instance_depth_ros import config, geometry
from instance_depth_ros.cameras import open_camera
from instance_depth_ros.cli import main
from instance_depth_ros.datasets.shards import Shards, split_scenes
from instance_depth_ros.simulation.generate import write_scene

try:
    from instance_depth_ros.simulation.scene import Scene

    Scene("room", 0, "test", 64, 48).close()
except RuntimeError as error:
    pytest.skip(str(error), allow_module_level=True)


def take(activity="plaza", seed=3, split="test", size=(160, 120), time_s=0.7, **options):
    scene = Scene(activity, seed, split, *size, **options)
    try:
        return scene, scene.render(time_s, ids=True)
    finally:
        scene.close()


@pytest.mark.parametrize("activity", config.ACTIVITIES)
def test_the_same_seed_gives_the_same_moment(activity):
    first, second = take(activity)[1], take(activity)[1]
    np.testing.assert_array_equal(first.world_from_camera, second.world_from_camera)
    np.testing.assert_array_equal(first.depth_m, second.depth_m)
    np.testing.assert_array_equal(first.ids, second.ids)
    np.testing.assert_array_equal(first.color, second.color)


@pytest.mark.parametrize("oversample", (1, 2))
def test_floor_depth_is_that_of_the_plane(oversample):
    scene, moment = take("room", 4, oversample=oversample)
    pose = moment.world_from_camera
    rays = geometry.unproject(np.ones(moment.depth_m.shape, np.float32), geometry.rays(scene.intrinsics))
    down = (rays @ pose[:3, :3].T)[..., 2]
    with np.errstate(divide="ignore"):
        plane = np.where(down < -0.05, -pose[2, 3] / down, np.inf)
    nearer = moment.depth_m < plane * 0.98
    floor = np.isfinite(plane) & ~nearer & (moment.ids == 0)
    assert floor.mean() > 0.15
    np.testing.assert_allclose(np.median(np.abs(moment.depth_m[floor] / plane[floor] - 1)), 0, atol=1e-5)


def test_people_are_seen_at_their_height_and_stand_on_the_floor():
    heights = []
    for seed in range(6):
        scene, _ = take("plaza", seed, size=(64, 48))
        people = scene.people
        assert ((people.stature_m >= 1.5) & (people.stature_m <= 1.95)).all()
        for time_s in (0.0, 0.4, 3.1):
            center, rotation = people.pose(time_s)
            assert np.abs(rotation @ np.swapaxes(rotation, -1, -2) - np.eye(3)).max() < 1e-6
            feet = center[:, 17:19, 2].min(1)
            assert ((feet > -0.03) & (feet < 0.12)).all()
        standing = np.array([m == "stand" for m in people.motions])
        top = center[:, 0, 2] + people.sizes[:, 0, 1]
        heights += list((top / people.stature_m)[standing])
    assert len(heights) >= 3
    assert 0.95 < min(heights) and max(heights) < 1.03


def test_each_person_has_one_lasting_id():
    scene = Scene("court", 1, "test", 320, 240)
    try:
        for time_s in (0.0, 1.0):
            moment = scene.render(time_s, ids=True)
            pose, center = moment.world_from_camera, scene.people.pose(time_s)[0][:, 3]
            local = (center - pose[:3, 3]) @ pose[:3, :3]
            pixel = np.rint((local / local[:, 2:]) @ scene.intrinsics.K.T).astype(int)
            inside = (local[:, 2] > 0.5) & (pixel[:, 0] >= 0) & (pixel[:, 0] < 320)
            inside &= (pixel[:, 1] >= 0) & (pixel[:, 1] < 240)
            found = [moment.ids[v, u] == i + 1 for i, (u, v, _) in enumerate(pixel) if inside[i]]
            assert inside.sum() >= 2 and np.mean(found) > 0.5  # some are hidden by others
    finally:
        scene.close()


def test_far_and_sky_are_invalid_and_near_things_are_not():
    _, moment = take("plaza", 2)
    depth = moment.depth_m[np.isfinite(moment.depth_m)]
    assert depth.min() > 0.2 and depth.max() <= 80 and depth.size > moment.depth_m.size / 4


def test_splits_and_seeds_share_no_texture_and_no_person():
    seen = set()
    for split, seed in (("train", 7), ("val", 7), ("test", 7), ("train", 8)):
        scene, _ = take("room", seed, split, (64, 48))
        marks = {image.tobytes() for image in scene.world.stage.images if image.std() > 1}
        marks |= {float(stature) for stature in scene.people.stature_m if 1.5 < stature < 1.95}
        assert marks and not marks & seen
        seen |= marks


def test_sim_val_is_twelve_scenes_over_all_activities():
    scenes = split_scenes("sim-val")
    assert len(set(scenes)) == 12
    assert {activity for activity, _ in scenes} == set(config.ACTIVITIES)
    with pytest.raises(FileNotFoundError, match="sim-nothing"):
        split_scenes("sim-nothing")


def test_clips_written_are_clips_read(tmp_path):
    assert write_scene(2, "val", tmp_path, clips=7) == 1
    assert write_scene(2, "val", tmp_path, clips=8) == 1, "finished clips are kept"
    shards = Shards(tmp_path)
    assert len(shards) == 2
    clip = shards[0]
    scene = Scene(clip["activity"], clip["seed"], clip["split"], view=clip["view"])
    try:
        moment = scene.render(clip["stamps_s"][7])
    finally:
        scene.close()
    assert clip["intrinsics"] == scene.intrinsics
    np.testing.assert_array_equal(clip["color"][7], moment.color)
    np.testing.assert_allclose(clip["depth_m"][7].astype(np.float32), moment.depth_m, rtol=1e-3)
    np.testing.assert_allclose(clip["world_from_camera"][7], moment.world_from_camera)
    with pytest.raises(FileNotFoundError, match="instance-depth simulate"):
        Shards(tmp_path / "none")


def test_one_scene_is_a_clip_with_a_preview_of_colour_depth_and_people(tmp_path):
    asked = ["simulate", "--activity", "court", "--seed", "3", "--frames", "4", "--out", str(tmp_path), "--preview"]
    assert main(asked) == 0
    (clip,) = Shards(tmp_path)
    assert (clip["activity"], clip["seed"], len(clip["color"])) == ("court", 3, 4)
    height, width = clip["color"][0].shape[:2]
    with av.open(str(tmp_path / "court_3.mp4")) as movie:
        frames = [frame.to_ndarray(format="rgb24") for frame in movie.decode(video=0)]
    assert len(frames) == 4
    gap = (frames[0].shape[1] - 3 * width) // 4
    colors, depths, people = (frames[0][:height, i * (width + gap) + gap :][:, :width] for i in range(3))
    assert np.abs(colors.astype(float) - clip["color"][0]).mean() < 12
    assert depths.std() > 20 and 0 < (people.max(-1) > 100).mean() < 0.5
    assert main(asked) == 1, "nothing is overwritten"


@pytest.mark.parametrize("wrong", [[], ["--clips", "3", "--activity", "room"], ["--activity", "room", "--frames", "0"]])
def test_many_clips_or_one_scene_and_not_both(wrong, tmp_path):
    with pytest.raises(SystemExit) as usage:
        main(["simulate", "--out", str(tmp_path), *wrong])
    assert usage.value.code == 2


def test_the_simulated_camera_gives_frames_with_truth():
    options = {"camera": "simulated", "activity": "court", "seed": 5, "width": 160, "height": 120, "frames": 3}
    with open_camera(config.make("camera", rate="max", **options)) as camera:
        previous = None
        while (frame := camera.read()) is not None:
            np.testing.assert_array_equal(frame.color, camera.truth.color)
            assert frame.intrinsics is not None and frame.size == camera.truth.depth_m.shape == camera.truth.ids.shape
            assert previous is None or (frame.color != previous).any()
            previous = frame.color
        assert previous is not None
