"""Tracks as a camera would see them that is nearer to the scene, or farther from it."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from amplify.errors import UsageError
from amplify.types import TrackWindow


@torch.no_grad()
def zoomed(window: TrackWindow, factor: Float[Tensor, "b v"]) -> TrackWindow:
    """The tracks in an image that shows the scene larger or smaller about its centre, from the same grid of points.

    Where the scene shrinks, what comes into the image is not known and counts as still. Visibility stays that of the
    grid's points.

    Args:
        window: Tracks of `amplify.tracks.queries.uniform_grid`.
        factor: Of each view: 2 shows everything twice as large, so that it moves twice as far; 1 changes nothing.

    Raises:
        UsageError: The points are no square grid of two a side and more.
    """
    b, v, t, n, _ = window.points.shape
    side = round(n**0.5)
    if side * side != n or side < 2:
        raise UsageError(
            "only tracks of a square grid of points can be zoomed", got=f"{n} points", allowed="4, 9, 16, …"
        )
    start = window.points[..., :1, :, :]
    field = (window.points - start).permute(0, 1, 2, 4, 3).reshape(b * v, t * 2, side, side)
    # Where in the image each point's new surroundings were before; the outermost points are at ±(1 − 1 / side).
    seen = start[:, :, 0].reshape(b * v, side, side, 2) / factor.reshape(b * v, 1, 1, 1) / (1 - 1 / side)
    moved = grid_sample(field, seen, mode="bilinear", padding_mode="zeros", align_corners=True)
    moved = moved.reshape(b, v, t, 2, n).transpose(-1, -2) * factor[..., None, None, None]
    return replace(window, points=start + moved)
