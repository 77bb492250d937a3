"""Collision geometry as oriented boxes and points, in the world's frame."""

from dataclasses import dataclass, replace

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int

PLANE_HALF_SIZE_M = 2.0
UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """N oriented boxes; a shape that is no box is replaced by the one around it."""

    center: Float[np.ndarray, "n 3"]
    rotation: Float[np.ndarray, "n 3 3"]
    half: Float[np.ndarray, "n 3"]
    body: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.center)

    def __getitem__(self, index: Bool[np.ndarray, " n"] | Int[np.ndarray, " m"]) -> "Boxes":
        return Boxes(
            center=self.center[index], rotation=self.rotation[index], half=self.half[index], body=self.body[index]
        )

    @property
    def corners(self) -> Float[np.ndarray, "n 8 3"]:
        """The corners of every box."""
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
        return self.center[:, None] + np.einsum("nij,nkj->nki", self.rotation, signs[None] * self.half[:, None])

    def near(self, point: Float[np.ndarray, "3"], radius: float) -> "Boxes":
        """Those that come within a radius of a point."""
        local = np.einsum("nji,nj->ni", self.rotation, point - self.center)
        outside = np.maximum(np.abs(local) - self.half, 0.0)
        return self[np.linalg.norm(outside, axis=1) < radius]

    def grown(self, margin: float) -> "Boxes":
        """The same boxes, larger on every side."""
        return replace(self, half=self.half + margin)

    def raised(self, height: float) -> "Boxes":
        """The room that boxes whose third axis is vertical take while they are raised so far, in metres."""
        up = np.array([0.0, 0.0, height / 2.0])
        return replace(self, center=self.center + up, half=self.half + up)

    def moved(self, way: Float[np.ndarray, "3"]) -> "Boxes":
        """The same boxes elsewhere."""
        return replace(self, center=self.center + way)

    def overlap(self, other: "Boxes") -> Bool[np.ndarray, "n m"]:
        """Which of these boxes reach into which of the others.

        Source: Gottschalk, Lin, Manocha, OBBTree: a hierarchical structure for rapid interference detection, 1996.
        """
        turn = np.einsum("nji,mjk->nmik", self.rotation, other.rotation)
        way = np.einsum("nji,nmj->nmi", self.rotation, other.center[None] - self.center[:, None])
        size = np.abs(turn) + 1e-9
        mine, theirs = self.half[:, None], other.half[None]
        apart = (np.abs(way) > mine + np.einsum("nmik,mk->nmi", size, other.half)).any(-1)
        back = np.einsum("nmik,nmi->nmk", turn, way)
        apart |= (np.abs(back) > theirs + np.einsum("nmik,ni->nmk", size, self.half)).any(-1)
        for i in range(3):
            i1, i2 = (i + 1) % 3, (i + 2) % 3
            for k in range(3):
                k1, k2 = (k + 1) % 3, (k + 2) % 3
                distance = np.abs(way[..., i2] * turn[..., i1, k] - way[..., i1] * turn[..., i2, k])
                reach = mine[..., i1] * size[..., i2, k] + mine[..., i2] * size[..., i1, k]
                reach = reach + theirs[..., k1] * size[..., i, k2] + theirs[..., k2] * size[..., i, k1]
                apart |= distance > reach
        return ~apart

    def surface(self, spacing: float) -> Float[np.ndarray, "p 3"]:
        """Points on all faces, about a spacing apart."""
        parts = []
        for center, rotation, half in zip(self.center, self.rotation, self.half):
            axes = [np.linspace(-h, h, max(2, min(60, int(np.ceil(2 * h / spacing)) + 1))) for h in half]
            for axis in range(3):
                u, v = (a for a in range(3) if a != axis)
                grid = np.stack(np.meshgrid(axes[u], axes[v], indexing="ij"), -1).reshape(-1, 2)
                for sign in (-1.0, 1.0):
                    local = np.empty((len(grid), 3))
                    local[:, u], local[:, v], local[:, axis] = grid[:, 0], grid[:, 1], sign * half[axis]
                    parts.append(local @ rotation.T + center)
        return np.concatenate(parts) if parts else np.zeros((0, 3))


def collision_boxes(model: mujoco.MjModel, data: mujoco.MjData, bodies: Bool[np.ndarray, " bodies"]) -> Boxes:
    """Boxes of all colliding geoms of the chosen bodies, where they are now."""
    colliding = (model.geom_contype | model.geom_conaffinity).astype(bool)
    geoms = np.flatnonzero(colliding & bodies[model.geom_bodyid])
    rotation = data.geom_xmat[geoms].reshape(-1, 3, 3)
    offset, half = model.geom_aabb[geoms, :3].copy(), model.geom_aabb[geoms, 3:].copy()
    planes = model.geom_type[geoms] == mujoco.mjtGeom.mjGEOM_PLANE
    half[planes] = PLANE_HALF_SIZE_M
    offset[planes] = (0.0, 0.0, -PLANE_HALF_SIZE_M)
    center = data.geom_xpos[geoms] + np.einsum("nij,nj->ni", rotation, offset)
    return Boxes(center=center, rotation=rotation, half=half, body=model.geom_bodyid[geoms].copy())


def subtree(model: mujoco.MjModel, root: int) -> Bool[np.ndarray, " bodies"]:
    """Which bodies are the root or hang on it."""
    inside = np.zeros(model.nbody, dtype=bool)
    inside[root] = True
    # Parents come before their children.
    for body in range(root + 1, model.nbody):
        inside[body] = inside[model.body_parentid[body]]
    return inside


def rotation_about(axis: Float[np.ndarray, "3"], angle_rad: float) -> Float[np.ndarray, "3 3"]:
    """The rotation about an axis of any length, right-handed."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle_rad) * cross + (1.0 - np.cos(angle_rad)) * cross @ cross


def axis_angle(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Axis times angle in radians, at most π."""
    quaternion, vector = np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(rotation).ravel())
    if quaternion[0] < 0:
        quaternion = -quaternion
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector
