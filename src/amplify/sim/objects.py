"""Which points of a video lie on the task's objects: bodies that can move and are no part of the robot."""

from collections.abc import Callable, Mapping

import mujoco
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from amplify.errors import DataError, pick
from amplify.sim.geometry import Pinhole, Scene
from amplify.sim.ground_truth import SCENES
from amplify.types import Clip

ROBOT_ROOTS = ("base", "robot", "gripper", "mount")
"""How the names of the bodies begin on which a robot hangs: Meta-World's, and those of robosuite and LIBERO."""


def object_bodies(model: mujoco.MjModel) -> Int[np.ndarray, " objects"]:
    """Numbers of the bodies that joints let move and that do not hang on a robot.

    Args:
        model: The scene.
    """
    roots = [model.body(int(model.body_rootid[number])).name for number in range(model.nbody)]
    of_robot = np.array([root.startswith(ROBOT_ROOTS) for root in roots])
    return np.flatnonzero((model.body_weldid != 0) & ~of_robot)


def object_points(
    clip: Clip, queries: Float[Tensor, "n 2"], scenes: Mapping[str, Callable[[str], mujoco.MjModel]] = SCENES
) -> Bool[Tensor, "t n"]:
    """Whether each query pixel shows one of the task's objects, at each frame.

    Args:
        clip: A recording with its scene states.
        queries: Normalised points.
        scenes: Who can rebuild a scene.

    Raises:
        DataError: The clip has no scene states, or none of its camera.
    """
    states = clip.scene
    if states is None or clip.camera not in states.cameras:
        raise DataError(f"no scene states of camera {clip.camera!r}: nothing says what the task's objects are")
    model = pick(states.simulator, scenes, kind="simulator")(states.scene)
    height, width = clip.frames.shape[1:3]
    camera = Pinhole(states.cameras[clip.camera], width / height)
    scene = Scene(model, states.body_position.numpy(), states.body_quaternion.numpy())
    objects, query = object_bodies(model), queries.double().numpy()
    shown = np.zeros((len(clip.frames), len(queries)), dtype=bool)
    for t in range(len(clip.frames)):
        scene.show(t)
        shown[t] = np.isin(scene.cast(camera, t, camera.directions(query, t)).body, objects)
    return torch.from_numpy(shown)
