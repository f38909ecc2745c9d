"""Which estimated instance is which true one, in one frame: the ground of all that is said of masks and identities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..frame import Estimate, Instance

SMALL_PX = 64  # of a picture of 640x480; instances seen by less are not judged
SAME_IOU = 0.5


def small_px(size: tuple[int, int]) -> float:
    """SMALL_PX for a picture of this (height, width)."""
    return SMALL_PX * size[0] * size[1] / (640 * 480)


@dataclass(frozen=True)
class Overlap:
    """rows: n true instances that are seen (lines of frames.jsonl); found: m estimated ones; iou: (n, m).

    of_found: (n, m), share of an estimated mask that lies in a true one. judged: (n,) bool: not small; small: (m,).
    """

    rows: list[dict]
    found: tuple[Instance, ...]
    iou: np.ndarray
    of_found: np.ndarray
    judged: np.ndarray
    small: np.ndarray

    @property
    def same(self) -> list[tuple[dict, Instance]]:
        """Judged true instances and what was found of them; masks do not overlap, so nothing is found twice."""
        pairs = np.argwhere((self.iou > SAME_IOU) & self.judged[:, None])
        return [(self.rows[n], self.found[m]) for n, m in pairs]


def overlap(ids: np.ndarray, rows: list[dict], estimate: Estimate) -> Overlap:
    """ids: (H, W) true ids; rows: the instances of that frame's line; estimate with ids, the same size."""
    rows, found = [row for row in rows if row["area"]], estimate.instances
    true = _places(ids, [row["id"] for row in rows])
    here = _places(estimate.ids, [instance.pixel for instance in found])
    shape = len(rows) + 1, len(found) + 1
    both = np.bincount((true * shape[1] + here).ravel(), minlength=shape[0] * shape[1]).reshape(shape)
    areas_px, found_px = both.sum(1)[1:], both.sum(0)[1:]
    both = both[1:, 1:]
    union = areas_px[:, None] + found_px - both
    iou, of_found = both / np.maximum(union, 1), both / np.maximum(found_px, 1)
    least_px = small_px(ids.shape)
    return Overlap(rows, found, iou, of_found, areas_px >= least_px, found_px < least_px)


def _places(ids: np.ndarray, numbers: list[int]) -> np.ndarray:
    """(H, W) intp: place in the list, from 1 on; 0 for others."""
    table = np.zeros(max([int(ids.max(initial=0)), *numbers]) + 1, np.intp)
    table[numbers] = np.arange(1, len(numbers) + 1)
    return table[ids]
