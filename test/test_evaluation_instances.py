"""Masks, identities and depth of made-up instances: right ones score full, known faults what they cost by hand."""

import sys

import numpy as np
import pytest

from instance_depth_ros.config import CLASSES
from instance_depth_ros.evaluation.identities import Identities, Sight, occlusions
from instance_depth_ros.evaluation.instance_depth import InstanceDepth
from instance_depth_ros.evaluation.masks import MaskPrecision
from instance_depth_ros.evaluation.overlap import overlap, small_px
from instance_depth_ros.frame import Estimate, Instance
from instance_depth_ros.geometry import Intrinsics

pytest.importorskip("pycocotools")
pytest.importorskip("trackeval.metrics")
SIZE = (96, 128)
LENS = Intrinsics.from_fov(SIZE[1], SIZE[0], 60)


def row(who, box, kind="person", visible=1.0, hides=(), depth_m=5.0):
    x, y, w, h = box
    about = {"visible": visible, "hides": None if hides is None else list(hides), "depth_m": depth_m}
    return {"id": who, "class": kind, "box": list(box), "area": w * h, **about}


def told(who, box, kind="person", score=0.9, depth_m=5.0, sigma_m=0.1, pixel=None):
    return Instance(
        who, pixel or who, CLASSES.index(kind), score, depth_m, sigma_m, 1.0, 0, 0.0, box, (0, 0, 5), (1, 1, 1)
    )


def drawn(instances):
    """(H, W) uint16: boxes of rows or Instances."""
    ids = np.zeros(SIZE, np.uint16)
    for one in instances:
        number, box = (one["id"], one["box"]) if isinstance(one, dict) else (one.pixel, one.box_px)
        x, y, w, h = box or (0, 0, 0, 0)
        ids[y : y + h, x : x + w] = number
    return ids


def estimate(*instances, depth_m=None):
    nothing = np.zeros(SIZE, np.uint8)
    depth_m = np.full(SIZE, 5.0, np.float32) if depth_m is None else depth_m
    return Estimate(0, "", LENS, depth_m, nothing, nothing, ids=drawn(instances), instances=instances)


A, B, C = (10, 10, 20, 20), (50, 10, 20, 20), (90, 50, 20, 20)
TRUE = [row(1, A), row(2, B, "ball")]
FOUND = [told(7, A), told(8, B, "ball")]


def precision(*frames):
    masks = MaskPrecision()
    for rows, found in frames:
        masks.add(drawn(rows), rows, [(drawn([one]) > 0, one.class_id, one.score) for one in found])
    return masks.result()


def test_masks_overlap_as_counted_by_hand():
    found = (told(7, (15, 10, 20, 20), pixel=60_000), told(8, (70, 70, 1, 2)))
    matched = overlap(drawn(TRUE), [*TRUE, row(9, (0, 0, 0, 0))], estimate(*found))
    np.testing.assert_allclose(matched.iou, [[300 / 500, 0], [0, 0]])
    np.testing.assert_allclose(matched.of_found, [[300 / 400, 0], [0, 0]])
    assert [(r["id"], i.id) for r, i in matched.same] == [(1, 7)]
    assert matched.judged.all() and matched.small.tolist() == [False, True]
    assert small_px((480, 640)) == 64
    assert overlap(np.zeros(SIZE, np.uint16), [], estimate()).iou.shape == (0, 0)


def test_perfect_masks_have_full_precision():
    result = precision((TRUE, FOUND), (TRUE[:1], FOUND[:1]), ([], []))
    by_class = result["ap50_by_class"]
    figures = result["ap"], result["ap50"], result["ap50_any_class"], by_class["person"], by_class["ball"]
    assert figures == pytest.approx(np.ones(5)) and by_class["vehicle"] is None
    assert result["ap50_hidden"] is None  # nobody is
    assert set(precision().values()) == {None}


def test_a_shifted_mask_is_right_up_to_its_iou():
    """5 of 30 columns aside: IoU 25 / 35, right for 0.50 to 0.70 of the ten thresholds."""
    result = precision(([row(1, (10, 10, 30, 20))], [told(7, (15, 10, 30, 20))]))
    assert (result["ap"], result["ap50"]) == pytest.approx((0.5, 1))


def test_a_wrong_class_and_a_sure_false_mask_cost_precision():
    result = precision((TRUE, [told(7, A), told(8, B, "animal")]))
    assert result["ap50_by_class"]["ball"] == 0 and result["ap50"] == pytest.approx(0.5)
    assert result["ap50_any_class"] == pytest.approx(1)
    result = precision((TRUE[:1], [FOUND[0], told(9, C, score=0.95)]))
    assert result["ap50"] == pytest.approx(0.5)  # the first of two is wrong


