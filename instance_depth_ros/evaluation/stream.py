"""A clip through an estimator, frame by frame, with the truth beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .. import sightings
from ..datasets.clips import Footage
from ..datasets.film import Film
from ..estimator import Estimator, State
from ..frame import Estimate, Frame
from ..geometry import floor_of, valid
from ..model.scene_cut import thumbnail

# Dear figures are of the last frame of every five, and of it and the one before: in a clip's first frame nothing has
# an identity yet.
EVERY = 5
LAYERS = ("color", "ids", "static")
LEAST_SCORE = 0.02  # of candidates: less certain ones do not move AP


@dataclass(frozen=True)
class Moment:
    """One frame of a clip, what is true of it, and what was estimated.

    truth_m: (H, W) metres, NaN unknown. ids, static: (H, W), None where the clip has none. rows: the instances of its
    line in frames.jsonl. world_from_camera: (4, 4) or None. sampled: the last of every EVERY frames, or of a shorter
    clip. Of those, unrefined_m: depth without refinement by instances, and candidates: (mask, class_id, score) of all
    that may be an instance, before the threshold and without tracking; of those and the ones before them, alone_m:
    depth without memory; None where it was not asked for. Where sensor depth was given: measured (H, W) bool, and of
    sampled frames unfused_m: depth by colour alone.
    """

    index: int
    sampled: bool
    stamp_s: float
    color: np.ndarray
    truth_m: np.ndarray
    ids: np.ndarray | None
    static: np.ndarray | None
    rows: list[dict]
    world_from_camera: np.ndarray | None
    estimate: Estimate
    unrefined_m: np.ndarray | None
    alone_m: np.ndarray | None
    candidates: list[tuple[np.ndarray, int, float]] | None
    measured: np.ndarray | None = None
    unfused_m: np.ndarray | None = None


def moments(
    estimator: Estimator,
    footage: Footage,
    indices: Sequence[int],
    without_memory: bool = False,
    given: Sequence[str] = (),
) -> Iterator[Moment]:
    """These frames of a clip as one stream; the estimator is given colours and lens alone.

    given: 'sensor' depth, and the true 'floor', as well. With instances: topic it is given the true id images, too, as
    those of a perfect source.
    """
    truth = "truth_m" if "truth_m" in footage.layers else "depth_m"
    layers = [truth, *(name for name in LAYERS if name in footage.layers)]
    if isinstance(footage, Film):
        layers.append("amodal")  # a film's rows say who hides whom only then
    if "sensor" in given:
        layers.append("depth_m")
    given_ids = estimator.settings.instances == "topic"
    if given_ids and "ids" not in footage.layers:
        raise ValueError(f"instances: topic needs true ids, which {footage.about['name']} lacks; take network or none")
    state, refines, before = None, True, -1
    last = min(EVERY, len(indices)) - 1
    for index in indices:
        place = index % EVERY
        shot = footage.read(index, layers)
        ids = shot.get("ids")
        frame = Frame(
            shot["color"],
            shot["stamp_ns"],
            intrinsics=footage.intrinsics,
            ids=ids if given_ids else None,
            depth_m=shot["depth_m"] if "sensor" in given else None,
            floor=_floor(shot.get("world_from_camera")) if "floor" in given else None,
        )
        unrefined_m = alone_m = unfused_m = None
        if state is not None and index - 1 != before:
            state = _leapt(state, frame)
        before = index
        if place == last and refines:
            unrefined_m = _otherwise(estimator, frame, state, rectify=False)
        if place == last and "sensor" in given:
            unfused_m = _otherwise(estimator, frame, state, fuse="off", scale_anchors="")
        if without_memory and place in (last - 1, last):
            alone_m = estimator.step(frame)[0].depth_m
        estimate, state = estimator.step(frame, state)
        refines = estimate.ids is not None
        yield Moment(
            index,
            place == last,
            shot["stamp_ns"] / 1e9,
            shot["color"],
            shot[truth],
            ids,
            shot.get("static"),
            shot["instances"],
            shot.get("world_from_camera"),
            estimate,
            unrefined_m if refines else None,
            alone_m,
            _candidates(estimator, estimate) if place == last and refines else None,
            valid(frame.depth_m) if "sensor" in given else None,
            unfused_m,
        )


def _leapt(state: State, frame: Frame) -> State:
    """The state of a stream of which some frames were left out before this one, which goes on with its memory."""
    view = thumbnail(frame.color)
    unknown = dict.fromkeys(("grey", "still", "world_from_camera", "seen"))
    return replace(state, stamp_ns=frame.stamp_ns, thumbnail=view, **unknown)


def _candidates(estimator: Estimator, estimate: Estimate) -> list[tuple[np.ndarray, int, float]]:
    """Of the frame just estimated; of instances from elsewhere, those that were told."""
    if estimator.instances == "network":
        return sightings.candidates(estimator.said.instances, LEAST_SCORE, estimate.ids.shape)
    return [(estimate.ids == one.pixel, one.class_id, one.score) for one in estimate.instances]


def _otherwise(estimator: Estimator, frame: Frame, state: State | None, **live) -> np.ndarray | None:
    """The same frame from a fork of the state with other live settings; None where they are so anyway."""
    settings = vars(estimator.settings)
    usual = {name: settings[name] for name in live}
    if usual == live:
        return None
    settings.update(live)
    try:
        return estimator.step(frame, state.clone() if state else None)[0].depth_m
    finally:
        settings.update(usual)


def _floor(world_from_camera: np.ndarray | None) -> np.ndarray | None:
    """Of simulated scenes the ground is where the world's z is 0."""
    return None if world_from_camera is None else floor_of(world_from_camera)
