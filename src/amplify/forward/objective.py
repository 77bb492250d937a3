"""What forward dynamics minimises: sums over tokens, each with its weight."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from amplify.types import MotionTokens


def token_weights(tokens: MotionTokens, valid: Bool[Tensor, "b k"] | None) -> Float[Tensor, "b k"]:
    """An equal weight for every token that counts and none for the others; together 1."""
    weight = torch.ones(tokens.indices.shape, device=tokens.indices.device) if valid is None else valid.float()
    return weight / weight.sum().clamp_min(1)


def surprise(
    scores: Float[Tensor, "b k codes"], indices: Int[Tensor, "b k"], weight: Float[Tensor, "b k"], smoothing: float
) -> Float[Tensor, ""]:
    """Weighted cross-entropy of the tokens, in nats.

    Args:
        scores: Of every code.
        indices: The tokens that came.
        weight: From `token_weights`.
        smoothing: Probability spread over all codes in the target.
    """
    flat, target = scores.float().flatten(0, 1), indices.flatten()
    return (weight.flatten() * cross_entropy(flat, target, reduction="none", label_smoothing=smoothing)).sum()


def distance(
    mean: Float[Tensor, "b k c"], codes: Float[Tensor, "b k c"], weight: Float[Tensor, "b k"]
) -> Float[Tensor, ""]:
    """Weighted squared distance between mean and true codes."""
    return (weight * (mean - codes).square().sum(dim=-1)).sum()
