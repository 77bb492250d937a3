"""What the cameras of a scene see: fast, or pixel by pixel as LIBERO draws it."""

import copy

import mujoco
import numpy as np
from jaxtyping import UInt8

from amplify.sim.libero.meshes import simplify_meshes
from amplify.sim.libero.simulation import Simulation
from amplify.sim.renderer import OffscreenRenderer, RenderSettings

DRAWN_GROUPS = (False, True, True, False, False, False)
"""Geometry that LIBERO draws; the first group holds the shapes that collide."""

MAX_TEXTURE_PX = 1024
"""Pictures on surfaces are at most so wide in fast images."""


def camera_images(simulation: Simulation) -> UInt8[np.ndarray, "v h w 3"]:
    """What the simulation's cameras see now, upright.

    Raises:
        RenderingError: No OpenGL back end works.
        MissingDependencyError: fast-simplification is not installed, which fast images need.
    """
    renderer, model, data = scene_renderer(simulation), simulation.model, simulation.shown()
    present = model.site_rgba[:, 3].copy()
    model.site_rgba[:, 3] = simulation.lamps
    images = [renderer.render(model, data, camera) for camera in simulation.config.cameras]
    model.site_rgba[:, 3] = present
    return np.stack(images)


def scene_renderer(simulation: Simulation) -> OffscreenRenderer:
    """The renderer of the simulation's scene, at its size and quality; shared by all copies of the scene.

    Raises:
        RenderingError: No OpenGL back end works.
        MissingDependencyError: fast-simplification is not installed, which fast images need.
    """
    config = simulation.config
    key = (simulation.scene, config.render, config.quality)
    if key not in _made:
        while len(_made) >= KEPT:
            _made.pop(next(iter(_made))).close()
        _made[key] = _renderer(simulation)
    return _made[key]


KEPT = 4
"""Renderers that a process keeps; each holds its scene's pictures and meshes."""

_made: dict[tuple[str, RenderSettings, str], OffscreenRenderer] = {}


def _renderer(simulation: Simulation) -> OffscreenRenderer:
    model, config = simulation.model, simulation.config
    full = config.quality == "full"
    how = {
        "shadows": full,
        "reflections": full,
        "multisamples": int(model.vis.quality.offsamples) if full else 0,
        "markers": True,
    }
    if not full:
        model = copy.copy(model)
        simplify_meshes(model)
        shrink_textures(model)
    return OffscreenRenderer(model, config.render.model_copy(update=how), groups=DRAWN_GROUPS)


def shrink_textures(model: mujoco.MjModel, max_px: int = MAX_TEXTURE_PX) -> None:
    """Makes large pictures on surfaces smaller, in place; loading them takes longer than drawing a hundred images.

    Args:
        model: To be drawn only.
        max_px: Width and height that are kept.
    """
    for number in np.flatnonzero(model.tex_type == mujoco.mjtTexture.mjTEXTURE_2D):
        width, height = int(model.tex_width[number]), int(model.tex_height[number])
        factor = -(-max(width, height) // max_px)
        if factor == 1 or min(width, height) < factor:
            continue
        start, channels = int(model.tex_adr[number]), int(model.tex_nchannel[number])
        wide, high = width // factor, height // factor
        picture = model.tex_data[start : start + width * height * channels].reshape(height, width, channels)
        blocks = picture[: high * factor, : wide * factor].reshape(high, factor, wide, factor, channels)
        small = blocks.mean(axis=(1, 3), dtype=np.float32).round().astype(np.uint8)
        model.tex_data[start : start + small.size] = small.reshape(-1)
        model.tex_width[number], model.tex_height[number] = wide, high
