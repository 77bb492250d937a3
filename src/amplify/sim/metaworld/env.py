"""Several copies of one task, stepped together."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from amplify.sim.commands import commands_of
from amplify.sim.metaworld.config import ACTION_NAMES, MetaWorldConfig
from amplify.sim.metaworld.images import camera_images
from amplify.sim.metaworld.simulation import Simulation
from amplify.sim.metaworld.tasks import INSTRUCTIONS, task_name
from amplify.types import Observation


class MetaWorldEnv:
    """Several copies of one task, stepped together; an `amplify.protocols.Env`.

    Args:
        task: A name or number (see `task_name`).
        num_envs: Copies.
        config: Cameras, image size, action repeat, episode length.

    Raises:
        UnknownNameError: There is no such task or camera.
    """

    def __init__(self, task: str | int, num_envs: int, config: MetaWorldConfig | None = None):
        self.config = config = config or MetaWorldConfig()
        self.task = task_name(task)
        self.num_envs = num_envs
        self.max_steps = config.max_decisions
        self.action_low = np.full(len(ACTION_NAMES), -1.0, dtype=np.float32)
        self.action_high = np.full(len(ACTION_NAMES), 1.0, dtype=np.float32)
        self._copies = [Simulation(self.task, config) for _ in range(num_envs)]
        size = (num_envs, len(config.cameras), config.render.height_px, config.render.width_px, 3)
        self._images = np.zeros(size, dtype=np.uint8)
        self._stale = np.ones(num_envs, dtype=bool)

    def reset(self, seeds: Sequence[int]) -> None:
        """Goes to initial states; a seed fixes one completely.

        Raises:
            ValueError: There is not one seed a copy.
        """
        if len(seeds) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments need as many seeds, got {len(seeds)}")
        for simulation, seed in zip(self._copies, seeds):
            simulation.reset(seed)
        self._stale[:] = True

    def observe(self) -> Observation:
        """What all copies see now; only those that moved since the last call are rendered."""
        for index in np.flatnonzero(self._stale):
            self._images[index] = camera_images(self._copies[index])
        self._stale[:] = False
        return Observation(
            images=torch.from_numpy(self._images.copy()),
            cameras=self.config.camera_names,
            proprio=torch.from_numpy(np.stack([simulation.proprio for simulation in self._copies])),
            instruction=(INSTRUCTIONS[self.task],) * self.num_envs,
        )

    def step(self, actions: Float[Tensor, "b a"], *, active: Sequence[bool]) -> np.ndarray:
        """Which copies have reached success since their reset.

        Args:
            actions: Shape (num_envs, 4), clipped to [−1, 1].
            active: Copies that are not stepped stay as they are.

        Raises:
            ValueError: An action is not finite, or the shapes do not fit.
        """
        commands = commands_of(actions, active=active, num_envs=self.num_envs, width=len(ACTION_NAMES))
        for index, simulation in enumerate(self._copies):
            if active[index]:
                simulation.step(commands[index])
                self._stale[index] = True
        return np.array([simulation.success for simulation in self._copies])

    def close(self) -> None:
        """Frees the simulators; renderers are shared and stay."""
        self._copies = []
