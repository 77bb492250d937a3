"""Episodes as files, on a computer without torch, parquet or video: a dataset later, by ``amplify import robot``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amplify_client.realtime.robot import STATE
from amplify_client.realtime.step import Step

IMAGE = "image:"
"""Before the name of an array of images."""


class EpisodeFolder:
    """An observer of the loop that writes ``episode-<seed>.npz`` when an episode ends; uncompressed, no pickles.

    An episode that is interrupted leaves no file. Images stay in memory until then.

    Args:
        root: The folder.
        rate_hz: Of the loop.
        action_names: Of the robot.
        state_names: Of its proprioception.
        robot_type: What acts.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        rate_hz: float,
        action_names: Sequence[str],
        state_names: Sequence[str],
        robot_type: str = "robot",
    ):
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self._about = {
            "rate_hz": np.array(float(rate_hz)),
            "action_names": np.array(list(action_names)),
            "state_names": np.array(list(state_names)),
            "robot_type": np.array(robot_type),
        }
        self._steps: list[Step] = []
        self._told, self._seed = "", 0

    def begin(self, instruction: str, seed: int) -> None:
        """A new episode; what was seen of one that did not end is dropped."""
        self._steps, self._told, self._seed = [], instruction, seed

    def saw(self, step: Step) -> None:
        """A tick."""
        self._steps.append(step)

    def end(self, outcome: str) -> None:
        """Writes the episode."""
        steps, self._steps = self._steps, []
        unknown = np.full(len(self._about["action_names"]), np.nan)
        seen = [step.observation for step in steps]
        names = [name for name, value in seen[0].items() if isinstance(value, np.ndarray) and value.dtype == np.uint8]
        arrays: dict[str, Any] = {
            **self._about,
            "instruction": np.array(self._told),
            "seed": np.array(self._seed),
            "outcome": np.array(outcome),
            "tick": np.array([step.tick for step in steps]),
            "phase": np.array([step.phase for step in steps]),
            "action": np.stack([unknown if step.action is None else step.action for step in steps]),
            "state": np.stack([np.asarray(observation[STATE], dtype=float).reshape(-1) for observation in seen]),
            **{f"{IMAGE}{name}": np.stack([observation[name] for observation in seen]) for name in names},
        }
        path = self.root / f"episode-{self._seed:06d}.npz"
        aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with aside.open("wb") as file:
                np.savez(file, **arrays)
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
