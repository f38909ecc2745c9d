"""What a run says while it trains: lines on the terminal, log.jsonl, and TensorBoard where it is installed."""

from __future__ import annotations

import json
from pathlib import Path


class Curves:
    """Rows of numbers by step. step: where the run goes on; what an earlier one wrote after it is forgotten."""

    def __init__(self, folder: Path, step: int):
        self.path = folder / "log.jsonl"
        rows = self.path.read_text().splitlines(keepends=True) if step and self.path.is_file() else []
        self.path.write_text("".join(row for row in rows if _step(row) <= step))
        self.board = _board(folder, step)

    def add(self, row: dict) -> None:
        row = {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
        print(" ".join(f"{key}={value}" for key, value in row.items()), flush=True)
        for key, value in row.items():
            if self.board and key != "step" and isinstance(value, int | float):
                self.board.add_scalar(key, value, row["step"])

    def close(self) -> None:
        if self.board:
            self.board.close()


def _step(row: str) -> int:
    try:
        return json.loads(row)["step"]
    except ValueError:  # the line that a kill cut short
        return 2**62


def _board(folder: Path, step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("no TensorBoard, curves are in log.jsonl alone: pip install tensorboard", flush=True)
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step or None)
