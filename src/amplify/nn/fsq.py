"""Finite scalar quantisation (Mentzer et al., arXiv 2309.15505)."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class FSQ(nn.Module):
    """Bounds each channel and rounds it to one of a few levels; the codebook is their product, nothing is learned.

    Args:
        levels: Levels of each channel; 8·8·6·5 = 1920 codes in the paper's reference.
        rounded: Whether codes are rounded; without, they keep the bounds and may lie anywhere between the levels.
    """

    levels: Tensor
    basis: Tensor

    def __init__(self, levels: tuple[int, ...], *, rounded: bool = True):
        super().__init__()
        self.rounded = rounded
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
        if self.rounded:
            bounded = bounded + (bounded.round() - bounded).detach()
        return bounded / (self.levels // 2)

    def usage(self, z: Float[Tensor, "*b c"]) -> Float[Tensor, " c"]:
        """How evenly a batch uses the levels of each channel: entropy of their mean soft use, 1 where all are equal.

        Each value is shared among the levels by a Gaussian half a level wide, so that the entropy has a gradient.

        Args:
            z: As in `forward`.
        """
        bounded = self.bound(z).flatten(0, -2)  # (rows, c)
        rungs = torch.arange(int(self.levels.max()), device=z.device)
        distance = bounded[..., None] - (rungs - (self.levels // 2)[:, None])  # (rows, c, rungs)
        scores = (-2 * distance.square()).masked_fill(rungs >= self.levels[:, None], -math.inf)
        share = scores.softmax(dim=-1).mean(dim=0)
        return torch.special.entr(share.clamp_min(1e-9)).sum(dim=-1) / self.levels.log()

    def indices(self, codes: Float[Tensor, "*b c"]) -> Int[Tensor, "*b"]:
        """The position of each code in the codebook; of the nearest code where they lie between the levels."""
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
