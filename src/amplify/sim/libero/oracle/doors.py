"""Opens and closes hinged doors."""

import numpy as np
from jaxtyping import Float

from amplify.sim.libero.oracle.arm import CLOSED, OPEN, Arm
from amplify.sim.libero.oracle.fixtures import UP, approach, facing, handle_of, home, past
from amplify.sim.libero.oracle.geometry import rotation_about
from amplify.sim.libero.oracle.joints import Joint
from amplify.sim.libero.oracle.scene import Scene
from amplify.sim.libero.oracle.trace import Failed

STEP_RAD = 0.07
SWING_M_S = 0.18
GRIP_DEPTH_M = 0.022
PUSH_TILTS_DEG = (80.0, 60.0, 45.0)
BEYOND_RAD = 0.12
FOLLOWED = (0.7, 0.5, 0.9)
"""Part of the door's turn that the hand makes too."""


def open_door(scene: Scene, arm: Arm, joint: Joint, wished: float, number: int) -> None:
    """Takes an upright handle from above and swings the door.

    Raises:
        Failed: The door did not come along.
    """
    change = wished - joint.value
    outward = _swing(joint, np.sign(change))
    handle = handle_of(joint, outward)
    top = handle.center[0] + UP * float(handle.half[0] @ np.abs(handle.rotation[0].T @ UP))
    across = np.cross(UP, outward)
    closing = across * (np.sign(across @ arm.rotation[:, 0]) or 1.0)
    rotation = np.stack([closing, np.cross(-UP, closing), -UP], axis=1)
    if number % 2:
        rotation = rotation * np.array([-1.0, -1.0, 1.0])
    goal = top - UP * GRIP_DEPTH_M
    arm.grip = OPEN
    approach(scene, arm, goal + UP * 0.08, rotation)
    arm.go(goal, rotation, speed=0.1, tolerance=0.006)
    arm.close(8)
    first = joint.value
    grip = arm.position
    part = FOLLOWED[number % 3]
    for fraction in np.arange(STEP_RAD, abs(change) + BEYOND_RAD, STEP_RAD):
        turned = float(np.sign(change) * fraction)
        goal = joint.moved(grip, turned)
        spin = rotation_about(joint.axis, part * turned)
        arm.go(goal, spin @ rotation, speed=SWING_M_S, patience=1, tolerance=0.01, angle_tolerance=0.3)
        if past(joint, wished, change):
            break
    if not past(joint, wished, change, 0.3) and abs(joint.value - first) < 0.2:
        arm.open()
        raise Failed(f"the door of {joint.parent} did not open")
    arm.hold(2)
    arm.open()
    arm.go(arm.position + UP * 0.1, speed=0.15, tolerance=0.02)
    home(scene, arm)


def close_door(scene: Scene, arm: Arm, joint: Joint, wished: float, number: int) -> None:
    """Pushes a door shut with closed fingers at its outer end."""
    change = wished - joint.value
    outward = _swing(joint, -np.sign(change))
    handle = handle_of(joint, outward)
    height = handle.center[0][2] + 0.02 + 0.02 * number
    contact = np.array([*(handle.center[0] + 0.035 * outward)[:2], height])
    tilt = np.deg2rad(PUSH_TILTS_DEG[number % 3])
    rotation = facing(-outward, tilt, closing_level=True, like=arm.rotation)
    arm.grip = CLOSED
    approach(scene, arm, contact + 0.04 * outward, rotation)
    for fraction in np.arange(0.0, abs(change) + 2 * BEYOND_RAD, STEP_RAD):
        turned = float(np.sign(change) * fraction)
        spin = rotation_about(joint.axis, 0.5 * turned)
        arm.go(
            joint.moved(contact, turned),
            spin @ rotation,
            speed=SWING_M_S,
            patience=2,
            tolerance=0.015,
            angle_tolerance=0.4,
        )
        if past(joint, wished, change, 0.002):
            break
    arm.hold(4, until=lambda: past(joint, wished, change, 0.002))
    back = arm.position - 0.05 * _swing(joint, np.sign(change))
    arm.go(back, speed=0.15, tolerance=0.02)
    arm.grip = OPEN
    home(scene, arm)


def _swing(joint: Joint, sign: float) -> Float[np.ndarray, "3"]:
    """The horizontal direction in which the door's outer end moves when the joint's value grows (or falls)."""
    boxes = joint.boxes
    largest = int(boxes.half.prod(axis=1).argmax())
    arm = boxes.center[largest] - joint.anchor
    moving = np.cross(joint.axis, arm) * sign
    moving[2] = 0.0
    return moving / np.linalg.norm(moving)
