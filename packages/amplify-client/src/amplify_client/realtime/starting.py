"""From a robot and a policy to episodes: what a script on the robot's computer calls."""

from collections.abc import Sequence
from typing import Any

from amplify_client.chunks import Infers
from amplify_client.realtime.asking import ThreadAsker
from amplify_client.realtime.clock import Clock, WallClock
from amplify_client.realtime.limits import Limiter, Limits
from amplify_client.realtime.loop import Loop
from amplify_client.realtime.report import Tally
from amplify_client.realtime.robot import Robot
from amplify_client.realtime.settings import LoopConfig
from amplify_client.realtime.step import Observer


def run_robot(
    robot: Robot,
    policy: Infers,
    instruction: str,
    config: LoopConfig | None = None,
    *,
    limits: Limits | None = None,
    seeds: Sequence[int] = (0,),
    observers: Sequence[Observer] = (),
    clock: Clock | None = None,
) -> Tally:
    """Episodes of a robot, one a seed; the figures of all of them.

    Args:
        robot: What acts.
        policy: A `PolicyClient`, a `ReconnectingClient`, or anything that answers with chunks.
        instruction: What the policy is told.
        config: How.
        limits: The robot's own where None.
        seeds: See `Robot.reset`.
        observers: Are told of every step.
        clock: Real time where None.

    Raises:
        ValueError: Policy, limits and robot do not fit each other.
    """
    config, clock = config or LoopConfig(), clock or WallClock()
    check_policy(policy, robot, config)
    limits = limits if limits is not None else Limits.of(getattr(robot, "limits", {}))
    limiter = Limiter(limits, robot.action_names, robot.state_names, config.rate_hz, getattr(robot, "tip_m", None))
    asker = ThreadAsker(policy, clock)
    total = Tally(config.rate_hz)
    try:
        loop = Loop(robot, asker, config, limiter=limiter, clock=clock, observers=observers)
        for seed in seeds:
            total.add(loop.run(instruction, seed=seed))
    finally:
        asker.close()
    return total


def check_policy(policy: Infers, robot: Robot, config: LoopConfig) -> None:
    """Nothing, if what the policy says of itself suits the robot and the loop.

    Raises:
        ValueError: It does not.
    """
    says: dict[str, Any] = getattr(policy, "metadata", None) or {}
    names = says.get("action_names")
    if names and len(names) != len(robot.action_names):
        raise ValueError(
            f"the policy's actions are {', '.join(names)}; the robot's are {', '.join(robot.action_names)}"
        )
    if says.get("mode", "chunk") != "chunk":
        raise ValueError("the server answers with single actions; the loop needs plans: serve with --mode chunk")
    horizon = says.get("action_horizon")
    if horizon is not None and config.replan_every >= horizon:
        raise ValueError(
            f"replan_every is {config.replan_every} and a plan has {horizon} actions: nothing would be left to act on "
            "while the next is computed"
        )
