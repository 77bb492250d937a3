"""Opens and closes drawers and doors, and turns knobs."""

import numpy as np
from jaxtyping import Float

from amplify.sim.libero.oracle.arm import CLOSED, OPEN, Arm, pointing_down
from amplify.sim.libero.oracle.geometry import UP, Boxes, axis_angle, rotation_about
from amplify.sim.libero.oracle.grasps import top_down_grasps
from amplify.sim.libero.oracle.joints import Joint
from amplify.sim.libero.oracle.pick_place import NEAR_M, rise_to
from amplify.sim.libero.oracle.scene import Scene
from amplify.sim.libero.oracle.trace import Failed

PULL_M_S, PUSH_M_S = 0.12, 0.12
BEYOND_M = 0.03
LEVEL_HAND_M = 0.1
"""Room that a level hand needs below it when its fingers close in the upright plane."""
PUSH_TILTS_DEG = (50.0, 35.0, 65.0)
HOOK_TILTS_DEG = (45.0, 50.0, 38.0)
GRIP_TILTS_DEG = (60.0, 50.0, 70.0)
LEVEL_TILTS_DEG = (12.0, 18.0, 6.0)


def facing(
    towards: Float[np.ndarray, "3"], tilt_rad: float, *, closing_level: bool, like: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "3 3"]:
    """A hand that points horizontally towards something and down by a tilt.

    Args:
        towards: Horizontal direction.
        tilt_rad: 0 is level, π/2 points down.
        closing_level: Whether the fingers close along the horizontal axis across the direction, not in the upright
            plane through it.
        like: Of the two hands that do, the one that is turned less from this.
    """
    pointing = np.cos(tilt_rad) * towards - np.sin(tilt_rad) * UP
    across = np.cross(UP, towards)
    closing = across if closing_level else np.cross(across, pointing)
    rotation = np.stack([closing, np.cross(pointing, closing), pointing], axis=1)
    other = rotation * np.array([-1.0, -1.0, 1.0])
    return min(rotation, other, key=lambda r: float(np.linalg.norm(axis_angle(r @ like.T))))


def handle_of(joint: Joint, outward: Float[np.ndarray, "3"]) -> Boxes:
    """The part of a drawer or door that stands out furthest in a direction."""
    boxes = joint.boxes
    reach = (boxes.corners @ outward).max(axis=1)
    return boxes[np.array([int(reach.argmax())])]


def approach(scene: Scene, arm: Arm, start: np.ndarray, rotation: np.ndarray) -> None:
    """Brings the hand to a place in free space, over whatever stands on the way, turned as wished."""
    above = np.array([start[0], start[1], max(start[2], arm.position[2])])
    rise_to(scene, arm, above)
    arm.go(above, rotation, tolerance=0.02, angle_tolerance=0.1, free=True, patience=25)
    arm.go(start, rotation, tolerance=0.012, angle_tolerance=0.1)


def home(scene: Scene, arm: Arm) -> None:
    """Back to where the hand was at first, pointing down."""
    position = scene.start
    arm.go(np.array([*arm.position[:2], max(position[2], arm.position[2])]), tolerance=0.03, free=True)
    arm.go(position, pointing_down(0.0), tolerance=0.03, angle_tolerance=0.1, free=True, patience=25)


def open_drawer(scene: Scene, arm: Arm, joint: Joint, wished: float, number: int) -> None:
    """Pulls a drawer by its handle.

    Raises:
        Failed: It did not come along.
    """
    change = wished - joint.value
    outward = joint.axis * np.sign(change)
    handle = handle_of(joint, outward)
    center = handle.center[0]
    clear = _clear_above(scene, joint, center, outward)
    high = center[2] - _support(scene, joint) > LEVEL_HAND_M
    if clear and number % 3 == 2:
        hooked, tilt = False, GRIP_TILTS_DEG[number % 3]
    elif high and (clear or number % 2 == 0):
        hooked, tilt = False, LEVEL_TILTS_DEG[number % 3]
    else:
        hooked, tilt = True, HOOK_TILTS_DEG[number % 3]
    tilt_rad = np.deg2rad(tilt + arm.generator.normal(0.0, 1.5))
    sideways = np.cross(UP, outward) * arm.generator.uniform(-0.012, 0.012)
    rotation = facing(-outward, tilt_rad, closing_level=hooked, like=arm.rotation)
    goal = center + sideways
    if hooked:
        goal = _behind(handle, outward, rotation) + sideways
    arm.grip = CLOSED if hooked else OPEN
    before = goal - 0.09 * rotation[:, 2]
    approach(scene, arm, before, rotation)
    arm.go(goal, rotation, speed=0.08, tolerance=0.005)
    if not hooked:
        arm.close(8)
    pull = goal + outward * (abs(change) + BEYOND_M)
    if hooked:
        pull = pull - 0.012 * UP
    arm.go(pull, rotation, speed=PULL_M_S, tolerance=0.004, patience=6, until=lambda: past(joint, wished, change))
    reached = past(joint, wished, change, 0.012)
    if hooked:
        arm.go(arm.position - 0.02 * outward, rotation, speed=0.1, patience=2)
    else:
        arm.open()
    arm.go(arm.position + 0.04 * UP * hooked - 0.06 * rotation[:, 2], speed=0.15, tolerance=0.02)
    arm.grip = OPEN
    if not reached:
        raise Failed(f"the drawer of {joint.parent} did not open")
    home(scene, arm)


