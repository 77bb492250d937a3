"""A demonstration done over again from its actions: every state, what was seen and felt, where everything was."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np
import torch
from jaxtyping import Float, Float32

from amplify.errors import DataError
from amplify.sim.libero.config import view_name
from amplify.sim.libero.scenes import light_lamps
from amplify.sim.libero.simulation import Simulation
from amplify.sim.renderer import camera_number
from amplify.types import CameraPose, SceneStates

SIMULATOR = "libero"
"""The name of the simulator in scene states."""

REMEDY = "record the dataset with: amplify record libero … (without --no-scene)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """T actions and the T + 1 states that they lead through; action t is done in state t.

    Args:
        actions: What was executed, in [−1, 1].
        intended: What the expert chose before it was disturbed.
        states: Time, positions and velocities.
        seen: The positions that the cameras show in each state (see `Simulation.seen`).
        proprio: What the arm feels.
        hand_position: Of the point between the fingertips, metres in the world.
        hand_quaternion: Of the hand, (x, y, z, w).
        placement: Pose of every body in its parent, (x, y, z) and (w, x, y, z): fixtures are placed by each reset.
        success: Whether the benchmark's own check was passed.
        unstable: Whether the physics came apart.
    """

    actions: Float32[np.ndarray, "t 7"]
    intended: Float32[np.ndarray, "t 7"]
    states: Float[np.ndarray, "t1 s"]
    seen: Float[np.ndarray, "t1 q"]
    proprio: Float32[np.ndarray, "t1 p"]
    hand_position: Float[np.ndarray, "t1 3"]
    hand_quaternion: Float[np.ndarray, "t1 4"]
    placement: Float[np.ndarray, "bodies 7"]
    success: bool
    unstable: bool

    def shown(self, start: int, stop: int) -> "Shown":
        """A part of the states, as cameras show them."""
        return Shown(states=self.states[start:stop], seen=self.seen[start:stop], placement=self.placement)


def perform(
    simulation: Simulation,
    initial_state: int,
    actions: Float[np.ndarray, "t 7"],
    intended: Float[np.ndarray, "t 7"],
) -> Performance:
    """What the actions lead to from an official initial state.

    Args:
        simulation: Is reset.
        initial_state: Its number.
        actions: To be executed, in [−1, 1].
        intended: What the expert chose; kept beside them.
    """
    simulation.reset(initial_state)
    rows = [_row(simulation)]
    for action in actions:
        simulation.step(action)
        rows.append(_row(simulation))
    states, seen, proprio, position, quaternion = (np.stack(column) for column in zip(*rows))
    model = simulation.model
    return Performance(
        actions=actions.astype(np.float32),
        intended=intended.astype(np.float32),
        states=states,
        seen=seen,
        proprio=proprio,
        hand_position=position,
        hand_quaternion=quaternion,
        placement=np.concatenate([model.body_pos, model.body_quat], axis=1),
        success=simulation.success,
        unstable=simulation.unstable,
    )


def _row(simulation: Simulation) -> tuple[np.ndarray, ...]:
    data, robot = simulation.data, simulation.robot
    quaternion = data.body(robot.robot_model.eef_name).xquat
    return (
        simulation.state(),
        simulation.seen.copy(),
        simulation.proprio.copy(),
        simulation.hand_position,
        np.roll(quaternion, -1),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """T states as cameras show them.

    Args:
        states: Time, positions and velocities.
        seen: The positions that the cameras show (see `Simulation.seen`).
        placement: Pose of every body in its parent.
    """

    states: Float[np.ndarray, "t s"]
    seen: Float[np.ndarray, "t q"]
    placement: Float[np.ndarray, "bodies 7"]

    @classmethod
    def of(cls, scene: SceneStates, model: mujoco.MjModel) -> "Shown":
        """What was recorded.

        Args:
            scene: From `scene_states`.
            model: The scene's model.

        Raises:
            DataError: There are no states of the simulator, or they are of another scene.
        """
        size = 1 + model.nq + model.nv
        known, placement = scene.simulator_state, scene.placement
        if scene.simulator != SIMULATOR or known is None or placement is None:
            raise DataError(
                "no states of LIBERO to render from",
                remedy=REMEDY,
            )
        if known.shape[1] != size + model.nq or len(placement) != model.nbody:
            raise DataError(
                f"states do not fit the scene {scene.scene}",
                got=f"{known.shape[1]} numbers, {len(placement)} bodies",
                allowed=f"{size + model.nq} numbers, {model.nbody} bodies",
                remedy="record the dataset again with the installed LIBERO package",
            )
        numbers = known.numpy()
        return cls(states=numbers[:, :size], seen=numbers[:, size:], placement=placement.numpy())

    def data(self, model: mujoco.MjModel) -> Iterator[tuple[mujoco.MjModel, mujoco.MjData]]:
        """The scene in each state as it is drawn, kinematics and lights done; the same objects every time.

        Args:
            model: The scene; it is copied, and its fixtures may stand anywhere.
        """
        model = copy.copy(model)
        model.body_pos[:], model.body_quat[:] = self.placement[:, :3], self.placement[:, 3:]
        data = mujoco.MjData(model)
        for positions in self.seen:
            data.qpos[:] = positions
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_camlight(model, data)
            light_lamps(model, positions)
            yield model, data


def scene_states(simulation: Simulation, shown: Shown) -> SceneStates:
    """Where everything was, and all that is needed to see it again.

    Args:
        simulation: Of the same scene, in any state; its cameras count.
        shown: The states.
    """
    cameras = simulation.config.cameras
    bodies: list[tuple[np.ndarray, np.ndarray]] = []
    poses: list[list[tuple[np.ndarray, np.ndarray, float]]] = [[] for _ in cameras]
    for model, data in shown.data(simulation.model):
        bodies.append((data.xpos.astype(np.float32), data.xquat.astype(np.float32)))
        for listed, camera in zip(poses, cameras):
            number = camera_number(model, camera.name)
            rotation = data.cam_xmat[number].reshape(3, 3).astype(np.float32)
            listed.append((data.cam_xpos[number].astype(np.float32), rotation, float(model.cam_fovy[number])))
    return SceneStates(
        simulator=SIMULATOR,
        scene=simulation.scene,
        body_position=_stacked([position for position, _ in bodies]),
        body_quaternion=_stacked([quaternion for _, quaternion in bodies]),
        cameras={
            view_name(camera): CameraPose(
                position=_stacked([position for position, _, _ in listed]),
                rotation=_stacked([rotation for _, rotation, _ in listed]),
                fovy_deg=torch.tensor([fovy for _, _, fovy in listed]),
                turned=camera.turned,
            )
            for listed, camera in zip(poses, cameras)
        },
        simulator_state=torch.from_numpy(np.concatenate([shown.states, shown.seen], axis=1)),
        placement=torch.from_numpy(shown.placement),
    )


def _stacked(arrays: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays))
