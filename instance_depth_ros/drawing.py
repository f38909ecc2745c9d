"""Pictures for people: colours of depth, instances, legends, tiles beside one another, text, and videos."""

from __future__ import annotations

import time
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from .config import CLASSES
from .frame import Instance
from .geometry import valid

TILE = 320  # width of a picture, pixels
LEGEND = 64
BAR = 14  # width of a legend's colours
GAP = 6
LINE = 24  # height of a line of text
PAPER, INK, MISSING = (255, 255, 255), (30, 30, 30), 90
# How much of a mask's colour covers what is below, and how far apart the hues of successive ids are (golden ratio).
MASK_OPACITY, HUE_STEP = 0.45, 0.618034
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42
FULL_SPAN_M = (0.1, 80.0)
# VP9 (libvpx, BSD) in MP4: every current browser plays it, and no GPL encoder is involved.
CODEC, OPTIONS = "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "30", "b": "0"}
MILLISECONDS = Fraction(1, 1000)
SAY_EVERY_S = 2.0


def colored_depth(depth_m: np.ndarray, near_m: float, far_m: float) -> np.ndarray:
    """(H, W) metres -> (H, W, 3) uint8 RGB: turbo in log depth, near red, far blue, invalid grey."""
    known = valid(depth_m)
    share = np.log(np.where(known, depth_m, near_m) / near_m) / np.log(far_m / near_m)
    picture = np.full((*depth_m.shape, 3), MISSING, np.uint8)
    return cv2.copyTo(colors(1 - share, cv2.COLORMAP_TURBO), known.view(np.uint8), picture)


def id_colors(ids: np.ndarray) -> np.ndarray:
    """(N,) ids -> (N, 3) uint8 RGB: bright, the same for an id at all times, far apart for ids that follow another."""
    hue = np.asarray(ids, np.float64) * HUE_STEP % 1 * 180
    hsv = np.stack([hue, np.full_like(hue, 190), np.full_like(hue, 255)], -1).astype(np.uint8)
    return cv2.cvtColor(hsv[:, None], cv2.COLOR_HSV2RGB)[:, 0] if hsv.size else hsv


def instance_label(instance: Instance) -> str:
    """`#3 person 4.2 m`, and who hides it."""
    behind = f" behind #{instance.hidden_by}" if instance.hidden_by else ""
    return f"#{instance.id} {CLASSES[instance.class_id]} {instance.depth_m:.1f} m{behind}"


def borders(ids: np.ndarray) -> np.ndarray:
    """(H, W) ids -> (H, W) bool: pixels of an instance beside one that is not of it."""
    marked = np.zeros(ids.shape, bool)
    for values, seen in ((ids, marked), (ids.T, marked.T)):
        change = values[1:] != values[:-1]
        seen[1:] |= change
        seen[:-1] |= change
    return marked & (ids > 0)


def with_masks(picture: np.ndarray, ids: np.ndarray, instances: tuple[Instance, ...] = ()) -> np.ndarray:
    """A copy of (H, W, 3) RGB under the coloured masks of an (H, W) id image, with their borders.

    A colour is that of the lasting id where instances know it, else of the value itself.
    """
    colors = id_colors(np.arange(int(ids.max(initial=0)) + 1))
    known = [instance for instance in instances if instance.pixel < len(colors)]
    colors[[instance.pixel for instance in known]] = id_colors([instance.id for instance in known])
    colored = np.take(colors, ids, axis=0)
    covered = cv2.addWeighted(picture, 1 - MASK_OPACITY, colored, MASK_OPACITY, 0)
    cv2.copyTo(picture, (ids == 0).view(np.uint8), covered)
    return cv2.copyTo(colored, borders(ids).view(np.uint8), covered)


def with_borders(picture: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """A copy of (H, W, 3) RGB with the borders of instances in white."""
    picture = picture.copy()
    picture[borders(ids)] = PAPER
    return picture


def with_instances(
    picture: np.ndarray, ids: np.ndarray, instances: tuple[Instance, ...], shrunk: float = 1
) -> np.ndarray:
    """A copy of (H, W, 3) RGB with masks, borders and labels. ids: (H, W); shrunk: of the picture, against box_px."""
    picture, taken = with_masks(picture, ids, instances), []
    # The nearest has its place first; who comes later makes room upwards.
    for instance in sorted(instances, key=lambda instance: instance.depth_m):
        column, row = (round(side / shrunk) for side in instance.box_px[:2])
        (ink,) = id_colors([instance.id]).tolist()
        taken.append(write_label(picture, instance_label(instance), (column, row), ink, taken))
    return picture


def write_label(
    picture: np.ndarray,
    text: str,
    left_bottom: tuple[int, int],
    ink: tuple[int, int, int],
    taken: list[tuple[int, int, int, int]],
) -> tuple[int, int, int, int]:
    """Letters on dark ground at (column, row), moved into the picture and above labels that are there.

    taken: left, top, right, bottom of those; gives its own.
    """
    (width, height), below = cv2.getTextSize(text, FONT, FONT_SCALE, 1)
    left = int(np.clip(left_bottom[0], 0, max(0, picture.shape[1] - width)))
    bottom = int(np.clip(left_bottom[1] + below, height + below, max(height + below, picture.shape[0])))
    for other in sorted(taken, key=lambda box: -box[3]):
        beside = other[2] <= left or left + width <= other[0] or other[3] <= bottom - height - below
        if not beside and bottom > other[1] >= height + below:
            bottom = other[1]
    top = bottom - height - below
    picture[top:bottom, left : left + width] //= 4
    write_text(picture, text, (left, bottom - below), ink)
    return left, top, left + width, bottom


def depth_span(truth_m: np.ndarray) -> tuple[float, float]:
    """(near, far) metres that show a truth well: its 1st and 99th percentile, at least a factor of 1.5 apart."""
    known = truth_m[valid(truth_m)]
    if not known.size:
        return FULL_SPAN_M
    near, far = np.percentile(known, (1, 99))
    return float(near), float(max(far, 1.5 * near))


def beside(*pictures: np.ndarray) -> np.ndarray:
    """Pictures of one height in a line, with gaps."""
    gap = np.full((pictures[0].shape[0], GAP, 3), PAPER, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)] + [gap], axis=1)


