"""Instances as messages: the table, markers, detections where vision_msgs is installed, and what a pixel belongs to."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from ..config import CLASSES
from ..drawing import id_colors, instance_label
from ..frame import Estimate, Instance
from ..table import ROW, instances_from_table, table_from_instances  # noqa: F401 - what is published of instances

try:
    from vision_msgs.msg import Detection3D, Detection3DArray, LabelInfo, ObjectHypothesisWithPose, VisionClass
except ImportError:  # apt install ros-$ROS_DISTRO-vision-msgs brings depth/instances/objects and label_info
    Detection3DArray = LabelInfo = None

BOX_OPACITY, LETTER_M, LETTERS = 0.35, 0.25, ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)


def of_pixels(estimate: Estimate, name: str, dtype: type, stride: int = 1) -> np.ndarray:
    """(ceil(H/stride), ceil(W/stride)) of an instance's attribute (id, class_id) at each pixel, 0 where none is."""
    size = tuple(-(-side // stride) for side in estimate.source.shape)
    if not estimate.instances:
        return np.zeros(size, dtype)
    values = np.zeros(np.iinfo(np.uint16).max + 1, dtype)
    for instance in estimate.instances:
        values[instance.pixel] = getattr(instance, name)
    return np.take(values, estimate.ids[::stride, ::stride])


def markers(instances: tuple[Instance, ...], stamped: Header) -> MarkerArray:
    """A box and a label of each instance with a place, after a marker that deletes those of the frame before."""
    array = MarkerArray(markers=[Marker(header=stamped, action=Marker.DELETEALL)])
    placed = _placed(instances)
    for instance, color in zip(placed, id_colors([i.id for i in placed]) / 255, strict=True):
        red, green, blue = map(float, color)
        box = _marker(instance, stamped, "boxes", Marker.CUBE)
        box.scale, box.color = Vector3(**_xyz(instance.size_m)), ColorRGBA(r=red, g=green, b=blue, a=BOX_OPACITY)
        label = _marker(instance, stamped, "labels", Marker.TEXT_VIEW_FACING)
        label.text, label.scale, label.color = instance_label(instance), Vector3(z=LETTER_M), LETTERS
        # Above the box; the camera's y points down.
        label.pose.position.y -= float(instance.size_m[1]) / 2 + LETTER_M
        array.markers += [box, label]
    return array


def _marker(instance: Instance, stamped: Header, namespace: str, kind: int) -> Marker:
    # A marker's id is signed.
    number = int(np.uint32(instance.id).astype(np.int32))
    return Marker(header=stamped, ns=namespace, id=number, type=kind, action=Marker.ADD, pose=_pose(instance))


def detections(instances: tuple[Instance, ...], stamped: Header) -> Detection3DArray:
    """The boxes of instances with a place as vision_msgs has them: the class by name, the lasting id as text."""
    return Detection3DArray(header=stamped, detections=list(_detections(instances, stamped)))


def _detections(instances: tuple[Instance, ...], stamped: Header) -> Iterator[Detection3D]:
    for instance in _placed(instances):
        detection = Detection3D(header=stamped, id=str(instance.id))
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = CLASSES[instance.class_id], float(instance.score)
        result.pose.pose = _pose(instance)
        detection.results = [result]
        detection.bbox.center, detection.bbox.size = _pose(instance), Vector3(**_xyz(instance.size_m))
        yield detection


def label_info(threshold: float, stamped: Header) -> LabelInfo:
    """What the values of depth/instances/classes mean."""
    classes = [VisionClass(class_id=number, class_name=name) for number, name in enumerate(CLASSES)]
    return LabelInfo(header=stamped, class_map=classes, threshold=float(threshold))


def _placed(instances: tuple[Instance, ...]) -> list[Instance]:
    """Those with any valid depth: displays and planners take no NaN."""
    return [instance for instance in instances if np.isfinite([instance.center_m, instance.size_m]).all()]


def _pose(instance: Instance) -> Pose:
    return Pose(position=Point(**_xyz(instance.center_m)), orientation=Quaternion(w=1.0))


def _xyz(values: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip("xyz", map(float, values), strict=True))
