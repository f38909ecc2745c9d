"""A scene is a function of (activity, seed, split) and time: on any machine, in any order, and in one split alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from instance_depth_ros import config
from instance_depth_ros.simulation import activities, paths

try:
    from instance_depth_ros.simulation.scene import Scene
    from instance_depth_ros.simulation.world import PERSON

    Scene("room", 0, "test", 64, 48).close()
except RuntimeError as error:
    pytest.skip(str(error), allow_module_level=True)

GOLDENS = Path(__file__).parent / "goldens"
GOLDEN = GOLDENS / "scene_checksums.json"
WRITE = "python test/test_simulation.py"  # writes the goldens
PICTURES = ("basketball", "zoo", "plaza")
TIMES_S = (0.0, 1.3, 40.0)
SIX = config.ACTIVITIES[:6]


@pytest.fixture(scope="module", params=config.ACTIVITIES)
def scene(request):
    opened = Scene(request.param, 3, "test", 160, 120)
    yield opened
    opened.close()


def checksums() -> dict[str, list[str]]:
    """Of every activity at three times."""
    found = {}
    for activity in config.ACTIVITIES:
        opened = Scene(activity, 3, "test", 64, 48)
        found[activity] = [opened.checksum(time_s) for time_s in TIMES_S]
        opened.close()
    return found


def test_the_state_is_the_same_bit_for_bit_on_a_lesser_machine():
    """The stored sums, again without this processor's vector units, whose sines and sums end in other bits.

    Whoever changes the scenes on purpose: WRITE writes the new sums; every figure measured on the splits is then of
    other scenes.
    """
    plain = {
        "NPY_DISABLE_CPU_FEATURES": " ".join(_features()),
        "OPENBLAS_CORETYPE": "Prescott",
        "MUJOCO_GL": os.environ.get("MUJOCO_GL", "egl"),
    }
    assert GOLDEN.exists(), f"no {GOLDEN}: {WRITE} writes it"
    here = [sys.executable, str(Path(__file__).resolve()), "--print"]
    root = str(Path(__file__).resolve().parents[1])
    done = subprocess.run(
        here, env=os.environ | plain | {"PYTHONPATH": root}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(GOLDEN.read_text())


def _features() -> list[str]:
    """Vector instructions that numpy chooses at run time, as far as this processor has them."""
    core = getattr(np, "_core", None) or np.core
    from_here = core._multiarray_umath
    return [name for name in from_here.__cpu_dispatch__ if from_here.__cpu_features__.get(name)]


def picture(activity: str) -> tuple[np.ndarray, np.ndarray]:
    """Colour (72, 96, 3) uint8 and depth (72, 96) uint16 in millimetres, 0 where there is none or beyond 65 m."""
    opened = Scene(activity, 3, "test", 96, 72)
    moment = opened.render(1.3)
    opened.close()
    depth_mm = np.nan_to_num(moment.depth_m * 1000)
    return moment.color, np.where(depth_mm < 2**16 - 1, depth_mm, 0).astype(np.uint16)


def picture_files(activity: str) -> tuple[Path, Path]:
    return GOLDENS / f"scene_{activity}_color.png", GOLDENS / f"scene_{activity}_depth.png"


def unlike(one, other) -> tuple[float, float, float]:
    """Of two pictures: mean difference of colours, median one of depths in metres, share with depth in one alone.

    Colours are those of blocks of 8 x 8 pixels: without the edges and the grain in which renderers differ.
    """
    (color, depth_mm), (other_color, other_mm) = one, other
    color, other_color = (cv2.resize(image, (12, 9), interpolation=cv2.INTER_AREA) for image in (color, other_color))
    both = (depth_mm > 0) & (other_mm > 0)
    off_m = np.abs(depth_mm.astype(float) - other_mm)[both] / 1000
    return np.abs(color.astype(float) - other_color).mean(), np.median(off_m), np.mean((depth_mm > 0) != (other_mm > 0))


@pytest.mark.parametrize("activity", PICTURES)
def test_a_picture_is_as_it_was_whatever_renders_it(activity):
    files = picture_files(activity)
    missing = [file.name for file in files if not file.exists()]
    assert not missing, f"no {' and '.join(missing)} in {GOLDENS}: {WRITE} writes them"
    stored = cv2.imread(str(files[0]))[..., ::-1], cv2.imread(str(files[1]), cv2.IMREAD_UNCHANGED)
    color, depth_m, alone = unlike(picture(activity), stored)
    assert color < 4 and depth_m < 0.01 and alone < 0.02, f"if that is on purpose: {WRITE} writes the pictures anew"


def test_any_moment_can_be_asked_for_in_any_order(scene):
    first = [scene.render(time_s, truth=True) for time_s in TIMES_S]
    again = [scene.render(time_s, truth=True) for time_s in reversed(TIMES_S)][::-1]
    for one, other in zip(first, again, strict=True):
        for name in ("color", "depth_m", "ids", "surface", "world_from_camera", "centers", "rotations"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    assert scene.checksum(1.3) == scene.checksum(1.3) != scene.checksum(1.4)


def test_a_scene_is_seen_with_its_actors(scene):
    """Two to fifteen people and animals, of whom the camera sees some; nothing is nearer than a lens can see."""
    actors = int(np.isin(scene.classes, (1, 2)).sum())
    assert 2 <= actors <= (15 if scene.activity in SIX else 40)
    seen = set()
    for time_s in (0.0, 2.0, 4.0):
        moment = scene.render(time_s, truth=True)
        seen |= set(np.unique(moment.ids)) - {0}
        assert seen <= set(scene.ids)
        known = moment.depth_m[np.isfinite(moment.depth_m)]
        assert known.min() > 0.2 and known.max() <= 80 and known.size > moment.depth_m.size / 5
        assert 15 < moment.color.mean() < 240 and moment.color.std() > 12
    assert len(seen) >= 2


def test_people_have_the_sizes_of_people():
    """Who stands is seen as tall as he is: the network's cue of a metre."""
    adults = []
    for activity in ("plaza", "dance", "room", "basketball"):
        for seed in range(2):
            world = activities.build(activity, np.random.default_rng((2, config.ACTIVITIES.index(activity), seed)))
            people = next(troupe for troupe in world.troupes if troupe.class_id == PERSON)
            stature_m = people.stature_m
            assert ((stature_m >= 1.0) & (stature_m <= 1.95)).all()
            adults += [s for s in stature_m if s >= 1.5]
    assert 1.64 < np.mean(adults) < 1.76 and np.std(adults) > 0.05


