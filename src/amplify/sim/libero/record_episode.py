"""One episode: the oracle's performance without cameras, done over again as a check, seen only if it is kept."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amplify.rng import numpy_generator
from amplify.sim.libero.config import LiberoConfig
from amplify.sim.libero.oracle.solve import solve
from amplify.sim.libero.record_config import RecordConfig
from amplify.sim.libero.record_performance import Performance, perform
from amplify.sim.libero.record_progress import Outcome
from amplify.sim.libero.record_stores import Recorded, store_of
from amplify.sim.libero.simulation import Simulation
from amplify.sim.libero.tasks import find_task

UNSTABLE = "unstable physics"


@dataclass(frozen=True, slots=True)
class Job:
    """An episode to be made."""

    config: RecordConfig
    out: Path
    task: str
    number: int

    @property
    def key(self) -> str:
        """Names the episode for resuming; begins with the settings' fingerprint, so that others are recognised."""
        return f"{self.config.fingerprint}-{self.task}-{self.number:05d}"

    @property
    def initial_state(self) -> int:
        """Number of the official initial state: episodes take the chosen ones in turn."""
        states = self.config.states_of(self.task)
        return states[self.number % len(states)]

    @property
    def generator(self) -> np.random.Generator:
        """Of all that is random in the episode; the same whichever body acts."""
        return numpy_generator(self.config.seed, "record libero", self.config.suite, self.task, self.number)


@dataclass(frozen=True, slots=True)
class Batch:
    """Episodes of one task, which share its simulation."""

    config: RecordConfig
    out: Path
    task: str
    numbers: tuple[int, ...]


def record_batch(batch: Batch) -> dict[int, Outcome]:
    """What became of the episodes, made one after the other up to where so many in a row fail as end the task."""
    outcomes: dict[int, Outcome] = {}
    failures = 0
    for number in batch.numbers:
        outcomes[number] = outcome = record_episode(Job(batch.config, batch.out, batch.task, number))
        failures = 0 if outcome.success else failures + 1
        if failures >= batch.config.patience:
            break
    return outcomes


def record_episode(job: Job) -> Outcome:
    """What became of the episode; it is staged if the oracle succeeded and doing its actions again did too."""
    config, store = job.config, store_of(job.config, job.out)
    # Frozen by its configuration and so hashable, which pyright does not see.
    simulation = _simulation(config.suite, job.task, config.simulator)  # pyright: ignore[reportArgumentType]
    simulation.reset(job.initial_state)
    attempt = solve(simulation, job.generator, config.oracle)
    unstable = sum(UNSTABLE in failure for failure in attempt.failures)
    performance: Performance | None = None
    reason = attempt.reason or ""
    if attempt.success:
        performance = perform(simulation, job.initial_state, attempt.actions, attempt.intended)
        if performance.unstable or not performance.success:
            unstable += performance.unstable
            reason = UNSTABLE if performance.unstable else "the actions did not succeed a second time"
            performance = None
    outcome = Outcome(success=performance is not None, attempts=attempt.attempts, unstable=unstable, reason=reason)
    # Before the episode, so that an episode is never without its note.
    store.write_note(job.key, outcome)
    if performance is not None:
        info = {
            "suite": config.suite,
            "task": job.task,
            "initial_state": job.initial_state,
            "episode": job.number,
            "seed": config.seed,
            "attempts": attempt.attempts,
        }
        store.write(job.key, Recorded(simulation=simulation, performance=performance, info=info))
    return outcome


@functools.lru_cache(maxsize=2)
def _simulation(suite: str, task: str, config: LiberoConfig) -> Simulation:
    return Simulation(find_task(suite, task), config)
