"""A Gaussian of fixed width, truncated to the range of actions."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def discounted_mean(error: Float[Tensor, "b s a"], valid: Bool[Tensor, "b s"], discount: float) -> Float[Tensor, ""]:
    """Mean over valid steps and all dimensions, step t weighted by discount^t."""
    weight = valid * discount ** torch.arange(error.shape[1], device=error.device)
    return (weight[..., None] * error).sum() / (weight.sum() * error.shape[-1]).clamp_min(1e-6)


class GaussianHead(nn.Module):
    """Mean tanh(W·context), a fixed standard deviation, truncated to [−1, 1].

    Args:
        width: Channels of the context.
        action_width: Action dimensions.
        discount: Weight of step t is discount^t.
        std: Standard deviation in scaled units.
    """

    def __init__(self, width: int, action_width: int, *, discount: float, std: float):
        super().__init__()
        self.mean = nn.Linear(width, action_width)
        self.discount, self.std = discount, std

    def loss(
        self,
        context: Float[Tensor, "b s d"],
        target: Float[Tensor, "b s a"],
        valid: Bool[Tensor, "b s"],
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Negative log likelihood of the truncated normal, a scalar."""
        mean = self.mean(context).tanh()
        low, high = self._tails(mean)
        nll = 0.5 * ((target - mean) / self.std).square() + (high - low).log()
        return discounted_mean(nll + math.log(self.std * math.sqrt(2 * math.pi)), valid, self.discount)

    def sample(
        self, context: Float[Tensor, "b s d"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b s a"]:
        """The mean, which is the mode, or a draw where a generator is given."""
        mean = self.mean(context).tanh()
        if generator is None:
            return mean
        low, high = self._tails(mean)
        uniform = torch.rand(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        draw = torch.special.ndtri(low + (high - low) * uniform)
        return (mean + self.std * draw).clamp(-1, 1)

    def _tails(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        return torch.special.ndtr((-1 - mean) / self.std), torch.special.ndtr((1 - mean) / self.std)
