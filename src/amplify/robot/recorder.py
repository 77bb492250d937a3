"""What the loop saw and sent as episodes of a LeRobot dataset; whole ones only."""

import logging
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from amplify_client.realtime import STATE, SUCCESS, Step

from amplify.data.dataset import DatasetSpec, DatasetWriter, Episode
from amplify.data.info import read_lines
from amplify.data.layout import NOTES_PATH
from amplify.errors import DataError

logger = logging.getLogger(__name__)

Keep = Literal["all", "success"]


class Recorder:
    """An observer of the loop. An episode is written when it has ended; what is interrupted leaves nothing behind.

    Rows are the ticks of the clock from the first action on: where ticks were missed, the row before stands in for
    them, so that the rate of the recording is that of the clock. A stop is recorded as the action that it amounts to.

    Args:
        root: The dataset's folder; what an interrupted recording of the same robot left there is gone on with.
        rate_hz: Of the loop; whole frames a second.
        action_names: Of the robot.
        state_names: Of its proprioception.
        robot_type: What acts.
        keep: Which episodes.

    Raises:
        DataError: The folder holds something else, or the rate is not whole.
    """

    def __init__(
        self,
        root: Path,
        *,
        rate_hz: float,
        action_names: Sequence[str],
        state_names: Sequence[str],
        robot_type: str,
        keep: Keep = "all",
    ):
        if rate_hz != round(rate_hz):
            raise DataError("datasets have whole frames a second", got=rate_hz, remedy="choose a whole --rate")
        self.root, self.keep = root, keep
        self._names = tuple(action_names), tuple(state_names)
        self._fps, self._robot_type = round(rate_hz), robot_type
        self._writer: DatasetWriter | None = None
        self._rows: list[Step] = []
        self._told, self._seed = "", 0
        self.left_out: dict[str, str] = {}

    @property
    def finished(self) -> bool:
        """Whether the folder is a whole dataset, to which nothing is added."""
        return (self.root / "meta" / "info.json").is_file()

    @staticmethod
    def key(seed: int) -> str:
        """Of the episode with this seed, for resuming."""
        return f"episode-{seed:06d}"

    def staged(self) -> frozenset[str]:
        """Keys of the episodes that are safely on disk already."""
        if self.finished:
            return frozenset(line["key"] for line in read_lines(self.root / NOTES_PATH))
        staging = self.root / ".staging"
        if not staging.is_dir():
            return frozenset()
        return frozenset(p.name for p in staging.iterdir() if (p / "record.json").is_file() and p.name[0] != ".")

    def missing(self, seeds: Sequence[int]) -> list[int]:
        """Those of the seeds whose episodes are still to be recorded.

        Raises:
            DataError: There are some, and the folder is a finished dataset.
        """
        staged = self.staged()
        left = [seed for seed in seeds if self.key(seed) not in staged]
        if left and self.finished:
            raise DataError(f"{self.root} is a finished dataset", remedy="record into another folder")
        return left

    def begin(self, instruction: str, seed: int) -> None:
        """A new episode; rows of one that did not end are dropped."""
        self._rows, self._told, self._seed = [], instruction, seed

    def saw(self, step: Step) -> None:
        """A row, from the first action on."""
        if self._rows or step.phase == "acting":
            self._rows.append(step)

    def end(self, outcome: str) -> None:
        """Writes the episode.

        Raises:
            DataError: It does not fit the episodes before.
        """
        rows, key = self._rows, self.key(self._seed)
        self._rows = []
        while rows and rows[-1].phase != "acting":
            rows.pop()
        why = self._unfit(rows, outcome)
        if why is not None:
            self.left_out[key] = why
            logger.warning("%s is not recorded: %s", key, why)
            return
        writer = self._writer = self._writer or DatasetWriter(self.root, self._spec(rows[0].observation))
        writer.write_episode(key, self._episode(rows, outcome))

    def finish(self) -> dict[str, Any]:
        """Makes the dataset of all episodes that are staged; what was kept and left out.

        Raises:
            DataError: Nothing was recorded.
        """
        keys = sorted(self.staged())
        if keys and not self.finished:
            writer = self._writer or DatasetWriter(self.root, self._left_by_before())
            writer.finalize(keys)
        return {"dataset": str(self.root), "episodes": len(keys), "left_out": dict(self.left_out)}

    def _unfit(self, rows: Sequence[Step], outcome: str) -> str | None:
        if self.keep == "success" and outcome != SUCCESS:
            return f"it ended with: {outcome}"
        if not rows:
            return "nothing was done"
        if any(row.action is None for row in rows):
            return "the robot was stopped, and does not say which action that amounts to"
        if any(not np.isfinite(np.asarray(row.observation[STATE])).all() for row in rows):
            return "proprioception that is not finite numbers"
        return None

    def _spec(self, observation: Mapping[str, Any]) -> DatasetSpec:
        sizes = {name: (image.shape[1], image.shape[0]) for name, image in images_of(observation).items()}
        if not sizes:
            raise DataError("the robot's observations have no images", got=", ".join(map(str, observation)))
        actions, states = self._names
        return DatasetSpec.of_sizes(
            sizes, fps=self._fps, proprio_names=states, action_names=actions, robot_type=self._robot_type
        )

    def _left_by_before(self) -> DatasetSpec:
        return DatasetSpec.model_validate_json((self.root / ".staging" / "spec.json").read_text())

    def _episode(self, rows: Sequence[Step], outcome: str) -> Episode:
        # A tick that was missed still happened: what was seen and done last went on.
        lasts = [after.tick - row.tick for row, after in pairwise(rows)] + [1]
        every = [row for row, times in zip(rows, lasts) for _ in range(times)]
        frames = [images_of(row.observation) for row in every]
        stopped = sum(row.phase != "acting" for row in every)
        return Episode(
            instruction=self._told,
            frames={name: np.stack([images[name] for images in frames]) for name in frames[0]},
            proprio=np.stack([np.asarray(row.observation[STATE], dtype=np.float32).reshape(-1) for row in every]),
            actions=np.stack([np.asarray(row.action, dtype=np.float32) for row in every]),
            info={
                "outcome": outcome,
                "seed": self._seed,
                "repeated_frames": len(every) - len(rows),
                "stopped_frames": stopped,
            },
        )


def images_of(observation: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The camera images of an observation, by the last word of their names."""
    return {
        name.replace(".", "/").split("/")[-1]: value
        for name, value in observation.items()
        if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 3
    }
