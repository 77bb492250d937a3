"""Slides an object level into a shelf or an oven, its lower end ahead."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from amplify.sim.libero.oracle.arm import Arm
from amplify.sim.libero.oracle.fixtures import UP, facing, home
from amplify.sim.libero.oracle.geometry import Boxes
from amplify.sim.libero.oracle.pick_place import check_held, rise_to
from amplify.sim.libero.oracle.push import push
from amplify.sim.libero.oracle.scene import Scene
from amplify.sim.libero.oracle.trace import Failed

ROOF_M = 0.25
OPEN_M = 0.25
BEFORE_M = 0.03
ABOVE_FLOOR_M = 0.014
SLIDE_M_S = 0.10
TILTS_DEG = (4.0, 10.0, 0.0)
LAYING_RAD, LAID_BEFORE_M, INSIDE_M = 0.8, 0.16, 0.035
BEYOND_MIDDLE_M = (0.0, 0.02, -0.02)


def roofed(scene: Scene, region: str) -> bool:
    """Whether something of a region's own fixture hangs over it, so that nothing can be put in from above."""
    parent = scene.parent(region)
    if parent is None or scene.is_object(parent):
        return False
    return bool(_probe(scene.position(region), UP, ROOF_M).overlap(scene.boxes(parent)).any())


def insert(scene: Scene, arm: Arm, name: str, region: str, number: int) -> None:
    """Turns the hand level, brings the object in the fingers before an opening and slides it in.

    Raises:
        Failed: There is no opening, or the object was lost.
    """
    middle, half = scene.position(region), np.abs(scene.rotation(region) @ scene.region_half(region))
    outward = _opening(scene, region)
    tilt = np.deg2rad(TILTS_DEG[number % 3])
    rotation = facing(-outward, tilt, closing_level=True, like=arm.rotation)
    start = middle + outward * (float(half @ np.abs(outward)) + 0.3)
    start[2] = max(middle[2], arm.position[2])
    rise_to(scene, arm, start)
    arm.go(start, tolerance=0.02, free=True)
    arm.go(start, rotation, tolerance=0.02, angle_tolerance=0.08, patience=30)
    check_held(scene, arm, name)
    # Seen again, now that the object hangs as it will be slid in.
    corners = scene.boxes(name).corners.reshape(-1, 3)
    ahead = float((corners @ -outward).max() - arm.position @ -outward)
    lift = middle[2] - half[2] + ABOVE_FLOOR_M - corners[:, 2].min()
    aside = np.cross(UP, outward)
    centre = (corners.min(0) + corners.max(0)) / 2.0
    before = arm.position + aside * float((middle - centre) @ aside) + UP * lift
    before += outward * float((middle - before) @ outward)
    before += outward * (float(half @ np.abs(outward)) + ahead + BEFORE_M)
    arm.go(before, rotation, tolerance=0.008, patience=20)
    inside = middle + outward * (ahead - BEYOND_MIDDLE_M[number % 3])
    end = before + outward * float((inside - before) @ outward)
    arm.go(end, rotation, speed=SLIDE_M_S, tolerance=0.008, patience=8)
    arm.go(end - UP * 0.03, rotation, speed=0.05, patience=2, until=lambda: scene.touches(name))
    arm.open()
    arm.go(arm.position + outward * 0.1, speed=0.12, tolerance=0.02)
    home(scene, arm)


def on_the_floor_of(scene: Scene, region: str) -> bool:
    """Whether a region reaches down to what its fixture stands on, so that things can be pushed in from there."""
    parent = str(scene.parent(region))
    half = np.abs(scene.rotation(region) @ scene.region_half(region))
    return bool(scene.position(region)[2] - half[2] < scene.boxes(parent).corners[..., 2].min())


def push_under(scene: Scene, arm: Arm, name: str, region: str, lay: Callable[[], None]) -> None:
    """Pushes an object into a low room from the surface before it, lying if it is too high to stand there.

    Args:
        lay: Takes the object into the fingers; called only where it has to be laid down.

    Raises:
        Failed: It is too high even lying.
    """
    middle, half = scene.position(region), np.abs(scene.rotation(region) @ scene.region_half(region))
    outward = _opening(scene, region)
    if _height(scene, name) > 2.0 * half[2]:
        lay()
        rotation = facing(-outward, LAYING_RAD, closing_level=False, like=arm.rotation)
        place = middle + outward * (float(half @ np.abs(outward)) + LAID_BEFORE_M)
        above = np.array([place[0], place[1], arm.position[2] + 0.05])
        rise_to(scene, arm, above)
        arm.go(above, rotation, tolerance=0.02, angle_tolerance=0.1, patience=30)
        check_held(scene, arm, name)
        arm.go(above - UP * 0.4, rotation, speed=SLIDE_M_S, patience=3, until=lambda: scene.touches(name))
        arm.open()
        arm.go(arm.position - 0.06 * rotation[:, 2] + 0.03 * UP, speed=0.12, tolerance=0.02)
        home(scene, arm)
    if _height(scene, name) > 2.0 * half[2]:
        raise Failed(f"{name} is too high for {region}")
    push(scene, arm, name, middle + outward * (float(half @ np.abs(outward)) - INSIDE_M))


def _height(scene: Scene, name: str) -> float:
    return float(np.ptp(scene.boxes(name).corners[..., 2]))


def _opening(scene: Scene, region: str) -> Float[np.ndarray, "3"]:
    """The level direction from a region's middle in which its fixture has no wall.

    Raises:
        Failed: There is none.
    """
    walls = scene.boxes(str(scene.parent(region)))
    middle = scene.position(region)
    for x, y in ((0.0, -1.0), (0.0, 1.0), (-1.0, 0.0), (1.0, 0.0)):
        direction = np.array([x, y, 0.0])
        if not _probe(middle, direction, OPEN_M).overlap(walls).any():
            return direction
    raise Failed(f"{region} has no opening")


def _probe(start: Float[np.ndarray, "3"], direction: Float[np.ndarray, "3"], length: float) -> Boxes:
    half = np.abs(direction) * length / 2.0 + 0.004
    return Boxes(
        center=(start + direction * length / 2.0)[None],
        rotation=np.eye(3)[None],
        half=half[None],
        body=np.zeros(1, dtype=int),
    )
