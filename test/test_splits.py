"""The frozen splits have nothing in common: neither scenes nor textures nor people."""

import hashlib
from collections import defaultdict

import numpy as np
import pytest

from instance_depth_ros import config
from instance_depth_ros.datasets.splits import split_clips

try:
    from instance_depth_ros.simulation import activities
    from instance_depth_ros.simulation.actors.script import Script
    from instance_depth_ros.simulation.scene import SPLITS
    from instance_depth_ros.simulation.world import PERSON
except RuntimeError as error:
    pytest.skip(str(error), allow_module_level=True)


def first_scenes() -> set[tuple[str, str, int]]:
    """(split, activity, seed) of the first seed of each activity of each split, of train the first two."""
    found = defaultdict(list)
    for name in config.SPLITS:
        for scene in dict.fromkeys(clip.scene for clip in split_clips(name)):
            found[name, scene[1]].append(scene)
    return {scene for scenes in found.values() for scene in scenes[: 1 + (scenes[0][0] == "train")]}


def marks(split: str, activity: str, seed: int) -> tuple[set[str], set[float]]:
    """What makes a scene's textures and people known again; the scene is built, not drawn."""
    rng = np.random.default_rng((SPLITS.index(split), config.ACTIVITIES.index(activity), seed))
    world = activities.build(activity, rng)
    for troupe in world.troupes:
        troupe.dress(world.stage, rng)
    textures = {hashlib.sha256(image).hexdigest() for image in world.stage.images if image.std((0, 1)).max() > 1}
    statures = [troupe.stature_m for troupe in world.troupes if troupe.class_id == PERSON]
    return textures, {float(s) for s in np.concatenate([*statures, []]) if 1.0 < s < 1.95 and s != 1.5}


def test_splits_and_seeds_share_no_texture_and_no_person(monkeypatch):
    """The train, val and test scenes of all activities of the frozen splits, the first of each."""
    monkeypatch.setattr(Script, "settle", lambda *_: None)  # the longest; how they walk past each other tells nobody
    seen, of = set(), defaultdict(int)
    for split, activity, seed in sorted(first_scenes()):
        textures, people = marks(split, activity, seed)
        assert len(textures) > 5 and not (textures | people) & seen, (split, activity, seed)
        seen |= textures | people
        of[split] += len(people)
    assert min(of[split] for split in SPLITS) > 50


def test_the_frozen_splits_have_no_scene_in_common():
    scenes = [{clip.scene for clip in split_clips(name)} for name in config.SPLITS]
    assert len(set.union(*scenes)) == sum(len(of_one) for of_one in scenes)
    assert {activity for _, activity, _ in set.union(*scenes)} == set(config.ACTIVITIES)
