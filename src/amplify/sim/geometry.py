"""Where a pixel's ray meets a scene, and where a point of the scene is seen."""

import copy
from typing import TYPE_CHECKING, NamedTuple

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int

from amplify.sim.renderer import HIDDEN_GEOM_GROUP, VISIBLE_GEOM_GROUPS
from amplify.types import CameraPose

if TYPE_CHECKING:
    from amplify.sim.rays import CompiledRays, Shapes

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
        self._rays = _rays(model)
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
        geom, distance = self._rays.cast(camera.position[frame], directions, self._start(camera, frame, directions))
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
        start = self._start(camera, frame, directions)
        return self._rays.hides(camera.position[frame], directions, start, distance_m)

    def _start(self, camera: Pinhole, frame: int, directions: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        forward = -camera.rotation[frame][:, 2]
        return self.near_m / np.maximum(directions @ forward, 1e-3)


class _MujocoRays:
    """The rays that MuJoCo casts.

    Args:
        model: Shapes and where they sit in their bodies.
    """

    def __init__(self, model: mujoco.MjModel):
        self._model = model = copy.copy(model)
        model.geom_group[_alpha(model) < OPAQUE_ALPHA] = HIDDEN_GEOM_GROUP
        # MuJoCo prunes bundles of rays by the corners of bounding boxes and loses hits near the edges between corners;
        # bodies without such boxes are not pruned, which is exact and as fast.
        model.body_bvhadr[:] = -1
        self._groups = np.array(VISIBLE_GEOM_GROUPS, dtype=np.uint8)
        self._data = mujoco.MjData(model)

    def show(self, position: Float[np.ndarray, "geoms 3"], rotation: Float[np.ndarray, "geoms 3 3"]) -> None:
        """Puts all shapes where they are to be met."""
        self._data.geom_xpos[:], self._data.geom_xmat[:] = position, rotation.reshape(-1, 9)

    def cast(
        self, origin: Float[np.ndarray, "3"], directions: Float[np.ndarray, "n 3"], start: Float[np.ndarray, " n"]
    ) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """As `amplify.sim.rays.nearest`."""
        geom = np.full(len(directions), -1, dtype=np.int32)
        distance = np.full(len(directions), -1.0)
        if len(directions):
            rays, groups = directions.reshape(-1), self._groups
            mujoco.mj_multiRay(
                self._model, self._data, origin, rays, groups, True, -1, geom, distance, len(directions), 1e10
            )
            for index in np.nonzero((geom >= 0) & (distance < start))[0]:
                beyond, found = origin + start[index] * directions[index], np.array([-1], dtype=np.int32)
                further = mujoco.mj_ray(self._model, self._data, beyond, directions[index], groups, True, -1, found)
                geom[index], distance[index] = int(found[0]), start[index] + further
        return geom, distance

    def hides(
        self,
        origin: Float[np.ndarray, "3"],
        directions: Float[np.ndarray, "n 3"],
        start: Float[np.ndarray, " n"],
        end: Float[np.ndarray, " n"],
    ) -> Bool[np.ndarray, " n"]:
        """As `amplify.sim.rays.blocked`."""
        geom, distance = self.cast(origin, directions, start)
        return (geom >= 0) & (distance < end)


def _rays(model: mujoco.MjModel) -> "CompiledRays | _MujocoRays":
    """Compiled rays; MuJoCo's without Numba, or where there are shapes that it alone knows."""
    try:
        from amplify.sim.rays import CompiledRays, shapes_of
    except ImportError:
        return _MujocoRays(model)
    seen = np.array(VISIBLE_GEOM_GROUPS, dtype=bool)[model.geom_group] & (_alpha(model) >= OPAQUE_ALPHA)
    same = [made for made in _made if made[0] is model and np.array_equal(made[1], seen)]
    if not same:
        same = [(model, seen, shapes_of(model, seen))]
        _made.extend(same)
        del _made[:-KEPT]
    shapes = same[0][2]
    return _MujocoRays(model) if shapes is None else CompiledRays(shapes)


KEPT = 8
"""Scenes whose shapes are kept: a clip comes after another of the same scene."""

_made: "list[tuple[mujoco.MjModel, np.ndarray, Shapes | None]]" = []


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
