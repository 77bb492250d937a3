"""What an oracle sees: objects, fixtures, regions and the collision geometry around them."""

import functools
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float

from amplify.sim.libero.oracle.geometry import Boxes, collision_boxes, subtree
from amplify.sim.libero.simulation import Simulation


class Scene:
    """A simulation by the names of its task.

    Args:
        simulation: Whose present state is seen.
    """

    def __init__(self, simulation: Simulation):
        self.simulation = simulation
        self.env = simulation.env
        self.start = simulation.hand_position
        """Where the hand was at first, in metres."""

    def is_object(self, name: str) -> bool:
        """Whether the name is of something that can be moved about."""
        return name in self.env.objects_dict

    @property
    def fixtures(self) -> list[str]:
        """Names of what stands fixed, the table itself left out."""
        return [name for name in self.env.fixtures_dict if name in self.env.obj_body_id]

    def is_region(self, name: str) -> bool:
        """Whether the name is of a region: of the table, or of a fixture or an object."""
        return name in self.env.object_sites_dict

    def body(self, name: str) -> int:
        """The number of an object's or fixture's root body."""
        return int(self.env.obj_body_id[name])

    def position(self, name: str) -> Float[np.ndarray, "3"]:
        """Where an object, fixture or region is, as the goals see it, in metres."""
        if self.is_region(name):
            return np.array(self.env.sim.data.get_site_xpos(name))
        return self.simulation.data.xpos[self.body(name)].copy()

    def rotation(self, name: str) -> Float[np.ndarray, "3 3"]:
        """Which way an object, fixture or region is turned."""
        if self.is_region(name):
            return np.array(self.env.sim.data.get_site_xmat(name))
        return self.simulation.data.xmat[self.body(name)].reshape(3, 3).copy()

    def region_half(self, name: str) -> Float[np.ndarray, "3"]:
        """Half the size of a region along its own axes, in metres."""
        return np.array(self.env.object_sites_dict[name].size, dtype=float)

    def parent(self, region: str) -> str | None:
        """The fixture or object that a region belongs to; None for one of the table or floor."""
        return self.env.object_sites_dict[region].parent_name

    def holds(self, goal: tuple[str, ...]) -> bool:
        """Whether a goal holds now, by the benchmark's own check."""
        return bool(self.env._eval_predicate(list(goal)))

    def boxes(self, name: str) -> Boxes:
        """An object's or fixture's collision geometry."""
        return collision_boxes(self.simulation.model, self.simulation.data, self.bodies(name))

    def surroundings(self, without: Iterable[str] = ()) -> Boxes:
        """The collision geometry of everything but the robot and the named things."""
        chosen = ~self._robot_bodies
        for name in without:
            chosen &= ~self.bodies(name)
        return collision_boxes(self.simulation.model, self.simulation.data, chosen)

    def bodies(self, name: str) -> Bool[np.ndarray, " bodies"]:
        """Which bodies an object or fixture is made of."""
        return subtree(self.simulation.model, self.body(name))

    def speed(self) -> float:
        """The fastest motion of any object, in m/s."""
        velocities = [np.abs(self.simulation.data.cvel[self.body(name), 3:]).max() for name in self.env.objects_dict]
        return float(max(velocities, default=0.0))

    def touches(self, name: str, other: str | None = None) -> bool:
        """Whether an object touches another, or (None) anything but the robot."""
        model, data = self.simulation.model, self.simulation.data
        mine = self.bodies(name)
        theirs = ~mine & ~self._robot_bodies if other is None else self.bodies(other)
        contacts = data.contact.geom[: data.ncon]
        one, two = model.geom_bodyid[contacts[:, 0]], model.geom_bodyid[contacts[:, 1]]
        return bool(((mine[one] & theirs[two]) | (mine[two] & theirs[one])).any())

    @functools.cached_property
    def _robot_bodies(self) -> Bool[np.ndarray, " bodies"]:
        model = self.simulation.model
        names = [model.body(number).name for number in range(model.nbody)]
        return np.array([name.startswith(("robot", "gripper", "mount")) for name in names])
