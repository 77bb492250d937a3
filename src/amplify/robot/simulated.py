"""Robots by name: simulated ones, and classes of one's own."""

from collections.abc import Callable
from typing import Any

from amplify_client.realtime import KinematicArm, Robot, load_robot

from amplify.errors import UsageError, pick
from amplify.robot.env import EnvRobot
from amplify.sim.libero.benchmark import LiberoBenchmark
from amplify.sim.libero.config import ACTION_NAMES as LIBERO_ACTIONS
from amplify.sim.libero.config import HZ as LIBERO_HZ
from amplify.sim.libero.config import PROPRIO_NAMES as LIBERO_PROPRIO
from amplify.sim.metaworld.config import ACTION_NAMES, PROPRIO_NAMES, MetaWorldConfig
from amplify.sim.metaworld.env import MetaWorldEnv
from amplify.sim.metaworld.simulation import Simulation
from amplify.sim.metaworld.tasks import INSTRUCTIONS, task_name

METRES_A_STEP = 0.01
"""What a displacement of 1 asks of Meta-World's hand in one simulator step."""


def metaworld(task: str) -> Robot:
    """The arm of a Meta-World task, with the workspace that its hand can be asked to go to.

    Raises:
        UnknownNameError: There is no such task.
    """
    config = MetaWorldConfig()
    low, high = Simulation(task_name(task), config).workspace()
    dimensions: dict[str, Any] = {name: {"low": -1.0, "high": 1.0} for name in ACTION_NAMES}
    for action, state, lowest, highest in zip(ACTION_NAMES, PROPRIO_NAMES[:3], low.tolist(), high.tolist()):
        scale = METRES_A_STEP * config.action_repeat
        dimensions[action] |= {"kind": "displacement", "state": state, "scale": scale, "position": [lowest, highest]}
    return EnvRobot(
        MetaWorldEnv(task, 1, config),
        action_names=ACTION_NAMES,
        state_names=PROPRIO_NAMES,
        keep=ACTION_NAMES[3:],
        limits={"dimensions": dimensions},
        rate_hz=float(config.fps),
        instruction=INSTRUCTIONS[task_name(task)],
    )


def libero(task: str) -> Robot:
    """The Panda of a LIBERO task, "libero_object/<task>"; a seed is the number of an official initial state.

    Raises:
        UnknownNameError: There is no such suite or task.
        MissingDependencyError: No LIBERO package is installed.
    """
    suite, _, name = task.partition("/")
    benchmark = LiberoBenchmark(suite)
    return EnvRobot(
        benchmark.make(name, 1),
        action_names=LIBERO_ACTIONS,
        state_names=LIBERO_PROPRIO,
        keep=LIBERO_ACTIONS[6:],
        rate_hz=float(LIBERO_HZ),
        instruction=benchmark.instruction(name),
    )


def arm(task: str) -> Robot:
    """A light arm in a plane, without a simulator's package; it has one task."""
    if task:
        raise UsageError("the simulated arm has one task", got=task, allowed="--robot arm")
    return KinematicArm()


SIMULATED: dict[str, Callable[[str], Robot]] = {"arm": arm, "libero": libero, "metaworld": metaworld}
"""By the word before the slash; what follows it is the task."""


def robot_of(name: str) -> Robot:
    """A robot by its name.

    Args:
        name: "arm", "metaworld/<task>", "libero/<suite>/<task>", or "module:Class" of one's own.

    Raises:
        UnknownNameError: There is no such simulated robot or task.
        UsageError: The class is not there, or is no robot.
    """
    if ":" not in name:
        kind, _, task = name.partition("/")
        make = pick(kind, SIMULATED, kind="robot ('module:Class' is another)")
        return make(task)
    try:
        return load_robot(name)
    except ValueError as error:
        raise UsageError(
            "no such robot", got=str(error), allowed="module:Class with reset, observe, act, stop and close"
        ) from None
