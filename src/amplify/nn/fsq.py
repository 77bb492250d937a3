"""Finite scalar quantisation (Mentzer et al., arXiv 2309.15505)."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class FSQ(nn.Module):
    """Bounds each channel and rounds it to one of a few levels; the codebook is their product, nothing is learned.

    Args:
        levels: Levels of each channel; 8·8·6·5 = 1920 codes in the paper's reference.
    """

    levels: Tensor
    basis: Tensor

    def __init__(self, levels: tuple[int, ...]):
        super().__init__()
        self.codebook_size = math.prod(levels)
        basis = [math.prod(levels[:i]) for i in range(len(levels))]
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("basis", torch.tensor(basis), persistent=False)

    def bound(self, z: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """The channels squashed so that rounding gives exactly their number of levels."""
        half = (self.levels - 1) * 1.001 / 2
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0)
        return torch.tanh(z + torch.atanh(offset / half)) * half - offset

    def forward(self, z: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """Codes in [−1, 1]; gradients pass the rounding unchanged."""
        bounded = self.bound(z)
        rounded = bounded + (bounded.round() - bounded).detach()
        return rounded / (self.levels // 2)

    def indices(self, codes: Float[Tensor, "*b c"]) -> Int[Tensor, "*b"]:
        """The position of each code in the codebook."""
        half = self.levels // 2
        digits = (codes * half).round().long() + half
        return (digits * self.basis).sum(dim=-1)

    def digits(self, indices: Int[Tensor, "*b"]) -> Int[Tensor, "*b c"]:
        """The level of each channel, from 0."""
        return indices[..., None] // self.basis % self.levels

    def codes(self, indices: Int[Tensor, "*b"]) -> Float[Tensor, "*b c"]:
        """The codes at positions of the codebook; the inverse of `indices`."""
        half = self.levels // 2
        return (self.digits(indices) - half) / half
