"""Where an object has to be let go so that a goal holds."""

import numpy as np
from jaxtyping import Float

from amplify.sim.libero.oracle.geometry import UP, rotation_about
from amplify.sim.libero.oracle.joints import Joint, joint_of
from amplify.sim.libero.oracle.pick_place import Place
from amplify.sim.libero.oracle.scene import Scene
from amplify.sim.libero.oracle.trace import Failed

RIM_M = 0.015
GAP_M, EDGE_M = 0.008, 0.018
LONG = 1.3
"""Ratio of sides from which something is long rather than square."""

SLOPE = (0.2, 0.9)
"""Upward part of a region's axis that lies along a slope."""

WAY_MARGIN_M = -0.01
"""Around the way of a drawer; what only just reaches under it can still be taken."""

LEAN_RAD = 0.75
TOPPLE_RAD = 1.1
UPHILL_M, ABOVE_SLOPE_M = 0.045, 0.03


def place_for(scene: Scene, name: str, target: str, predicate: str) -> Place:
    """The place of an object on or in a target, by the target's kind.

    Args:
        scene: As it is now, the object in the fingers.
        name: The object.
        target: A region, or another object.
        predicate: "in" or "on".
    """
    corners = scene.boxes(name).corners
    bottom = scene.position(name)[2] - corners[..., 2].min()
    if not scene.is_region(target):
        top = scene.boxes(target).corners[..., 2].max()
        x, y, _ = scene.position(target)
        return Place(position=np.array([x, y, top + bottom]))
    parent = scene.parent(target)
    if parent is not None and predicate == "on":
        uphill = scene.rotation(target)[:, 2]
        uphill = uphill * np.sign(uphill[2])
        if SLOPE[0] < uphill[2] < SLOPE[1]:
            return _on_slope(scene, target, uphill)
    x, y, z = scene.position(target)
    half = np.abs(scene.rotation(target) @ scene.region_half(target))
    if predicate == "in" and parent is not None and scene.is_object(parent):
        # Dropped from just under the rim.
        rim = scene.boxes(parent).corners[..., 2].max()
        return Place(position=np.array([x, y, max(rim - RIM_M, z - half[2]) + bottom]), contact=False)
    if predicate == "in" and parent is not None and not is_drawer(scene, target):
        turn = _along(scene, name, half)
        middle = (corners.min((0, 1)) + corners.max((0, 1))) / 2.0
        offset = turn @ (scene.position(name) - middle)
        return Place(position=np.array([x + offset[0], y + offset[1], z - half[2] + bottom]), contact=False, turn=turn)
    if predicate == "in" and bottom > 2.0 * half[2]:
        return _lying(scene, name, target, half)
    if predicate == "on" and parent is not None:
        x, y = np.array([x, y]) + _share(scene, name, target, corners, half)
    return Place(position=np.array([x, y, z + (half[2] if predicate == "on" else -half[2]) + bottom]))


def _share(
    scene: Scene, name: str, target: str, corners: Float[np.ndarray, "n 8 3"], half: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "2"]:
    """How far from a region's middle an object stands that shares it with others of the task's goals."""
    sharing = [goal[1] for goal in scene.simulation.task.goals if goal[0] == "on" and goal[2] == target]
    if name not in sharing or len(sharing) < 2:
        return np.zeros(2)
    width = np.ptp(corners.reshape(-1, 3)[:, :2], axis=0)
    axis = int(width.argmin())
    rank = sharing.index(name) - (len(sharing) - 1) / 2.0
    shift = np.zeros(2)
    shift[axis] = np.clip(rank * (width[axis] + GAP_M), -half[axis] + EDGE_M, half[axis] - EDGE_M)
    return shift


