"""What is wrong with recorded depth, measured from the recording alone: holes, noise, and a shift against the colours.

depth_m: (H, W) float32 metres, NaN invalid; color: (H, W, 3) uint8 RGB, registered to it, as far as it is.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..geometry import valid

CELLS = 3  # of the map of holes, each way
# The camera counts as still where most blocks with texture move less than so many pixels between two frames; a pixel
# does where its grey differs less than by so many levels, and by so many deviations of all.
STILL_PX, STILL_LEVELS, STILL_SIGMAS = 0.06, 2.5, 4.0
BLOCK, TEXTURE, TEXTURED = 40, 3.0, 0.05  # pixels a side; grey levels a pixel; share of a block
SMOOTH_PX = 2.0
LEAST = 300  # pixels that a deviation is taken from
# Depth edges: a step of 8 % between pixels. Holes up to so many pixels wide are taken for the shadow of what is nearer.
STEP, SHADOW_PX = 0.04, 40
GREY_EDGE, CLEAR = 8.0, 6.0  # grey levels a pixel that count half; deviations of the peak of a clear shift


def holes(depth_m: np.ndarray) -> np.ndarray:
    """(CELLS, CELLS) share of invalid depth in each part of the picture."""
    missing = (~valid(depth_m)).astype(np.float32)
    rows, columns = (np.linspace(0, size, CELLS + 1).astype(int)[:-1] for size in depth_m.shape)
    sums = np.add.reduceat(np.add.reduceat(missing, rows, 0), columns, 1)
    sizes = np.outer(*(np.diff([*at, size]) for at, size in zip((rows, columns), depth_m.shape, strict=True)))
    return sums / sizes


def grey(color: np.ndarray) -> np.ndarray:
    """(H, W) float32 brightness, smoothed: what still() compares."""
    return cv2.GaussianBlur(cv2.cvtColor(color, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), SMOOTH_PX)


def still(before: np.ndarray, now: np.ndarray) -> np.ndarray | None:
    """(H, W) bool: the pixels at which nothing moves between two grey() pictures; None while the camera moves.

    Also None where there is too little texture to tell. A common change of brightness is none of movement.
    """
    change = now - before
    change -= np.median(change)
    shifts_px = _block_shifts(before, change)
    if not len(shifts_px) or np.median(np.hypot(*shifts_px.T)) > STILL_PX:
        return None
    limit = max(STILL_LEVELS, STILL_SIGMAS * 1.4826 * float(np.median(np.abs(change))))
    return cv2.dilate((np.abs(change) > limit).astype(np.uint8), np.ones((9, 9), np.uint8)) == 0


def _block_shifts(picture: np.ndarray, change: np.ndarray) -> np.ndarray:
    """(n, 2) pixels (x, y) by which each block that has texture has moved: least squares of optical flow."""
    x, y = _slopes(picture)
    size = (picture.shape[1] // BLOCK, picture.shape[0] // BLOCK)
    if not all(size):
        return np.zeros((0, 2))
    xx, xy, yy, xt, yt, textured = (
        cv2.resize(product, size, interpolation=cv2.INTER_AREA).ravel()
        for product in (x * x, x * y, y * y, x * change, y * change, (np.hypot(x, y) > TEXTURE).astype(np.float32))
    )
    determinant = xx * yy - xy * xy
    # of a single edge no movement along it can be seen
    known = (textured > TEXTURED) & (determinant > 0.02 * (xx + yy) ** 2)
    shifts = np.stack([xy * yt - yy * xt, xy * xt - xx * yt], -1)[known] / determinant[known, None]
    return shifts


def _slopes(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change a pixel to the right and down."""
    return tuple(cv2.Sobel(picture, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=1 / 8) for dx in (1, 0))


def noise_m(before_m: np.ndarray, now_m: np.ndarray, where: np.ndarray, bands_m: tuple[float, ...]) -> np.ndarray:
    """(bands,) metres: deviation of one frame's depth, from its change between two at the pixels `where`, by distance.

    Robust: what is beyond three deviations does not count. NaN where a band has too few pixels.
    """
    where = where & valid(before_m) & valid(now_m)
    change_m, mean_m = now_m[where] - before_m[where], (now_m[where] + before_m[where]) / 2
    band = np.digitize(mean_m, bands_m) - 1
    return np.array([_deviation(change_m[band == index]) for index in range(len(bands_m) - 1)]) / np.sqrt(2)


def _deviation(values: np.ndarray) -> float:
    """Of the normal part of what may have outliers; also where values are whole steps of a few deviations."""
    if len(values) < LEAST:
        return np.nan
    limit = 3 * np.percentile(np.abs(values), 90) / 1.645
    for _ in range(10):
        inside = values[np.abs(values) <= limit]
        sigma = float(np.sqrt(np.mean(inside**2))) / 0.9866  # a normal one cut at three deviations
        limit = 3 * sigma
    return sigma