def test_small_instances_are_neither_to_be_found_nor_wrong():
    speck = (100, 80, 1, 2)  # 2 of 12,288 pixels; 2.56 are judged
    assert precision(([*TRUE, row(3, speck)], FOUND))["ap50"] == pytest.approx(1)
    assert precision((TRUE, [*FOUND, told(9, speck, score=0.99)]))["ap50"] == pytest.approx(1)
    assert precision(([*TRUE, row(3, speck)], [*FOUND, told(9, speck, score=0.99)]))["ap50"] == pytest.approx(1)


def test_sizes_are_those_of_coco_and_a_mask_of_another_size_is_not_wrong():
    """At 128x96 a pixel counts for 25: 20x20 are large, 5x5 small."""
    small = row(3, (100, 80, 5, 5))
    result = precision(([*TRUE, small], [*FOUND, told(9, C, score=0.95)]))
    by_size = result["ap50_by_size"]
    assert by_size["small"] == 0 and by_size["large"] == pytest.approx(0.75) and by_size["medium"] is None


def test_a_candidate_counts_by_its_score_alone():
    """A right one less sure than a false one of its class: precision 1/2 at full recall."""
    result = precision((TRUE[:1], [told(7, A, score=0.03), told(9, C, score=0.9)]))
    assert result["ap50"] == pytest.approx(0.5)


def test_hidden_are_those_of_which_10_to_50_percent_are_seen():
    rows = [row(1, A, visible=0.3), row(2, B, visible=0.05), row(3, C, visible=0.9)]
    assert precision((rows, [told(1, A)]))["ap50_hidden"] == pytest.approx(1)
    result = precision((rows, [told(2, B), told(3, C)]))
    assert result["ap50_hidden"] == 0 and result["ap50"] == pytest.approx(67 / 101)  # recall 2 / 3 of 101 steps


def followed(*frames, fps=10.0):
    identities = Identities()
    for index, (rows, found) in enumerate(frames):
        matched = overlap(drawn(rows), rows, estimate(*found))
        identities.add("clip", index / fps, rows, matched, SIZE)
    return identities.result()


def test_lasting_ids_score_full():
    result = followed(*[(TRUE, FOUND)] * 10)
    assert result["idf1"] == result["hota"] == pytest.approx(1) and result["id_switches"] == 0
    assert result["ids_kept_over_s"] == {"1": None, "3": None, "10": None}
    assert set(Identities().result().values()) == {None}


def test_swapped_ids_cost_half_of_idf1_and_two_switches():
    """After half of ten frames two swap ids: each track fits 5 of its 10 frames, and association is 5 / (5 + 5 + 5)."""
    swapped = [told(8, A), told(7, B, "ball")]
    result = followed(*[(TRUE, FOUND)] * 5, *[(TRUE, swapped)] * 5)
    assert result["idf1"] == pytest.approx(0.5) and result["id_switches"] == 2
    assert result["hota"] == pytest.approx(np.sqrt(1 / 3)) and result["hota_detection"] == pytest.approx(1)


def test_unfound_and_invented_instances_cost_idf1():
    assert followed(*[(TRUE, FOUND[:1])] * 4)["idf1"] == pytest.approx(2 * 4 / (8 + 4))
    assert followed(*[(TRUE[:1], [FOUND[0], told(9, C)])] * 4)["idf1"] == pytest.approx(2 * 4 / (4 + 8))
    nothing = followed(*[(TRUE, [])] * 4)
    assert (nothing["idf1"], nothing["hota"], nothing["id_switches"]) == (0, 0, 0)


def test_what_is_small_is_left_aside_by_identities():
    speck = row(3, (100, 80, 1, 2))
    assert followed(*[([*TRUE, speck], [*FOUND, told(9, (100, 80, 1, 2))])] * 4)["idf1"] == pytest.approx(1)
    assert followed(*[(TRUE, [*FOUND, told(9, (100, 80, 1, 2))])] * 4)["idf1"] == pytest.approx(1)


@pytest.mark.parametrize(("comes_back_as", "share"), [(7, 1.0), (9, 0.0), (None, 0.0)])
def test_identity_over_a_full_occlusion_of_a_second(comes_back_as, share):
    gone = {**row(1, (0, 0, 0, 0), visible=0.0), "box": None}
    back = [] if comes_back_as is None else [told(comes_back_as, A)]
    result = followed(*[(TRUE[:1], FOUND[:1])] * 5, *[([gone], [])] * 10, *[(TRUE[:1], back)] * 5)
    assert result["ids_kept_over_s"] == {"1": share, "3": None, "10": None}
    assert result["occlusions_s"] == {"1": 1, "3": 0, "10": 0}


def story(text, same="11", at_border=False):
    """s seen, h hidden, - between, . absent; ids before and after the first gap."""
    first, then, frames = int(same[0]), int(same[1]), []
    for index, state in enumerate(text):
        who = (first if index < len(text) / 2 else then) or None
        sight = {
            "s": Sight("seen", who, at_border),
            "h": Sight("hidden", None, False),
            "-": Sight("between", None, False),
        }
        frames.append({1: sight[state]} if state != "." else {})
    return frames


