"""One policy in the copies of one environment, until success or the step limit."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from amplify.evaluate.film import Film
from amplify.policy.controller import Controller, ControllerConfig
from amplify.protocols import Env, Policy


def rollout(
    env: Env,
    policy: Policy,
    seeds: Sequence[int],
    config: ControllerConfig,
    *,
    film: Film | None = None,
    max_decisions: int | None = None,
    instructions: Sequence[str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Acts until success or the step limit, in every copy of the environment.

    Args:
        env: The copies.
        policy: What acts.
        seeds: One initial state a copy.
        config: Replanning and ensembling.
        film: Records what is seen and foreseen.
        max_decisions: Step limit; the environment's own by default.
        instructions: What the policy is told, one sentence an initial state; the task's own by default.

    Returns:
        Success (boolean) and the number of decisions, one an initial state.
    """
    controller = Controller(policy, config)
    controller.reset(len(seeds))
    env.reset(seeds)
    success = np.zeros(len(seeds), dtype=bool)
    decisions = np.zeros(len(seeds), dtype=int)
    for _ in range(max_decisions or env.max_steps):
        active = ~success
        if not active.any():
            break
        # Seeing costs more than acting: images are rendered only for a new plan.
        observation = env.observe() if controller.due(active.tolist()) else None
        if observation is not None and instructions is not None:
            observation = replace(observation, instruction=tuple(instructions))
        actions = controller.act(observation, active=active.tolist())
        if film is not None and observation is not None:
            film.add(observation, controller.plan, active)
        success |= env.step(actions, active=active.tolist())
        decisions += active
    if film is not None:
        film.add(env.observe(), controller.plan, ~success)
    return success, decisions
