"""One recorded performance: what the cameras saw, what was done, where everything was."""

from dataclasses import dataclass, field

import mujoco
import numpy as np
import torch
from jaxtyping import Float, UInt8

from amplify.sim.metaworld.experts import Actor
from amplify.sim.metaworld.images import camera_images
from amplify.sim.metaworld.simulation import Simulation
from amplify.sim.renderer import camera_number
from amplify.types import CameraPose, SceneStates


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """T decisions of one actor; row t is the state before action t, and the action that the actor chose there."""

    images: UInt8[np.ndarray, "t v h w 3"]
    proprio: Float[np.ndarray, "t 4"]
    actions: Float[np.ndarray, "t 4"]
    scene: SceneStates
    success: bool


def perform(
    simulation: Simulation,
    actor: Actor,
    *,
    noise: float,
    generator: np.random.Generator,
    decisions: int,
    after_success: int | None,
) -> Performance:
    """Lets the actor act from the simulation's present state.

    Args:
        simulation: Freshly reset.
        actor: Its clean choices are what is recorded.
        noise: Standard deviation of what is added to the executed hand motion, in action units.
        generator: Draws the noise.
        decisions: The longest performance.
        after_success: Decisions that are still recorded after success; None to go on to the end.
    """
    states = _States(simulation)
    images, proprio, actions = [], [], []
    left = decisions
    while left > 0:
        images.append(camera_images(simulation))
        proprio.append(simulation.proprio)
        states.append()
        action = actor.act(simulation)
        actions.append(action)
        executed = action.astype(np.float64)
        executed[:3] += generator.normal(0.0, noise, size=3)
        before = simulation.success
        left -= 1
        if simulation.step(executed) and not before and after_success is not None:
            left = min(left, after_success)
    return Performance(
        images=np.stack(images),
        proprio=np.stack(proprio),
        actions=np.stack(actions),
        scene=states.stacked(),
        success=simulation.success,
    )


@dataclass
class _States:
    simulation: Simulation
    bodies: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    cameras: dict[str, list[tuple[np.ndarray, np.ndarray]]] = field(default_factory=dict)

    def append(self) -> None:
        model, data = self.simulation.model, self.simulation.data
        self.bodies.append((data.xpos.astype(np.float32), data.xquat.astype(np.float32)))
        for camera in self.simulation.config.cameras:
            number = camera_number(model, camera.name)
            pose = (data.cam_xpos[number].astype(np.float32), data.cam_xmat[number].astype(np.float32))
            self.cameras.setdefault(camera.name, []).append(pose)

    def stacked(self) -> SceneStates:
        def tensor(arrays: list[np.ndarray]) -> torch.Tensor:
            return torch.from_numpy(np.stack(arrays))

        model: mujoco.MjModel = self.simulation.model
        length = len(self.bodies)
        cameras = {
            camera.name: CameraPose(
                position=tensor([position for position, _ in self.cameras[camera.name]]),
                rotation=tensor([rotation.reshape(3, 3) for _, rotation in self.cameras[camera.name]]),
                fovy_deg=torch.full((length,), float(model.cam_fovy[camera_number(model, camera.name)])),
                turned=camera.turned,
            )
            for camera in self.simulation.config.cameras
        }
        return SceneStates(
            simulator="metaworld",
            scene=self.simulation.scene,
            body_position=tensor([position for position, _ in self.bodies]),
            body_quaternion=tensor([quaternion for _, quaternion in self.bodies]),
            cameras=cameras,
        )