def place_beside(scene: Scene, name: str, joint: Joint) -> Place | None:
    """Where an object is out of the way of a drawer that will open, and of everything else; None if it is already.

    Args:
        scene: As it is now.
        name: The object.
        joint: The drawer's.
    """
    corners = scene.boxes(name).corners.reshape(-1, 3)
    change = joint.wished("is_open") - joint.value
    drawer = joint.boxes.corners.reshape(-1, 3)
    swept = np.concatenate([drawer, drawer + change * joint.axis])
    low, high = swept.min(0)[:2] - WAY_MARGIN_M, swept.max(0)[:2] + WAY_MARGIN_M

    def in_the_way(shift: np.ndarray) -> bool:
        first, last = corners.min(0)[:2] + shift, corners.max(0)[:2] + shift
        return bool((last > low).all() and (first < high).all())

    if not in_the_way(np.zeros(2)):
        return None
    around = [scene.boxes(other).corners.reshape(-1, 3) for other in scene.env.objects_dict if other != name]
    around += [scene.boxes(other).corners.reshape(-1, 3) for other in scene.fixtures]
    outward = np.sign(change) * joint.axis[:2]
    aside = np.array([-outward[1], outward[0]])
    for distance in np.arange(0.06, 0.3, 0.02):
        for direction in (outward, outward - aside, outward + aside, -aside, aside):
            shift = distance * direction / np.linalg.norm(direction)
            first, last = corners.min(0)[:2] + shift - 0.02, corners.max(0)[:2] + shift + 0.02
            hits = any((c.max(0)[:2] > first).all() and (c.min(0)[:2] < last).all() for c in around)
            if not in_the_way(shift) and not hits:
                return Place(position=scene.position(name) + np.array([*shift, 0.0]))
    return None


def is_drawer(scene: Scene, region: str) -> bool:
    """Whether a region moves with a joint of its own."""
    try:
        return joint_of(scene, region).slides
    except Failed:
        return False


def _on_slope(scene: Scene, target: str, uphill: Float[np.ndarray, "3"]) -> Place:
    """On a sloping rack, leaning so far uphill that it lies down there when it is let go."""
    level = np.array([uphill[0], uphill[1], 0.0]) / np.linalg.norm(uphill[:2])
    normal = np.cross(np.cross(uphill, level), uphill)
    normal = normal / np.linalg.norm(normal)
    normal = normal * np.sign(normal[2])
    position = scene.position(target) + UPHILL_M * uphill + ABOVE_SLOPE_M * normal
    return Place(position=position, turn=rotation_about(np.cross(UP, level), LEAN_RAD))


def _lying(scene: Scene, name: str, target: str, half: Float[np.ndarray, "3"]) -> Place:
    """In a drawer that is too low for the object to stand in: leaning along it, to fall over when it is let go."""
    corners = scene.boxes(name).corners.reshape(-1, 3)
    # The hand, which leans too, stays on the robot's side of the object.
    along = np.array([-1.0, 0.0, 0.0]) if half[0] >= half[1] else np.array([0.0, 1.0, 0.0])
    turn = rotation_about(np.cross(UP, along), TOPPLE_RAD)
    middle = (corners.min(0) + corners.max(0)) / 2.0
    from_middle = turn @ (scene.position(name) - middle)
    turned = (corners - scene.position(name)) @ turn.T
    floor = scene.position(target)[2] - half[2]
    level = scene.position(target)[:2] + from_middle[:2]
    return Place(position=np.array([*level, floor - turned[:, 2].min()]), turn=turn)


def _along(scene: Scene, name: str, half: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The least turn about the vertical that lays a long object along a long region, or along its sides."""
    boxes = scene.boxes(name)
    largest = int(boxes.half.prod(axis=1).argmax())
    level = [axis for axis in range(3) if abs(boxes.rotation[largest][2, axis]) < 0.5]
    if len(level) != 2 or boxes.half[largest][level].max() < LONG * boxes.half[largest][level].min():
        return np.eye(3)
    longer = boxes.rotation[largest][:, max(level, key=lambda axis: boxes.half[largest][axis])]
    heading = np.arctan2(longer[1], longer[0])
    if half[:2].max() > LONG * half[:2].min():
        wished = 0.0 if half[0] > half[1] else np.pi / 2
        turn = (wished - heading + np.pi / 2) % np.pi - np.pi / 2
    else:
        turn = (-heading + np.pi / 4) % (np.pi / 2) - np.pi / 4
    return rotation_about(UP, float(turn))
