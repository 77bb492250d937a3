"""A suite of LIBERO as a set of tasks to act in."""

from collections.abc import Sequence

from amplify.sim.libero.config import LiberoConfig, Quality
from amplify.sim.libero.env import LiberoEnv
from amplify.sim.libero.tasks import (
    LiberoTask,
    find_task,
    initial_states,
    paraphrases,
    suite_name,
    suite_tasks,
    wrong_instruction,
)


class LiberoBenchmark:
    """One suite; an `amplify.protocols.Benchmark`.

    Args:
        suite: A name as `suite_name` takes it.
        config: Shared by all tasks.

    Raises:
        UnknownNameError: There is no such suite.
        MissingDependencyError: No LIBERO package is installed.
    """

    def __init__(self, suite: str, config: LiberoConfig | None = None):
        self.suite = suite_name(suite)
        self.name = f"libero/{self.suite}"
        self.config = config or LiberoConfig()

    def seen(self, size_px: int | None, quality: Quality | None) -> "LiberoBenchmark":
        """The same suite in images of another size or quality; None keeps what is."""
        size = {} if size_px is None else {"width_px": size_px, "height_px": size_px}
        changes = {"render": self.config.render.model_copy(update=size), "quality": quality or self.config.quality}
        return LiberoBenchmark(self.suite, self.config.model_copy(update=changes))

    def tasks(self) -> Sequence[str]:
        """LIBERO's names, in its order."""
        return tuple(task.name for task in suite_tasks(self.suite))

    def instruction(self, task: str) -> str:
        """The sentence that asks for the task.

        Raises:
            UnknownNameError: There is no such task.
        """
        return self._task(task).instruction

    def paraphrases(self, task: str) -> Sequence[str]:
        """Other sentences that ask for the same: LIBERO-PRO's; none where it has none.

        Raises:
            UnknownNameError: There is no such task.
        """
        return paraphrases(self._task(task))

    def wrong_instruction(self, task: str) -> str:
        """The sentence of another task of the suite, in the same scene where there is one.

        Raises:
            UnknownNameError: There is no such task.
        """
        return wrong_instruction(self._task(task))

    def initial_states(self, task: str) -> int:
        """How many official initial states the task has; the seeds of its environments are their numbers.

        Raises:
            UnknownNameError: There is no such task.
            DataError: It has none.
        """
        return len(initial_states(self._task(task)))

    def make(self, task: str, num_envs: int) -> LiberoEnv:
        """Copies of the task.

        Raises:
            UnknownNameError: There is no such task or camera.
        """
        return LiberoEnv(self._task(task), num_envs, self.config)

    def _task(self, task: str) -> LiberoTask:
        return find_task(self.suite, task)
