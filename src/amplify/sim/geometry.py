"""Where a pixel's ray meets a scene, and where a point of the scene is seen."""

import copy
from typing import NamedTuple

import mujoco
import numpy as np
from jaxtyping import Float, Int

from amplify.sim.renderer import HIDDEN_GEOM_GROUP, VISIBLE_GEOM_GROUPS
from amplify.types import CameraPose

OPAQUE_ALPHA = 0.5
"""Fainter geometry, such as window panes, is looked through."""

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

    def project(
        self, positions: Float[np.ndarray, "*n 3"], frame: int
    ) -> tuple[Float[np.ndarray, "*n 2"], Float[np.ndarray, "*n"]]:
        """Normalised image points and depths in metres; behind the camera the point is only roughly placed."""
        in_camera = (positions - self.position[frame]) @ self.rotation[frame]
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
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        body_position: Float[np.ndarray, "t bodies 3"],
        body_quaternion: Float[np.ndarray, "t bodies 4"],
    ):
        self._model = model = copy.copy(model)
        model.geom_group[_alpha(model) < OPAQUE_ALPHA] = HIDDEN_GEOM_GROUP
        # MuJoCo prunes bundles of rays by the corners of bounding boxes and loses hits near the edges between corners;
        # bodies without such boxes are not pruned, which is exact and as fast.
        model.body_bvhadr[:] = -1
        self.near_m = float(model.vis.map.znear * model.stat.extent)
        self._groups = np.array(VISIBLE_GEOM_GROUPS, dtype=np.uint8)
        self._data = mujoco.MjData(model)
        self.position = body_position.astype(np.float64)
        self._quaternion = body_quaternion / np.linalg.norm(body_quaternion, axis=-1, keepdims=True)
        self.rotation = rotation_matrices(self._quaternion)
        owner = model.geom_bodyid
        local = rotation_matrices(model.geom_quat)
        self._geom_position = self.to_world(model.geom_pos, owner)
        self._geom_rotation = self.rotation[:, owner] @ local
        inertial = rotation_matrices(model.body_iquat)
        self._inertial_position = self.to_world(model.body_ipos, np.arange(model.nbody))
        self._inertial_rotation = self.rotation @ inertial

    def to_world(self, local: Float[np.ndarray, "n 3"], body: Int[np.ndarray, " n"]) -> Float[np.ndarray, "t n 3"]:
        """Points fixed to bodies, in the world at every frame."""
        return np.einsum("tnij,nj->tni", self.rotation[:, body], local) + self.position[:, body]

    def show(self, frame: int) -> None:
        """Puts everything where it was in the frame."""
        data = self._data
        data.xpos[:], data.xquat[:] = self.position[frame], self._quaternion[frame]
        data.xmat[:] = self.rotation[frame].reshape(-1, 9)
        data.xipos[:], data.ximat[:] = self._inertial_position[frame], self._inertial_rotation[frame].reshape(-1, 9)
        data.geom_xpos[:], data.geom_xmat[:] = self._geom_position[frame], self._geom_rotation[frame].reshape(-1, 9)

    def cast(self, camera: Pinhole, frame: int, directions: Float[np.ndarray, "n 3"]) -> Hits:
        """What rays from the camera meet first in the state that is shown; too near to be drawn is too near to be met.

        Bodies that the camera's near plane cuts open are an exception: their drawn image is hollow, to rays they are
        solid.

        Args:
            camera: Where the rays start.
            frame: Which of its poses.
            directions: Unit vectors in the world.
        """
        geom = np.full(len(directions), -1, dtype=np.int32)
        distance = np.full(len(directions), -1.0)
        if len(directions):
            rays, origin = directions.reshape(-1), camera.position[frame]
            mujoco.mj_multiRay(
                self._model, self._data, origin, rays, self._groups, True, -1, geom, distance, len(directions), 1e10
            )
            forward = -camera.rotation[frame][:, 2]
            start = self.near_m / np.maximum(directions @ forward, 1e-3)
            for index in np.nonzero((geom >= 0) & (distance < start))[0]:
                geom[index], distance[index] = self._cast_beyond(origin, directions[index], start[index])
        missed = geom < 0
        body = np.where(missed, WORLD, self._model.geom_bodyid[geom])
        return Hits(body, np.where(missed, BACKGROUND_M, distance))

    def _cast_beyond(self, origin: np.ndarray, direction: np.ndarray, start_m: float) -> tuple[int, float]:
        geom = np.array([-1], dtype=np.int32)
        nearest = origin + start_m * direction
        further = mujoco.mj_ray(self._model, self._data, nearest, direction, self._groups, True, -1, geom)
        return int(geom[0]), start_m + further


def rotation_matrices(quaternions: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 3 3"]:
    """Rotation matrices of unit quaternions (w, x, y, z)."""
    w, x, y, z = np.moveaxis(quaternions.astype(np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _alpha(model: mujoco.MjModel) -> np.ndarray:
    """Opacity as drawn: a geometry's own colour counts, and its material's where it has only the default colour."""
    default = (model.geom_rgba == np.array([0.5, 0.5, 0.5, 1.0], dtype=np.float32)).all(axis=-1)
    from_material = default & (model.geom_matid >= 0)
    of_materials = np.append(model.mat_rgba[:, 3], 1.0)  # geometry without a material has number −1: the last
    return np.where(from_material, of_materials[model.geom_matid], model.geom_rgba[:, 3])
