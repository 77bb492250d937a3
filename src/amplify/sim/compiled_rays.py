"""Rays by Numba, which LIBERO's simulator brings: MuJoCo's answers in a fraction of the time."""

from typing import NamedTuple

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from amplify.sim.ray_kernels import KINDS, MESH, PLANE, blocked, nearest, tree
from amplify.sim.rays import Bundle, Rays


class Shapes(NamedTuple):
    """S shapes of a scene, each in its own frame, and the trees of the meshes among them.

    Args:
        geom: MuJoCo's numbers of the shapes.
        kind: What they are, as MuJoCo numbers it.
        size: As MuJoCo has it, in metres.
        radius: Of a sphere around each, about its origin; infinite for a plane.
        root: The mesh's first box; −1 for what is no mesh.
        low, high: Corners of boxes.
        below: The first of the two boxes in a box; of a box of triangles, its first triangle.
        count: Triangles of a box of triangles; 0 of a box of boxes.
        corners: Of the triangles.
    """

    geom: Int[np.ndarray, " s"]
    kind: Int[np.ndarray, " s"]
    size: Float[np.ndarray, "s 3"]
    radius: Float[np.ndarray, " s"]
    root: Int[np.ndarray, " s"]
    low: Float32[np.ndarray, "b 3"]
    high: Float32[np.ndarray, "b 3"]
    below: Int[np.ndarray, " b"]
    count: Int[np.ndarray, " b"]
    corners: Float32[np.ndarray, "f 3 3"]


def shapes_of(model: mujoco.MjModel, seen: Bool[np.ndarray, " geoms"]) -> Shapes | None:
    """The shapes that rays may meet; None if there is one of a kind that is not known here.

    Args:
        model: The scene.
        seen: Which of its geoms.
    """
    geom = np.flatnonzero(seen)
    kind = model.geom_type[geom].astype(np.int64)
    if not np.isin(kind, KINDS).all():
        return None
    radius = model.geom_rbound[geom].astype(np.float64)
    radius[kind == PLANE] = np.inf
    root = np.full(len(geom), -1)
    trees: dict[int, tuple[int, float]] = {}
    parts: list[tuple[np.ndarray, ...]] = []
    boxes = faces = 0
    for shape in np.flatnonzero(kind == MESH):
        mesh = int(model.geom_dataid[geom[shape]])
        if mesh not in trees:
            corners = _triangles(model, mesh)
            low, high, below, count, order = tree(corners)
            below = below + np.where(count > 0, faces, boxes)
            ordered = corners[order]
            parts.append((low, high, below, count, ordered))
            trees[mesh] = boxes, float(np.linalg.norm(corners, axis=-1).max())
            boxes, faces = boxes + len(low), faces + len(ordered)
        root[shape], radius[shape] = trees[mesh]
    joined = [np.concatenate(part) for part in zip(*parts)] if parts else _nothing()
    low, high, below, count, corners = joined
    return Shapes(
        geom=geom,
        kind=kind,
        size=model.geom_size[geom].astype(np.float64),
        radius=radius * (1 + 1e-9),
        root=root,
        low=low,
        high=high,
        below=below,
        count=count,
        corners=corners,
    )


class CompiledRays(Rays):
    """Rays that meet shapes.

    Args:
        shapes: In their own frames.
    """

    def __init__(self, shapes: Shapes):
        self.shapes = shapes
        self._position, self._rotation = np.zeros((0, 3)), np.zeros((0, 3, 3))

    def show(self, position: Float[np.ndarray, "geoms 3"], rotation: Float[np.ndarray, "geoms 3 3"]) -> None:
        """See `Rays.show`."""
        self._position, self._rotation = position[self.shapes.geom], rotation[self.shapes.geom]

    def cast(self, bundle: Bundle) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """See `Rays.cast`."""
        met, distance = nearest(self.shapes, self._position, self._rotation, *bundle)
        return np.append(self.shapes.geom, -1)[met], distance  # −1 is the last

    def hides(self, bundle: Bundle, end: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """See `Rays.hides`."""
        return blocked(self.shapes, self._position, self._rotation, *bundle, end)


def _nothing() -> list[np.ndarray]:
    empty, none = np.zeros((0, 3), dtype=np.float32), np.zeros(0, dtype=np.int64)
    return [empty, empty, none, none, np.zeros((0, 3, 3), dtype=np.float32)]


def _triangles(model: mujoco.MjModel, mesh: int) -> Float32[np.ndarray, "f 3 3"]:
    vertices = model.mesh_vert[model.mesh_vertadr[mesh] :][: model.mesh_vertnum[mesh]]
    faces = model.mesh_face[model.mesh_faceadr[mesh] :][: model.mesh_facenum[mesh]]
    return vertices[faces]