def edge_shift(color: np.ndarray, depth_m: np.ndarray, reach_px: int) -> np.ndarray | None:
    """(2,) pixels to the right and down by which edges of depth lie beside those of colour; None: no clear one.

    Where the directions of the edges agree best, to parts of a pixel, within reach_px each way.
    """
    depth = _depth_edges(depth_m)
    depth[:reach_px], depth[-reach_px:], depth[:, :reach_px], depth[:, -reach_px:] = (0,) * 4
    x, y = _slopes(cv2.GaussianBlur(cv2.cvtColor(color, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0))
    both = _whitened(depth) * np.conj(_whitened(_directions(x, y, GREY_EDGE)))
    around = np.roll(np.fft.ifft2(both).real, (reach_px, reach_px), (0, 1))[: 2 * reach_px + 1, : 2 * reach_px + 1]
    around -= np.median(around)
    row, column = np.unravel_index(around.argmax(), around.shape)
    inside = 0 < row < 2 * reach_px and 0 < column < 2 * reach_px
    if not inside or around[row, column] < CLEAR * 1.4826 * np.median(np.abs(around)):
        return None
    fine = _peak(around[row, column - 1 : column + 2]), _peak(around[row - 1 : row + 2, column])
    return np.array([column, row]) - reach_px + fine


def _directions(x: np.ndarray, y: np.ndarray, half: float) -> np.ndarray:
    """(H, W) complex: twice the angle of a slope, so that its sign does not matter; strength saturates, 1/2 at half."""
    strength = np.hypot(x, y)
    return ((x + 1j * y) / np.maximum(strength, 1e-9)) ** 2 * (strength / np.maximum(strength + half, 1e-9))


def _whitened(edges: np.ndarray) -> np.ndarray:
    """Spectrum of edges, half way to phase correlation: else long lines and stripes outweigh all else."""
    spectrum = np.fft.fft2(edges)
    strength = np.abs(spectrum)
    return spectrum / np.sqrt(strength + 1e-3 * strength.max() + 1e-9)


def _depth_edges(depth_m: np.ndarray) -> np.ndarray:
    """(H, W) complex: as _directions() at steps of depth, 0 elsewhere and beside holes that are no shadow."""
    filled = np.log(_without_shadows(np.where(valid(depth_m), depth_m, np.nan)))
    known = np.isfinite(filled)
    x, y = _slopes(np.where(known, filled, 0))
    beside = cv2.dilate((~known).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    edge = (np.hypot(x, y) > STEP) & ~beside
    return np.where(edge, _directions(x, y, 0.0), 0)


def _without_shadows(depth_m: np.ndarray) -> np.ndarray:
    """Short holes of a row get the depth of their farther end: a second imager does not see the ground beside what is
    near."""
    known, columns = np.isfinite(depth_m), np.arange(depth_m.shape[1])
    left = np.maximum.accumulate(np.where(known, columns, -1), 1)
    right = np.minimum.accumulate(np.where(known, columns, len(columns))[:, ::-1], 1)[:, ::-1]
    ends = [np.take_along_axis(depth_m, np.clip(at, 0, len(columns) - 1), 1) for at in (left, right)]
    short = ~known & (left >= 0) & (right < len(columns)) & (right - left <= SHADOW_PX + 1)
    return np.where(short, np.maximum(*ends), depth_m)


def _peak(three: np.ndarray) -> float:
    """Where the parabola through three values has its top, from the middle one."""
    before, top, after = three
    return float(0.5 * (before - after) / min(before - 2 * top + after, -1e-9))


def stamps(stamps_ns: np.ndarray) -> dict:
    """fps: of the median step; dropped: frames that gaps tell of; not_forward: steps back or none; jitter: the 95th
    percentile of how far steps are from whole periods, as a share of these."""
    steps = np.diff(stamps_ns)
    forward = steps[steps > 0]
    if not len(forward):
        return {"fps": None, "dropped": None, "not_forward": int((steps <= 0).sum()), "jitter": None}
    period = float(np.median(forward))
    periods = np.maximum(np.rint(forward / period), 1)
    off = np.abs(forward / (periods * period) - 1)
    return {
        "fps": 1e9 / period,
        "dropped": int((periods - 1).sum()),
        "not_forward": int((steps <= 0).sum()),
        "jitter": float(np.percentile(off, 95)),
    }


def exposure(color: np.ndarray) -> dict[str, float]:
    """brightness: mean grey, 0..1; blown and black: share of pixels of which no channel tells more."""
    return {
        "brightness": float(color.mean()) / 255,
        "blown": float((color.min(-1) >= 250).mean()),
        "black": float((color.max(-1) <= 5).mean()),
    }
