"""Dropout from random bytes: on a CPU, drawing a float for every channel took a fifth of a training step."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Dropout(nn.Module):
    """Zeroes channels at random and scales the others so that the mean stays; the identity in evaluation mode.

    The probability is rounded to 1/256, a byte a channel. Randomness comes from torch's global generator.

    Args:
        probability: Of a channel to be zeroed, in [0, 1).
    """

    def __init__(self, probability: float):
        super().__init__()
        self.dropped = round(probability * 256)

    def forward(self, x: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """The input with channels zeroed."""
        if not self.training or self.dropped == 0:
            return x
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self.dropped
        return x * (kept.to(x.dtype) * (256 / (256 - self.dropped)))
