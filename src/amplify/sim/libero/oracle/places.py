"""Where an object has to be let go so that a goal holds."""

import numpy as np

from amplify.sim.libero.oracle.pick_place import Place
from amplify.sim.libero.oracle.scene import Scene

RIM_M = 0.015


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
    x, y, z = scene.position(target)
    parent = scene.parent(target)
    half = np.abs(scene.rotation(target) @ scene.region_half(target))
    if predicate == "in" and parent is not None and scene.is_object(parent):
        # Dropped from just under the rim.
        rim = scene.boxes(parent).corners[..., 2].max()
        return Place(position=np.array([x, y, max(rim - RIM_M, z - half[2]) + bottom]), contact=False)
    return Place(position=np.array([x, y, z + half[2] + bottom]))
