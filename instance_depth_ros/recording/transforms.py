"""What /tf and /tf_static of a bag say: where one frame was in another, at a time."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable

import cv2
import numpy as np

from ..image_encodings import matrix_from_transform, stamp_ns

TF = "tf2_msgs/msg/TFMessage"
# Of REP 105 and RViz: what stands still while a camera moves.
FIXED = ("map", "odom", "world")
# Between transforms farther apart nothing is known.
GAP_NS = 1_000_000_000


class Transforms:
    """Frames form a tree; a link between two of them is static, or of moments between which it is interpolated.

    messages: (topic, tf2_msgs/TFMessage), of which those whose topic ends in tf_static are static.
    """

    def __init__(self, messages: Iterable[tuple[str, object]]):
        self._parents: dict[str, str] = {}
        self._static: dict[str, np.ndarray] = {}
        times, poses = defaultdict(lambda: array("q")), defaultdict(lambda: array("d"))
        for topic, message in messages:
            for one in message.transforms:
                child = one.child_frame_id.lstrip("/")
                self._parents[child] = one.header.frame_id.lstrip("/")
                if topic.endswith("tf_static"):
                    self._static[child] = matrix_from_transform(one.transform)
                else:
                    times[child].append(stamp_ns(one))
                    poses[child].extend(matrix_from_transform(one.transform)[:3].ravel())
        self._moving = {child: _in_order(times[child], poses[child]) for child in times.keys() - self._static.keys()}

    def at(self, target: str, source: str, at_ns: int) -> np.ndarray | None:
        """(4, 4) target_from_source; None where it is not known then."""
        ways = [self._up(frame.lstrip("/"), at_ns) for frame in (target, source)]
        for frame, root_from_target in ways[0].items():
            if frame in ways[1]:
                return np.linalg.inv(root_from_target) @ ways[1][frame]
        return None

    def fixed_above(self, frame: str) -> str:
        """The root above a frame where it is one that stands still, by name; else ''."""
        frame, seen = frame.lstrip("/"), set()
        while frame in self._parents and frame not in seen:
            seen.add(frame)
            frame = self._parents[frame]
        return frame if seen and frame.rpartition("/")[2] in FIXED else ""

    def _up(self, frame: str, at_ns: int) -> dict[str, np.ndarray]:
        """The frames above one, itself included, as far as they are known: each with ITS_from_frame (4, 4)."""
        pose, way = np.eye(4), {frame: np.eye(4)}
        while frame in self._parents and self._parents[frame] not in way:
            step = self._static[frame] if frame in self._static else self._moved(frame, at_ns)
            if step is None:
                break
            pose, frame = step @ pose, self._parents[frame]
            way[frame] = pose
        return way

    def _moved(self, child: str, at_ns: int) -> np.ndarray | None:
        times, poses = self._moving[child]
        after = int(np.searchsorted(times, at_ns))
        if after < len(times) and times[after] == at_ns:
            return _pose(poses[after])
        if not 0 < after < len(times) or times[after] - times[after - 1] > GAP_NS:
            return None
        one, other = _pose(poses[after - 1]), _pose(poses[after])
        share = (at_ns - times[after - 1]) / (times[after] - times[after - 1])
        turn = cv2.Rodrigues(one[:3, :3].T @ other[:3, :3])[0]
        pose = np.eye(4)
        pose[:3, :3] = one[:3, :3] @ cv2.Rodrigues(turn * share)[0]
        pose[:3, 3] = one[:3, 3] + share * (other[:3, 3] - one[:3, 3])
        return pose


def _in_order(times: array, poses: array) -> tuple[np.ndarray, np.ndarray]:
    """(n,) nanoseconds, rising, and (n, 3, 4)."""
    times, order = np.unique(np.frombuffer(times, np.int64), return_index=True)
    return times, np.frombuffer(poses, np.float64).reshape(-1, 3, 4)[order]


def _pose(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows, [[0.0, 0.0, 0.0, 1.0]]])
