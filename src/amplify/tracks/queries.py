"""Where tracking starts: the paper's uniform grid."""

import torch
from jaxtyping import Float
from torch import Tensor

from amplify.errors import UsageError


def uniform_grid(side: int) -> Float[Tensor, "n 2"]:
    """The centres of a side×side partition of the frame, row by row: normalised (x, y), y outer, x inner.

    Args:
        side: Points along each edge; the paper uses 20.

    Raises:
        UsageError: ``side`` is not positive.
    """
    if side < 1:
        raise UsageError("a grid of points needs at least one point a side", got=side, allowed="1, 2, …")
    centres = (2 * torch.arange(side, dtype=torch.float32) + 1) / side - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=-1)
