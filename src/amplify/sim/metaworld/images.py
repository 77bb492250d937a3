"""Renderers shared by all copies of a scene."""

import functools

import numpy as np
from jaxtyping import UInt8

from amplify.sim.metaworld.simulation import Simulation, scene_model
from amplify.sim.renderer import OffscreenRenderer, RenderSettings


def camera_images(simulation: Simulation) -> UInt8[np.ndarray, "v h w 3"]:
    """What the simulation's cameras see now.

    Raises:
        RenderingError: No OpenGL back end works.
    """
    # Frozen by its configuration and so hashable, which pyright does not see.
    renderer = _renderer(simulation.scene, simulation.config.render)  # pyright: ignore[reportArgumentType]
    cameras = simulation.config.cameras
    return np.stack([renderer.render(simulation.model, simulation.data, camera) for camera in cameras])


@functools.lru_cache(maxsize=8)
def _renderer(scene: str, settings: RenderSettings) -> OffscreenRenderer:
    return OffscreenRenderer(scene_model(scene), settings)
