"""Features brought to a common scale: by the statistics of a training set, or each by its own."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Standardise(nn.Module):
    """Channels brought to mean 0 and variance 1 over a set; outliers end at five standard deviations.

    Args:
        width: Channels.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    @torch.no_grad()
    def fit(self, features: Float[Tensor, "*b d"]) -> None:
        """Takes mean and deviation of every channel over all other axes."""
        rows = features.flatten(0, -2)
        self.mean.copy_(rows.mean(dim=0))
        self.deviation.copy_(rows.std(dim=0).clamp_min(1e-4))

    def forward(self, features: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """The features in units of their deviation."""
        return ((features - self.mean) / self.deviation).clamp(-5, 5)


def feature_norm(kind: Literal["patch", "set", "none"], width: int) -> nn.Module:
    """What brings features to a common scale.

    Args:
        kind: "patch" makes mean 0 and variance 1 of the channels of every token, "set" of every channel over a training
            set, "none" leaves them as they are.
        width: Channels.
    """
    if kind == "set":
        return Standardise(width)
    return nn.LayerNorm(width, elementwise_affine=False) if kind == "patch" else nn.Identity()
