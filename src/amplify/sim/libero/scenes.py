"""Compiled scenes by name, for exact tracks and for drawing."""

import copy
import functools

import mujoco
import numpy as np
from jaxtyping import Float

from amplify.errors import pick
from amplify.sim.libero.bodies import BODIES
from amplify.sim.libero.config import DEFAULT_BODY, LiberoConfig
from amplify.sim.libero.simulation import Simulation
from amplify.sim.libero.tasks import BODY_MARK, find_scene
from amplify.sim.renderer import HIDDEN_GEOM_GROUP

COLLISION_GROUP = 0
"""The group of the shapes that collide in LIBERO's scenes, which are not drawn."""

LAMP = "burner"
"""How the names of sites end that glow while something is switched on."""

SWITCHED_ON_RAD = 0.5
"""The angle of a knob from which on LIBERO calls it switched on."""


def scene_model(scene: str) -> mujoco.MjModel:
    """The compiled scene as it is seen, shared and not to be changed: for geometry.

    Args:
        scene: As `Simulation.scene` names it.

    Raises:
        UnknownNameError: There is no such suite, task or body.
        MissingDependencyError: No LIBERO package is installed.
    """
    _, _, body = scene.partition(BODY_MARK)
    pick(body or DEFAULT_BODY, BODIES, kind="body")
    return _compiled(find_scene(scene).scene, body or DEFAULT_BODY)


@functools.lru_cache(maxsize=2)
def _compiled(scene: str, body: str) -> mujoco.MjModel:
    simulation = Simulation(find_scene(scene), LiberoConfig.model_validate({"body": body}))
    model = copy.copy(simulation.model)
    model.geom_group[model.geom_group == COLLISION_GROUP] = HIDDEN_GEOM_GROUP
    return model


def light_lamps(model: mujoco.MjModel, positions: Float[np.ndarray, " q"]) -> None:
    """Lets what is switched on glow, and the rest not, in the model.

    Args:
        model: The scene, which is changed.
        positions: Of every joint.
    """
    for site in range(model.nsite):
        if model.site(site).name.endswith(LAMP):
            of_same = model.body_rootid[model.jnt_bodyid] == model.body_rootid[model.site_bodyid[site]]
            angles = positions[model.jnt_qposadr[of_same & (model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE)]]
            model.site_rgba[site, 3] = float((angles >= SWITCHED_ON_RAD).any())
