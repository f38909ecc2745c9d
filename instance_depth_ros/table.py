"""The table of instances as it travels in a PointCloud2: one point an instance."""

from __future__ import annotations

import cv2
import numpy as np

from .frame import Instance

# Its place is that of its visible points.
PLACE, SIZE = ("x", "y", "z"), ("size_x", "size_y", "size_z")
REST = ("id", "pixel", "class_id", "score", "depth_m", "sigma_m", "visible", "hidden_by", "age_s")
_INTEGERS = {"id": "<u4", "pixel": "<u2", "class_id": "<u2", "hidden_by": "<u4"}
ROW = np.dtype([(name, _INTEGERS.get(name, "<f4")) for name in (*PLACE, *SIZE, *REST)])


def table_from_instances(instances: tuple[Instance, ...]) -> np.ndarray:
    """(N,) of ROW, in the order of the instances."""
    rest = [tuple(getattr(instance, name) for name in REST) for instance in instances]
    rows = [(*i.center_m, *i.size_m, *more) for i, more in zip(instances, rest, strict=True)]
    return np.array(rows, ROW)


def instances_from_table(message, ids: np.ndarray) -> tuple[Instance, ...]:
    """What table_from_instances() was made of; boxes come from the id image (H, W) of the same moment."""
    rows = np.frombuffer(message.data, ROW)
    return tuple(
        Instance(
            **{name: row[name].item() for name in REST},
            box_px=tuple(cv2.boundingRect((ids == row["pixel"]).view(np.uint8))),
            center_m=tuple(row[name].item() for name in PLACE),
            size_m=tuple(row[name].item() for name in SIZE),
        )
        for row in rows
    )
