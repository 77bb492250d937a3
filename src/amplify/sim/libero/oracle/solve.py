"""Finds a performance that reaches a task's goals from an initial state, by trying in the simulator."""

import logging
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from amplify.sim.libero.oracle.arm import Arm, Style
from amplify.sim.libero.oracle.config import OracleConfig
from amplify.sim.libero.oracle.plan import Skill, plan
from amplify.sim.libero.oracle.scene import Scene
from amplify.sim.libero.oracle.trace import Failed, Trace
from amplify.sim.libero.simulation import Simulation

logger = logging.getLogger(__name__)

SLOW_M_S = 0.02
LONGEST_REST = 20
TRIES = 3
"""Of one skill from the same moment."""

RELEASING = 6
"""Decisions in which the fingers open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """T decisions from the initial state to success, or the reason why there are none.

    Args:
        actions: What was executed; replayed from the same initial state they give the same states.
        intended: What the expert chose before it was disturbed.
        states: Row t is the state before action t, and the last row the state at the end.
        success: Whether the benchmark's check was passed.
        lasting: Whether it still holds at the end.
        attempts: Simulated attempts that it took: one, and one more for every time the simulation was taken back.
        decisions_simulated: Actions of all attempts together.
        failures: Why attempts went wrong, in order.
    """

    actions: Float[np.ndarray, "t 7"]
    intended: Float[np.ndarray, "t 7"]
    states: Float[np.ndarray, "t+1 n"]
    success: bool
    lasting: bool = True
    attempts: int
    decisions_simulated: int
    failures: tuple[str, ...]

    @property
    def reason(self) -> str | None:
        """Why it failed; None after success."""
        return None if self.success else (self.failures[-1] if self.failures else "the goals do not hold")


def solve(simulation: Simulation, generator: np.random.Generator, config: OracleConfig | None = None) -> Attempt:
    """A performance of the simulation's task from its present state.

    Attempts that fail are taken back, so that only what worked is kept.

    Args:
        simulation: Freshly reset.
        generator: Draws everything in which performances differ.
        config: Limits and variation.
    """
    config = config or OracleConfig()
    start = simulation.snapshot()
    search = _Search(simulation, generator, config)
    solved = search.run()
    attempt = search.attempt(solved)
    if not solved:
        simulation.restore(start)
    return attempt


class _Search:
    def __init__(self, simulation: Simulation, generator: np.random.Generator, config: OracleConfig):
        self.simulation, self.generator, self.config = simulation, generator, config
        self.trace = Trace(simulation, config.max_decisions)
        self.scene = Scene(simulation)
        self.failures: list[str] = []

    def run(self) -> bool:
        beginning = self.trace.moment()
        while True:
            try:
                self._rest()
                for skill in plan(self.scene, self.simulation.task.goals):
                    self._perform(skill)
                self._stay()
                return True
            except Failed as failed:
                self._note(failed)
                if self._spent:
                    return False
                self.trace.return_to(beginning)

    @property
    def _spent(self) -> bool:
        return len(self.failures) >= self.config.attempts

    def _note(self, failed: Failed) -> None:
        reason = str(failed)
        logger.debug("attempt %d: %s", len(self.failures) + 1, reason)
        self.failures.append(reason)

    def _rest(self) -> None:
        arm = self._arm()
        for _ in range(LONGEST_REST):
            if self.scene.speed() < SLOW_M_S:
                break
            arm.rest(1)

    def _arm(self) -> Arm:
        return Arm(self.trace, Style.drawn(self.config, self.generator), self.generator)

    def _perform(self, skill: Skill) -> None:
        """Tries one skill from here until it works, at most thrice before the beginning is changed too."""
        here = self.trace.moment()
        for number in range(TRIES):
            try:
                skill.run(self.scene, self._arm(), self.config, self.generator, number)
                if not self._achieved(skill) and not any(self.trace.successes[here.length :]):
                    raise Failed(f"{skill.name} had no effect")
                return
            except Failed as failed:
                if number == TRIES - 1 or len(self.failures) + 1 >= self.config.attempts:
                    raise
                self._note(failed)
                self.trace.return_to(here)

    def _achieved(self, skill: Skill) -> bool:
        if skill.goal is None or self.scene.holds(skill.goal):
            return True
        self._arm_as_is().rest(3)
        return self.scene.holds(skill.goal)

    def _arm_as_is(self) -> Arm:
        return Arm(self.trace, Style.drawn(self.config, np.random.default_rng(0)), self.generator)

    def _stay(self) -> None:
        """Sees whether success lasts, and forgets what happened long after it.

        Some goals hold only for moments even in the official demonstrations, whose check ends an episode at the first.

        Raises:
            Failed: There was none.
        """
        self._arm_as_is().rest(self.config.settle_decisions)
        trace = self.trace
        held = np.flatnonzero(trace.successes)
        if not len(held):
            raise Failed("the goals do not hold in the end")
        first = int(held[0])
        if trace.successes[-1]:
            first = len(trace.successes) - 1
            while first > 0 and trace.successes[first - 1]:
                first -= 1
        grips = np.array([action[6] for action in trace.intended])
        released = np.flatnonzero((grips[1:] < 0) & (grips[:-1] > 0))
        last = int(released[-1]) + 1 + RELEASING if len(released) else 0
        trace.end_at(min(len(trace.actions), max(first + 1 + self.config.settle_decisions, last)))

    def attempt(self, solved: bool) -> Attempt:
        trace = self.trace
        actions, intended = np.array(trace.actions).reshape(-1, 7), np.array(trace.intended).reshape(-1, 7)
        return Attempt(
            actions=actions,
            intended=intended,
            states=np.array(trace.states),
            success=solved,
            lasting=solved and bool(trace.successes[-1]),
            attempts=len(self.failures) + int(solved),
            decisions_simulated=trace.simulated,
            failures=tuple(self.failures),
        )
