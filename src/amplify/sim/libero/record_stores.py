"""Where recorded demonstrations go: a LeRobot dataset, or files in LIBERO's own layout."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amplify.data.dataset import DatasetWriter, Episode
from amplify.data.files import write_json
from amplify.data.writer import report_of
from amplify.sim.libero.hdf5 import LiberoFiles
from amplify.sim.libero.record_config import RecordConfig
from amplify.sim.libero.record_performance import Performance, scene_states
from amplify.sim.libero.record_progress import Outcome
from amplify.sim.libero.record_render import images_of
from amplify.sim.libero.simulation import Simulation


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A demonstration that is kept.

    Args:
        simulation: It happened in; in any state.
        performance: What happened.
        info: Notes (task, initial state, attempts).
    """

    simulation: Simulation
    performance: Performance
    info: dict[str, str | int | float]


class Store(ABC):
    """Stages demonstrations one by one, from any number of processes, and makes data of them in the end.

    Args:
        config: What is recorded.
        root: The folder of the data.
    """

    def __init__(self, config: RecordConfig, root: Path):
        self.config, self.root = config, root

    @property
    @abstractmethod
    def staging(self) -> Path:
        """The folder of what is not finished."""

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether the data are complete."""

    @abstractmethod
    def staged(self) -> frozenset[str]:
        """Keys of the demonstrations that are safely on disk."""

    @abstractmethod
    def write(self, key: str, recorded: Recorded) -> None:
        """Stages a demonstration, as a whole or not at all."""

    @abstractmethod
    def finalize(self, keys: Sequence[str], report: dict[str, Any]) -> None:
        """Makes data of staged demonstrations, in this order, and keeps the report with them."""

    @abstractmethod
    def report(self) -> dict[str, Any]:
        """What was handed to `finalize`."""

    def write_note(self, key: str, outcome: Outcome) -> None:
        """Notes what became of an episode, so that a failed one is not made again."""
        write_json(self.staging / NOTES / f"{key}.json", asdict(outcome))

    def notes(self) -> dict[str, Outcome]:
        """The notes by key."""
        paths = sorted((self.staging / NOTES).glob("[!.]*.json"))
        return {path.stem: Outcome(**json.loads(path.read_text())) for path in paths}


NOTES = "notes"


class LeRobotStore(Store):
    """A LeRobot dataset: row t holds what was seen in state t and the action that the expert then chose."""

    def __init__(self, config: RecordConfig, root: Path):
        super().__init__(config, root)
        self._writer = DatasetWriter(root, config.dataset_spec)

    @property
    def staging(self) -> Path:
        """The writer's."""
        return self._writer.staging

    @property
    def finished(self) -> bool:
        """Whether the dataset is complete."""
        return self._writer.finished

    def staged(self) -> frozenset[str]:
        """Keys of the episodes that are safely on disk."""
        return self._writer.staged()

    def write(self, key: str, recorded: Recorded) -> None:
        """Stages an episode."""
        config, performance, simulation = self.config, recorded.performance, recorded.simulation
        length = len(performance.actions)
        shown = performance.shown(0, length)
        episode = Episode(
            instruction=simulation.task.instruction,
            frames=images_of(simulation, shown),
            proprio=performance.proprio[:length] if config.actions else None,
            actions=performance.intended if config.actions else None,
            scene=scene_states(simulation, shown) if config.scene else None,
            info=recorded.info,
        )
        self._writer.write_episode(key, episode)

    def finalize(self, keys: Sequence[str], report: dict[str, Any]) -> None:
        """Makes a dataset of staged episodes."""
        self._writer.finalize(keys, report)

    def report(self) -> dict[str, Any]:
        """Counts of the recording."""
        return report_of(self.root)


class LiberoStore(Store):
    """Files in LIBERO's layout: row t holds action t, the state before it, and what was seen after it."""

    def __init__(self, config: RecordConfig, root: Path):
        super().__init__(config, root)
        self._files = LiberoFiles(root, config.suite, config.model_dump_json())

    @property
    def staging(self) -> Path:
        """A folder beside the suite's."""
        return self._files.staging

    @property
    def finished(self) -> bool:
        """Whether all files are complete."""
        return self._files.finished

    def staged(self) -> frozenset[str]:
        """Keys of the demonstrations that are safely on disk."""
        return self._files.staged()

    def write(self, key: str, recorded: Recorded) -> None:
        """Stages a demonstration."""
        performance, simulation = recorded.performance, recorded.simulation
        images = images_of(simulation, performance.shown(1, len(performance.states)))
        self._files.write(key, simulation, performance, images)

    def finalize(self, keys: Sequence[str], report: dict[str, Any]) -> None:
        """Makes one file a task."""
        self._files.finalize(keys, report)

    def report(self) -> dict[str, Any]:
        """Counts of the recording."""
        return self._files.report()


STORES: dict[str, type[Store]] = {"lerobot": LeRobotStore, "libero-hdf5": LiberoStore}
"""By `RecordConfig.format`."""


def store_of(config: RecordConfig, root: Path) -> Store:
    """Where the recording goes.

    Raises:
        DataError: The folder holds something else.
    """
    return STORES[config.format](config, root)
