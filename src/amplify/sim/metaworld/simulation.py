"""The physics of one task, without images: reset by a seed, stepped by decisions."""

import copy
import functools
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float

from amplify.sim.metaworld.body import ROBOT, compile_scene
from amplify.sim.metaworld.config import MetaWorldConfig
from amplify.sim.metaworld.tasks import task_name
from amplify.sim.renderer import place_camera


class Simulation:
    """One copy of a task.

    Args:
        task: A name or number (see `task_name`).
        config: Cameras and action repeat.

    Raises:
        UnknownNameError: There is no such task or camera.
    """

    def __init__(self, task: str | int, config: MetaWorldConfig | None = None):
        self.task = task_name(task)
        self.config = config = config or MetaWorldConfig()
        self._env = env = _shared_model_class(self.task, config.body)()
        # Without these, Meta-World draws no new initial state, ignores the seed and hides the goal from its experts.
        env._freeze_rand_vec = False
        env.seeded_rand_vec = True
        env._set_task_called = True
        env._partially_observable = False
        env.__dict__.pop("sawyer_observation_space", None)
        env.max_path_length = np.iinfo(np.int64).max
        for camera in config.cameras:
            place_camera(env.model, camera)
        self._initial_body_pos = env.model.body_pos.copy()
        self._initial_site_pos = env.model.site_pos.copy()
        self.expert_observation: np.ndarray = np.zeros(39)
        self.success = False

    @property
    def scene(self) -> str:
        """The name by which `scene_model` finds the scene as it is seen ("drawer-open", "drawer-open@hand")."""
        body = self.config.body
        return self.task if body == ROBOT else f"{self.task}{_BODY_MARK}{body}"

    @property
    def model(self) -> mujoco.MjModel:
        """The scene; Meta-World moves its fixtures by ``body_pos`` at every reset."""
        return self._env.model

    @property
    def data(self) -> mujoco.MjData:
        """The scene's state."""
        return self._env.data

    @property
    def proprio(self) -> Float[np.ndarray, "4"]:
        """End effector (x, y, z) in metres and gripper opening (0 closed … 1 open), float32."""
        return self.expert_observation[:4].astype(np.float32)

    def reset(self, seed: int) -> None:
        """Draws the initial state that belongs to the seed, whatever happened before."""
        env = self._env
        # Meta-World's reset starts from wherever the last episode left the fixtures.
        env.model.body_pos[:] = self._initial_body_pos
        env.model.site_pos[:] = self._initial_site_pos
        mujoco.mj_resetData(env.model, env.data)
        env.seed(seed)
        self.expert_observation, _ = env.reset()
        mujoco.mj_forward(env.model, env.data)
        self.success = False

    def step(self, action: Float[np.ndarray, "4"]) -> bool:
        """Holds the action for ``action_repeat`` simulator steps; whether success has been reached so far."""
        for _ in range(self.config.action_repeat):
            self.expert_observation, _, _, _, info = self._env.step(np.clip(action, -1.0, 1.0))
            self.success = self.success or bool(info["success"])
        return self.success

    def workspace(self) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and highest point (x, y, z) that the hand can be asked to go to, in metres."""
        return self._env.mocap_low.copy(), self._env.mocap_high.copy()


def scene_model(scene: str) -> mujoco.MjModel:
    """The compiled scene, shared and not to be changed: for geometry and for uploading meshes.

    Args:
        scene: A task ("drawer-open"), or a task and who is seen in the robot's place ("drawer-open@hand").

    Raises:
        UnknownNameError: There is no such task or body.
    """
    task, _, body = scene.partition(_BODY_MARK)
    return _compiled(_xml_path(_environment_class(task_name(task))), body or ROBOT)


_BODY_MARK = "@"


def _environment_class(task: str) -> type:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    return ALL_V3_ENVIRONMENTS[f"{task}-v3"]


def _xml_path(environment: Any) -> str:
    # A property of instances that only joins paths; no instance is needed to read it.
    return environment.model_name.fget(None)


@functools.lru_cache(maxsize=64)
def _compiled(xml_path: str, body: str) -> mujoco.MjModel:
    return compile_scene(xml_path, body)


@functools.cache
def _shared_model_class(task: str, body: str) -> type:
    """The task's class, which copies the compiled scene (10 ms) instead of compiling it anew (150 ms)."""
    environment = _environment_class(task)

    def initialise(self: Any) -> tuple[mujoco.MjModel, mujoco.MjData]:
        model = copy.copy(_compiled(self.fullpath, body))
        return model, mujoco.MjData(model)

    return type(environment.__name__, (environment,), {"_initialize_simulation": initialise})
