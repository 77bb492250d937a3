"""Compiled scenes by name, for exact tracks and for drawing."""

import functools
from xml.etree import ElementTree

import mujoco
import numpy as np
from jaxtyping import Float

from amplify.errors import pick
from amplify.sim.geometry import rotation_matrices
from amplify.sim.libero import package
from amplify.sim.libero.bodies import BODIES, hide_arm, robot_of
from amplify.sim.libero.config import DEFAULT_BODY
from amplify.sim.libero.meshes import light_mesh
from amplify.sim.libero.simulation import make_environment
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


@functools.lru_cache(maxsize=8)
def _compiled(scene: str, body: str) -> mujoco.MjModel:
    with package.quiet():
        environment = make_environment(find_scene(scene), robot_of(body))
    whole = environment.sim.model._model
    model = light_scene(whole, environment.model.get_xml())
    hide_arm(model, body)
    model.geom_group[model.geom_group == COLLISION_GROUP] = HIDDEN_GEOM_GROUP
    return model


def light_scene(whole: mujoco.MjModel, xml: str) -> mujoco.MjModel:
    """The scene as rays meet it: the same bodies, cameras and shapes, with simplified meshes and without pictures.

    Rays take several times longer through meshes as they come, and a scene's pictures are most of its 200 MB.

    Args:
        whole: The compiled scene.
        xml: What it was compiled from.
    """
    root = ElementTree.fromstring(xml)
    for parent in root.iter():
        for texture in parent.findall("texture"):
            parent.remove(texture)
    for material in root.iter("material"):
        material.attrib.pop("texture", None)
    spec = mujoco.MjSpec.from_string(ElementTree.tostring(root, encoding="unicode"))
    for mesh in spec.meshes:
        number = whole.mesh(mesh.name).id
        light = light_mesh(whole, number)
        # MuJoCo keeps meshes about their centre; a new compilation finds the centre of the simplified one.
        turned = rotation_matrices(whole.mesh_quat[number][None])[0]
        mesh.uservert = (light.vertices @ turned.T + whole.mesh_pos[number]).reshape(-1)
        mesh.userface = light.faces.reshape(-1)
        mesh.file, mesh.scale = "", [1.0, 1.0, 1.0]
        mesh.refpos, mesh.refquat = [0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    return spec.compile()


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
