"""Where a pixel's ray meets a scene, and where a point of the scene is seen."""

from collections.abc import Callable
from typing import NamedTuple

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int

from amplify.sim.rays import Bundle, Rays, rays_of
from amplify.types import CameraPose

BACKGROUND_M = 1e6
"""How far away a pixel lies whose ray meets nothing: as good as infinitely far, so that it only turns."""

WORLD = 0
"""MuJoCo's number of the body that everything static, and the background, belongs to."""


class Pinhole:
    """A camera over T frames: between normalised image points and directions in the world.

    Args:
        pose: Position, orientation, field of view, turned or not.
        aspect: Image width divided by height.
    """

    def __init__(self, pose: CameraPose, aspect: float):
        self.position = pose.position.double().numpy()
        self.rotation = pose.rotation.double().numpy()
        half = np.tan(np.deg2rad(pose.fovy_deg.double().numpy()) / 2)
        sign = -1.0 if pose.turned else 1.0
        # Metres in the image plane one metre away, for each normalised unit of x (right) and y (down).
        self.scale = sign * np.stack([half * aspect, -half], axis=-1)

    def directions(self, points: Float[np.ndarray, "n 2"], frame: int) -> Float[np.ndarray, "n 3"]:
        """Unit vectors in the world from the camera through normalised image points."""
        in_camera = np.concatenate([points * self.scale[frame], -np.ones((len(points), 1))], axis=-1)
        in_camera /= np.linalg.norm(in_camera, axis=-1, keepdims=True)
        return in_camera @ self.rotation[frame].T

    def image(
        self, in_camera: Float[np.ndarray, "*n 3"], frame: int
    ) -> tuple[Float[np.ndarray, "*n 2"], Float[np.ndarray, "*n"]]:
        """Normalised image points and depths in metres; behind the camera a point is only roughly placed.

        Args:
            in_camera: Positions in the camera's own axes: x to the right, y up, z backwards, in metres.
            frame: Which of its fields of view.
        """
        depth = -in_camera[..., 2]
        points = in_camera[..., :2] / np.maximum(depth, NEAR_M)[..., None] / self.scale[frame]
        return points, depth


NEAR_M = 0.01
"""Nearer points, and those behind the camera, are projected as if they were this far away."""


class Hits(NamedTuple):
    """What rays met first: the body, and the distance along the ray in metres (`BACKGROUND_M` for nothing)."""

    body: Int[np.ndarray, " n"]
    distance_m: Float[np.ndarray, " n"]


class Scene:
    """The geometry of a scene in recorded states.

    Args:
        model: Shapes and where they sit in their bodies; the renderer's near plane.
        body_position: World positions in metres.
        body_quaternion: World orientations (w, x, y, z).
        rays: What looks at it.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        body_position: Float[np.ndarray, "t bodies 3"],
        body_quaternion: Float[np.ndarray, "t bodies 4"],
        rays: Callable[[mujoco.MjModel], Rays] = rays_of,
    ):
        self._rays = rays(model)
        self._owner = model.geom_bodyid.copy()
        self.near_m = float(model.vis.map.znear * model.stat.extent)
        self.position = body_position.astype(np.float64)
        self.rotation = rotation_matrices(body_quaternion / np.linalg.norm(body_quaternion, axis=-1, keepdims=True))
        owner = model.geom_bodyid
        local = rotation_matrices(model.geom_quat)
        self._geom_position = self.to_world(model.geom_pos, owner)
        self._geom_rotation = self.rotation[:, owner] @ local

    def to_world(self, local: Float[np.ndarray, "n 3"], body: Int[np.ndarray, " n"]) -> Float[np.ndarray, "t n 3"]:
        """Points fixed to bodies, in the world at every frame."""
        return np.einsum("tnij,nj->tni", self.rotation[:, body], local) + self.position[:, body]

    def moved(self, camera: Pinhole, frames: Int[np.ndarray, " f"], now: int) -> Bool[np.ndarray, "f bodies"]:
        """Whether each body, or the camera, was anywhere else at other frames than it is now."""
        turned = (self.rotation[frames] != self.rotation[now]).any(axis=(-2, -1))
        shifted = (self.position[frames] != self.position[now]).any(axis=-1)
        seen_from = (camera.position[frames] != camera.position[now]).any(axis=-1)
        seen_from |= (camera.rotation[frames] != camera.rotation[now]).any(axis=(-2, -1))
        seen_from |= (camera.scale[frames] != camera.scale[now]).any(axis=-1)
        return turned | shifted | seen_from[:, None]

    def in_camera(
        self, camera: Pinhole, frame: int, body: Int[np.ndarray, " n"], local: Float[np.ndarray, "n 3"]
    ) -> Float[np.ndarray, "n 3"]:
        """Points fixed to bodies, in the camera's own axes, in metres."""
        to_camera = camera.rotation[frame].T
        rotation = to_camera @ self.rotation[frame]
        position = (self.position[frame] - camera.position[frame]) @ to_camera.T
        return np.einsum("nij,nj->ni", rotation.take(body, axis=0), local) + position.take(body, axis=0)

    def show(self, frame: int) -> None:
        """Puts everything where it was in the frame."""
        self._rays.show(self._geom_position[frame], self._geom_rotation[frame])

    def cast(self, camera: Pinhole, frame: int, directions: Float[np.ndarray, "n 3"]) -> Hits:
        """What rays from the camera meet first in the state that is shown; too near to be drawn is too near to be met.

        Bodies that the camera's near plane cuts open are an exception: their drawn image is hollow, to rays they are
        solid.

        Args:
            camera: Where the rays start.
            frame: Which of its poses.
            directions: Unit vectors in the world.
        """
        geom, distance = self._rays.cast(self._bundle(camera, frame, directions))
        missed = geom < 0
        body = np.where(missed, WORLD, self._owner[geom])
        return Hits(body, np.where(missed, BACKGROUND_M, distance))

    def hides(
        self, camera: Pinhole, frame: int, directions: Float[np.ndarray, "n 3"], distance_m: Float[np.ndarray, " n"]
    ) -> Bool[np.ndarray, " n"]:
        """Whether anything is met along rays before a distance; see `cast`.

        Args:
            camera: Where the rays start.
            frame: Which of its poses.
            directions: Unit vectors in the world.
            distance_m: One for each ray.
        """
        return self._rays.hides(self._bundle(camera, frame, directions), distance_m)

    def _bundle(self, camera: Pinhole, frame: int, directions: Float[np.ndarray, "n 3"]) -> Bundle:
        forward = -camera.rotation[frame][:, 2]
        start = self.near_m / np.maximum(directions @ forward, 1e-3)
        return Bundle(camera.position[frame], directions, start)


def rotation_matrices(quaternions: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 3 3"]:
    """Rotation matrices of unit quaternions (w, x, y, z)."""
    w, x, y, z = np.moveaxis(quaternions.astype(np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
