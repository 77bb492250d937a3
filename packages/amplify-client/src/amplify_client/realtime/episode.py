"""The ticks of one episode."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from amplify_client.client import ServerError
from amplify_client.realtime.asking import Answer, Asker
from amplify_client.realtime.clock import Clock
from amplify_client.realtime.limits import Limited, Limiter
from amplify_client.realtime.report import Tally
from amplify_client.realtime.robot import STATE, Robot
from amplify_client.realtime.schedule import Schedule
from amplify_client.realtime.settings import LoopConfig
from amplify_client.realtime.step import Observer, Step
from amplify_client.realtime.watchdog import Watchdog
from amplify_client.wire import WireError

logger = logging.getLogger(__name__)

SUCCESS, STEP_LIMIT, GAVE_UP = "success", "step limit", "gave up"


class Episode:
    """Acts until success, the step limit or a stall that lasts too long.

    Args:
        robot: What acts.
        asker: Asks the policy.
        config: How.
        limiter: Keeps actions within limits.
        clock: Whose time counts.
        observers: Are told of every step.
        instruction: What the policy is told.
    """

    def __init__(
        self,
        robot: Robot,
        asker: Asker,
        config: LoopConfig,
        limiter: Limiter,
        clock: Clock,
        observers: Sequence[Observer],
        instruction: str,
    ):
        self.robot, self.asker, self.config, self.limiter = robot, asker, config, limiter
        self.clock, self.observers, self.instruction = clock, observers, instruction
        self.schedule = Schedule(config.merge, config.fade_steps, config.decay)
        self.tally = Tally(config.rate_hz)
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
            if getattr(self.robot, "success", False):
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
        observation = {**self.robot.observe(), "prompt": self.instruction}
        state = _state_of(observation, self.robot)
        self._mind_the_watchdog()
        self._take(self.asker.poll())
        sees = bool(np.isfinite(state).all())
        self.tally.blind += not sees
        planned, now_s = self.schedule.due(), self.clock.now_s()
        if planned is not None and now_s - planned[1] > self.config.max_age_s:
            planned = None
        if sees:
            self._ask(observation, seen_s, needed=planned is None)
        # Without knowing where the robot is, its limits would not hold.
        if planned is not None and sees:
            asked, age_ms, phase = planned[0], 1000 * (now_s - planned[1]), "acting"
            action, changes = self.limiter.apply(asked, state)
            if not self.config.dry_run:
                self.robot.act(action)
            self._went_on(changes)
        else:
            asked, age_ms, changes = None, None, ()
            action = None if self.config.dry_run else self.robot.stop()
            phase = self._held(now_s)
        sent_s = self.clock.now_s()
        late_ms = 1000 * (sent_s - due_s)
        self.tally.steps += 1
        self.tally.late_ms.append(late_ms)
        if self._sent_s is not None:
            self.tally.period_ms.append(1000 * (sent_s - self._sent_s))
        self._sent_s = sent_s
        step = Step(tick, sent_s - start_s, late_ms, observation, phase, asked, action, age_ms, changes)
        for observer in self.observers:
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
        self.limiter.reset()
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
            self.limiter.reset()
            logger.warning("a step took longer than %g s: the watchdog stopped the robot", self.config.watchdog_s)

    def _ask(self, observation: dict[str, Any], seen_s: float, *, needed: bool) -> None:
        progress = self.schedule.progress
        due = self._asked_at is None or progress - self._asked_at >= self.config.replan_every
        if not self.asker.busy and (due or needed):
            self.asker.ask(observation, made_at=progress, seen_s=seen_s)
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
        width = len(self.robot.action_names)
        if actions.ndim != 2 or actions.shape[1] != width:
            raise ValueError(
                f"the policy answers with actions of shape {actions.shape}; the robot takes (steps, {width}): "
                + ", ".join(self.robot.action_names)
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
