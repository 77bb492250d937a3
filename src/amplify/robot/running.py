"""Episodes of a robot, from options to figures and a dataset."""

import json
import logging
from pathlib import Path
from typing import Any

import pydantic
from amplify_client import Infers
from amplify_client.realtime import (
    GAVE_UP,
    Faulty,
    Limits,
    LoopConfig,
    Observer,
    Robot,
    StepLog,
    Tally,
    run_robot,
)
from pydantic import Field

from amplify.config import Config
from amplify.errors import AmplifyError, UsageError
from amplify.rng import derive
from amplify.robot.recorder import Keep, Recorder

logger = logging.getLogger(__name__)


class Rehearsal(Config):
    """Faults that are put in on purpose, to see what the robot does then.

    Args:
        latency_ms: Added to every answer.
        jitter_ms: Mean of a further, exponentially distributed delay.
        drop_share: Of requests that are lost.
        drop_timeout_ms: Time until a loss is noticed.
    """

    latency_ms: float = Field(default=0.0, ge=0)
    jitter_ms: float = Field(default=0.0, ge=0)
    drop_share: float = Field(default=0.0, ge=0, le=1)
    drop_timeout_ms: float = Field(default=500.0, ge=0)

    def around(self, policy: Infers, seed: int) -> Infers:
        """The policy behind such a network; the policy itself where nothing is to go wrong."""
        if not (self.latency_ms or self.jitter_ms or self.drop_share):
            return policy
        return Faulty(
            policy,
            latency_s=self.latency_ms / 1000,
            jitter_s=self.jitter_ms / 1000,
            drop_share=self.drop_share,
            timeout_s=self.drop_timeout_ms / 1000,
            seed=derive(seed, "rehearsal"),
        )


class RunConfig(Config):
    """What is run.

    Args:
        instruction: What the policy is told.
        episodes: How many.
        seed: Of the first episode; the next ones count on.
        rehearsal: Faults that are put in.
        limits: JSON file with limits; those of the robot where None.
        record: Folder of a dataset to record.
        keep: Which episodes are recorded.
        log: File of a line a step.
        robot_type: For the recording.
    """

    instruction: str
    episodes: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)
    rehearsal: Rehearsal = Rehearsal()
    limits: Path | None = None
    record: Path | None = None
    keep: Keep = "all"
    log: Path | None = None
    robot_type: str = "robot"


def limits_of(path: Path) -> Limits:
    """The limits in a JSON file.

    Raises:
        UsageError: It holds none.
    """
    try:
        return Limits.of(json.loads(path.read_text()))
    except (OSError, ValueError, pydantic.ValidationError) as error:
        raise UsageError(f"no limits in {path}", got=str(error), remedy="see docs/robot.md") from None


def loop_of(rate_hz: float | None, robot: Robot, policy: Infers, **settings: Any) -> LoopConfig:
    """Settings of the loop; the rate is that of the policy's training, or else the robot's own, unless one is given.

    Raises:
        UsageError: A setting makes no sense.
    """
    trained = (getattr(policy, "metadata", None) or {}).get("fps")
    usual = trained or getattr(robot, "rate_hz", None) or LoopConfig.rate_hz
    chosen = float(usual if rate_hz is None else rate_hz)
    if trained and chosen != trained:
        logger.warning("the policy has learned at %g actions a second and acts at %g", trained, chosen)
    try:
        return LoopConfig(rate_hz=chosen, **settings)
    except ValueError as error:
        raise UsageError("the loop cannot be run like this", got=str(error)) from None


def run(robot: Robot, policy: Infers, loop: LoopConfig, config: RunConfig) -> dict[str, Any]:
    """Episodes, one after the other; figures of all of them, and what was recorded.

    The episodes that an interrupted recording left are not run again.

    Args:
        robot: What acts.
        policy: Answers with plans.
        loop: How.
        config: What.

    Raises:
        UsageError: Robot, policy and options do not fit each other.
        AmplifyError: The policy cannot use what the robot sees, or the recording cannot be written.
    """
    if loop.dry_run and config.record is not None:
        raise UsageError("a dry run does nothing that could be recorded", remedy="leave out --record or --dry-run")
    seeds = [config.seed + number for number in range(config.episodes)]
    observers: list[Observer] = []
    recorder = None
    if config.record is not None:
        recorder = Recorder(
            config.record,
            rate_hz=loop.rate_hz,
            action_names=robot.action_names,
            state_names=robot.state_names,
            robot_type=config.robot_type,
            keep=config.keep,
        )
        seeds = recorder.missing(seeds)
        observers.append(recorder)
    limits = None if config.limits is None else limits_of(config.limits)
    tally = Tally(loop.rate_hz)
    log = None if config.log is None else StepLog(config.log)
    if log is not None:
        observers.append(log)
    try:
        faulty = config.rehearsal.around(policy, config.seed)
        if seeds:
            tally = run_robot(robot, faulty, config.instruction, loop, limits=limits, seeds=seeds, observers=observers)
    except ValueError as error:
        raise UsageError("robot, policy and limits do not fit each other", got=str(error)) from error
    finally:
        if log is not None:
            log.close()
    summary: dict[str, Any] = {"passed": GAVE_UP not in tally.outcomes, "dry_run": loop.dry_run, **tally.summary()}
    if not summary["passed"]:
        summary["hint"] = _hint(tally, loop)
    if config.log is not None:
        summary["log"] = str(config.log)
    if recorder is not None:
        summary["recorded"] = recorder.finish()
        if not summary["recorded"]["episodes"]:
            raise AmplifyError("nothing was recorded", got=summary["recorded"]["left_out"] or "no episode")
    return summary


def _hint(tally: Tally, loop: LoopConfig) -> str:
    slowest = max(tally.answer_ms, default=0.0)
    if tally.failed and not tally.used:
        return f"no plan came: {tally.last_error}"
    if slowest > 1000 * loop.max_age_s:
        return f"answers took up to {slowest:.0f} ms, and nothing older than {1000 * loop.max_age_s:.0f} ms is acted on"
    return f"no fresh plan for {loop.give_up_s:g} s: {tally.last_error or 'the policy was too slow'}"
