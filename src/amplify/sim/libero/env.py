"""Several copies of one task, stepped together."""

import functools
import logging
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from amplify.sim.commands import commands_of
from amplify.sim.libero.config import ACTION_NAMES, LiberoConfig
from amplify.sim.libero.images import camera_images
from amplify.sim.libero.simulation import Simulation, Snapshot
from amplify.sim.libero.tasks import LiberoTask
from amplify.types import Observation

logger = logging.getLogger(__name__)


class LiberoEnv:
    """Several copies of one task, stepped together; an `amplify.protocols.Env`.

    A seed is the number of one of the task's official initial states. The copies take turns in one simulation, which a
    process keeps for the next environment of the task: a scene takes seconds to build and 200 MB, changing places takes
    a tenth of a millisecond.

    Args:
        task: From `find_task`.
        num_envs: Copies.
        config: Cameras, image size and quality, episode length.

    Raises:
        MissingDependencyError: No LIBERO package is installed.
        UnknownNameError: There is no such camera.
    """

    def __init__(self, task: LiberoTask, num_envs: int, config: LiberoConfig | None = None):
        self.config = config = config or LiberoConfig()
        self.task = task
        self.num_envs = num_envs
        self.max_steps = config.step_limit(task.suite)
        self.action_low = np.full(len(ACTION_NAMES), -1.0, dtype=np.float32)
        self.action_high = np.full(len(ACTION_NAMES), 1.0, dtype=np.float32)
        # Frozen and so hashable, which pyright does not see.
        self._stage = _stage(task, config)  # pyright: ignore[reportArgumentType]
        self._copies: list[Snapshot | None] = [None] * num_envs
        size = (num_envs, len(config.cameras), config.render.height_px, config.render.width_px, 3)
        self._images = np.zeros(size, dtype=np.uint8)
        self._stale = np.ones(num_envs, dtype=bool)

    def reset(self, seeds: Sequence[int]) -> None:
        """Goes to official initial states, by their numbers.

        Raises:
            ValueError: There is not one number a copy.
            UsageError: The task has no such initial state.
        """
        if len(seeds) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments need as many seeds, got {len(seeds)}")
        simulation = self._stage.simulation
        for index, number in enumerate(seeds):
            simulation.reset(number)
            self._copies[index] = self._stage.leave()
        self._stale[:] = True

    def observe(self) -> Observation:
        """What all copies see now; only those that moved since the last call are rendered.

        Raises:
            RenderingError: No OpenGL back end works.
        """
        for index in np.flatnonzero(self._stale):
            self._images[index] = camera_images(self._enter(int(index)))
        self._stale[:] = False
        return Observation(
            images=torch.from_numpy(self._images.copy()),
            cameras=self.config.camera_names,
            proprio=torch.from_numpy(np.stack([self._copy(index).proprio for index in range(self.num_envs)])),
            instruction=(self.task.instruction,) * self.num_envs,
        )

    def step(self, actions: Float[Tensor, "b a"], *, active: Sequence[bool]) -> np.ndarray:
        """Which copies have reached success since their reset.

        Args:
            actions: Shape (num_envs, 7), clipped to [−1, 1].
            active: Copies that are not stepped stay as they are.

        Raises:
            ValueError: An action is not finite, or the shapes do not fit.
        """
        commands = commands_of(actions, active=active, num_envs=self.num_envs, width=len(ACTION_NAMES))
        for index, command in enumerate(commands):
            if active[index]:
                before = self._copy(index)
                self._enter(index).step(command)
                self._copies[index] = self._stage.leave()
                if self._copy(index).unstable and not before.unstable:
                    logger.warning("the physics of %s came apart: a failure", self.task.scene)
                self._stale[index] = True
        return np.array([self._copy(index).success for index in range(self.num_envs)])

    @property
    def unstable(self) -> np.ndarray:
        """In which copies the physics came apart, boolean: they stand still and do not reach success."""
        return np.array([self._copy(index).unstable for index in range(self.num_envs)])

    def close(self) -> None:
        """Forgets the copies; the simulation and its renderer stay for the next environment."""
        self._copies = []

    def _copy(self, index: int) -> Snapshot:
        snapshot = self._copies[index]
        if snapshot is None:
            raise ValueError("reset the environments before they are used")
        return snapshot

    def _enter(self, index: int) -> Simulation:
        self._stage.enter(self._copy(index))
        return self._stage.simulation


class _Stage:
    """A simulation and whose turn it is."""

    def __init__(self, simulation: Simulation):
        self.simulation = simulation
        self._present: Snapshot | None = None

    def enter(self, snapshot: Snapshot) -> None:
        """Goes to where a copy left off, unless nothing happened since."""
        if self._present is not snapshot:
            self.simulation.restore(snapshot, derived=False)
            self._present = snapshot

    def leave(self) -> Snapshot:
        """What the copy goes on from."""
        self._present = self.simulation.snapshot()
        return self._present


@functools.lru_cache(maxsize=2)
def _stage(task: LiberoTask, config: LiberoConfig) -> _Stage:
    return _Stage(Simulation(task, config))
