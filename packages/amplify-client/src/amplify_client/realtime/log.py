"""Every step as a line of JSON: what a dry run would have sent, or what was sent."""

import json
from pathlib import Path
from typing import IO, Any

import numpy as np

from amplify_client.realtime.robot import STATE
from amplify_client.realtime.step import Step


class StepLog:
    """An observer that writes lines; the file grows over episodes.

    Args:
        path: Of the file; written anew.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = self.path.open("w")
        self._episode = -1

    def begin(self, instruction: str, seed: int) -> None:
        """A line that says so."""
        self._episode += 1
        self._write({"episode": self._episode, "event": "begin", "instruction": instruction, "seed": seed})

    def saw(self, step: Step) -> None:
        """A line a step."""
        self._write(
            {
                "episode": self._episode,
                "tick": step.tick,
                "at_s": round(step.at_s, 6),
                "late_ms": round(step.late_ms, 3),
                "phase": step.phase,
                "age_ms": None if step.age_ms is None else round(step.age_ms, 3),
                "state": _listed(np.asarray(step.observation[STATE])),
                "asked": _listed(step.asked),
                "action": _listed(step.action),
                "limited": [f"{change.dimension}: {change.limit}" for change in step.limited],
            }
        )

    def end(self, outcome: str) -> None:
        """A line that says how."""
        self._write({"episode": self._episode, "event": "end", "outcome": outcome})
        self._file.flush()

    def close(self) -> None:
        """No more lines."""
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")


def _listed(values: np.ndarray | None) -> list[float] | None:
    return None if values is None else [round(float(value), 6) for value in values.reshape(-1)]
