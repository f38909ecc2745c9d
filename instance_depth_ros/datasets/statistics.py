"""`instance-depth dataset statistics DIR`: what a set of sequences holds, beside what GID's paper says of GID.

Read from frames.jsonl alone; masks are opened only where it says nothing of them. An object counts in a frame where
some of it is seen. Actors are the objects that hide one another: balls and rackets are none. What a recording without
masks, classes or depth cannot tell is unknown, not zero.
"""

from __future__ import annotations

import csv
import json
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..geometry import valid
from ..provenance import provenance
from . import charts
from .clips import Footage
from .partition import read_split
from .sequence import open_folder

# Liang et al., InstanceDepth: Table 1, and what the text says of Figure 3a.
GID = {"videos": 112, "average_length": 625.9, "average_objects": 8.7}
GID_ACTIVITIES = ("basketball", "badminton", "volleyball", "dance", "table_tennis", "zoo")
SPORTS = GID_ACTIVITIES[:-1]  # "the human involved sport videos" of Figure 3a
UNKNOWN = "unknown"
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
    told: int = 0  # videos of which the objects are known
    classed: int = 0  # and their classes
    objects: int = 0  # over all frames, as all that follows
    depth_unknown: int = 0
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
            "average_objects": _share(self.videos_objects, self.told),
            "average_actors": _share(self.videos_actors, self.classed),
            "objects_by_depth": dict(zip(DEPTH_NAMES, self.depths.tolist(), strict=True)),
            "people_by_depth": dict(zip(DEPTH_NAMES, self.people_depths.tolist(), strict=True)),
            "partly_hidden": _share(self.partly_hidden, self.measured),
            "visible_histogram": self.visible.tolist(),
            "objects_by_class": dict(sorted(self.classes.items())),
            "objects_unknown_videos": self.videos - self.told,
            "classes_unknown_videos": self.videos - self.classed,
            "depth_unknown": _share(self.depth_unknown, self.objects),
        }


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def count(sequence: Footage) -> Counts:
    """What is known of the objects in a sequence."""
    rows = [_rows(sequence, index) for index in range(len(sequence))]
    seen = [row for rows_of_frame in rows for row in rows_of_frame if row.get("area") != 0]
    actors = [row for row in seen if row["class"] in ACTORS]
    told = "ids" in sequence.layers or bool(seen)
    shares = np.array([row["visible"] for row in actors if row.get("visible") is not None])
    classes = defaultdict(int)
    for row in seen:
        classes[row["class"]] += 1
    return Counts(
        videos=1,
        frames=len(rows),
        told=int(told),
        classed=int(told and all(row["class"] != UNKNOWN for row in seen)),
        objects=len(seen),
        depth_unknown=sum(row.get("depth_m") is None for row in seen),
        videos_objects=len(seen) / max(len(rows), 1),
        videos_actors=len(actors) / max(len(rows), 1),
        depths=_by_depth(seen),
        people_depths=_by_depth(row for row in seen if row["class"] == "person"),
        visible=np.histogram(shares, VISIBLE)[0],
        partly_hidden=int((shares < PARTLY_HIDDEN).sum()),
        measured=len(shares),
        classes=classes,
    )


def _rows(sequence: Footage, index: int) -> list[dict]:
    """What is said of the instances of a frame; where nothing is, what its mask and depth tell."""
    said = sequence.read(index, ())["instances"]
    if said or "ids" not in sequence.layers:
        return said
    frame = sequence.read(index, [name for name in ("ids", "depth_m") if name in sequence.layers])
    depth_m = frame.get("depth_m", np.full(frame["ids"].shape, np.nan))
    rows = []
    for number in filter(None, np.unique(frame["ids"]).tolist()):
        inside_m = depth_m[(frame["ids"] == number) & valid(depth_m)]
        mean_m = float(inside_m.mean()) if len(inside_m) else None
        rows.append({"id": number, "class": UNKNOWN, "depth_m": mean_m})
    return rows


def _by_depth(rows: Iterable[dict]) -> np.ndarray:
    return np.histogram([row["depth_m"] for row in rows if row.get("depth_m") is not None], DEPTHS_M)[0]


def statistics(sequences: Iterable[Footage], parts: dict[str, list[str]] | None = None) -> dict:
    """all: of all sequences; gid_activities, sports: of those that GID has; activities: of each; parts: of each part
    of a split (names of its sequences); videos: of each, as points of Figure 3b; left_out: frames of bags that are not
    among them, by reason."""
    videos, left_out = [], defaultdict(int)
    for sequence in sequences:
        about = sequence.about
        videos.append((about.get("activity") or UNKNOWN, about["name"], count(sequence)))
        for reason, frames in (about.get("left_out") or {}).items():
            left_out[reason] += frames
    activities, parts = sorted({activity for activity, _, _ in videos}), parts or {}
    return {
        "gid": GID,
        "all": _sum(counts for _, _, counts in videos).result(),
        "gid_activities": _sum(counts for activity, _, counts in videos if activity in GID_ACTIVITIES).result(),
        "sports": _sum(counts for activity, _, counts in videos if activity in SPORTS).result(),
        "activities": {a: _sum(c for activity, _, c in videos if activity == a).result() for a in activities},
        "parts": {part: _sum(c for _, name, c in videos if name in names).result() for part, names in parts.items()},
        "left_out": left_out,
        "videos": [
            {"name": name, "activity": activity, "frames": c.frames}
            | {"average_objects": c.videos_objects if c.told else None}
            | {"people_by_depth": c.people_depths.tolist() if c.classed else None}
            for activity, name, c in videos
        ],
    }


