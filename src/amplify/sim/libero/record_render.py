"""Recorded states seen by cameras, at any time and as often as one likes."""

import numpy as np
from jaxtyping import UInt8, UInt16

from amplify.sim.libero.config import view_name
from amplify.sim.libero.images import scene_renderer
from amplify.sim.libero.record_performance import Shown
from amplify.sim.libero.simulation import Simulation


def images_of(simulation: Simulation, shown: Shown) -> dict[str, UInt8[np.ndarray, "t h w 3"]]:
    """What the simulation's cameras saw in recorded states, upright.

    Args:
        simulation: Of the same scene, in any state; its cameras, image size and quality count.
        shown: The states.
    """
    renderer = scene_renderer(simulation)
    cameras = simulation.config.cameras
    images: dict[str, list[np.ndarray]] = {view_name(camera): [] for camera in cameras}
    for model, data in shown.data(simulation.model):
        for camera in cameras:
            images[view_name(camera)].append(renderer.render(model, data, camera))
    return {view: np.stack(frames) for view, frames in images.items()}


def depths_of(simulation: Simulation, shown: Shown) -> dict[str, UInt16[np.ndarray, "t h w"]]:
    """How far along the camera's axis everything was, by view, in millimetres; the highest number also stands for more.

    Args:
        simulation: Of the same scene, in any state; its cameras, image size and quality count.
        shown: The states.
    """
    renderer = scene_renderer(simulation)
    cameras = simulation.config.cameras
    distances: dict[str, list[np.ndarray]] = {view_name(camera): [] for camera in cameras}
    for model, data in shown.data(simulation.model):
        for camera in cameras:
            millimetres = np.rint(1000.0 * renderer.depth(model, data, camera))
            distances[view_name(camera)].append(np.minimum(millimetres, np.iinfo(np.uint16).max).astype(np.uint16))
    return {view: np.stack(frames) for view, frames in distances.items()}
