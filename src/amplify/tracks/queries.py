"""Where tracking starts: the paper's uniform grid."""

import torch
from jaxtyping import Float, Int
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


def column_order(side: int) -> Int[Tensor, " n"]:
    """Where each point of `uniform_grid` stands in a grid that is counted column by column (x outer, y inner).

    The reference implementation counts so. The order is its own inverse.

    Args:
        side: Points along each edge.
    """
    return torch.arange(side * side).reshape(side, side).T.flatten()
