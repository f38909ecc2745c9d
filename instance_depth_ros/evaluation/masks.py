"""Average precision of instance masks, as COCO computes it (pycocotools)."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from itertools import pairwise

import numpy as np

from ..config import CLASSES
from .overlap import SMALL_PX, small_px

FIGURES = ("ap", "ap50", "ap50_hidden", "ap50_by_class", "ap50_by_size", "ap50_any_class")
SIZES_PX = {"small": 32**2, "medium": 96**2, "large": 1e9}  # up to which area, as COCO says, of 640x480
HIDDEN = (0.1, 0.5)  # visible shares of what counts as hidden


class MaskPrecision:
    """AP over IoU 0.50 to 0.95, AP50 of all, of each class, of sizes, of hidden ones, and with classes left aside.

    Of all candidates by their scores, as is the custom, not of those alone that pass a threshold and have an identity.
    True instances that are small (overlap.SMALL_PX) are neither to be found nor wrong when found, nor are small masks
    that fit nothing. For hidden ones, the same holds of all that are not; a mask that fits nothing is wrong in both.
    """

    def __init__(self):
        self._images, self._truths, self._found = [], [], []
        self._visible: list[float | None] = []
        self._small_px = 0.0

    def add(self, ids: np.ndarray, rows: list[dict], candidates: list[tuple[np.ndarray, int, float]]) -> None:
        """One frame. ids: (H, W) true ids; rows: the instances of its line in frames.jsonl; candidates: (mask (H, W)
        bool, class_id, score)."""
        image = len(self._images) + 1
        height, width = ids.shape
        self._images.append({"id": image, "height": height, "width": width})
        self._small_px = small_px(ids.shape)
        rows = [row for row in rows if row["area"]]
        true = [ids == row["id"] for row in rows]
        for row, mask in zip(rows, _coded(true, ids.shape), strict=True):
            self._truths.append(_one(self._truths, image, mask, CLASSES.index(row["class"])))
            self._visible.append(row.get("visible"))
        found = _coded([mask for mask, _, _ in candidates], ids.shape)
        for (_, class_id, score), mask in zip(candidates, found, strict=True):
            self._found.append(_one(self._found, image, mask, class_id) | {"score": score})

    def result(self) -> dict:
        """Figures by the names FIGURES; None where there is no true instance."""
        if not self._images:
            return dict.fromkeys(FIGURES)
        precision, *sizes = self._precision(self._truths)  # (IoU, recall, class) each
        hidden = [
            truth | {"area": truth["area"] if visible is not None and HIDDEN[0] <= visible <= HIDDEN[1] else 0.0}
            for truth, visible in zip(self._truths, self._visible, strict=True)
        ]
        by_class = {name: _mean(precision[0, :, k]) for k, name in enumerate(CLASSES[1:])}
        by_size = {name: _mean(one[0]) for name, one in zip(SIZES_PX, sizes, strict=True)}
        ap50_hidden = _mean(self._precision(hidden)[0][0])
        any_class = _mean(self._precision(self._truths, classes=False)[0][0])
        figures = _mean(precision), _mean(precision[0]), ap50_hidden, by_class, by_size, any_class
        return dict(zip(FIGURES, figures, strict=True))

    def _precision(self, truths: list[dict], classes: bool = True) -> list[np.ndarray]:
        """(IoU, recall, class) of all sizes, and of each of SIZES_PX."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        data = []
        with redirect_stdout(io.StringIO()):
            for masks in (truths, self._found):
                data.append(COCO())
                # COCO writes into what it is given
                data[-1].dataset = {"images": self._images, "annotations": [dict(mask) for mask in masks]}
                data[-1].dataset["categories"] = [{"id": k, "name": n} for k, n in enumerate(CLASSES) if k]
                data[-1].createIndex()
            judge = COCOeval(*data, "segm")
            unit = self._small_px / SMALL_PX
            limits = [self._small_px, *(most * unit for most in SIZES_PX.values())]
            judge.params.areaRng = [[self._small_px, 1e10], *map(list, pairwise(limits))]
            judge.params.areaRngLbl = ["judged", *SIZES_PX]
            judge.params.useCats = int(classes)
            judge.evaluate()
            judge.accumulate()
        return list(np.moveaxis(judge.eval["precision"][..., -1], -1, 0))


def _mean(precision: np.ndarray) -> float | None:
    """-1 stands where there is nothing to find."""
    known = precision[precision > -1]
    return float(known.mean()) if known.size else None


def _coded(masks: list[np.ndarray], size: tuple[int, int]) -> list[dict]:
    """What is known of each of these (H, W) masks as COCO has it: its code and area."""
    try:
        from pycocotools import mask
    except ImportError:
        raise RuntimeError("AP needs pycocotools: pip install 'instance_depth_ros[evaluation]'") from None
    # columns first, as its codes run
    stack = np.empty((*size, len(masks)), np.uint8, order="F")
    for place, one in enumerate(masks):
        stack[..., place] = one
    codes = mask.encode(stack) if masks else []
    return [{"segmentation": code, "area": float(mask.area(code)), "iscrowd": 0} for code in codes]


def _one(before: list, image: int, mask: dict, class_id: int) -> dict:
    return mask | {"id": len(before) + 1, "image_id": image, "category_id": class_id}
