"""Depth of instances: how far, and which is before which."""

from __future__ import annotations

import numpy as np

from ..frame import Instance
from ..geometry import valid
from .overlap import Overlap, small_px
from .parts import bordering_pairs, hiding_pairs


class InstanceDepth:
    """Depth error of instances, and the order of pairs of which one hides the other.

    Pairs are judged where truth is clear: both are not small, only one hides the other, and its mean depth is the
    nearer. An estimate's order is that of its mean depths in both true masks; the heuristic says that the box that
    reaches lower in the picture is nearer (half right where they reach equally low). Shares of all pairs of all frames.
    On a robot nobody has true masks and boxes: of pairs of which both are found, the same by what was told of them.
    """

    def __init__(self):
        self._right = {"": [], "_heuristic": [], "_unrefined": [], "_found": [], "_found_heuristic": []}
        self._in_masks, self._layers, self._within_sigma = [], [], []

    def add(
        self,
        ids: np.ndarray,
        rows: list[dict],
        truth_m: np.ndarray,
        prediction_m: np.ndarray,
        unrefined_m: np.ndarray | None = None,
        overlap: Overlap | None = None,
    ) -> None:
        """One frame. ids: (H, W) true ids; rows: its line in frames.jsonl; depths (H, W); unrefined_m None: not known.

        overlap: which of them the estimate found. Where rows lack `hides`, pairs are those of which it shows at their
        border.
        """
        truth = _mean_depths(ids, truth_m, truth_m)
        depths = {"": _mean_depths(ids, truth_m, prediction_m)}
        if unrefined_m is not None:
            depths["_unrefined"] = _mean_depths(ids, truth_m, unrefined_m)
        judged = {row["id"]: row for row in rows if row["area"] >= small_px(ids.shape) and row["id"] < len(truth)}
        self._in_masks += [_error(depths[""][who], truth[who]) for who in judged]
        same = overlap.same if overlap else []
        self._add_layers(same)
        found = {row["id"]: instance for row, instance in same}
        known = hiding_pairs(rows)
        pairs = set(bordering_pairs(ids, truth_m) if known is None else known)
        for a, b in sorted(pairs):
            if not {a, b} <= judged.keys() or (b, a) in pairs or not truth[a] < truth[b]:
                continue
            for name, depth_m in depths.items():
                self._right[name].append(float(depth_m[a] < depth_m[b]))
            self._right["_heuristic"].append(_lower(judged[a]["box"], judged[b]["box"]))
            if {a, b} <= found.keys():
                self._right["_found"].append(float(found[a].depth_m < found[b].depth_m))
                self._right["_found_heuristic"].append(_lower(found[a].box_px, found[b].box_px))

    def _add_layers(self, same: list[tuple[dict, Instance]]) -> None:
        """The depth layers that the estimate tells of the instances found (IoU above 0.5)."""
        for row, instance in same:
            if row["depth_m"]:
                self._layers.append(_error(instance.depth_m, row["depth_m"]))
                self._within_sigma.append(float(abs(instance.depth_m - row["depth_m"]) <= instance.sigma_m))

    def result(self) -> dict:
        """order_accuracy (and _heuristic, _unrefined, _found, _found_heuristic), order_pairs (and _found).

        instance_rel: relative error of the mean depth in true masks; layer_rel: of the depth layer of instances found;
        layer_within_sigma: 0.68 if sigma is honest.
        """
        return {f"order_accuracy{name}": _mean(right) for name, right in self._right.items()} | {
            "order_pairs": len(self._right[""]),
            "order_pairs_found": len(self._right["_found"]),
            "instance_rel": _mean(self._in_masks),
            "layer_rel": _mean(self._layers),
            "layer_within_sigma": _mean(self._within_sigma),
        }


def _mean_depths(ids: np.ndarray, truth_m: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
    """(largest id + 1,) mean depth of each id's pixels of known truth; NaN where there is none."""
    known = ids.nonzero()
    who, depth_m, truth_m = ids[known], depth_m[known], truth_m[known]
    both = valid(depth_m) & valid(truth_m)
    counts, sums = (np.bincount(who[both], weights) for weights in (None, depth_m[both]))
    means = np.full(int(ids.max(initial=0)) + 1, np.nan)
    means[: len(counts)] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means


def _lower(box: tuple, other: tuple) -> float:
    """1 where the first box reaches lower in the picture, 0 where the second does, 0.5 where neither."""
    (_, y, _, h), (_, other_y, _, other_h) = box, other
    return 0.5 * (1 + np.sign(y + h - other_y - other_h))


def _error(depth_m: float, truth_m: float) -> float:
    return abs(depth_m - truth_m) / truth_m


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None
