"""Who acts when data is recorded: Meta-World's scripted experts, and aimless play."""

import warnings
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from amplify.sim.metaworld.simulation import Simulation
from amplify.sim.metaworld.tasks import task_name

WAYPOINT_REACHED_M = 0.02

WAYPOINT_GAIN = 10.0
"""Action for each metre of distance: full speed beyond ten centimetres."""

NEAR_OBJECT_M = 0.12

DECISIONS_PER_WAYPOINT = 20
"""After this a point that cannot be reached (something is in the way) is given up."""


@runtime_checkable
class Actor(Protocol):
    """Chooses actions with full knowledge of the simulation."""

    def act(self, simulation: Simulation) -> Float[np.ndarray, "4"]:
        """The action that it would take now, in [−1, 1]."""
        ...


class ScriptedExpert:
    """Meta-World's own scripted policy of a task; it reads object and goal positions.

    Args:
        task: A name or number (see `task_name`).
    """

    def __init__(self, task: str | int):
        from metaworld.policies import ENV_POLICY_MAP

        self._policy = ENV_POLICY_MAP[f"{task_name(task)}-v3"]()

    def act(self, simulation: Simulation) -> Float[np.ndarray, "4"]:
        """The expert's action, in [−1, 1]."""
        with warnings.catch_warnings():
            # The experts ask for more than ±1 by design and warn about it at every step.
            warnings.filterwarnings("ignore", message="Constant")
            action = self._policy.get_action(simulation.expert_observation)
        return np.clip(action, -1.0, 1.0).astype(np.float32)


class RandomWaypoints:
    """Play: from one random reachable point to the next, at random speed, opening and closing the hand.

    Every second point lies near the first object, so that things are touched and moved; no point depends on a goal.

    Args:
        generator: Draws points, speeds and grips.
    """

    def __init__(self, generator: np.random.Generator):
        self._generator = generator
        self._target = np.zeros(3)
        self._speed, self._grip = 1.0, -1.0
        self._decisions_left = 0
        self._drawn = 0

    def act(self, simulation: Simulation) -> Float[np.ndarray, "4"]:
        """A step towards the present point, in [−1, 1]."""
        hand = simulation.expert_observation[:3]
        if self._decisions_left == 0 or np.linalg.norm(self._target - hand) < WAYPOINT_REACHED_M:
            self._draw(simulation)
        self._decisions_left -= 1
        step = np.clip(WAYPOINT_GAIN * (self._target - hand), -1.0, 1.0) * self._speed
        return np.append(step, self._grip).astype(np.float32)

    def _draw(self, simulation: Simulation) -> None:
        low, high = simulation.workspace()
        if self._drawn % 2:
            centre = simulation.expert_observation[4:7]
            low, high = (np.clip(centre + side, low, high) for side in (-NEAR_OBJECT_M, NEAR_OBJECT_M))
        self._target = self._generator.uniform(low, high)
        self._speed = self._generator.uniform(0.4, 1.0)
        self._grip = self._generator.choice([-1.0, 1.0])
        self._decisions_left = DECISIONS_PER_WAYPOINT
        self._drawn += 1
