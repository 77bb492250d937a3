"""The joint of a drawer, door or knob, and where a goal wants it."""

from dataclasses import dataclass
from typing import Literal

import mujoco
import numpy as np
from jaxtyping import Float

from amplify.sim.libero.oracle.geometry import Boxes, collision_boxes, rotation_about, subtree
from amplify.sim.libero.oracle.scene import Scene
from amplify.sim.libero.oracle.trace import Failed

Wish = Literal["is_open", "is_close", "turn_on", "turn_off"]

WISHES: dict[str, Wish] = {"open": "is_open", "close": "is_close", "turnon": "turn_on", "turnoff": "turn_off"}
"""Predicate of a goal → the fixture's own check."""

SAMPLES = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """One joint of a fixture, as the world sees it now."""

    scene: Scene
    number: int
    parent: str

    @property
    def value(self) -> float:
        """Metres or radians."""
        model, data = self.scene.simulation.model, self.scene.simulation.data
        return float(data.qpos[model.jnt_qposadr[self.number]])

    @property
    def slides(self) -> bool:
        """Whether it is that of a drawer."""
        return self.scene.simulation.model.jnt_type[self.number] == mujoco.mjtJoint.mjJNT_SLIDE

    @property
    def axis(self) -> Float[np.ndarray, "3"]:
        """In the world; motion or turn for growing values."""
        return self.scene.simulation.data.xaxis[self.number].copy()

    @property
    def anchor(self) -> Float[np.ndarray, "3"]:
        """A point on the axis, in the world."""
        return self.scene.simulation.data.xanchor[self.number].copy()

    @property
    def boxes(self) -> Boxes:
        """Collision geometry of what moves with it."""
        model, data = self.scene.simulation.model, self.scene.simulation.data
        return collision_boxes(model, data, subtree(model, int(model.jnt_bodyid[self.number])))

    def wished(self, wish: Wish) -> float:
        """A value well inside those that the fixture's own check accepts.

        Raises:
            Failed: It accepts none.
        """
        low, high = self.scene.simulation.model.jnt_range[self.number]
        check = getattr(self.scene.env.get_object(self.parent), wish)
        values = np.linspace(low, high, SAMPLES)
        accepted = values[[bool(check(value)) for value in values]]
        if not len(accepted):
            raise Failed(f"{self.parent} has no state that counts as {wish}")
        nearest = accepted[np.abs(accepted - self.value).argmin()]
        furthest = accepted[np.abs(accepted - self.value).argmax()]
        if self.slides:
            return float(furthest)
        return float(nearest + np.clip(furthest - nearest, -0.3, 0.3))

    def moved(self, point: Float[np.ndarray, "3"], change: float) -> Float[np.ndarray, "3"]:
        """Where a point that moves with the joint is after a change of its value."""
        if self.slides:
            return point + change * self.axis
        return self.anchor + rotation_about(self.axis, change) @ (point - self.anchor)


def joint_of(scene: Scene, name: str) -> Joint:
    """The joint of a region (a drawer) or a fixture (a door, a knob).

    Raises:
        Failed: It has none.
    """
    if scene.is_region(name):
        names, parent = scene.env.object_sites_dict[name].joints, scene.parent(name)
    else:
        names, parent = scene.env.get_object(name).joints, name
    model = scene.simulation.model
    hinged = [joint for joint in (names or []) if model.joint(joint).type[0] != mujoco.mjtJoint.mjJNT_FREE]
    if not hinged or parent is None:
        raise Failed(f"{name} has no joint")
    return Joint(scene=scene, number=int(model.joint(hinged[0]).id), parent=parent)
