"""Metrics of a run: JSON lines (the record) and TensorBoard (the view)."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

FILE = "metrics.jsonl"


class MetricLog:
    """Appends ``{"step", "stage/split/name": value}`` lines; keys are ``stage/split/name_unit``.

    Args:
        out: The run's folder.
        resume_from: Steps done already; later lines, of an interrupted attempt, are dropped.
    """

    def __init__(self, out: Path, *, resume_from: int = 0):
        self.path = out / FILE
        kept = [line for line in read_metrics(out) if line["step"] <= resume_from] if resume_from else []
        self.path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self._board = None
        self._board_folder = out / "tensorboard"
        self._purge = resume_from + 1 if resume_from else None

    def write(self, step: int, stage: str, split: str, values: Mapping[str, float]) -> None:
        """One line of figures after ``step`` steps."""
        named = {f"{stage}/{split}/{name}": value for name, value in values.items()}
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **named}) + "\n")
        if self._board is not None:
            for name, value in named.items():
                self._board.add_scalar(name, value, step)

    def __enter__(self) -> "MetricLog":
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(self._board_folder), purge_step=self._purge)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._board is not None:
            self._board.close()


def read_metrics(out: Path) -> list[dict[str, Any]]:
    """The lines written so far; a last line cut short by a kill is left out."""
    path = out / FILE
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
