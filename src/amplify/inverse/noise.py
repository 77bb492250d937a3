"""Noise that sampling starts from, with or without a source of randomness."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from amplify import rng

Foretold = Literal["noise", "actions"]
"""What a denoising network can be asked for."""


def fixed_noise(draws: int, shape: tuple[int, int]) -> Float[Tensor, "draws s a"]:
    """Draws that stand for randomness where none is asked for: the same in every process.

    A policy that always starts from the same noise stays with the same of several ways to act; starting from the
    noise's mean would lead between them.
    """
    return torch.randn((draws, *shape), generator=rng.torch_generator(0, "action noise"), device="cpu")


def draw(
    fixed: Float[Tensor, "s a"], rows: Float[Tensor, "b ..."], generator: torch.Generator | None
) -> Float[Tensor, "b s a"]:
    """Standard normal noise: every row its own, or the fixed draw in every row where there is no generator."""
    batch = rows.shape[0]
    if generator is None:
        return fixed.expand(batch, -1, -1)
    return torch.randn((batch, *fixed.shape), generator=generator, dtype=fixed.dtype, device=fixed.device)


def starts(
    fixed: Float[Tensor, "draws s a"], rows: Float[Tensor, "b ..."], generator: torch.Generator | None
) -> Float[Tensor, "n s a"]:
    """Noise that sampling starts from: one of its own for every row, or all fixed ones for each row in turn."""
    if generator is None:
        return fixed.repeat(rows.shape[0], 1, 1)
    return draw(fixed[0], rows, generator)
