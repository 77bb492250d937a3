"""What has been done so far, and the way back to an earlier moment."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from amplify.sim.libero.simulation import Simulation, Snapshot


class Failed(Exception):  # noqa: N818
    """An attempt that went wrong; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment that a trace can return to."""

    snapshot: Snapshot
    length: int


class Trace:
    """Steps a simulation and remembers the actions that led from its initial state to the present one.

    Args:
        simulation: Freshly reset.
        max_decisions: Actions after which `Failed` is raised.
    """

    def __init__(self, simulation: Simulation, max_decisions: int):
        self.simulation = simulation
        self._max_decisions = max_decisions
        self.states: list[np.ndarray] = [simulation.state()]
        """One more than actions: before the first, and after each."""
        self.actions: list[np.ndarray] = []
        self.intended: list[np.ndarray] = []
        self.successes: list[bool] = []
        self.simulated = 0

    def step(self, intended: Float[np.ndarray, "7"], noise: Float[np.ndarray, "7"] | None = None) -> bool:
        """Executes one action, disturbed if asked; whether the goals hold now.

        Raises:
            Failed: Too many actions, or the physics has come apart.
        """
        if len(self.actions) >= self._max_decisions:
            raise Failed("too many decisions")
        # Rounded first, so that actions stored in single precision replay exactly.
        intended = np.clip(intended, -1.0, 1.0).astype(np.float32)
        executed = intended if noise is None else np.clip(intended + noise, -1.0, 1.0).astype(np.float32)
        self.intended.append(intended)
        self.actions.append(executed)
        self.simulation.step(executed)
        self.states.append(self.simulation.state())
        self.simulated += 1
        self.successes.append(goals_hold(self.simulation))
        if self.simulation.unstable:
            raise Failed("unstable physics")
        return self.successes[-1]

    def moment(self) -> Moment:
        """The present."""
        return Moment(self.simulation.snapshot(), len(self.actions))

    def return_to(self, moment: Moment) -> None:
        """Forgets everything after the moment and puts the simulation back."""
        self.simulation.restore(moment.snapshot)
        self.end_at(moment.length)

    def end_at(self, length: int) -> None:
        """Forgets everything after so many actions; the simulation stays where it is."""
        del self.states[length + 1 :]
        for kept in (self.actions, self.intended, self.successes):
            del kept[length:]


def goals_hold(simulation: Simulation) -> bool:
    """Whether the task's goals hold at this moment, by the benchmark's own check."""
    return bool(simulation.env._check_success())
