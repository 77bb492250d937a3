"""The only file that converts to and from pixels.

Points are (x, y), x right, y down. −1 is the outer edge of the first pixel, +1 of the last, so pixel i of W is
centred at (2i+1)/W − 1: the convention of ``grid_sample(align_corners=False)``, which survives resizing.
Points outside the frame are kept, never clamped.
"""

import torch
from jaxtyping import Float
from torch import Tensor

EVALUATION_SIZE_PX = 128
"""Every pixel figure is that of a frame scaled to 128×128, unless another size is named."""


def _size(size_px: tuple[int, int] | int, like: Tensor) -> Tensor:
    width, height = (size_px, size_px) if isinstance(size_px, int) else size_px
    return torch.tensor([width, height], dtype=like.dtype, device=like.device)


def points_to_pixels(points: Float[Tensor, "*b 2"], size_px: tuple[int, int] | int) -> Float[Tensor, "*b 2"]:
    """Pixel indices (x, y), 0 at the centre of the first pixel.

    Args:
        points: Normalised points.
        size_px: (width, height), or one side of a square frame.
    """
    return (points + 1) * _size(size_px, points) / 2 - 0.5


def pixels_to_points(points_px: Float[Tensor, "*b 2"], size_px: tuple[int, int] | int) -> Float[Tensor, "*b 2"]:
    """Normalised points; the inverse of `points_to_pixels`."""
    return (points_px + 0.5) * 2 / _size(size_px, points_px) - 1


def displacements_to_pixels(
    displacements: Float[Tensor, "*b 2"], size_px: tuple[int, int] | int
) -> Float[Tensor, "*b 2"]:
    """Displacements (or velocities, errors) in pixels."""
    return displacements * _size(size_px, displacements) / 2


def displacements_from_pixels(
    displacements_px: Float[Tensor, "*b 2"], size_px: tuple[int, int] | int
) -> Float[Tensor, "*b 2"]:
    """Normalised displacements; the inverse of `displacements_to_pixels`."""
    return displacements_px * 2 / _size(size_px, displacements_px)


def inside_frame(points: Float[Tensor, "*b 2"]) -> Tensor:
    """Whether each normalised point lies within the frame, its edges included; shape (*b,)."""
    return (points.abs() <= 1).all(dim=-1)