def gaps(text, *about, **more):
    return occlusions(story(text, *about, **more), [n / 10 for n in range(len(text))], "h" in text)


def test_which_gaps_are_full_occlusions():
    assert gaps("sss-hhhhhhhhhh--sss") == [(pytest.approx(1.0), True)]
    assert gaps("ssshhhhhhhhhhsss", "12") == [(pytest.approx(1.0), False)]
    assert gaps("ssshhhhhhhhhhsss", "02") == []  # it never had an id
    assert gaps("ssshhhh...hhhsss") == []  # it left the picture
    assert gaps("sss-------sss") == []  # never fully hidden
    assert gaps("ssshhhhhhhhhhs---------") == []  # hardly seen when it comes back
    # nothing is known of the hidden: an absence away from the border is an occlusion
    assert gaps("sss..........sss") == [(pytest.approx(1.0), True)]
    assert gaps("sss..........sss", at_border=True) == []
    assert gaps("sss" + 100 * "h" + "sss") == [(pytest.approx(10.0), True)]


def test_order_and_depth_of_instances_by_hand():
    """1 hides 2 and 3, and reaches lower than 2 alone; refined depth has one pair right, unrefined both."""
    rows = [row(1, A, hides=[2, 3], depth_m=2.0), row(2, B, depth_m=4.0), row(3, C, depth_m=8.0)]
    rows[1]["box"] = [50, 5, 20, 20]
    ids, truth = drawn(rows), np.full(SIZE, 20.0, np.float32)
    for who, depth in ((1, 2.0), (2, 4.0), (3, 8.0)):
        truth[ids == who] = depth
    refined = truth.copy()
    refined[ids == 1] = 5.0
    depth = InstanceDepth()
    assert depth.result()["order_accuracy"] is None
    depth.add(ids, rows, truth, refined, truth)
    result = depth.result()
    assert (result["order_accuracy"], result["order_accuracy_unrefined"]) == (0.5, 1.0)
    assert (result["order_accuracy_heuristic"], result["order_pairs"]) == (0.5, 2)
    assert result["instance_rel"] == pytest.approx((1.5 + 0 + 0) / 3)
    assert result["order_pairs_found"] == 0 and result["order_accuracy_found"] is None


def test_order_and_layers_of_what_was_found():
    """1 hides 2 and 3, which is not found."""
    rows = [row(1, A, hides=[2, 3], depth_m=2.0), row(2, B, depth_m=4.0), row(3, C, depth_m=8.0)]
    ids, truth = drawn(rows), np.full(SIZE, 20.0, np.float32)
    for who, depth_m in ((1, 2.0), (2, 4.0), (3, 8.0)):
        truth[ids == who] = depth_m
    found = told(7, A, depth_m=2.2, sigma_m=0.3), told(8, B, depth_m=3.0, sigma_m=0.3)
    depth = InstanceDepth()
    depth.add(ids, rows, truth, truth, overlap=overlap(ids, rows, estimate(*found)))
    result = depth.result()
    assert result["layer_rel"] == pytest.approx((0.1 + 0.25) / 2) and result["layer_within_sigma"] == 0.5
    assert (result["order_pairs"], result["order_pairs_found"], result["order_accuracy_found"]) == (2, 1, 1.0)
    low_a, low_b = (box[1] + box[3] for box in (A, B))
    assert result["order_accuracy_found_heuristic"] == (1 + np.sign(low_a - low_b)) / 2


def test_pairs_of_no_clear_order_are_not_judged():
    ids, truth = drawn([row(1, A), row(2, B)]), np.full(SIZE, 5.0, np.float32)
    truth[ids == 1] = 4.0
    each_other = [row(1, A, hides=[2]), row(2, B, hides=[1])]
    farther_hides = [row(1, A), row(2, B, hides=[1])]
    unknown = [row(1, A, hides=None), row(2, B, hides=None)]
    unseen = [row(1, A, hides=[3]), row(2, B), row(3, (0, 0, 0, 0))]
    for rows in (each_other, farther_hides, unknown, unseen):
        depth = InstanceDepth()
        depth.add(ids, rows, truth, truth)
        assert depth.result()["order_pairs"] == 0
    depth.add(ids, [row(1, A, hides=[2]), row(2, B)], truth, np.full(SIZE, np.nan, np.float32))
    assert depth.result()["order_accuracy"] == 0.0  # nothing said is not right


def test_missing_libraries_are_named(monkeypatch):
    for module, follow in (("pycocotools", precision), ("trackeval.metrics", followed)):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(RuntimeError, match="pip install"):
            follow((TRUE, FOUND))