def tile(picture: np.ndarray) -> np.ndarray:
    """Resized to the width of a tile. Shrinking averages colours; growing shows the pixels as they are."""
    height, width = picture.shape[:2]
    how = cv2.INTER_AREA if width > TILE else cv2.INTER_NEAREST
    return cv2.resize(picture, (TILE, round(height * TILE / width)), interpolation=how)


def depth_legend(near_m: float, far_m: float, height: int) -> np.ndarray:
    """What the colours of colored_depth() mean, in metres; (height, LEGEND, 3)."""
    share = np.repeat(np.linspace(1, 0, height)[:, None], BAR, 1)
    return legend(colored_depth(near_m * (far_m / near_m) ** share, near_m, far_m), _marks(near_m, far_m))


def legend(bar: np.ndarray, marks: list[tuple[float, str]]) -> np.ndarray:
    """A bar of colours with marks (share of its height from the bottom, text) beside it."""
    height = bar.shape[0]
    legend = np.full((height, LEGEND, 3), PAPER, np.uint8)
    legend[:, :BAR] = bar
    for share, text in marks:
        row = round((1 - share) * (height - 1))
        cv2.line(legend, (BAR, row), (BAR + 4, row), INK, 1)
        write_text(legend, text, (BAR + 7, int(np.clip(row + 4, 10, height - 2))))
    return legend


def _marks(near_m: float, far_m: float) -> list[tuple[float, str]]:
    """Round depths between near and far with their place on a log scale, both ends included."""
    steps = [digit * 10.0**power for power in range(-2, 4) for digit in (1, 2, 3, 5)]
    span = np.log(far_m / near_m)
    places = {depth: np.log(depth / near_m) / span for depth in steps}
    inner = [(place, f"{depth:g} m") for depth, place in places.items() if 0.08 < place < 0.92]
    return [(0.0, f"{near_m:.2g} m"), *inner, (1.0, f"{far_m:.2g} m")]


def colors(share: np.ndarray, colormap: int) -> np.ndarray:
    """(H, W) in 0..1 -> (H, W, 3) uint8 RGB."""
    bgr = cv2.applyColorMap((np.clip(share, 0, 1) * 255).astype(np.uint8), colormap)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr)


def text_line(text: str, width: int) -> np.ndarray:
    """A line of text on paper."""
    line = np.full((LINE, width, 3), PAPER, np.uint8)
    write_text(line, text, (GAP, LINE - 9))
    return line


def write_text(picture: np.ndarray, text: str, left_bottom: tuple[int, int], ink: tuple[int, int, int] = INK) -> None:
    """Small letters into a picture, from (column, row) of their baseline's left end."""
    cv2.putText(picture, text, left_bottom, FONT, FONT_SCALE, ink, 1, cv2.LINE_AA)


def write_video(path: Path, moments: Iterable[tuple[int, np.ndarray]], count: int) -> None:
    """An MP4 of count moments (stamp_ns, (H, W, 3) RGB), all of one size, in order; says how far it is."""
    try:
        import av
    except ImportError:
        raise RuntimeError("writing a video needs PyAV: pip install 'instance_depth_ros[video]'") from None
    said_s = time.monotonic()
    with av.open(str(path), "w", options={"movflags": "faststart"}) as movie:
        stream, first_ns, last_ms = None, None, -1
        for index, (stamp_ns, picture) in enumerate(moments):
            picture = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
            if stream is None:
                first_ns = stamp_ns
                stream = movie.add_stream(CODEC, rate=30, options=OPTIONS)
                stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0], "yuv420p"
                stream.time_base = stream.codec_context.time_base = MILLISECONDS
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            last_ms = max(last_ms + 1, (stamp_ns - first_ns) // 1_000_000)
            frame.pts, frame.time_base = last_ms, MILLISECONDS
            movie.mux(stream.encode(frame))
            if time.monotonic() - said_s > SAY_EVERY_S:
                said_s = time.monotonic()
                print(f"{path.name}: {index + 1} of {count} frames", flush=True)
        movie.mux(stream.encode(None))