def test_views_of_a_scene_are_different_cameras_on_the_same_actors():
    opened = Scene("dance", 2, "test", 64, 48)
    first, lens = opened.render(0.5), opened.intrinsics
    opened.look(1)
    second = opened.render(0.5)
    opened.close()
    assert np.linalg.norm(first.world_from_camera[:3, 3] - second.world_from_camera[:3, 3]) > 0.3
    assert lens != opened.intrinsics
    moving = opened.instance_of > 0
    np.testing.assert_array_equal(first.centers[moving], second.centers[moving])


@pytest.mark.parametrize("name", paths.LENSES)
def test_a_lens_sees_no_more_than_its_maker_says(name):
    for width, height in ((640, 480), (848, 480), (1280, 720)):
        intrinsics = paths.lens(name, width, height)
        fov = [np.degrees(2 * np.arctan(n / 2 / f)) for n, f in ((width, intrinsics.fx), (height, intrinsics.fy))]
        assert all(seen <= limit + 1e-6 for seen, limit in zip(fov, paths.LENSES[name], strict=True))
        assert any(seen == pytest.approx(limit) for seen, limit in zip(fov, paths.LENSES[name], strict=True))


def on_mounts(mount: str, room_m: float = 1.5):
    """Cameras of twenty seeds."""
    for seed in range(20):
        path = paths.CameraPath(np.array([0.0, 0.0, 1.0]), np.array([5.0, 1.0, 1.0]))
        paths.moves(np.random.default_rng(seed), path, mount, 70.0, room_m)
        yield path


@pytest.mark.parametrize("mount", ("hand", "tripod", "robot"))
def test_cameras_move_as_what_carries_them(mount):
    """A tripod stays in its place; nothing jumps."""
    for path in on_mounts(mount):
        poses = np.stack([path.pose(t) for t in np.arange(0, 20, 0.02)])
        speed = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=-1) / 0.02
        turned = np.arccos(np.clip((poses[:-1, :3, 2] * poses[1:, :3, 2]).sum(-1), -1, 1)) / 0.02
        assert np.degrees(turned).max() < 60 and (np.abs(np.diff(speed)) < 0.25).all()
        assert mount != "tripod" or speed.max() < 1e-9


@pytest.mark.parametrize("room_m", (0.1, 0.8, 1.5, 4.0))
def test_robots_drive_at_their_speed(room_m):
    """0.3 to 1.5 m/s at their fastest, whatever room they have; their shaking comes on top."""
    fastest = []
    for path in on_mounts("robot", room_m):
        path.shake = 0.0
        times_s = np.linspace(0, 2 * np.pi / path.drive_rate, 200)
        places = np.stack([path.pose(t)[:3, 3] for t in times_s])
        fastest.append(np.linalg.norm(np.diff(places, axis=0), axis=-1).max() / times_s[1])
    assert 0.299 < min(fastest) and max(fastest) < 1.501
    assert max(fastest) > 1.5 * min(fastest)


def test_a_shutter_blurs_what_moves():
    sharp, blurred = (Scene("basketball", 1, "test", 320, 240, shutter_s=shutter_s) for shutter_s in (0.0, 0.1))
    one, other = sharp.render(3.0, truth=True), blurred.render(3.0, truth=True)
    sharp.close()
    blurred.close()
    np.testing.assert_array_equal(one.depth_m, other.depth_m)
    moved = sharp.moves[one.surface] & (one.surface >= 0)
    difference = np.abs(one.color.astype(int) - other.color).mean(-1)
    assert difference[moved].mean() > 2


@pytest.mark.parametrize("wrong, named", [(("ballet", 0), "basketball"), (("zoo", 0, "exam"), "train, val, test")])
def test_wrong_names_are_answered_with_the_right_ones(wrong, named):
    with pytest.raises(ValueError, match=named):
        Scene(*wrong)


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        print(json.dumps(checksums()))
    else:
        GOLDEN.write_text(json.dumps(checksums(), indent=1) + "\n")
        for activity in PICTURES:
            for file, image in zip(picture_files(activity), picture(activity), strict=True):
                cv2.imwrite(str(file), image[..., ::-1] if image.ndim == 3 else image)
