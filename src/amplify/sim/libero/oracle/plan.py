"""From goals to skills in an order that works."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from amplify.sim.libero.oracle.arm import Arm
from amplify.sim.libero.oracle.config import OracleConfig
from amplify.sim.libero.oracle.pick_place import grasp_candidates, put, take
from amplify.sim.libero.oracle.places import place_for
from amplify.sim.libero.oracle.scene import Scene
from amplify.sim.libero.oracle.trace import Failed

Run = Callable[[Scene, Arm, OracleConfig, np.random.Generator, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """One thing to do.

    Args:
        name: For messages.
        run: Does it; the last argument counts the tries.
        goal: What must hold afterwards; None if that cannot be checked.
    """

    name: str
    run: Run
    goal: tuple[str, ...] | None


def plan(scene: Scene, goals: Sequence[tuple[str, ...]]) -> list[Skill]:
    """The skills that reach the goals, in order.

    Raises:
        Failed: A goal is of a kind that no skill serves.
    """
    return [_skill(scene, goal) for goal in goals]


def _skill(scene: Scene, goal: tuple[str, ...]) -> Skill:
    predicate = goal[0]
    if predicate in ("in", "on"):
        _, name, target = goal

        def run(scene: Scene, arm: Arm, config: OracleConfig, generator: np.random.Generator, number: int) -> None:
            grasps = grasp_candidates(scene, name, config, generator)
            take(scene, arm, name, grasps[min(number, len(grasps) - 1)])
            put(scene, arm, name, place_for(scene, name, target, predicate))

        return Skill(name=f"putting {name} {predicate} {target}", run=run, goal=goal)
    raise Failed(f"no skill for the goal {' '.join(goal)}")
