"""A fixed rate, whatever the policy does: acts on one plan while the next is computed, and stops where there is none."""

import logging
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from amplify_client.client import ServerError
from amplify_client.realtime.asking import Answer, Asker
from amplify_client.realtime.clock import Clock, WallClock
from amplify_client.realtime.limits import Limited, Limiter
from amplify_client.realtime.report import Tally
from amplify_client.realtime.robot import STATE, Robot
from amplify_client.realtime.schedule import Merge, Schedule
from amplify_client.realtime.watchdog import Watchdog
from amplify_client.wire import WireError

logger = logging.getLogger(__name__)

SUCCESS, STEP_LIMIT, GAVE_UP = "success", "step limit", "gave up"


@dataclass(frozen=True)
class LoopConfig:
    """How an episode is run.

    Args:
        rate_hz: Actions a second; that of the policy's training.
        replan_every: Actions from one observation that is sent to the next; a plan must outlast it and the latency.
        max_age_s: What was seen longer ago is no ground to act on.
        give_up_s: A stall that lasts so long ends the episode.
        watchdog_s: A step that lasts so long stops the robot, from another thread; 0 for no watchdog.
        max_steps: Actions of an episode.
        merge: See `Schedule`.
        fade_steps: See `Schedule`.
        decay: See `Schedule`.
        dry_run: Nothing is sent to the robot, not even a stop.
    """

    rate_hz: float = 20.0
    replan_every: int = 4
    max_age_s: float = 1.0
    give_up_s: float = 5.0
    watchdog_s: float = 0.5
    max_steps: int = 1000
    merge: Merge = "newest"
    fade_steps: int = 0
    decay: float = 0.01
    dry_run: bool = False

    def __post_init__(self) -> None:
        for name in ("rate_hz", "max_age_s", "give_up_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is above 0, and not {getattr(self, name)}")
        for name in ("replan_every", "max_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} counts from 1, and is {getattr(self, name)}")
        if self.watchdog_s < 0:
            raise ValueError(f"watchdog_s is 0 or more, and not {self.watchdog_s}")


@dataclass(frozen=True)
class Step:
    """One tick of the loop.

    Args:
        tick: Its number; ticks that were missed are left out.
        at_s: When it was sent, from the start of the episode.
        late_ms: After its tick.
        observation: What the robot gave.
        phase: "acting", "waiting" for the first plan, or "stale".
        asked: Of the policy; None where it had nothing to say.
        action: Sent (or what a stop amounts to); None where nothing is known.
        age_ms: Of the observation behind the action.
        limited: What limits changed.
    """

    tick: int
    at_s: float
    late_ms: float
    observation: dict[str, Any]
    phase: str
    asked: np.ndarray | None
    action: np.ndarray | None
    age_ms: float | None
    limited: tuple[Limited, ...]


class Observer(Protocol):
    """Looks on: a log, a recording. It must be quick: the robot waits."""

    def begin(self, instruction: str, seed: int) -> None:
        """An episode begins; one that did not `end` was interrupted."""
        ...

    def saw(self, step: Step) -> None:
        """A tick."""
        ...

    def end(self, outcome: str) -> None:
        """The episode is over."""
        ...


class Loop:
    """Runs episodes.

    Args:
        robot: What acts.
        asker: Asks the policy.
        config: How.
        limiter: Keeps actions within limits.
        clock: Whose time counts.
        observers: Are told of every step.
    """

    def __init__(
        self,
        robot: Robot,
        asker: Asker,
        config: LoopConfig,
        *,
        limiter: Limiter,
        clock: Clock | None = None,
        observers: Sequence[Observer] = (),
    ):
        self.robot, self.asker, self.config, self.limiter = robot, asker, config, limiter
        self.clock: Clock = clock or WallClock()
        self.observers = observers

    def run(self, instruction: str, *, seed: int = 0) -> Tally:
        """One episode, from reset to the robot's last stop; what happened.

        Args:
            instruction: What the policy is told.
            seed: See `Robot.reset`.

        Raises:
            ValueError: The policy's actions are not the robot's.
            Exception: Whatever robot or policy raise, after the robot was stopped. A `ServerError` is none of that: it is a
                plan that did not come.
        """
        episode = _Episode(self, instruction)
        self.limiter.reset()
        self.asker.reset()
        if not self.config.dry_run:
            self.robot.reset(seed)
        for observer in self.observers:
            observer.begin(instruction, seed)
        with ExitStack() as stack:
            if not self.config.dry_run:
                stack.callback(self.robot.stop)
                if self.config.watchdog_s:
                    episode.watchdog = stack.enter_context(Watchdog(self.robot.stop, self.config.watchdog_s))
            outcome = episode.acted_out()
        tally = episode.tally
        tally.outcomes[outcome] = 1
        tally.watchdog = 0 if episode.watchdog is None else episode.watchdog.fired
        for observer in self.observers:
            observer.end(outcome)
        return tally


