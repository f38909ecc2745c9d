"""`instance-depth dataset statistics DIR`: what a set of sequences holds, beside what GID's paper says of GID.

Read from frames.jsonl alone: no picture is opened. An object counts in a frame where some of it is seen. Actors are
the objects that hide one another: balls and rackets are none.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ..drawing import INK, PAPER, write_text
from ..provenance import provenance
from .sequence import Sequence, open_folder

# Liang et al., InstanceDepth: Table 1, and what the text says of Figure 3a.
GID = {"videos": 112, "average_length": 625.9, "average_objects": 8.7}
GID_ACTIVITIES = ("basketball", "badminton", "volleyball", "dance", "table_tennis", "zoo")
DEPTHS_M = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, np.inf)
DEPTH_NAMES = ("0-2 m", "2-4 m", "4-6 m", "6-8 m", "8-10 m", ">10 m")
VISIBLE = np.linspace(0, 1, 11)
PARTLY_HIDDEN = 0.95  # less of it is visible
ACTORS = ("person", "animal", "vehicle")


@dataclass
class Counts:
    """Of one sequence, or of several added up."""

    videos: int = 0
    frames: int = 0
    objects: int = 0  # over all frames
    videos_objects: float = 0.0  # sum over videos of their mean objects a frame
    videos_actors: float = 0.0
    depths: np.ndarray = field(default_factory=lambda: np.zeros(len(DEPTH_NAMES), int))
    people_depths: np.ndarray = field(default_factory=lambda: np.zeros(len(DEPTH_NAMES), int))
    visible: np.ndarray = field(default_factory=lambda: np.zeros(len(VISIBLE) - 1, int))  # of actors, as what follows
    partly_hidden: int = 0
    measured: int = 0  # of how many the visible share is known
    classes: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __add__(self, other: Counts) -> Counts:
        classes = {
            name: self.classes.get(name, 0) + other.classes.get(name, 0) for name in {**self.classes, **other.classes}
        }
        values = {name: value + getattr(other, name) for name, value in vars(self).items() if name != "classes"}
        return Counts(**values, classes=classes)

    def result(self) -> dict:
        """For a result file; shares are None where nothing is known."""
        return {
            "videos": self.videos,
            "frames": self.frames,
            "average_length": _share(self.frames, self.videos),
            "average_objects": _share(self.videos_objects, self.videos),
            "average_actors": _share(self.videos_actors, self.videos),
            "objects_by_depth": dict(zip(DEPTH_NAMES, self.depths.tolist(), strict=True)),
            "people_by_depth": dict(zip(DEPTH_NAMES, self.people_depths.tolist(), strict=True)),
            "partly_hidden": _share(self.partly_hidden, self.measured),
            "visible_histogram": self.visible.tolist(),
            "objects_by_class": dict(sorted(self.classes.items())),
        }


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def count(sequence: Sequence) -> Counts:
    """What frames.jsonl of a sequence says."""
    rows = [sequence.frame(index)["instances"] for index in range(len(sequence))]
    seen = [row for rows_of_frame in rows for row in rows_of_frame if row.get("area") != 0]
    actors = [row for row in seen if row["class"] in ACTORS]
    shares = np.array([row["visible"] for row in actors if row.get("visible") is not None])
    classes = defaultdict(int)
    for row in seen:
        classes[row["class"]] += 1
    return Counts(
        videos=1,
        frames=len(rows),
        objects=len(seen),
        videos_objects=len(seen) / max(len(rows), 1),
        videos_actors=len(actors) / max(len(rows), 1),
        depths=_by_depth(seen),
        people_depths=_by_depth(row for row in seen if row["class"] == "person"),
        visible=np.histogram(shares, VISIBLE)[0],
        partly_hidden=int((shares < PARTLY_HIDDEN).sum()),
        measured=len(shares),
        classes=classes,
    )


def _by_depth(rows: Iterable[dict]) -> np.ndarray:
    return np.histogram([row["depth_m"] for row in rows if row.get("depth_m") is not None], DEPTHS_M)[0]


def statistics(sequences: Iterable[Sequence]) -> dict:
    """all: of all sequences; gid_activities: of those that GID has; activities: of each; videos: of each."""
    videos = [
        (sequence.about.get("activity") or "unknown", sequence.about["name"], count(sequence)) for sequence in sequences
    ]
    activities = sorted({activity for activity, _, _ in videos})
    return {
        "gid": GID,
        "all": _sum(counts for _, _, counts in videos).result(),
        "gid_activities": _sum(counts for activity, _, counts in videos if activity in GID_ACTIVITIES).result(),
        "activities": {a: _sum(c for activity, _, c in videos if activity == a).result() for a in activities},
        "videos": [
            {"name": name, "activity": activity, "frames": c.frames, "average_objects": c.videos_objects}
            for activity, name, c in videos
        ],
    }


def _sum(counts: Iterable[Counts]) -> Counts:
    return sum(counts, Counts())


def table(result: dict) -> str:
    """The figures for people."""
    lines = [
        f"{'':16}{'videos':>8}{'length':>9}{'objects':>9}{'actors':>8}{'hidden':>8}  "
        + "".join(f"{n:>8}" for n in DEPTH_NAMES)
    ]
    gid = f"{GID['videos']:8}{GID['average_length']:9.1f}{GID['average_objects']:9.1f}"
    lines.append(f"{'GID (Table 1)':16}{gid}{'-':>8}{'-':>8}")
    rows = {"all": result["all"], "GID's activities": result["gid_activities"], **result["activities"]}
    return "\n".join([*lines, *(_line(name, row) for name, row in rows.items() if row["videos"])])


def _line(name: str, row: dict) -> str:
    hidden = "-" if row["partly_hidden"] is None else f"{100 * row['partly_hidden']:.0f} %"
    total = max(sum(row["objects_by_depth"].values()), 1)
    depths = "".join(f"{100 * n / total:6.0f} %" for n in row["objects_by_depth"].values())
    averages = f"{row['average_length']:9.1f}{row['average_objects']:9.1f}{row['average_actors']:8.1f}"
    return f"{name:16}{row['videos']:8}{averages}{hidden:>8}  {depths}"


def plot(result: dict, path: Path) -> None:
    """A PNG: objects by depth (Figure 3a), objects and frames a video (3b), how much of actors is visible."""
    rows = result["gid_activities"] if result["gid_activities"]["videos"] else result["all"]
    title = "the six activities of GID" if result["gid_activities"]["videos"] else "all activities"
    people, objects = (np.array(list(rows[key].values())) for key in ("people_by_depth", "objects_by_depth"))
    panels = [
        _bars(f"people by depth, {title}", DEPTH_NAMES, people),
        _bars(f"objects by depth, {title}", DEPTH_NAMES, objects),
        _points("objects and frames a video", result["videos"]),
        _bars("visible share of actors", [f"{100 * v:.0f}-{100 * v + 10:.0f}%" for v in VISIBLE[:-1]],
              np.array(result["all"]["visible_histogram"])),
    ]  # fmt: skip
    sheet = np.concatenate([np.concatenate(panels[:2], 1), np.concatenate(panels[2:], 1)])
    if not cv2.imwrite(str(path), sheet[..., ::-1]):
        raise OSError(f"could not write {path}")


_PANEL, _LEFT, _TOP, _BOTTOM = (300, 520), 56, 34, 36
_INKS = ((44, 110, 180), (200, 80, 40), (60, 150, 70), (150, 70, 160), (190, 150, 30), (20, 150, 160), (110, 110, 110),
         (220, 120, 160), (120, 80, 50), (90, 90, 200))  # fmt: skip


def _panel(title: str) -> np.ndarray:
    panel = np.full((*_PANEL, 3), PAPER, np.uint8)
    write_text(panel, title, (_LEFT, 20))
    cv2.line(panel, (_LEFT, _PANEL[0] - _BOTTOM), (_PANEL[1] - 10, _PANEL[0] - _BOTTOM), INK, 1)
    cv2.line(panel, (_LEFT, _TOP), (_LEFT, _PANEL[0] - _BOTTOM), INK, 1)
    return panel


def _bars(title: str, names, counts: np.ndarray) -> np.ndarray:
    """Shares in percent as bars."""
    panel, shares = _panel(title), counts / max(counts.sum(), 1)
    high, wide = _PANEL[0] - _TOP - _BOTTOM - 16, (_PANEL[1] - _LEFT - 20) / len(names)
    for index, (name, share) in enumerate(zip(names, shares, strict=True)):
        left, top = int(_LEFT + 8 + index * wide), int(_PANEL[0] - _BOTTOM - high * share / max(shares.max(), 1e-9))
        cv2.rectangle(panel, (left, top), (int(left + wide * 0.8), _PANEL[0] - _BOTTOM), _INKS[0], -1)
        write_text(panel, f"{100 * share:.0f}%", (left, top - 4))
        cv2.putText(
            panel, name, (left - 2, _PANEL[0] - _BOTTOM + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.36, INK, 1, cv2.LINE_AA
        )
    return panel


def _points(title: str, videos: list[dict]) -> np.ndarray:
    """A point a video: frames to the right, mean objects upwards; a colour an activity."""
    panel, activities = _panel(title), sorted({video["activity"] for video in videos})
    most_frames = max(video["frames"] for video in videos)
    most_objects = max(max(video["average_objects"] for video in videos), 1)
    high, wide = _PANEL[0] - _TOP - _BOTTOM, _PANEL[1] - _LEFT - 150
    for video in videos:
        # videos of one length stand side by side, an activity a column
        right = int(_LEFT + wide * video["frames"] / most_frames) - 7 * activities.index(video["activity"])
        up = int(_PANEL[0] - _BOTTOM - high * video["average_objects"] / most_objects)
        cv2.circle(panel, (right, up), 4, _INKS[activities.index(video["activity"]) % len(_INKS)], -1, cv2.LINE_AA)
    for number, activity in enumerate(activities):
        ink = _INKS[number % len(_INKS)]
        write_text(panel, activity, (_PANEL[1] - 120, _TOP + 16 + 18 * number), ink)
    write_text(panel, f"{most_objects:.0f}", (_LEFT - 30, _TOP + 8))
    write_text(panel, "0", (_LEFT - 16, _PANEL[0] - _BOTTOM))
    write_text(panel, f"{most_frames} frames", (_LEFT + wide - 40, _PANEL[0] - _BOTTOM + 18))
    return panel


def main(args: Namespace) -> int:
    """args: folder, out. Writes statistics.json and statistics.png there; exit status."""
    result = provenance() | statistics(open_folder(args.folder))
    out = Path(args.out or args.folder)
    out.mkdir(parents=True, exist_ok=True)
    (out / "statistics.json").write_text(json.dumps(result, indent=1) + "\n")
    plot(result, out / "statistics.png")
    print(table(result), f"written: {out / 'statistics.json'} and statistics.png", sep="\n")
    return 0
