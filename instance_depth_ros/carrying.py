"""Instances between two frames in which the network looks for them: where the camera and they themselves have gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from .model.instances import SURE_LOGIT
from .sightings import Seen
from .tracking import Identity, Tracks


def carried(seen: Seen, identities: Sequence[Identity | None], tracks: Tracks) -> Seen:
    """What the network saw last, where it is to be expected now; of those with an identity, whose `ids` it has.

    seen: with evidence; identities: of each; tracks: after tracking.foresee(), from that frame to this one. Who lies
    outside the picture, or behind others, is left out.
    """
    known = {int(number): index for index, number in enumerate(tracks.rows["id"]) if number}
    pairs = [(k, known[who.id]) for k, who in enumerate(identities) if who and who.id in known]
    k, row = np.array(pairs, int).reshape(-1, 2).T
    evidence = np.zeros((len(k) + 1, *seen.labels.shape), np.float32)  # the first of nobody
    for logits, before, warp in zip(evidence[1:], seen.evidence[k], tracks.rows["warp"][row], strict=True):
        cv2.warpAffine(before, warp, logits.shape[::-1], dst=logits, borderValue=-SURE_LOGIT)
    labels = evidence.argmax(0)
    there = np.bincount(labels.reshape(-1), minlength=len(evidence))[1:] > 0
    renumbered = np.append(0, there.cumsum()).astype(np.uint16)
    k, rows = k[there], tracks.rows[row[there]]
    layer_m = np.exp(rows["place"][:, 2]).astype(np.float32)
    return replace(
        seen,
        labels=renumbered[labels],
        evidence=evidence[1:][there],
        ids=rows["id"],
        depth_m=layer_m,
        sigma_m=(seen.sigma_m / seen.depth_m)[k] * layer_m,
        guest=np.full(len(k), -1),
        **{name: getattr(seen, name)[k] for name in ("class_id", "score", "embedding")},
    )
