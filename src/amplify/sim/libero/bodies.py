"""Whose arm acts in LIBERO's scenes: the Panda, another arm that holds its gripper, or the Panda's gripper alone.

The scene, the gripper and the controller are the same for all, so that the same oracle serves and its videos differ by
what carries the gripper. An arm of another make begins with its gripper where LIBERO's Panda has it.
"""

import functools
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from amplify.errors import DataError, pick
from amplify.sim.libero import package
from amplify.sim.renderer import HIDDEN_GEOM_GROUP

ROBOT_BASE = "robot0_base"
"""The body of every scene that arm, gripper and pedestal hang on."""

GRIPPER = "gripper0_"
"""How the names of the gripper's bodies begin."""

FINGERS = 2
STANDS = ("Mounted", "OnTheGround")
"""LIBERO's scenes ask for an arm with one of these words before its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodySpec:
    """An arm.

    Args:
        arm: robosuite's name of it.
        joints: How many it has.
        home: Angles in radians at which the gripper is where LIBERO's Panda has it at first; None for the Panda itself,
            whose angles are part of the official initial states.
        seen: Whether the arm is drawn.
    """

    arm: str
    joints: int
    home: tuple[float, ...] | None = None
    seen: bool = True


BODIES: dict[str, BodySpec] = {
    "panda": BodySpec(arm="Panda", joints=7),
    "ur5e": BodySpec(arm="UR5e", joints=6, home=(-0.2939, -1.6377, 1.9640, -1.8427, -1.5872, -1.8647)),
    "iiwa": BodySpec(arm="IIWA", joints=7, home=(0.0, 0.3536, 0.0, -1.8369, 0.0, 1.0079, 0.0)),
    "hand": BodySpec(arm="Panda", joints=7, seen=False),
}
"""By the name of `LiberoConfig.body`."""


def robot_of(body: str) -> str:
    """The name by which LIBERO makes the arm, known to it from now on.

    Raises:
        UnknownNameError: There is no such body.
        MissingDependencyError: The package is not installed.
    """
    arm = pick(body, BODIES, kind="body").arm
    _register(arm)
    return arm


def proprio_names(body: str) -> tuple[str, ...]:
    """Names of the arm's angles in radians and of the finger positions in metres.

    Raises:
        UnknownNameError: There is no such body.
    """
    return (*(f"joint_{i}" for i in range(pick(body, BODIES, kind="body").joints)), "finger_left", "finger_right")


def embodied(state: Float[np.ndarray, " s"], body: str, model: mujoco.MjModel) -> Float[np.ndarray, " n"]:
    """An official initial state for another arm: objects and fingers as they are, the arm at rest at its home.

    Args:
        state: Time, positions and velocities, with the Panda.
        body: Who takes its place.
        model: The scene with that body.

    Raises:
        DataError: The state belongs to another scene.
    """
    spec, panda = pick(body, BODIES, kind="body"), BODIES["panda"].joints
    more = spec.joints - panda
    if len(state) != 1 + model.nq + model.nv - 2 * more:
        raise DataError(
            "an initial state of another scene", got=f"{len(state)} numbers", allowed=1 + model.nq + model.nv - 2 * more
        )
    if spec.home is None:
        return state.copy()
    positions, velocities = state[1 : 1 + model.nq - more], state[1 + model.nq - more :]
    still = np.zeros(spec.joints)
    return np.concatenate([state[:1], spec.home, positions[panda:], still, velocities[panda:]])


def hide_arm(model: mujoco.MjModel, body: str) -> None:
    """Takes what is not seen of a body out of images and out of the way of rays; nothing but the look changes.

    Args:
        model: The scene, which is changed.
        body: Who acts in it.

    Raises:
        UnknownNameError: There is no such body.
    """
    if pick(body, BODIES, kind="body").seen:
        return
    base = model.body(ROBOT_BASE).id
    for geom in range(model.ngeom):
        owner = int(model.geom_bodyid[geom])
        if model.body_rootid[owner] == base and not model.body(owner).name.startswith(GRIPPER):
            model.geom_group[geom] = HIDDEN_GEOM_GROUP


@functools.cache
def _register(arm: str) -> None:
    package.environments()
    import libero.libero.envs.robots as pandas
    import robosuite.robots as robots
    from robosuite.models.robots import manipulators
    from robosuite.robots.single_arm import SingleArm

    for stand in STANDS:
        name = f"{stand}{arm}"
        if name not in robots.ROBOT_CLASS_MAPPING:
            panda: Any = getattr(pandas, f"{stand}Panda")
            # Where it stands and what it holds are the Panda's; making the class makes robosuite know it.
            same = ("default_mount", "default_gripper", "base_xpos_offset", "top_offset")
            type(name, (getattr(manipulators, arm),), {part: getattr(panda, part) for part in same})
            robots.ROBOT_CLASS_MAPPING[name] = SingleArm
