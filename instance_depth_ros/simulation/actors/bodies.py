"""Animals' bodies as ellipsoids: the measures of each, and the sizes of its shapes."""

from __future__ import annotations

import numpy as np

from .species import PLANS, SPECIES

# Geoms of one animal. Legs: front left, front right, hind left, hind right; other pairs: left, right.
CHEST, BELLY, RUMP, NECK_LOW, NECK_HIGH, HEAD, MUZZLE, NOSE, TAIL_ROOT, TAIL_TIP, CREST = range(11)
EARS, EYES, HORN_ROOT, HORN_TIP = (slice(i, i + 2) for i in (11, 13, 15, 17))
UPPER, LOWER, CANNON, FOOT = (slice(i, i + 4) for i in (19, 23, 27, 31))
TRUNK = slice(35, 39)
GEOMS = 39


class Bodies:
    """Measures of n animals in metres, as in species.py; each is scale (n,) times as large as its species.

    legs_m: (n, 4, 3) upper, lower, cannon. roots_z: (n, 4) heights of shoulders and hips. ahead: (n,) how far the
    middle of nose and rump is before that of shoulder and hip. back, belly_m: (n,) heights of croup and belly.
    sizes_m: (n, GEOMS, 3) half axes of ellipsoids: in the side plane, sideways, along. has: (n, GEOMS) which there are.
    """

    def __init__(self, species: list[str], scale: np.ndarray):
        kinds = [SPECIES[name] for name in species]
        plans = [PLANS[kind.plan] for kind in kinds]
        h = self.withers_m = np.array([kind.withers_m for kind in kinds]) * scale
        for name in ("length", "depth", "width", "ear", "tail", "horns", "crest", "trunk"):
            setattr(self, name, h * [getattr(kind, name) for kind in kinds])
        self.neck, self.head = (h[:, None] * [getattr(kind, name) for kind in kinds] for name in ("neck", "head"))
        self.snout = np.array([kind.snout for kind in kinds])
        self.raised = np.array([kind.raised for kind in kinds])
        self.legs_m = h[:, None, None] * [[plan.front, plan.front, plan.hind, plan.hind] for plan in plans]
        self.roots_z = h[:, None] * [[plan.shoulder] * 2 + [plan.hip] * 2 for plan in plans]
        self.lean = np.array([[0.0, 0.0, -plan.lean, -plan.lean] for plan in plans])
        self.foot, self.thick = (h[:, None] * [getattr(plan, name) for plan in plans] for name in ("foot", "thick"))
        self.lies_ahead = h * [plan.lies_ahead for plan in plans]
        self.pawed = np.array([kind.plan == "pawed" for kind in kinds])
        self.ahead = h * [(kind.ends[0] - kind.ends[1]) / 2 for kind in kinds]
        self.back = (h + self.roots_z[:, 2] / 0.74) / 2
        self.belly_m = (h + self.back) / 2 - 0.98 * self.depth
        self.sizes_m = self._sizes()
        self.has = (self.sizes_m > 0).all(-1)

    def _sizes(self) -> np.ndarray:
        """(n, GEOMS, 3): half axes of ellipsoids: in the side plane, sideways, along; 0: has none."""
        h, sizes = self.withers_m, np.zeros((len(self.withers_m), GEOMS, 3))

        def put(geom, *axes):
            sizes[:, geom] = np.stack([np.broadcast_to(axis, h.shape) for axis in axes], -1).reshape(
                (len(h), *([1] if isinstance(geom, slice) else []), 3)
            )

        length, depth, width = self.length, self.depth, self.width
        put(CHEST, 0.3 * length + 0.08 * h, 0.5 * depth, 0.47 * width)
        put(BELLY, 0.52 * length, 0.46 * depth, 0.5 * width)
        put(RUMP, 0.3 * length + 0.06 * h, 0.46 * depth, 0.46 * width)
        neck, low, high = self.neck.T
        put(NECK_LOW, 0.42 * neck + 0.4 * low, low, 0.62 * low)
        put(NECK_HIGH, 0.40 * neck + 0.3 * high, high, 0.72 * high)
        long, deep, wide = self.head.T
        put(HEAD, 0.34 * long, 0.5 * deep, 0.5 * wide)
        put(MUZZLE, 0.36 * long * self.snout, 0.33 * deep, 0.34 * wide)
        put(NOSE, 0.06 * long, 0.2 * deep, 0.22 * wide)
        put(EARS, 0.5 * self.ear, np.where(self.trunk > 0, 0.42, 0.28) * self.ear, 0.1 * self.ear)
        put(EYES, 0.016 * h**0.3, 0.016 * h**0.3, 0.016 * h**0.3)
        put(TAIL_ROOT, 0.28 * self.tail, 0.02 * h + 0.03 * self.tail, 0.02 * h + 0.03 * self.tail)
        put(TAIL_TIP, 0.28 * self.tail, 0.02 * h + 0.06 * self.tail, 0.02 * h + 0.05 * self.tail)
        put(CREST, 0.55 * neck, self.crest, 0.25 * self.crest)
        put(HORN_ROOT, 0.3 * self.horns, 0.05 * self.horns + 0.008 * h, 0.05 * self.horns)
        put(HORN_TIP, 0.3 * self.horns, 0.03 * self.horns + 0.006 * h, 0.05 * self.horns)
        thigh, shin, cannon = self.thick.T
        upper, lower, bone = (self.legs_m[:, :, part] for part in range(3))
        for part, lengths, radius, spare in ((UPPER, upper, thigh, 0.85), (LOWER, lower, shin, 0.68)):
            sizes[:, part] = np.stack([spare * lengths, *[np.broadcast_to(radius[:, None], lengths.shape)] * 2], -1)
        sizes[:, UPPER, 2] *= 0.72
        sizes[:, CANNON] = np.stack([0.56 * bone, *[np.broadcast_to(cannon[:, None], bone.shape)] * 2], -1)
        sizes[:, FOOT] = self.foot[:, None]
        for part in range(4):
            sizes[:, TRUNK.start + part, 0] = self.trunk / 6
            sizes[:, TRUNK.start + part, 1:] = (self.trunk * (0.13 - 0.025 * part))[:, None]
        # a lion's mane goes round its neck, others stand on theirs
        round_neck = self.pawed & (self.crest > 0)
        sizes[round_neck, CREST] = h[round_neck, None] * (0.24, 0.34, 0.27)
        return sizes[..., [1, 2, 0]]
