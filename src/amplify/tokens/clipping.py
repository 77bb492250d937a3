"""How much of the motion in given windows the local window can express."""

from dataclasses import dataclass

import torch

from amplify.coords import displacements_to_pixels
from amplify.tokens import camera_motion
from amplify.tokens.config import TokenizerConfig
from amplify.tokens.weights import known_steps, known_velocities
from amplify.types import TrackWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipping:
    """Displacements per step of known points against the local window.

    Args:
        share: Of all known steps, those that lie beyond the window.
        moving_share: Of the known steps longer than half a pixel, those that lie beyond it.
        largest_px: The longest displacement along one axis, pixels.
    """

    share: float
    moving_share: float
    largest_px: float


@torch.no_grad()
def clipping(windows: TrackWindow, config: TokenizerConfig) -> Clipping:
    """What of the motion lies beyond the local window, after the camera's own motion is taken out where it is.

    Args:
        windows: Tracks of a dataset, batched.
        config: The tokenizer's.
    """
    if config.camera_motion == "removed":
        windows = camera_motion.remove(windows, camera_motion.estimate(windows))
    known = known_steps(windows)
    steps_px = displacements_to_pixels(known_velocities(windows), config.frame_px)
    beyond = config.local_window.clipped(steps_px) & known
    moving = steps_px.norm(dim=-1) > 0.5
    return Clipping(
        share=(beyond.sum() / known.sum().clamp_min(1)).item(),
        moving_share=(beyond.sum() / moving.sum().clamp_min(1)).item(),
        largest_px=steps_px.abs().max().item(),
    )
