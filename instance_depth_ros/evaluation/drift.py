"""Does depth get worse over minutes? sigma1 over the frames of long streams (Video Depth Anything, Figure 4)."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from ..drawing import GAP as MARGIN
from ..drawing import INK, LINE, PAPER, text_line, write_text
from ..model.memory import GAP

EARLY, LATE = (30, 130), (2900, 3000)  # frames, the last not included
# What is remembered of a frame follows from its first attention over time on from what was remembered before: through
# all eight, each of which looks 41 frames back, and at frame 0, so many frames can still be felt.
FELT = 8 * GAP
BIN = 100
WIDTH, HEIGHT, LEFT = 640, 200, 48
CURVE = (178, 60, 32)


def stretches(frames: int) -> list[int]:
    """Of a clip so long the frames from which its drift follows: EARLY and LATE, and before each what is felt in it."""
    return [*range(min(EARLY[1], frames)), *range(max(EARLY[1], LATE[0] - FELT), min(LATE[1], frames))]


class Drift:
    """sigma1 of frames of clips, as they come."""

    def __init__(self):
        self._clips = defaultdict(list)

    def add(self, clip: str, index: int, sigma1: float) -> None:
        """One judged frame."""
        self._clips[clip].append((index, sigma1))

    def result(self) -> dict:
        """drift: sigma1 of the frames LATE minus EARLY, mean over clips that have both; drift_curve: middle frame and
        sigma1 of every BIN frames, mean over clips. None for clips that are not so long."""
        drifts = []
        for clip in self._clips.values():
            early, late = ([sigma1 for n, sigma1 in clip if first <= n < end] for first, end in (EARLY, LATE))
            if early and late:
                drifts.append(np.mean(late) - np.mean(early))
        if not drifts:
            return {"drift": None, "drift_curve": None}
        bins = defaultdict(list)
        for clip in self._clips.values():
            index, sigma1 = np.array(clip).T
            for n in np.unique(index // BIN):
                bins[int(n)].append(sigma1[index // BIN == n].mean())
        frames, means = zip(*((BIN * n + BIN // 2, float(np.mean(bins[n]))) for n in sorted(bins)), strict=True)
        return {"drift": float(np.mean(drifts)), "drift_curve": {"frame": list(frames), "sigma1": list(means)}}


def draw_curve(curve: dict, path: Path) -> None:
    """Write the drift curve as a small PNG: sigma1 from 0 to 1 over frames."""
    picture = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    top, bottom, right = MARGIN, HEIGHT - LINE, WIDTH - MARGIN
    last = max(curve["frame"]) + BIN // 2
    for share in (0, 0.25, 0.5, 0.75, 1):
        row = round(bottom + (top - bottom) * share)
        cv2.line(picture, (LEFT, row), (right, row), (220, 220, 220), 1)
        write_text(picture, f"{share:.2f}", (MARGIN, row + 4))
    for share in (0, 0.5, 1):
        write_text(picture, f"{share * last:.0f}", (round(LEFT + (right - LEFT - 30) * share), HEIGHT - 8), INK)
    places = [
        (LEFT + (right - LEFT) * frame / last, bottom + (top - bottom) * sigma1)
        for frame, sigma1 in zip(curve["frame"], curve["sigma1"], strict=True)
    ]
    cv2.polylines(picture, [np.rint(places).astype(np.int32)], False, CURVE, 2, cv2.LINE_AA)
    picture = np.concatenate([text_line("sigma1 over frames", WIDTH), picture])
    if not cv2.imwrite(str(path), picture[..., ::-1]):
        raise OSError(f"could not write {path}; its folder must be writable")