def close_drawer(scene: Scene, arm: Arm, joint: Joint, wished: float, number: int) -> None:
    """Pushes a drawer shut with closed fingers."""
    change = wished - joint.value
    inward = joint.axis * np.sign(change)
    handle = handle_of(joint, -inward)
    center = handle.center[0]
    tilt_rad = np.deg2rad(PUSH_TILTS_DEG[number % 3] + arm.generator.normal(0.0, 2.0))
    rotation = facing(inward, tilt_rad, closing_level=True, like=arm.rotation)
    sideways = np.cross(UP, inward) * arm.generator.uniform(-0.02, 0.02)
    half = float(handle.half[0] @ np.abs(handle.rotation[0].T @ inward))
    contact = center + sideways - inward * (half + 0.02)
    arm.grip = CLOSED
    approach(scene, arm, contact - inward * 0.05 + UP * 0.005, rotation)
    arm.go(
        contact + inward * (abs(change) + 0.05),
        rotation,
        speed=PUSH_M_S,
        patience=10,
        until=lambda: past(joint, wished, change, 0.006),
    )
    arm.hold(4, until=lambda: past(joint, wished, change, 0.004))
    arm.go(arm.position - 0.05 * inward + 0.02 * UP, speed=0.15, tolerance=0.02)
    arm.grip = OPEN
    home(scene, arm)


def turn_knob(scene: Scene, arm: Arm, joint: Joint, wished: float, number: int) -> None:
    """Takes a knob from above and turns it.

    Raises:
        Failed: No grasp fits.
    """
    target = joint.boxes
    middle = target.center.mean(0)
    others = scene.surroundings().near(middle, NEAR_M)
    others = others[~np.isin(others.body, target.body)]
    grasps = top_down_grasps(target, others, generator=arm.generator)
    if not grasps:
        raise Failed(f"no grasp of the knob of {joint.parent} fits")
    grasp = grasps[min(number, len(grasps) - 1)]
    change = (wished - joint.value) * float(np.sign(joint.axis[2]))
    yaw = grasp.yaw_rad
    above = grasp.position + UP * arm.style.approach_m
    arm.grip = OPEN
    rise_to(scene, arm, above)
    arm.go(above, pointing_down(yaw), tolerance=0.01, free=True, patience=20)
    arm.go(grasp.position, pointing_down(yaw), speed=0.1, tolerance=0.005)
    arm.close(8)
    held, axis_xy = arm.position, joint.anchor[:2]
    steps = max(2, int(np.ceil(abs(change + np.sign(change) * 0.25) / 0.06)))
    for angle in np.linspace(0.0, change + np.sign(change) * 0.25, steps + 1)[1:]:
        turn = rotation_about(UP, float(angle))
        offset = turn @ np.array([*(held[:2] - axis_xy), 0.0])
        arm.go(
            np.array([*(axis_xy + offset[:2]), held[2]]), pointing_down(yaw + float(angle)), patience=1, tolerance=0.004
        )
        if past(joint, wished, wished - joint.value, 0.0) or abs(joint.value - wished) < 0.02:
            break
    arm.hold(4)
    arm.open()
    arm.go(arm.position + UP * 0.1, tolerance=0.02)
    home(scene, arm)


def past(joint: Joint, wished: float, change: float, slack: float = 0.002) -> bool:
    """Whether a joint has got to where it should, coming from the other side."""
    return bool((joint.value - wished) * np.sign(change) >= -slack)


def _behind(handle: Boxes, outward: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Where the fingertips are when they hook a bar from above, on the side of the drawer."""
    half_out = float(handle.half[0] @ np.abs(handle.rotation[0].T @ outward))
    half_up = float(handle.half[0] @ np.abs(handle.rotation[0].T @ UP))
    corner = handle.center[0] - outward * half_out + UP * half_up
    # The finger's side lies on the bar's upper inner edge; its tip reaches below it.
    side = np.cross(rotation[:, 0], rotation[:, 2])
    side = side * np.sign(side @ -outward)
    return corner + side * 0.0105 + rotation[:, 2] * 0.004


def _clear_above(scene: Scene, joint: Joint, center: np.ndarray, outward: np.ndarray) -> bool:
    """Whether nothing of the fixture is near above a handle, in front of or behind its plane."""
    own = joint.boxes.body
    boxes = scene.boxes(joint.parent)
    boxes = boxes[~np.isin(boxes.body, own)]
    corners = boxes.corners
    return not (
        (corners[..., 2].max(1) > center[2] + 0.06) & ((corners @ outward).max(1) > center @ outward - 0.03)
    ).any()


def _support(scene: Scene, joint: Joint) -> float:
    return float(scene.boxes(joint.parent).corners[..., 2].min())
