"""Animals in numbers: body plans and the proportions of species."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos


@dataclass(frozen=True)
class Plan:
    """A body plan: lengths as shares of the shoulder height; legs are upper, lower, cannon, of front and hind.

    lean: how far the hind cannon leans back, radians. foot: half length, half height, half width.
    """

    front: tuple[float, float, float]
    hind: tuple[float, float, float]
    shoulder: float
    hip: float
    lean: float
    thick: tuple[float, float, float]  # radii of thigh, shin, cannon
    foot: tuple[float, float, float]
    lies_ahead: float  # where the front feet are of one that lies


PLANS = {
    "hoofed": Plan(
        (0.26, 0.27, 0.28), (0.27, 0.28, 0.34), 0.72, 0.76, 0.15, (0.10, 0.05, 0.026), (0.045, 0.03, 0.032), 0.1
    ),
    "tall": Plan(
        (0.24, 0.31, 0.30), (0.24, 0.29, 0.30), 0.74, 0.70, 0.1, (0.075, 0.036, 0.02), (0.036, 0.02, 0.026), 0.1
    ),
    "pawed": Plan(
        (0.34, 0.33, 0.10), (0.33, 0.34, 0.20), 0.70, 0.72, 0.55, (0.13, 0.075, 0.05), (0.10, 0.04, 0.06), 0.36
    ),
    "heavy": Plan(
        (0.34, 0.32, 0.10), (0.34, 0.32, 0.10), 0.70, 0.70, 0.0, (0.12, 0.10, 0.085), (0.10, 0.04, 0.095), 0.5
    ),
}


@dataclass(frozen=True)
class Species:
    """Sizes: withers_m is the shoulder height of an adult in metres, all other lengths are shares of it.

    length: from shoulder to hip. depth, width: of the trunk. neck: its length and its radii below and above.
    raised: the angle of the neck of a walking animal, radians. head: length, depth, width. horns: length or 0.
    snout: how long the face is for its head: 1 of a horse or a wolf, less of a cat.
    """

    plan: str
    withers_m: float
    length: float
    depth: float
    width: float
    neck: tuple[float, float, float]
    raised: float
    head: tuple[float, float, float]
    ear: float
    tail: float
    coat: str
    horns: float = 0.0
    crest: float = 0.0
    trunk: float = 0.0
    snout: float = 1.0
    grazes: bool = True
    brisk_m_s: float = 1.2

    @property
    def ends(self) -> tuple[float, float]:
        """How far nose and rump are from the middle between shoulder and hip."""
        nose = 0.5 * self.length + self.neck[0] * cos(self.raised) + 0.65 * self.head[0] + 0.35 * self.trunk
        return nose, 0.5 * self.length + 0.18 + 0.22 * self.tail

    @property
    def trail_m(self) -> float:
        """From the middle of its disc back to the point of the body about which it turns."""
        return 0.6 * self.withers_m * (0.5 * self.length + (self.ends[0] - self.ends[1]) / 2)

    @property
    def radius_m(self) -> float:
        """A disc that holds the largest, from nose to rump."""
        return 1.08 * self.withers_m * sum(self.ends) / 2


# Shoulder heights are those of adults as zoological handbooks give them: plains zebra 1.1..1.45 m, red deer 1.0..1.3,
# fallow deer 0.85..0.95, giraffe 2.5..3.3, domestic goat 0.6..0.8, lion 1.0..1.2, tiger 0.8..1.1, brown bear 0.9..1.3,
# wolf 0.65..0.85, Asian elephant 2.2..2.9, llama 1.0..1.2, cattle 1.2..1.5. An individual differs by up to 8 %.
SPECIES = {
    "zebra": Species(
        "hoofed", 1.28, 0.80, 0.46, 0.40, (0.50, 0.17, 0.11), 0.75, (0.42, 0.19, 0.15), 0.13, 0.42, "zebra", crest=0.09
    ),
    "deer": Species(
        "hoofed", 1.10, 0.82, 0.42, 0.33, (0.50, 0.13, 0.08), 0.95, (0.34, 0.15, 0.12), 0.15, 0.14, "deer", horns=0.55
    ),
    "doe": Species(
        "hoofed", 0.92, 0.82, 0.41, 0.33, (0.48, 0.11, 0.07), 0.95, (0.34, 0.15, 0.12), 0.16, 0.16, "spotted"
    ),
    "giraffe": Species(
        "tall",
        2.75,
        0.55,
        0.36,
        0.27,
        (0.80, 0.13, 0.06),
        1.05,
        (0.26, 0.10, 0.085),
        0.07,
        0.33,
        "giraffe",
        horns=0.06,
        crest=0.03,
        grazes=False,
        brisk_m_s=1.4,
    ),
    "goat": Species(
        "hoofed",
        0.70,
        0.82,
        0.48,
        0.40,
        (0.36, 0.14, 0.10),
        0.85,
        (0.34, 0.16, 0.14),
        0.16,
        0.16,
        "pied",
        horns=0.32,
        brisk_m_s=0.9,
    ),
    "cow": Species(
        "hoofed",
        1.36,
        0.92,
        0.54,
        0.46,
        (0.36, 0.17, 0.14),
        0.30,
        (0.40, 0.20, 0.17),
        0.14,
        0.55,
        "cow",
        horns=0.12,
        brisk_m_s=1.0,
    ),
    "llama": Species(
        "hoofed", 1.10, 0.78, 0.46, 0.38, (0.62, 0.14, 0.11), 1.15, (0.28, 0.15, 0.13), 0.15, 0.18, "woolly"
    ),
    "lion": Species(
        "pawed",
        1.10,
        1.02,
        0.44,
        0.36,
        (0.26, 0.19, 0.16),
        0.45,
        (0.32, 0.25, 0.23),
        0.09,
        0.75,
        "lion",
        crest=0.36,
        snout=0.55,
        grazes=False,
        brisk_m_s=1.0,
    ),
    "tiger": Species(
        "pawed",
        0.95,
        1.12,
        0.44,
        0.38,
        (0.26, 0.18, 0.15),
        0.35,
        (0.33, 0.26, 0.26),
        0.09,
        0.85,
        "tiger",
        snout=0.55,
        grazes=False,
        brisk_m_s=1.0,
    ),
    "bear": Species("pawed", 1.10, 1.05, 0.56, 0.52, (0.30, 0.24, 0.20), 0.10, (0.36, 0.27, 0.27), 0.10, 0.07, "bear"),
    "wolf": Species(
        "pawed",
        0.76,
        1.00,
        0.42,
        0.30,
        (0.34, 0.16, 0.12),
        0.45,
        (0.34, 0.20, 0.19),
        0.15,
        0.55,
        "wolf",
        grazes=False,
        brisk_m_s=1.4,
    ),
    "elephant": Species(
        "heavy",
        2.45,
        0.72,
        0.58,
        0.50,
        (0.22, 0.20, 0.19),
        0.65,
        (0.40, 0.36, 0.30),
        0.34,
        0.42,
        "elephant",
        trunk=0.66,
        horns=0.22,
        brisk_m_s=1.1,
    ),
}

# a lioness has no mane
SPECIES["lioness"] = replace(SPECIES["lion"], crest=0.0, withers_m=1.0, coat="tawny")
