"""The local window: a point's displacement per step as one of W×W classes, in pixels."""

from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from amplify.coords import EVALUATION_SIZE_PX, displacements_to_pixels


def velocities_to_pixels(velocities: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 2"]:
    """Velocities in pixels of a 128×128 frame, (x, y)."""
    return displacements_to_pixels(velocities, EVALUATION_SIZE_PX)


@dataclass(frozen=True, slots=True)
class LocalWindow:
    """W×W classes of displacement, counted row by row: (row of y)·W + (column of x), no motion in the middle.

    Args:
        side: Cells W along each axis, odd.
        reach_px: Displacement of the outermost cell. By default W // 2, so that every cell is a pixel, as in the
            paper. Further out, the steps from cell to cell grow by a constant factor from one pixel at the centre.
    """

    side: int
    reach_px: float | None = None

    @property
    def axis_px(self) -> Float[Tensor, " side"]:
        """The displacement of each column (or row) in pixels, ascending."""
        if self.reach_px is None:
            return torch.arange(self.side).float() - self.side // 2
        outwards = torch.tensor(_growing(self.side // 2, self.reach_px))
        return torch.cat((-outwards.flip(0), torch.zeros(1), outwards))

    def offsets_px(self) -> Float[Tensor, "classes 2"]:
        """The displacement (x, y) in pixels of each class; the inverse of `classes` on the cells' centres."""
        y, x = torch.meshgrid(self.axis_px, self.axis_px, indexing="ij")
        return torch.stack((x.flatten(), y.flatten()), dim=-1)

    def classes(self, velocities_px: Float[Tensor, "*b 2"]) -> Int[Tensor, "*b"]:
        """The cell nearest to each displacement; beyond the window that is one on its border (see `clipped`).

        Args:
            velocities_px: Displacement per step, (x, y), pixels.
        """
        if self.reach_px is None:
            radius = self.side // 2
            cell = velocities_px.round().clamp(-radius, radius).long() + radius
        else:
            axis_px = self.axis_px.to(velocities_px)
            cell = torch.bucketize(velocities_px.contiguous(), (axis_px[1:] + axis_px[:-1]) / 2)
        return cell[..., 1] * self.side + cell[..., 0]

    def clipped(self, velocities_px: Float[Tensor, "*b 2"]) -> Bool[Tensor, "*b"]:
        """Which displacements lie beyond the outermost cells, so that no class can express them."""
        *_, last_but_one, last = self.axis_px.tolist()
        return (velocities_px.abs() > last + (last - last_but_one) / 2).any(dim=-1)


@cache
def _growing(cells: int, reach: float) -> tuple[float, ...]:
    """1, 1 + g, 1 + g + g², … with the factor g for which the last one is ``reach``, found by bisection."""
    low, high = 1.0, reach
    for _ in range(60):
        factor = (low + high) / 2
        if sum(factor**i for i in range(cells)) < reach:
            low = factor
        else:
            high = factor
    return tuple(sum(low**i for i in range(k)) for k in range(1, cells + 1))
