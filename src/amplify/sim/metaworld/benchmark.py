"""Meta-World as a set of tasks to act in."""

from collections.abc import Sequence
from typing import Literal

from amplify.sim.metaworld.config import MetaWorldConfig
from amplify.sim.metaworld.env import MetaWorldEnv
from amplify.sim.metaworld.tasks import INSTRUCTIONS, paraphrases, task_name, wrong_instruction


class MetaWorldBenchmark:
    """The fifty Meta-World tasks; an `amplify.protocols.Benchmark`.

    Args:
        config: Shared by all tasks.
    """

    name = "metaworld"

    def __init__(self, config: MetaWorldConfig | None = None):
        self.config = config or MetaWorldConfig()

    def seen(self, size_px: int | None, quality: Literal["fast", "full"] | None) -> "MetaWorldBenchmark":
        """The same tasks in images of another size or quality; None keeps what is."""
        changes: dict[str, int | bool] = {} if size_px is None else {"width_px": size_px, "height_px": size_px}
        if quality is not None:
            full = quality == "full"
            changes |= {"shadows": full, "reflections": full, "multisamples": 4 if full else 0}
        render = self.config.render.model_copy(update=changes)
        return MetaWorldBenchmark(self.config.model_copy(update={"render": render}))

    def tasks(self) -> Sequence[str]:
        """Short names in alphabetical order."""
        return tuple(INSTRUCTIONS)

    def instruction(self, task: str) -> str:
        """The sentence that asks for the task.

        Raises:
            UnknownNameError: There is no such task.
        """
        return INSTRUCTIONS[task_name(task)]

    def paraphrases(self, task: str) -> Sequence[str]:
        """Other sentences that ask for the same; none where nobody wrote them.

        Raises:
            UnknownNameError: There is no such task.
        """
        return paraphrases(task)

    def wrong_instruction(self, task: str) -> str:
        """A sentence that asks for something else, the opposite where there is one.

        Raises:
            UnknownNameError: There is no such task.
        """
        return wrong_instruction(task)

    def make(self, task: str, num_envs: int) -> MetaWorldEnv:
        """Copies of the task.

        Raises:
            UnknownNameError: There is no such task or camera.
        """
        return MetaWorldEnv(task, num_envs, self.config)
