"""Pushes an object over the surface that it lies on."""

import numpy as np
from jaxtyping import Float

from amplify.sim.libero.oracle.arm import CLOSED, OPEN, Arm, pointing_down
from amplify.sim.libero.oracle.fixtures import UP, approach, home
from amplify.sim.libero.oracle.geometry import axis_angle
from amplify.sim.libero.oracle.grasps import PALM_M, hand_boxes
from amplify.sim.libero.oracle.pick_place import NEAR_M
from amplify.sim.libero.oracle.scene import Scene

PUSH_M_S = 0.10
GAP_M = 0.045
TIP_ABOVE_M, HIGHEST_TIP_M = 0.014, 0.034
NEAR_ENOUGH_M = 0.006
LEGS = 3
NARROW_M = 0.1
INSIDE_M, DISH_M = 0.02, -0.011


def push(scene: Scene, arm: Arm, name: str, target: Float[np.ndarray, "3"]) -> None:
    """Pushes an object in straight lines, with both fingertips if it is wide, until it is where it should be.

    Args:
        target: Where the object's origin should come to be; its height does not matter.
    """
    for _ in range(LEGS):
        way = target[:2] - scene.position(name)[:2]
        distance = float(np.linalg.norm(way))
        if distance < NEAR_ENOUGH_M * 2:
            break
        _leg(scene, arm, name, target, np.array([*(way / distance), 0.0]))
    arm.grip = OPEN
    home(scene, arm)


def _leg(scene: Scene, arm: Arm, name: str, target: Float[np.ndarray, "3"], along: Float[np.ndarray, "3"]) -> None:
    corners = scene.boxes(name).corners
    position = scene.position(name)
    behind = float(((position - corners) @ along).max())
    aside = float(np.abs((corners - position) @ np.cross(UP, along)).max())
    arm.grip = OPEN if aside > NARROW_M / 2 else CLOSED
    bottom, top = corners[..., 2].min(), corners[..., 2].max()
    height = bottom + np.clip(top - bottom + PALM_M, TIP_ABOVE_M, HIGHEST_TIP_M)
    reach = behind * 0.5
    yaw = float(np.arctan2(along[1], along[0]))
    # The fingers close across the way: a hand that is not turned closes along y, across x.
    hands = [pointing_down(yaw), pointing_down(yaw + np.pi)]
    rotation = min(hands, key=lambda hand: float(np.linalg.norm(axis_angle(hand @ arm.rotation.T))))
    start = np.array([*(position - along * (behind + GAP_M))[:2], height])
    if hand_boxes(start, rotation).overlap(scene.surroundings([name]).near(start, NEAR_M)).any():
        # No room behind it: a dish is pressed down from within and drawn along by its rim.
        arm.grip = CLOSED
        start = np.array([*(position + INSIDE_M * along)[:2], height + 0.01])
        height, reach = height + DISH_M, -behind
    approach(scene, arm, start, rotation)
    arm.go(np.array([*start[:2], height]), rotation, speed=0.06, patience=3)

    def there() -> bool:
        return bool((target - scene.position(name))[:2] @ along[:2] < NEAR_ENOUGH_M)

    end = np.array([*(target - along * reach)[:2], height])
    arm.go(end, rotation, speed=PUSH_M_S, patience=8, until=there)
    arm.go(arm.position - 0.03 * along, speed=0.1, tolerance=0.01, patience=4)
    arm.go(arm.position + 0.06 * UP, speed=0.15, tolerance=0.02)
