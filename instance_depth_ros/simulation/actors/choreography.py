"""What a group dances: formations on the floor, and figures of arms and body that go by counts of eight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .script import through

COUNTS = 8
BEATS_PER_MINUTE = (100, 110, 120, 130)

# Values at the counts 1 to 8, radians and metres, between which bodies move smoothly. Without _l or _r: both sides.
FIGURES: dict[str, dict[str, tuple]] = {
    "rise": {"lift": (0, 0.8, 1.8, 2.7, 2.9, 2.7, 1.5, 0.4), "crouch_m": (0.16, 0.12, 0.04, 0, 0, 0, 0.06, 0.14)},
    "punches": {
        "lift_r": (2.8, 0.5, 0.4, 0.5, 2.8, 0.5, 0.4, 0.5),
        "lift_l": (0.4, 0.5, 2.8, 0.5, 0.4, 0.5, 2.8, 0.5),
        "elbow_r": (0.1, 1.7, 1.7, 1.7, 0.1, 1.7, 1.7, 1.7),
        "elbow_l": (1.7, 1.7, 0.1, 1.7, 1.7, 1.7, 0.1, 1.7),
        "crouch_m": (0, 0.08, 0, 0.08, 0, 0.08, 0, 0.08),
        "twist": (0.25, 0, -0.25, 0, 0.25, 0, -0.25, 0),
    },
    "sway": {
        "lift": (2.7,) * 8,
        "elbow": (0.35,) * 8,
        "side": (0.25, 0, -0.25, 0, 0.25, 0, -0.25, 0),
        "crouch_m": (0.02, 0.07, 0.02, 0.07, 0.02, 0.07, 0.02, 0.07),
    },
    "arches": {
        "lift": (2.7, 2.3, 2.7, 2.3, 2.7, 2.3, 2.7, 2.3),
        "elbow": (1.0, 0.4, 1.0, 0.4, 1.0, 0.4, 1.0, 0.4),
        "roll": (0.9, -0.3, 0.9, -0.3, 0.9, -0.3, 0.9, -0.3),
        "crouch_m": (0.06, 0, 0.06, 0, 0.06, 0, 0.06, 0),
    },
    "robots": {
        "spread": (1.4,) * 8,
        "elbow": (1.45,) * 8,
        "roll_l": (-1.5, -1.5, 1.2, 1.2, -1.5, -1.5, 1.2, 1.2),
        "roll_r": (1.2, 1.2, -1.5, -1.5, 1.2, 1.2, -1.5, -1.5),
        "side": (0.15, 0.1, -0.15, -0.1, 0.15, 0.1, -0.15, -0.1),
        "crouch_m": (0.08, 0.02, 0.08, 0.02, 0.08, 0.02, 0.08, 0.02),
    },
    "knees": {
        "raise_l": (0.4, 0, 0, 0, 0.4, 0, 0, 0),
        "ahead_l": (0.25, 0, 0, 0, 0.25, 0, 0, 0),
        "raise_r": (0, 0, 0.4, 0, 0, 0, 0.4, 0),
        "ahead_r": (0, 0, 0.25, 0, 0, 0, 0.25, 0),
        "lift": (0.7, 2.6, 0.7, 2.6, 0.7, 2.6, 0.7, 2.6),
        "elbow": (0.8, 0.2, 0.8, 0.2, 0.8, 0.2, 0.8, 0.2),
    },
    "hips": {
        "lift": (-0.35,) * 8,
        "spread": (0.75,) * 8,
        "elbow": (1.3,) * 8,
        "roll": (0.75,) * 8,
        "twist": (0.4, -0.4, 0.4, -0.4, 0.4, -0.4, 0.4, -0.4),
        "side": (0.15, -0.15, 0.15, -0.15, 0.15, -0.15, 0.15, -0.15),
        "crouch_m": (0.1, 0.14, 0.18, 0.22, 0.18, 0.14, 0.1, 0.06),
    },
    "diagonals": {
        "spread_l": (2.3, 2.3, 2.3, 0.2, -0.4, -0.4, -0.4, 0.2),
        "spread_r": (-0.4, -0.4, -0.4, 0.2, 2.3, 2.3, 2.3, 0.2),
        "lift_r": (0.9, 0.9, 0.9, 0.3, 0, 0, 0, 0.3),
        "lift_l": (0, 0, 0, 0.3, 0.9, 0.9, 0.9, 0.3),
        "side": (-0.2, -0.22, -0.2, 0, 0.2, 0.22, 0.2, 0),
        "crouch_m": (0.1, 0.04, 0.1, 0, 0.1, 0.04, 0.1, 0),
    },
    "floor": {
        "crouch_m": (0.2, 0.38, 0.4, 0.4, 0.2, 0, 0, 0.08),
        "lean": (0.2, 0.55, 0.6, 0.5, 0.2, 0, -0.08, 0),
        "lift": (0.5, 0.9, 0.8, 0.9, 1.6, 2.8, 2.9, 1.2),
        "nod": (0, 0.3, 0.3, 0.2, 0, -0.3, -0.3, 0),
    },
    "points": {
        "spread_r": (2.2, 2.2, 2.2, 0.3, 0.4, 0.4, 0.4, 0.3),
        "spread_l": (0.4, 0.4, 0.4, 0.3, 2.2, 2.2, 2.2, 0.3),
        "elbow_l": (1.5, 1.5, 1.5, 0.8, 0.0, 0.0, 0.0, 0.8),
        "elbow_r": (0.0, 0.0, 0.0, 0.8, 1.5, 1.5, 1.5, 0.8),
        "side": (0.12, 0.15, 0.12, 0, -0.12, -0.15, -0.12, 0),
        "turn_head": (-0.5, -0.5, -0.5, 0, 0.5, 0.5, 0.5, 0),
        "crouch_m": (0.08, 0.02, 0.08, 0, 0.08, 0.02, 0.08, 0),
    },
    "wings": {
        "spread": (0.3, 1.2, 1.3, 1.2, 0.4, 1.2, 1.3, 0.6),
        "elbow": (0.5,) * 8,
        "crouch_m": (0.14, 0.04, 0, 0.04, 0.14, 0.04, 0, 0.1),
        "nod": (0.2, 0, -0.15, 0, 0.2, 0, -0.15, 0.1),
    },
    "ripple": {"lift": (1.2, 2.8, 2.9, 1.4, 0.2, 0, 0, 0), "crouch_m": (0.12, 0, 0, 0.08, 0.1, 0, 0, 0)},
    "leaps": {
        "lift": (0.6, 0.3, 2.6, 0.6, 0.6, 0.3, 2.6, 0.6),
        "elbow": (0.9, 0.6, 0.2, 0.9, 0.9, 0.6, 0.2, 0.9),
        "spread": (0.1, 0.1, 0.4, 0.1, 0.1, 0.1, 0.4, 0.1),
    },
    "march": {
        "lift_l": (0.7, -0.3, 0.7, -0.3, 0.7, -0.3, 0.7, -0.3),
        "lift_r": (-0.3, 0.7, -0.3, 0.7, -0.3, 0.7, -0.3, 0.7),
        "elbow": (1.3,) * 8,
    },
}
_PAIRED = ("lift", "spread", "elbow", "roll")
LEAPS_AT = (2, 6)  # counts, from 0, at which the figure "leaps" is in the air
# Where feet go meanwhile: metres to the side and ahead at the counts; the ninth is the first again.
STEPS = {
    "stay": np.zeros((8, 2)),
    "side": np.array([(0, 0), (0.45, 0), (0.45, 0), (0, 0), (0, 0), (-0.45, 0), (-0.45, 0), (0, 0)]),
    "vine": np.array([(0, 0), (0.4, 0), (0.8, 0), (0.9, 0), (0.9, 0), (0.5, 0), (0.1, 0), (0, 0)]),
    "ahead": np.array([(0, 0), (0, 0.35), (0, 0.7), (0, 0.8), (0, 0.8), (0, 0.45), (0, 0.1), (0, 0)]),
}
FORMATIONS = ("lines", "wedge", "circle", "pairs", "arc", "columns")


def formation(name: str, count: int, gap_m: float) -> np.ndarray:
    """(count, 2) places, x to the side and y towards the audience, about their middle; neighbours gap_m apart."""
    i = np.arange(count)
    if name == "lines":
        rows = 2 if count < 9 else 3
        row, column = i % rows, i // rows
        places = np.stack([(column + 0.5 * (row % 2)) * gap_m, -row * 0.85 * gap_m], -1)
    elif name == "wedge":
        rank = (i + 1) // 2
        places = np.stack([rank * np.where(i % 2, 0.75, -0.75) * gap_m, -rank * 0.65 * gap_m], -1)
    elif name == "circle":
        angle, radius = 2 * np.pi * i / count, max(gap_m * count / (2 * np.pi), gap_m)
        places = radius * np.stack([np.cos(angle), np.sin(angle)], -1)
    elif name == "arc":
        angle = np.linspace(0.1, np.pi - 0.1, count)
        places = np.stack([1.25 * np.cos(angle), -0.9 * np.sin(angle)], -1) * gap_m * count / np.pi
    elif name == "pairs":
        pair, columns = i // 2, int(np.ceil(np.sqrt(count / 2)))
        across = (pair % columns) * 2.0 * gap_m + np.where(i % 2, 0.48, -0.48) * gap_m
        places = np.stack([across, -(pair // columns) * 1.3 * gap_m], -1)
    else:
        places = np.stack([np.where(i % 2, 0.9, -0.9) * gap_m, -(i // 2) * gap_m], -1)
    return places - (places.max(0) + places.min(0)) / 2


@dataclass(frozen=True)
class Eight:
    """Eight counts: what all dance, and whether they travel to the next formation meanwhile."""

    figure: str
    mirrored: bool
    step: str
    facing: str  # audience, middle, partner
    travels: bool
    spins: bool
    canon: bool


class Routine:
    """The dance of a group over a loop. homes: (formations, dancers, 2) in metres, y towards the audience."""

    def __init__(self, rng: np.random.Generator, count: int, room: np.ndarray, period_s: float):
        self.count, self.period_s = count, period_s
        self.beats_per_minute = int(rng.choice(BEATS_PER_MINUTE))
        self.beat_s = 60 / self.beats_per_minute
        eights = round(period_s / self.beat_s / COUNTS)
        changes = np.linspace(0, eights, rng.integers(3, 5) + 1).astype(int)[1:] - 1  # eights in which they travel
        names = list(rng.permutation(FORMATIONS)[: len(changes)])
        self.formation = [str(names[np.searchsorted(changes, e)]) for e in range(eights)]
        self.homes = _matched([_fitted(name, count, room, rng) for name in names])
        self._of = [names.index(name) for name in self.formation]
        known = rng.permutation([name for name in FIGURES if name != "ripple"])[: rng.integers(4, 7)]
        canons = rng.choice(eights, 2)
        self.eights = [self._eight(rng, e in changes, e in canons, self.formation[e], known) for e in range(eights)]
        rank = np.argsort(np.argsort(self.homes[0][:, 0] - self.homes[0][:, 1]))
        self._canon = 4 * rank / max(count - 1, 1)

    @staticmethod
    def _eight(rng, travels: bool, canon: bool, formed: str, known) -> Eight:
        figure, step = str(rng.choice(known)), str(rng.choice(list(STEPS), p=[0.3, 0.3, 0.2, 0.2]))
        facing, canon, spins = "audience", canon and not travels, rng.random() < 0.2
        if formed == "circle" and rng.random() < 0.5:
            facing = "middle"
        if formed == "pairs" and rng.random() < 0.5:
            facing = "partner"
        if canon:
            figure, step, spins = "ripple", "stay", False
        if travels:
            figure, step, spins = str(rng.choice(["march", "arches", "sway"])), "stay", False
        if figure in ("leaps", "floor", "knees"):
            step, spins = "stay", False
        if facing != "audience":
            step = "stay"
        return Eight(figure, bool(rng.random() < 0.5), step, facing, bool(travels), bool(spins), bool(canon))

    def way(self, dancer: int) -> tuple[np.ndarray, np.ndarray]:
        """times_s (k,) and places (k, 2) of a dancer, a key a count, none while travelling."""
        times, places = [], []
        for e, eight in enumerate(self.eights):
            home, steps = self.homes[self._of[e]][dancer], STEPS[eight.step] * (-1 if eight.mirrored else 1, 1)
            counts = range(1) if eight.travels else range(COUNTS)
            times += [(e * COUNTS + c) * self.beat_s for c in counts]
            places += [home + steps[c] for c in counts]
        return np.array(times), np.array(places)

    def facing(self, dancer: int, at_s: np.ndarray) -> np.ndarray:
        """Headings at at_s, radians; pi / 2 is towards the audience."""
        times, angles, last = [], [], np.pi / 2
        for e, eight in enumerate(self.eights):
            homes = self.homes[self._of[e]]
            away = {"middle": homes.mean(0), "partner": homes[min(dancer ^ 1, self.count - 1)]}.get(eight.facing)
            away = np.array([0.0, 1.0]) if away is None else away - homes[dancer]
            aim = np.arctan2(away[1], away[0]) if np.linalg.norm(away) > 0.1 else np.pi / 2
            aim = last + (aim - last + np.pi) % (2 * np.pi) - np.pi
            start = e * COUNTS * self.beat_s
            times += [start, start + 2 * self.beat_s, start + 4 * self.beat_s]
            angles += [last, aim, aim]
            last = aim + 2 * np.pi * eight.spins * (-1 if eight.mirrored else 1)
        times, angles = np.append(times, self.period_s), np.append(angles, last)
        return through(times, angles[:, None], at_s)[:, 0]

    def act(self, people, person: int, dancer: int, mirrored=False, late_s=0.0, energy=1.0) -> None:
        """Give a person the arms and the body of a dancer. mirrored: as a teacher who faces the group."""
        keys: dict[str, np.ndarray] = {}
        for e, eight in enumerate(self.eights):
            at = np.arange(COUNTS) - (self._canon[dancer] if eight.canon else 0)
            for name, values in _sides(FIGURES[eight.figure], eight.mirrored != mirrored).items():
                channel = keys.setdefault(name, np.zeros(len(self.eights) * COUNTS))
                channel[e * COUNTS : (e + 1) * COUNTS] = energy * np.interp(at, np.arange(COUNTS), values, left=0)
            if eight.figure == "leaps":
                for count in LEAPS_AT:
                    people.jump(person, (e * COUNTS + count) * self.beat_s + late_s, 0.18 * energy)
        people.act(person, np.arange(len(self.eights) * COUNTS) * self.beat_s + late_s, 0.2, **keys)


def _fitted(name: str, count: int, room: np.ndarray, rng) -> np.ndarray:
    """A formation shrunk until it lies within +-room."""
    places = formation(name, count, rng.uniform(1.7, 2.0))
    return places * min(1.0, *(room / np.maximum(np.abs(places).max(0), 1e-6)))


def _matched(formations: list[np.ndarray]) -> np.ndarray:
    """Everybody's place in each formation, so that ways to the next are short."""
    homes = [formations[0]]
    for places in formations[1:]:
        away = np.linalg.norm(homes[-1][:, None] - places[None], axis=-1)
        home = np.empty_like(places)
        for _ in range(len(places)):
            a, b = np.unravel_index(np.argmin(away), away.shape)
            home[a], away[a], away[:, b] = places[b], np.inf, np.inf
        homes.append(home)
    return np.stack(homes)


def _sides(figure: dict, mirrored: bool) -> dict[str, np.ndarray]:
    """Channel -> (8,), left and right told apart, or exchanged."""
    whole = {}
    for name, values in figure.items():
        sides = ("_l", "_r") if name in _PAIRED else ("",)
        whole |= {name + side: np.asarray(values, float) for side in sides}
    if not mirrored:
        return whole
    swap = {"_l": "_r", "_r": "_l"}
    turned = ("side", "twist", "turn_head")
    return {n[:-2] + swap[n[-2:]] if n[-2:] in swap else n: -v if n in turned else v for n, v in whole.items()}
