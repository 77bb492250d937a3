"""The mean over a chunk that every action head minimises."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def discounted_mean(error: Float[Tensor, "b s a"], valid: Bool[Tensor, "b s"], discount: float) -> Float[Tensor, ""]:
    """Mean over valid steps and all dimensions, step t weighted by discount^t."""
    weight = valid * discount ** torch.arange(error.shape[1], device=error.device)
    return (weight[..., None] * error).sum() / (weight.sum() * error.shape[-1]).clamp_min(1e-6)
