"""Which rays a scene is looked at with: MuJoCo's own, or compiled ones where Numba is installed."""

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int

from amplify.sim.renderer import HIDDEN_GEOM_GROUP, VISIBLE_GEOM_GROUPS

if TYPE_CHECKING:
    from amplify.sim.compiled_rays import Shapes

OPAQUE_ALPHA = 0.5
"""Fainter geometry, such as window panes, is looked through."""

KEPT = 8
"""Scenes whose shapes are kept: a clip comes after another of the same scene."""


class Bundle(NamedTuple):
    """N rays from one place.

    Args:
        origin: Where they start, in metres.
        directions: Unit vectors.
        start: From which distance on there is something to be met, in metres.
    """

    origin: Float[np.ndarray, "3"]
    directions: Float[np.ndarray, "n 3"]
    start: Float[np.ndarray, " n"]


class Rays(ABC):
    """What rays meet in a scene."""

    @abstractmethod
    def show(self, position: Float[np.ndarray, "geoms 3"], rotation: Float[np.ndarray, "geoms 3 3"]) -> None:
        """Puts all geoms of the scene where they are to be met, in metres."""

    @abstractmethod
    def cast(self, bundle: Bundle) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """MuJoCo's number of the geom that each ray meets first, and how far away; −1 and −1 where it meets none."""

    def hides(self, bundle: Bundle, end: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Whether each ray meets anything before it ends."""
        geom, distance = self.cast(bundle)
        return (geom >= 0) & (distance < end)


class MujocoRays(Rays):
    """The rays that MuJoCo casts.

    Args:
        model: The scene.
    """

    def __init__(self, model: mujoco.MjModel):
        self._model = copy.copy(model)
        self._model.geom_group[_alpha(model) < OPAQUE_ALPHA] = HIDDEN_GEOM_GROUP
        # MuJoCo prunes bundles of rays by the corners of bounding boxes and loses hits near the edges between corners;
        # bodies without such boxes are not pruned, which is exact and as fast.
        self._model.body_bvhadr[:] = -1
        self._data = mujoco.MjData(self._model)

    def show(self, position: Float[np.ndarray, "geoms 3"], rotation: Float[np.ndarray, "geoms 3 3"]) -> None:
        """See `Rays.show`."""
        self._data.geom_xpos[:], self._data.geom_xmat[:] = position, rotation.reshape(-1, 9)

    def cast(self, bundle: Bundle) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """See `Rays.cast`."""
        origin, ways, start = bundle
        geom, distance = np.full(len(ways), -1, dtype=np.int32), np.full(len(ways), -1.0)
        if len(ways):
            scene, groups = (self._model, self._data), np.array(VISIBLE_GEOM_GROUPS, dtype=np.uint8)
            mujoco.mj_multiRay(*scene, origin, ways.reshape(-1), groups, True, -1, geom, distance, len(ways), 1e10)
            found = np.array([-1], dtype=np.int32)
            for index in np.nonzero((geom >= 0) & (distance < start))[0]:
                beyond = origin + start[index] * ways[index]
                further = mujoco.mj_ray(*scene, beyond, ways[index], groups, True, -1, found)
                geom[index], distance[index] = int(found[0]), start[index] + further
        return geom, distance


def rays_of(model: mujoco.MjModel) -> Rays:
    """Compiled rays; MuJoCo's without Numba, or where there are shapes that it alone knows.

    Args:
        model: The scene.
    """
    try:
        from amplify.sim.compiled_rays import CompiledRays, shapes_of
    except ImportError:
        return MujocoRays(model)
    seen = np.array(VISIBLE_GEOM_GROUPS, dtype=bool)[model.geom_group] & (_alpha(model) >= OPAQUE_ALPHA)
    same = [made for made in _made if made[0] is model and np.array_equal(made[1], seen)]
    if not same:
        same = [(model, seen, shapes_of(model, seen))]
        _made.extend(same)
        del _made[:-KEPT]
    shapes = same[0][2]
    return MujocoRays(model) if shapes is None else CompiledRays(shapes)


_made: "list[tuple[mujoco.MjModel, np.ndarray, Shapes | None]]" = []


def _alpha(model: mujoco.MjModel) -> np.ndarray:
    """Opacity as drawn: a geometry's own colour counts, and its material's where it has only the default colour."""
    default = (model.geom_rgba == np.array([0.5, 0.5, 0.5, 1.0], dtype=np.float32)).all(axis=-1)
    from_material = default & (model.geom_matid >= 0)
    of_materials = np.append(model.mat_rgba[:, 3], 1.0)  # geometry without a material has number −1: the last
    return np.where(from_material, of_materials[model.geom_matid], model.geom_rgba[:, 3])
