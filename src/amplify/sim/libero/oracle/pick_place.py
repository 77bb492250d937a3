"""Takes an object from above and puts it down somewhere."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from amplify.sim.libero.oracle.arm import Arm
from amplify.sim.libero.oracle.config import OracleConfig
from amplify.sim.libero.oracle.geometry import UP, Boxes
from amplify.sim.libero.oracle.grasps import OPENING_M, Grasp, hand_boxes, top_down_grasps, way_in
from amplify.sim.libero.oracle.scene import Scene
from amplify.sim.libero.oracle.trace import Failed

NEAR_M = 0.25
LIFT_M = 0.05
LIFTED = 0.5
"""Part of the hand's rise that an object in the fingers makes, at least."""

CLEARANCE_M = 0.03
CORRIDOR_M = 0.12
SLOW_M_S, LOWERING_M_S = 0.10, 0.09
HIGHEST_M = 0.55
"""Above the robot's base; the arm reaches no further with its hand down."""

GONE_M = 0.06
TOO_HIGH_M = 0.02
ASIDE_M = 0.012


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an object is put.

    Args:
        position: Of the object's own origin, as goals see it, when it is let go; metres.
        contact: Whether the object is lowered until something carries it; otherwise it is dropped there.
        turn: Rotation in the world that the object makes meanwhile.
        over_m: How far above `position` the object arrives.
    """

    position: Float[np.ndarray, "3"]
    contact: bool = True
    turn: Float[np.ndarray, "3 3"] = field(default_factory=lambda: np.eye(3))
    over_m: float = 0.06


def grasp_candidates(scene: Scene, name: str, config: OracleConfig, generator: np.random.Generator) -> list[Grasp]:
    """Grasps of an object from above that fit, best first, varied a little."""
    target = scene.boxes(name)
    middle = (target.corners.min((0, 1)) + target.corners.max((0, 1))) / 2.0
    grasps = top_down_grasps(target, scene.surroundings([name]).near(middle, NEAR_M), generator=generator)
    order = sorted(grasps, key=lambda grasp: -(grasp.score + generator.gumbel(0.0, 0.08)))
    return [varied(grasp, config, generator) for grasp in order]


def varied(grasp: Grasp, config: OracleConfig, generator: np.random.Generator) -> Grasp:
    """A grasp a little beside and turned against another, as far as the fingers have room."""
    free = max(0.0, (OPENING_M - grasp.width_m) / 2.0 - 0.006)
    along = np.clip(generator.normal(0.0, config.grasp_jitter_m), -free, free)
    across, up = np.clip(generator.normal(0.0, config.grasp_jitter_m, size=2), -0.004, 0.004)
    turn = np.deg2rad(config.grasp_jitter_deg) * np.clip(generator.normal(), -1.5, 1.5) * min(1.0, free / 0.012)
    moved = grasp.position + grasp.rotation @ np.array([along, across, min(up, 0.002)])
    return Grasp(position=moved, yaw_rad=grasp.yaw_rad + turn, width_m=grasp.width_m, score=grasp.score)


def take(scene: Scene, arm: Arm, name: str, grasp: Grasp, *, aside: bool = False) -> None:
    """Grasps an object and lifts it.

    Args:
        scene: Where.
        arm: The robot's.
        name: The object's.
        grasp: How.
        aside: Whether the hand may come in from beside the grasp, and leave that way, under what hangs over it.

    Raises:
        Failed: It did not come along.
    """
    way = np.zeros(3)
    if aside:
        way = way_in(grasp, scene.boxes(name), scene.surroundings([name]).near(grasp.position, NEAR_M))
    above = grasp.position + way + np.array([0.0, 0.0, arm.style.approach_m])
    rise_to(scene, arm, above)
    detour(arm, above)
    arm.go(above, grasp.rotation, tolerance=0.012, free=True)
    if way.any():
        arm.go(grasp.position + way, grasp.rotation, speed=SLOW_M_S, tolerance=0.008)
        arm.go(grasp.position + way * UP, grasp.rotation, speed=SLOW_M_S, tolerance=0.008)
    arm.go(grasp.position, grasp.rotation, speed=max(SLOW_M_S, 0.6 * arm.style.speed_m_s), tolerance=0.005)
    if arm.position[2] - grasp.position[2] > TOO_HIGH_M:
        raise Failed(f"the hand did not reach {name}")
    arm.close()
    before = scene.position(name)
    start = arm.position
    if way.any():
        arm.go(start + way * UP, speed=SLOW_M_S)
        arm.go(start + way, speed=SLOW_M_S)
    arm.go(start + way + np.array([0.0, 0.0, LIFT_M]), speed=SLOW_M_S)
    rise = arm.position[2] - start[2]
    if scene.position(name)[2] - before[2] < LIFTED * rise or rise < 0.4 * LIFT_M:
        raise Failed(f"{name} slipped out of the fingers")


def put(scene: Scene, arm: Arm, name: str, place: Place) -> None:
    """Carries the object in the fingers to a place, lets it go and draws back.

    Raises:
        Failed: It was lost on the way.
    """
    rotation = place.turn @ arm.rotation
    held = arm.rotation.T @ (scene.position(name) - arm.position)
    lowest = place.position - rotation @ held
    clear = clear_height(scene, name, lowest, rotation, arm.opening)
    over = np.array([*lowest[:2], max(lowest[2], clear) + place.over_m])
    carry(scene, arm, name, over, rotation)
    check_held(scene, arm, name)
    # The object may have swung in the fingers; where the hand must go is seen again.
    lowest = place.position + arm.position - scene.position(name)
    arm.go(np.array([*lowest[:2], arm.position[2]]), rotation, speed=SLOW_M_S, tolerance=0.005)
    lowest = place.position + arm.position - scene.position(name)
    if place.contact:
        floor = np.array([*lowest[:2], max(lowest[2] - 0.04, clear)])
        arm.go(floor, rotation, speed=LOWERING_M_S, patience=4, until=lambda: scene.touches(name))
        arm.hold(2)
    else:
        floor = np.array([*lowest[:2], max(lowest[2], clear)])
        arm.go(floor, rotation, speed=LOWERING_M_S, patience=6)
    release(arm)


def check_held(scene: Scene, arm: Arm, name: str) -> None:
    """Makes sure that the object is still in the fingers.

    Raises:
        Failed: It is not.
    """
    points = scene.boxes(name).near(arm.position, GONE_M)
    if not len(points):
        raise Failed(f"{name} was lost on the way")


def clear_height(
    scene: Scene, name: str, position: Float[np.ndarray, "3"], rotation: Float[np.ndarray, "3 3"], opening: float
) -> float:
    """The lowest height, from a position upwards, at which the hand hits nothing but what it holds."""
    obstacles = scene.surroundings([name]).near(position, NEAR_M)
    for height in np.arange(position[2], position[2] + 0.2, 0.006):
        hand = hand_boxes(np.array([position[0], position[1], height]), rotation, opening)
        if not hand.overlap(obstacles).any():
            return float(height)
    return float(position[2])


def step_aside(scene: Scene, arm: Arm, name: str) -> None:
    """Moves the object in the fingers sideways from under whatever hangs over it, so that it can rise."""
    corners = scene.boxes(name).corners.reshape(-1, 3)
    low, high = corners.min(0), corners.max(0)
    above = scene.surroundings([name]).corners
    above = above[(above[..., 2].min(1) > high[2] - 0.01) & (above[..., 2].max(1) < high[2] + 0.4)]
    under, over = above[..., :2].min(1), above[..., :2].max(1)

    def free(shift: np.ndarray) -> bool:
        inside = (over > low[:2] + shift - ASIDE_M) & (under < high[:2] + shift + ASIDE_M)
        return not inside.all(axis=1).any()

    directions = [np.array([x, y]) for x, y in ((-1.0, 0.0), (0.0, 1.0), (0.0, -1.0), (1.0, 0.0))]
    for distance in np.arange(0.0, 0.2, 0.01):
        for direction in directions:
            shift = distance * direction
            if free(shift):
                if distance > 0:
                    arm.go(arm.position + np.array([*shift, 0.0]), speed=SLOW_M_S, tolerance=0.01)
                return


def release(arm: Arm) -> None:
    """Opens the fingers and draws back along them."""
    arm.open()
    back = arm.position - (arm.style.approach_m + 0.02) * arm.rotation[:, 2]
    arm.go(back, speed=max(0.12, 0.7 * arm.style.speed_m_s), tolerance=0.02)


def carry(scene: Scene, arm: Arm, name: str, over: Float[np.ndarray, "3"], rotation: Float[np.ndarray, "3 3"]) -> None:
    """Moves the object in the fingers to above a place: up, across at a height that clears everything, down."""
    step_aside(scene, arm, name)
    start = arm.position
    hanging = start[2] - scene.boxes(name).corners[..., 2].min()
    obstacles = scene.surroundings([name])
    height = max(highest(obstacles, start, over) + hanging + CLEARANCE_M, over[2])
    height = min(height, scene.simulation.robot.base_pos[2] + HIGHEST_M)
    if height > start[2]:
        arm.go(np.array([*start[:2], height]), speed=0.8 * arm.style.speed_m_s, tolerance=0.015)
    detour(arm, np.array([*over[:2], height]))
    arm.go(np.array([*over[:2], max(height, over[2])]), rotation, tolerance=0.012, free=True, patience=16)
    arm.go(over, rotation, speed=0.7 * arm.style.speed_m_s, tolerance=0.012)


def rise_to(scene: Scene, arm: Arm, goal: Float[np.ndarray, "3"]) -> None:
    """Lifts the empty hand so that it clears what stands between it and a goal."""
    start = arm.position
    height = highest(scene.surroundings(), start, goal) + CLEARANCE_M
    height = min(max(height, goal[2]), scene.simulation.robot.base_pos[2] + HIGHEST_M)
    if height > start[2] + 0.01:
        arm.go(np.array([*start[:2], height]), tolerance=0.02, free=True)
    if start[2] > goal[2] and height > goal[2]:
        arm.go(np.array([*goal[:2], max(height, goal[2])]), tolerance=0.03, free=True)


def detour(arm: Arm, goal: Float[np.ndarray, "3"]) -> None:
    """Passes a random point beside the straight way, if the way is long."""
    way = goal - arm.position
    if np.linalg.norm(way[:2]) < 0.12 or arm.style.detour_m < 0.005:
        return
    aside = np.array([-way[1], way[0], 0.0]) / np.linalg.norm(way[:2])
    fraction = arm.generator.uniform(0.3, 0.7)
    strayed = arm.generator.uniform(-1.0, 1.0) * arm.style.detour_m
    lifted = np.array([0.0, 0.0, arm.generator.uniform(0.0, 0.5) * arm.style.detour_m])
    via = arm.position + fraction * way + strayed * aside + lifted
    via[2] = max(via[2], arm.position[2], goal[2])
    arm.go(via, tolerance=0.03, free=True)


def highest(obstacles: Boxes, start: Float[np.ndarray, "3"], goal: Float[np.ndarray, "3"]) -> float:
    """The highest point of anything that stands within a corridor between two points, in metres."""
    corners = obstacles.corners
    way = goal[:2] - start[:2]
    length = max(float(np.linalg.norm(way)), 1e-6)
    along = way / length
    aside = np.array([-along[1], along[0]])
    relative = corners[..., :2] - start[:2]
    u, v = relative @ along, relative @ aside
    inside = (u.max(1) > -0.05) & (u.min(1) < length + 0.08) & (v.max(1) > -CORRIDOR_M) & (v.min(1) < CORRIDOR_M)
    tops = corners[..., 2].max(1)[inside]
    # Walls of the room and the robot's own height are no obstacles on the table.
    tops = tops[tops < start[2] + 0.5]
    return float(tops.max(initial=-1.0))
