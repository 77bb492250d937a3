"""How the tokenizer's decoder knows which point it is asked about."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from amplify.nn.transformer import embedding_table

_BANDS = 6
"""Octaves of the point embedding's sines: the finest has a period of 2^-5 of the frame's side, 4 px of 128."""


def fourier_features(points: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b f"]:
    """Sines and cosines of normalised points in six octaves, and the points themselves."""
    angles = points[..., None] * (math.pi * 2.0 ** torch.arange(_BANDS, device=points.device))  # (*b, 2, bands)
    return torch.cat((points, angles.sin().flatten(-2), angles.cos().flatten(-2)), dim=-1)


class PointPosition(nn.Sequential):
    """Embeds where a point starts: any query point can be decoded.

    Args:
        width: Channels.
    """

    def __init__(self, width: int):
        super().__init__(nn.Linear(2 + 4 * _BANDS, width), nn.GELU(), nn.Linear(width, width))

    def forward(
        self, queries: Float[Tensor, "#b #v n 2"], chosen: Int[Tensor, "#b #v n"] | None = None
    ) -> Float[Tensor, "#b #v n w"]:
        """One vector a query.

        Args:
            queries: Normalised start points.
            chosen: Not used; a table needs it.
        """
        return super().forward(fourier_features(queries))


class PointTable(nn.Module):
    """A learned vector for each point of the grid of training, as in the reference implementation.

    Args:
        points: Points of the grid.
        width: Channels.
    """

    def __init__(self, points: int, width: int):
        super().__init__()
        self.table = embedding_table(points, width)

    def forward(
        self, queries: Float[Tensor, "#b #v n 2"], chosen: Int[Tensor, "#b #v n"] | None = None
    ) -> Float[Tensor, "#b #v n w"]:
        """One vector a query.

        Args:
            queries: Start points on the grid; where they lie plays no part.
            chosen: The number of each on the grid; all of it in its order by default.
        """
        return self.table[None, None] if chosen is None else self.table[chosen]
