"""When LIBERO's observations are taken."""

from dataclasses import dataclass, replace

from amplify.sim.libero.config import HZ


@dataclass
class SamplingClock:
    """Says after which physics steps LIBERO takes an observation.

    robosuite samples twenty times a second on a clock of its own, which runs ahead of the control loop by one physics
    step for every observation that was forced, and rounds. What a policy sees in LIBERO is therefore up to two physics
    steps old; an evaluation that shows anything else shows other pixels.

    Args:
        timestep_s: Of the physics.
    """

    timestep_s: float
    elapsed_s: float = 0.0
    sampled: bool = False

    def restart(self) -> None:
        """As after a reset (one forced observation) and the setting of an initial state (another)."""
        self.elapsed_s = 0.0
        for _ in range(2):
            self.elapsed_s += self.timestep_s
        self.sampled = True

    def tick(self) -> bool:
        """Whether an observation is taken after this physics step."""
        period = 1.0 / HZ
        self.elapsed_s += self.timestep_s
        taken = not self.sampled and period >= self.elapsed_s
        self.sampled = self.sampled or taken
        if self.elapsed_s >= period:
            taken = taken or not self.sampled
            self.elapsed_s %= period
            self.sampled = False
        return taken

    def copy(self) -> "SamplingClock":
        """Another clock that shows the same."""
        return replace(self)
