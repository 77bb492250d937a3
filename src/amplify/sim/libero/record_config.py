"""What is recorded of LIBERO."""

from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt, field_validator, model_validator

from amplify.config import Config
from amplify.data.layout import DatasetSpec
from amplify.errors import UsageError
from amplify.sim.libero.bodies import proprio_names
from amplify.sim.libero.config import ACTION_NAMES, LiberoConfig
from amplify.sim.libero.oracle.config import OracleConfig
from amplify.sim.libero.tasks import find_task, initial_states, suite_name, suite_tasks


class RecordConfig(Config):
    """What is recorded.

    Args:
        suite: Of the tasks; stored by its full name.
        tasks: Names or numbers; stored as names without repeats. None is all.
        episodes: Successful episodes a task.
        initial_states: Numbers of official initial states, which episodes take in turn; none is all of a task.
        seed: All that varies in the oracle's performances derives from it.
        patience: A task is given up when so many episodes in a row have failed.
        actions: Whether actions and proprioception are stored; without, the dataset has no such columns.
        scene: Whether states and poses of everything are stored, for exact tracks and to render anew.
        format: "lerobot", or "libero-hdf5" for LIBERO's own layout, which always has actions and states.
        oracle: How much performances vary, and how often one is attempted.
        simulator: Cameras, image size, quality, whose arm acts.
    """

    suite: str
    tasks: tuple[str, ...] | None = None
    episodes: PositiveInt = 50
    initial_states: tuple[NonNegativeInt, ...] = ()
    seed: int = 0
    patience: PositiveInt = 3
    actions: bool = True
    scene: bool = True
    format: Literal["lerobot", "libero-hdf5"] = "lerobot"
    oracle: OracleConfig = OracleConfig()
    simulator: LiberoConfig = LiberoConfig()

    @field_validator("suite")
    @classmethod
    def _full_suite(cls, suite: str) -> str:
        return suite_name(suite)

    @field_validator("initial_states")
    @classmethod
    def _different_states(cls, states: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(states)) < len(states):
            raise ValueError(f"different initial states are needed, got {states}")
        return states

    @model_validator(mode="after")
    def _whole_files(self) -> "RecordConfig":
        if self.format == "libero-hdf5" and not (self.actions and self.scene):
            raise ValueError("libero-hdf5: these files always hold actions and states")
        return self

    def states_of(self, task: str) -> tuple[int, ...]:
        """Numbers of the initial states that a task's episodes take in turn.

        Raises:
            UsageError: The task has fewer.
        """
        there = len(initial_states(find_task(self.suite, task)))
        if max(self.initial_states, default=0) >= there:
            raise UsageError(
                f"--initial-states: {self.suite}/{task} has no such initial state",
                got=max(self.initial_states),
                allowed=f"0…{there - 1}",
            )
        return self.initial_states or tuple(range(there))

    @model_validator(mode="before")
    @classmethod
    def _names(cls, settings: Any) -> Any:
        if not isinstance(settings, dict) or settings.get("tasks") is None or "suite" not in settings:
            return settings
        names = dict.fromkeys(find_task(str(settings["suite"]), task).name for task in settings["tasks"])
        if not names:
            raise ValueError("at least one task is needed")
        return {**settings, "tasks": tuple(names)}

    @property
    def task_names(self) -> tuple[str, ...]:
        """LIBERO's names of the tasks."""
        return self.tasks or tuple(task.name for task in suite_tasks(self.suite))

    @property
    def dataset_spec(self) -> DatasetSpec:
        """What every episode of a dataset has."""
        return DatasetSpec(
            fps=self.simulator.fps,
            cameras=self.simulator.camera_names,
            width=self.simulator.render.width_px,
            height=self.simulator.render.height_px,
            proprio_names=proprio_names(self.simulator.body) if self.actions else None,
            action_names=ACTION_NAMES if self.actions else None,
            robot_type=self.simulator.body,
        )
