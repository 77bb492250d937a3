"""Environment units ↔ [−1, 1]."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from amplify.errors import DataError


class Scaler(nn.Module):
    """An affine map a dimension, fitted to data and saved with the weights; the identity before.

    Args:
        width: Dimensions.
    """

    centre: Tensor
    half_range: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("half_range", torch.ones(width))

    @torch.no_grad()
    def fit(self, values: Float[Tensor, "m d"], method: Literal["range", "standard"] = "range") -> None:
        """Fits the map; dimensions that never change are only centred.

        Args:
            values: Environment units.
            method: "range" maps minimum and maximum to −1 and 1; "standard" gives mean 0 and standard deviation 1.

        Raises:
            DataError: A value is not a finite number.
        """
        wrong = (~values.isfinite()).any(dim=0).nonzero().flatten().tolist()
        if wrong:
            raise DataError(
                "values that are not finite numbers cannot be scaled",
                got=f"some in dimension {', '.join(map(str, wrong))}",
                remedy="leave such episodes out",
            )
        if method == "range":
            low, high = values.amin(dim=0), values.amax(dim=0)
            centre, half_range = (low + high) / 2, (high - low) / 2
        else:
            centre, half_range = values.mean(dim=0), values.std(dim=0, correction=0)
        self.centre.copy_(centre)
        self.half_range.copy_(torch.where(half_range > 1e-6, half_range, 1.0))

    def scale(self, values: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Environment units → scaled."""
        return (values - self.centre) / self.half_range

    def unscale(self, scaled: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Scaled → environment units."""
        return scaled * self.half_range + self.centre