def _sum(counts: Iterable[Counts]) -> Counts:
    return sum(counts, Counts())


def table(result: dict) -> str:
    """The figures for people: Table 1 with objects by depth, then Figure 3a."""
    parts = {f"part {name}": row for name, row in result["parts"].items()}
    rows = {"all": result["all"], "GID's activities": result["gid_activities"], **result["activities"], **parts}
    rows = {name: row for name, row in rows.items() if row["videos"]}
    depths = "".join(f"{name:>8}" for name in DEPTH_NAMES)
    gid = f"{GID['videos']:8}{GID['average_length']:9.1f}{GID['average_objects']:9.1f}"
    return "\n".join([
        f"{'':16}{'videos':>8}{'length':>9}{'objects':>9}{'actors':>8}{'hidden':>8}  {depths}",
        f"{'GID (Table 1)':16}{gid}{'-':>8}{'-':>8}",
        *(_line(name, row) for name, row in rows.items()),
        f"{'people by depth, all frames (Figure 3a)':58}  {depths}",
        *(_people(name, row) for name, row in ({"GID's sports": result["sports"]} | rows).items() if row["videos"]),
    ])  # fmt: skip


def _line(name: str, row: dict) -> str:
    hidden = "-" if row["partly_hidden"] is None else f"{100 * row['partly_hidden']:.0f} %"
    total = sum(row["objects_by_depth"].values())
    depths = "".join(f"{100 * n / total:6.0f} %" if total else f"{'-':>8}" for n in row["objects_by_depth"].values())
    objects, actors = (_mean(row[f"average_{what}"]) for what in ("objects", "actors"))
    return f"{name:16}{row['videos']:8}{row['average_length']:9.1f}{objects:>9}{actors:>8}{hidden:>8}  {depths}"


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _people(name: str, row: dict) -> str:
    known = row["classes_unknown_videos"] < row["videos"]
    return f"{name:58}  " + "".join(f"{n if known else '-':>8}" for n in row["people_by_depth"].values())


def unknown(result: dict) -> list[str]:
    """A line each of what the figures cannot tell, and why."""
    every = result["all"]
    without, unclassed = every["objects_unknown_videos"], every["classes_unknown_videos"]
    unnamed = result["activities"].get(UNKNOWN, {}).get("videos")
    lines = [
        without and f"objects: {without} of {every['videos']} videos have no masks (instance-depth dataset annotate)",
        unclassed > without and f"classes: {unclassed - without} videos have masks, but no classes in frames.jsonl",
        unnamed and f"activity: {unnamed} videos have none in sequence.json",
        every["depth_unknown"] and f"depth: {100 * every['depth_unknown']:.1f} % of the objects have none",
    ]
    left_out = [f"left out: {frames} frames of bags: {reason}" for reason, frames in result["left_out"].items()]
    return [f"unknown {line}" for line in lines if line] + left_out


def plot(result: dict, path: Path) -> None:
    """A PNG: people by depth (Figure 3a), objects by depth, objects and frames a video (3b), how much is visible."""
    known = [video for video in result["videos"] if video["average_objects"] is not None]
    most = max([1.0, *(video["average_objects"] for video in known)])
    charts.write_sheet(path, [
        _by_depth_chart(result, "people", "sports"),
        _by_depth_chart(result, "objects", "gid_activities"),
        charts.points("mean objects over frames, a point a video",
                      [(video["activity"], video["frames"], video["average_objects"]) for video in known],
                      (0, max([1, *(video["frames"] for video in known)])), (0, most), "frames"),
        charts.shares("visible share of actors", [f"{100 * v:.0f}-{100 * v + 10:.0f}%" for v in VISIBLE[:-1]],
                      np.array(result["all"]["visible_histogram"])),
    ])  # fmt: skip


def _by_depth_chart(result: dict, what: str, of: str) -> np.ndarray:
    rows, whose = (result[of], f"GID's {of.removeprefix('gid_')}") if result[of]["videos"] else (result["all"], "all")
    return charts.shares(f"{what} by depth, {whose}", DEPTH_NAMES, np.array(list(rows[f"{what}_by_depth"].values())))


def write_videos(videos: list[dict], path: Path) -> None:
    """Figure 3b, and 3a by video, as a CSV; empty where unknown."""
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "activity", "frames", "average_objects", *(f"people {name}" for name in DEPTH_NAMES)])
        for video in videos:
            people = video["people_by_depth"] or [None] * len(DEPTH_NAMES)
            rows.writerow([video["name"], video["activity"], video["frames"], video["average_objects"], *people])


def main(args: Namespace) -> int:
    """args: folder, out. Writes statistics.json, .csv and .png there; exit status."""
    result = provenance() | statistics(open_folder(args.folder), read_split(args.folder))
    out = Path(args.out or args.folder)
    out.mkdir(parents=True, exist_ok=True)
    (out / "statistics.json").write_text(json.dumps(result, indent=1) + "\n")
    write_videos(result["videos"], out / "statistics.csv")
    plot(result, out / "statistics.png")
    print(table(result), *unknown(result), f"written: {out / 'statistics.json'}, .csv and .png", sep="\n")
    return 0