class _Episode:
    def __init__(self, loop: Loop, instruction: str):
        self.loop, self.config, self.clock = loop, loop.config, loop.clock
        self.instruction = instruction
        self.schedule = Schedule(loop.config.merge, loop.config.fade_steps, loop.config.decay)
        self.tally = Tally(loop.config.rate_hz)
        self.watchdog: Watchdog | None = None
        self._asked_at: int | None = None
        self._held_since_s: float | None = None
        self._sent_s: float | None = None
        self._fired = 0

    def acted_out(self) -> str:
        """The steps of the episode; how it ended."""
        tally, period_s = self.tally, 1 / self.config.rate_hz
        start_s, tick = self.clock.now_s(), 0
        while True:
            due_s = start_s + tick * period_s
            self.clock.sleep_until(due_s)
            self._step(tick, start_s, due_s)
            if self.watchdog is not None:
                self.watchdog.feed()
            now_s = self.clock.now_s()
            tally.seconds = now_s - start_s
            if getattr(self.loop.robot, "success", False):
                return SUCCESS
            if self._held_since_s is not None and now_s - self._held_since_s >= self.config.give_up_s:
                return GAVE_UP
            if tally.acted >= self.config.max_steps:
                return STEP_LIMIT
            # A late step is followed at once by the next; ticks that are over are left out, never caught up with.
            following = max(tick + 1, math.floor((now_s - start_s) / period_s + 1e-6))
            tally.missed += following - tick - 1
            tick = following

    def _step(self, tick: int, start_s: float, due_s: float) -> None:
        seen_s = self.clock.now_s()
        observation = {**self.loop.robot.observe(), "prompt": self.instruction}
        state = _state_of(observation, self.loop.robot)
        self._mind_the_watchdog()
        self._take(self.loop.asker.poll())
        self._ask(observation, seen_s)
        planned = self.schedule.due()
        now_s = self.clock.now_s()
        if not np.isfinite(state).all():
            self.tally.blind += 1  # limits that depend on it would not hold
            planned = None
        if planned is not None and now_s - planned[1] <= self.config.max_age_s:
            asked, age_ms, phase = planned[0], 1000 * (now_s - planned[1]), "acting"
            action, changes = self.loop.limiter.apply(asked, state)
            if not self.config.dry_run:
                self.loop.robot.act(action)
            self._went_on(changes)
        else:
            asked, age_ms, changes = None, None, ()
            action = None if self.config.dry_run else self.loop.robot.stop()
            phase = self._held(now_s)
        sent_s = self.clock.now_s()
        late_ms = 1000 * (sent_s - due_s)
        self.tally.steps += 1
        self.tally.late_ms.append(late_ms)
        if self._sent_s is not None:
            self.tally.period_ms.append(1000 * (sent_s - self._sent_s))
        self._sent_s = sent_s
        step = Step(tick, sent_s - start_s, late_ms, observation, phase, asked, action, age_ms, changes)
        for observer in self.loop.observers:
            observer.saw(step)

    def _went_on(self, changes: tuple[Limited, ...]) -> None:
        self.schedule.sent()
        tally = self.tally
        if self._held_since_s is not None and tally.acted:
            tally.recovered += 1
            logger.info("acting again")
        self._held_since_s = None
        for change in changes:
            if (change.dimension, change.limit) not in tally.limits:
                logger.warning(
                    "%s: the %s limit allows %.4g of %.4g", change.dimension, change.limit, change.sent, change.asked
                )
        tally.limited(changes)
        tally.acted += 1

    def _held(self, now_s: float) -> str:
        # After a stop the last target is no longer where the robot is headed.
        self.loop.limiter.reset()
        tally = self.tally
        if tally.acted == 0:
            self._held_since_s = now_s if self._held_since_s is None else self._held_since_s
            tally.waiting += 1
            return "waiting"
        if self._held_since_s is None:
            self._held_since_s = now_s
            tally.stalls += 1
            logger.warning("no fresh plan: the robot is stopped")
        tally.stale += 1
        return "stale"

    def _mind_the_watchdog(self) -> None:
        if self.watchdog is not None and self.watchdog.fired > self._fired:
            self._fired = self.watchdog.fired
            self.loop.limiter.reset()
            logger.warning("a step took longer than %g s: the watchdog stopped the robot", self.config.watchdog_s)

    def _ask(self, observation: dict[str, Any], seen_s: float) -> None:
        progress = self.schedule.progress
        due = self._asked_at is None or progress - self._asked_at >= self.config.replan_every
        if not self.loop.asker.busy and (due or self.schedule.due() is None):
            self.loop.asker.ask(observation, made_at=progress, seen_s=seen_s)
            self._asked_at = progress
            self.tally.asked += 1

    def _take(self, answer: Answer | None) -> None:
        if answer is None:
            return
        tally = self.tally
        if answer.error is not None:
            if not isinstance(answer.error, ServerError | WireError):
                raise answer.error
            tally.failed += 1
            tally.last_error = str(answer.error).splitlines()[0]
            logger.warning("no plan: %s", tally.last_error)
            self._asked_at = None
            return
        tally.answer_ms.append(1000 * (answer.answered_s - answer.seen_s))
        actions = np.asarray((answer.found or {}).get("actions"), dtype=float)
        width = len(self.loop.robot.action_names)
        if actions.ndim != 2 or actions.shape[1] != width:
            raise ValueError(
                f"the policy answers with actions of shape {actions.shape}; the robot takes (steps, {width}): "
                + ", ".join(self.loop.robot.action_names)
            )
        if not np.isfinite(actions).all():
            tally.refused += 1
            tally.last_error = "a plan with numbers that are not finite"
            self._asked_at = None
            return
        handed = self.schedule.add(actions, made_at=answer.made_at, seen_s=answer.seen_s)
        if handed is None:
            tally.too_late += 1
            return
        tally.used += 1
        tally.entered.append(float(handed.step))
        if handed.jump is not None:
            tally.jumps.append(handed.jump)


def _state_of(observation: dict[str, Any], robot: Robot) -> np.ndarray:
    state = np.asarray(observation.get(STATE, ()), dtype=float).reshape(-1)
    if len(state) != len(robot.state_names):
        raise ValueError(
            f"the robot's observe() gives {len(state)} numbers as {STATE!r}, and its state_names are "
            f"{len(robot.state_names)}: {', '.join(robot.state_names)}"
        )
    return state
