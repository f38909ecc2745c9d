"""What is told of an annotation: annotation.json for programs, annotation.txt for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ...config import CLASSES
from .identities import Identities
from .observe import Observed
from .review import KINDS, Suspect

MOST_LINES = 40  # of one kind of suspects, in the text


def report(frames: Sequence[Observed], identities: Identities, suspects: list[Suspect]) -> dict:
    """For annotation.json; where the directions of time disagree is suspect, too."""
    disputed = [
        Suspect("switch", frame, tuple(ids), "in one direction of time the tracker takes one for the other")
        for frame, *ids in identities.disputed
        if not any(s.kind == "switch" and s.frame == frame and set(s.ids) == set(ids) for s in suspects)
    ]
    floors = [frame.floor.height_m for frame in frames if frame.floor]
    people = [(frame, k) for frame in frames for k in np.flatnonzero(frame.certain)]
    return {
        "frames": len(frames),
        "identities": [_identity(number, frames, identities) for number in sorted(identities.classes)],
        "left_out": identities.left_out,
        "boxes_without_mask": sum(frame.rows[k]["area"] == 0 for frame, k in people),
        "frames_with_ground": len(floors),
        "camera_height_m": round(float(np.median(floors)), 3) if floors else None,
        "suspects": [s._asdict() for s in sorted([*suspects, *disputed], key=lambda s: (s.frame, s.kind))],
    }


def _identity(number: int, frames: Sequence[Observed], identities: Identities) -> dict:
    seen = [
        (index, row)
        for index, (frame, ids) in enumerate(zip(frames, identities.ids, strict=True))
        for row in (frame.rows[k] for k in np.flatnonzero(ids == number))
        if row["area"]
    ]
    depths = [row["depth_m"] for _, row in seen if row["depth_m"] is not None]
    return {
        "id": number,
        "class": CLASSES[identities.classes[number]],
        "first": seen[0][0] if seen else None,
        "last": seen[-1][0] if seen else None,
        "frames": len(seen),
        "nearest_m": min(depths, default=None),
        "farthest_m": max(depths, default=None),
    }


def summary(told: dict) -> str:
    """A report in a line."""
    kinds = Counter(suspect["kind"] for suspect in told["suspects"])
    found = ", ".join(f"{kind} {count}" for kind, count in kinds.items()) or "nothing"
    ground = f"ground in {told['frames_with_ground']} of {told['frames']} frames"
    return f"{len(told['identities'])} identities, {ground}, suspect: {found}"


def text(told: dict) -> str:
    """A report for people."""
    height = "" if told["camera_height_m"] is None else f", camera {told['camera_height_m']:.2f} m above it"
    lines = [
        f"{summary(told)}{height}",
        f"masks: {told['masks']}; prompts: {told['instances']} of {told['weights']}, in "
        f"{told['frames_with_boxes_of_people']} frames boxes, in {told['frames_with_dots_of_people']} dots of people",
        f"{told['left_out']} masks were left out, which no other frame confirms; "
        f"{told['boxes_without_mask']} boxes of people have none",
        "",
        f"{'id':>5}  {'class':8}{'frames':>7}{'first':>7}{'last':>7}  depth",
    ]
    for one in told["identities"]:
        depth = "-" if one["nearest_m"] is None else f"{one['nearest_m']:.1f} to {one['farthest_m']:.1f} m"
        first, last = ("-" if value is None else value for value in (one["first"], one["last"]))
        lines.append(f"{one['id']:5}  {one['class']:8}{one['frames']:7}{first:>7}{last:>7}  {depth}")
    for kind, meaning in KINDS.items():
        found = [suspect for suspect in told["suspects"] if suspect["kind"] == kind]
        if found:
            lines += ["", f"{kind}: {meaning} ({len(found)})"]
            for s in found[:MOST_LINES]:
                whose = ", ".join(map(str, s["ids"]))
                lines.append(f"  frame {s['frame']:6}  id {whose}: {s['what']}")
            if len(found) > MOST_LINES:
                lines.append(f"  and {len(found) - MOST_LINES} more, in annotation.json")
    return "\n".join(lines) + "\n"
