"""The local window: a point's displacement per step as one of W×W classes, in pixels of a 128×128 frame."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from amplify.coords import EVALUATION_SIZE_PX, displacements_to_pixels


def velocities_to_pixels(velocities: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 2"]:
    """Velocities in pixels of a 128×128 frame, (x, y)."""
    return displacements_to_pixels(velocities, EVALUATION_SIZE_PX)


def classes(velocities_px: Float[Tensor, "*b 2"], window: int) -> Int[Tensor, "*b"]:
    """The window's cell nearest to each displacement, counted row by row: (dy + r)·W + (dx + r), r = W // 2.

    Displacements beyond the window fall on its border (see `clipped`).

    Args:
        velocities_px: Displacement per step, (x, y), pixels of a 128×128 frame.
        window: Side W of the window in pixels, odd.
    """
    radius = window // 2
    cell = velocities_px.round().clamp(-radius, radius).long() + radius
    return cell[..., 1] * window + cell[..., 0]


def clipped(velocities_px: Float[Tensor, "*b 2"], window: int) -> Bool[Tensor, "*b"]:
    """Which displacements lie beyond the window, so that no class can express them."""
    return (velocities_px.abs() > window // 2 + 0.5).any(dim=-1)


def offsets_px(window: int) -> Float[Tensor, "classes 2"]:
    """The displacement (x, y) in pixels of each class; the inverse of `classes` on whole pixels."""
    cell = torch.arange(window * window)
    return torch.stack((cell % window, cell // window), dim=-1).float() - window // 2
