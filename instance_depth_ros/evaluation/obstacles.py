"""What a robot would run into, and what it would stop for without need."""

from __future__ import annotations

import numpy as np

CELL_PX = 8
NEAR_M, FAR_M = 3.0, 3.6  # 20 % farther than near is too far
SURFACE = 0.25  # of a cell: less is a border, which may be a pixel off


class Obstacles:
    """Counts over cells of CELL_PX x CELL_PX pixels.

    A truth surface: a quarter or more of a cell is within NEAR_M; it is missed if the estimate has no pixel nearer than
    FAR_M there. A false one: a quarter or more of a cell is estimated within NEAR_M where truth has no pixel nearer
    than FAR_M; cells of no known truth (the sky) are passed over. Shares: of all truth surfaces, of all estimated ones.
    """

    def __init__(self):
        self._true = self._missed = self._found = self._false = 0

    def add(self, prediction_m: np.ndarray, truth_m: np.ndarray) -> None:
        """One frame, (H, W) metres, NaN invalid; what is left of a whole number of cells is not judged."""
        known = _share(truth_m > 0) > 0
        true, found = (_share(depth_m <= NEAR_M) >= SURFACE for depth_m in (truth_m, prediction_m))
        truth_clear, clear = (_share(depth_m < FAR_M) == 0 for depth_m in (truth_m, prediction_m))
        self._true += int(np.count_nonzero(true))
        self._missed += int(np.count_nonzero(true & clear))
        self._found += int(np.count_nonzero(found & known))
        self._false += int(np.count_nonzero(found & known & truth_clear))

    def result(self) -> dict[str, float | None]:
        """missed_obstacles, false_obstacles; None where there was nothing to miss or nothing was found."""
        shares = {"missed_obstacles": (self._missed, self._true), "false_obstacles": (self._false, self._found)}
        return {name: part / whole if whole else None for name, (part, whole) in shares.items()}


def _share(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool -> (H / CELL_PX, W / CELL_PX): share of each cell."""
    rows, columns = (size // CELL_PX for size in mask.shape)
    cells = mask[: rows * CELL_PX, : columns * CELL_PX].view(np.uint8).reshape(rows, CELL_PX, columns, CELL_PX)
    return cells.sum(1, dtype=np.uint8).sum(-1, dtype=np.uint8) / CELL_PX**2
