"""From goals to skills in an order that works."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from amplify.sim.libero.oracle.arm import Arm
from amplify.sim.libero.oracle.config import OracleConfig
from amplify.sim.libero.oracle.doors import close_door, open_door
from amplify.sim.libero.oracle.fixtures import close_drawer, open_drawer, turn_knob
from amplify.sim.libero.oracle.insert import insert, on_the_floor_of, push_under, roofed
from amplify.sim.libero.oracle.joints import WISHES, joint_of
from amplify.sim.libero.oracle.pick_place import grasp_candidates, put, take
from amplify.sim.libero.oracle.places import is_drawer, place_beside, place_for
from amplify.sim.libero.oracle.push import push
from amplify.sim.libero.oracle.scene import Scene
from amplify.sim.libero.oracle.trace import Failed

Goal = tuple[str, ...]
Run = Callable[[Scene, Arm, OracleConfig, np.random.Generator, int], None]

PLACING = ("in", "on")
CLEAR = "clear"
"""Not a predicate of LIBERO: what is to go into a drawer is first taken out of the way in which the drawer opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """One thing to do.

    Args:
        name: For messages.
        goal: What must hold afterwards, by the benchmark's own check; None for what only prepares.
        run: Does it; the last argument counts the tries.
    """

    name: str
    goal: Goal | None
    run: Run


def plan(scene: Scene, goals: Sequence[Goal]) -> list[Skill]:
    """The skills that reach the goals, in order.

    Raises:
        Failed: A goal is of a kind that no skill serves.
    """
    return [_skill(scene, goal) for goal in ordered(scene, goals)]


def ordered(scene: Scene, goals: Sequence[Goal]) -> list[Goal]:
    """Goals in an order that works, with the openings that they need.

    What is to be closed once something is in it comes last, what carries another object is placed before that object,
    and a shut drawer is opened before anything is put into it.
    """
    filled = {_holder(scene, goal[2]) for goal in goals if goal[0] == "in"}
    last = [goal for goal in goals if goal[0] == "close" and _holder(scene, goal[1]) in filled]
    first = [goal for goal in goals if goal[0] not in PLACING and goal not in last]
    placing = [goal for goal in goals if goal[0] in PLACING]
    placed = {goal[1] for goal in placing}
    carriers = [goal for goal in placing if goal[2] not in placed]
    carried = [goal for goal in placing if goal[2] in placed]
    order = [*first, *carriers, *carried, *last]
    opened: list[Goal] = []
    for goal in order:
        if goal[0] == "in" and scene.is_region(goal[2]) and is_drawer(scene, goal[2]):
            opening = ("open", goal[2])
            if opening not in opened and not scene.holds(opening):
                opened += [(CLEAR, goal[1], goal[2]), opening]
    return [*opened, *(goal for goal in order if goal not in opened)]


def _holder(scene: Scene, name: str) -> str:
    """The drawer itself, or the fixture that a region without a joint belongs to."""
    if scene.is_region(name) and not is_drawer(scene, name):
        return scene.parent(name) or name
    return name


def _skill(scene: Scene, goal: Goal) -> Skill:
    if goal[0] in PLACING:
        return Skill(name=" ".join(goal), goal=goal, run=_placing(*goal))
    if goal[0] in WISHES:
        return Skill(name=" ".join(goal), goal=goal, run=_moving(*goal))
    if goal[0] == CLEAR:
        return Skill(name=" ".join(goal), goal=None, run=_clearing(*goal[1:]))
    raise Failed(f"no skill for the goal {' '.join(goal)}")


def _placing(predicate: str, name: str, target: str) -> Run:
    def run(scene: Scene, arm: Arm, config: OracleConfig, generator: np.random.Generator, number: int) -> None:
        grasps = grasp_candidates(scene, name, config, generator)

        def grasped() -> None:
            if not grasps:
                raise Failed(f"no grasp of {name} fits")
            take(scene, arm, name, grasps[min(number, len(grasps) - 1)], aside=number > 0)

        if predicate == "in" and roofed(scene, target) and on_the_floor_of(scene, target):
            push_under(scene, arm, name, target, grasped)
            return
        if not grasps and predicate == "on" and scene.is_region(target) and scene.parent(target) is None:
            push(scene, arm, name, scene.position(target))
            return
        grasped()
        if predicate == "in" and roofed(scene, target):
            insert(scene, arm, name, target, number)
            return
        put(scene, arm, name, place_for(scene, name, target, predicate))

    return run


def _clearing(name: str, region: str) -> Run:
    def run(scene: Scene, arm: Arm, config: OracleConfig, generator: np.random.Generator, number: int) -> None:
        place = place_beside(scene, name, joint_of(scene, region))
        if place is None:
            return
        grasps = grasp_candidates(scene, name, config, generator)
        if not grasps:
            raise Failed(f"no grasp of {name} fits")
        take(scene, arm, name, grasps[min(number, len(grasps) - 1)], aside=number > 0)
        put(scene, arm, name, place)

    return run


def _moving(predicate: str, name: str) -> Run:
    def run(scene: Scene, arm: Arm, config: OracleConfig, generator: np.random.Generator, number: int) -> None:
        if scene.holds((predicate, name)):
            return
        joint = joint_of(scene, name)
        wished = joint.wished(WISHES[predicate])
        if predicate in ("turnon", "turnoff"):
            turn_knob(scene, arm, joint, wished, number)
        elif joint.slides:
            (open_drawer if predicate == "open" else close_drawer)(scene, arm, joint, wished, number)
        else:
            (open_door if predicate == "open" else close_door)(scene, arm, joint, wished, number)

    return run
