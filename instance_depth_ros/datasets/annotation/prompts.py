"""Prompts that people write, a JSON file a sequence: boxes for objects, dots for the ground (docs/dataset.md).

{"frames": {"12": {"boxes": [{"box": [x, y, w, h], "class": "person", "id": 3}], "ground": [[320, 460]]}}}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...config import CLASSES

MOST_ID = 65535  # of a 16-bit mask


@dataclass(frozen=True)
class Box:
    """box: x, y, w, h in pixels. class_id: place in config.CLASSES. id: the same through the sequence; 0: not given."""

    box: tuple[float, float, float, float]
    class_id: int
    id: int = 0


@dataclass(frozen=True)
class Prompts:
    """Of one frame. boxes: of all objects in it; None: nobody said. dots: x, y of pixels on the ground."""

    boxes: tuple[Box, ...] | None = None
    dots: tuple[tuple[float, float], ...] = ()


def read_prompts(path: Path, frames: int, size: tuple[int, int]) -> dict[int, Prompts]:
    """What a file says of some of so many frames of this (height, width); ValueError names file, frame and fault."""
    try:
        content = json.loads(path.read_text(), object_pairs_hook=_once)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing; docs/dataset.md says what prompts look like") from None
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from None
    prompts, classes = {}, {}
    try:
        _check_keys(content, ("frames",), "the file")
        _check_kind(content.get("frames"), dict, "frames")
        for number, said in content["frames"].items():
            place = f"frame {number}"
            if not number.isdecimal() or int(number) >= frames:
                raise ValueError(f"{place}: frames are numbered from 0 to {frames - 1}")
            _check_keys(said, ("boxes", "ground"), place)
            boxes = None
            if "boxes" in said:
                _check_kind(said["boxes"], list, f"{place}: boxes")
                boxes = tuple(_box(one, size, f"{place}, box {n}") for n, one in enumerate(said["boxes"]))
                _check_ids(boxes, classes, place)
            dots = said.get("ground", [])
            _check_kind(dots, list, f"{place}: ground")
            prompts[int(number)] = Prompts(boxes, tuple(_dot(dot, size, place) for dot in dots))
    except ValueError as error:
        raise ValueError(f"{path}, {error}") from None
    return prompts


def _once(pairs: list[tuple[str, object]]) -> dict:
    """What is written twice would else be dropped without a word."""
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"'{name}' stands twice in one place")
    return dict(pairs)


def _check_kind(value, kind: type, what: str) -> None:
    if not isinstance(value, kind):
        raise ValueError(f"{what} must be {'a list' if kind is list else 'an object'}, got {value!r}")


def _check_keys(value, names: tuple[str, ...], what: str) -> None:
    _check_kind(value, dict, what)
    for name in value:
        if name not in names:
            raise ValueError(f"{what} has '{name}'; known are {', '.join(names)}")


def _box(value, size: tuple[int, int], place: str) -> Box:
    _check_keys(value, ("box", "class", "id"), place)
    x, y, w, h = _numbers(value.get("box"), 4, f"{place}: box must be [x, y, width, height]")
    if w <= 0 or h <= 0 or x >= size[1] or y >= size[0] or x + w <= 0 or y + h <= 0:
        raise ValueError(f"{place}: box {value['box']} has no pixel in the picture of {size[1]}x{size[0]}")
    if value.get("class") not in CLASSES[1:]:
        raise ValueError(f"{place}: class must be one of {', '.join(CLASSES[1:])}, got {value.get('class')!r}")
    number = value.get("id", 0)
    if "id" in value and (type(number) is not int or not 1 <= number <= MOST_ID):
        raise ValueError(f"{place}: id must be a whole number from 1 to {MOST_ID}, got {number!r}")
    return Box((x, y, w, h), CLASSES.index(value["class"]), number)


def _dot(value, size: tuple[int, int], place: str) -> tuple[float, float]:
    x, y = _numbers(value, 2, f"{place}: a dot of the ground must be [x, y]")
    if not (0 <= x < size[1] and 0 <= y < size[0]):
        raise ValueError(f"{place}: the dot {value} is outside the picture of {size[1]}x{size[0]}")
    return x, y


def _numbers(value, count: int, rule: str) -> tuple[float, ...]:
    numbers = isinstance(value, list) and len(value) == count and all(type(one) in (int, float) for one in value)
    if not numbers or not np.isfinite(value).all():
        raise ValueError(f"{rule}, finite numbers, got {value!r}")
    return tuple(map(float, value))


def _check_ids(boxes: tuple[Box, ...], classes: dict[int, int], place: str) -> None:
    """An id is of one object, which has one class; classes: of those that were seen in other frames."""
    ids = [box.id for box in boxes if box.id]
    for box in boxes:
        if ids.count(box.id) > 1:
            raise ValueError(f"{place}: two boxes have id {box.id}")
        if box.id and classes.setdefault(box.id, box.class_id) != box.class_id:
            known = CLASSES[classes[box.id]]
            raise ValueError(f"{place}: id {box.id} is a {CLASSES[box.class_id]} here and a {known} before")
