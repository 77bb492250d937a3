"""A Gaussian truncated to the range of actions."""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amplify.inverse.discount import discounted_mean
from amplify.inverse.trunk import QueryTrunk


class GaussianHead(nn.Module):
    """Mean tanh(W·state), a fixed or learned standard deviation, truncated to [−1, 1].

    Args:
        trunk: Context → a state for every action.
        action_width: Action dimensions.
        discount: Weight of step t is discount^t.
        std: Standard deviation in scaled units; where it is learned, the one it starts from.
        std_kind: "fixed", or "learned" within a factor of 20.
    """

    def __init__(
        self,
        trunk: QueryTrunk,
        action_width: int,
        *,
        discount: float,
        std: float,
        std_kind: Literal["fixed", "learned"] = "fixed",
    ):
        super().__init__()
        self.trunk = trunk
        self.mean = nn.Linear(trunk.width, action_width)
        self.spread = nn.Linear(trunk.width, action_width) if std_kind == "learned" else None
        if self.spread is not None:
            nn.init.zeros_(self.spread.weight)
            nn.init.zeros_(self.spread.bias)
        self.discount, self.std = discount, std

    def loss(
        self,
        context: Float[Tensor, "b c w"],
        target: Float[Tensor, "b s a"],
        valid: Bool[Tensor, "b s"],
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "b s a"]]:
        """Negative log likelihood of the truncated normal, in nats a dimension, and the means."""
        mean, std = self.distribution(context)
        return discounted_mean(nll(target, mean, std), valid, self.discount), mean.detach()

    def sample(
        self, context: Float[Tensor, "b c w"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b s a"]:
        """The mean, which is the mode, or a draw where a generator is given."""
        mean, std = self.distribution(context)
        if generator is None:
            return mean
        low, high = _tails(mean, std)
        uniform = torch.rand(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        draw = torch.special.ndtri(low + (high - low) * uniform)
        return (mean + std * draw).clamp(-1, 1)

    def distribution(
        self, context: Float[Tensor, "b c w"]
    ) -> tuple[Float[Tensor, "b s a"], Float[Tensor, "b s a"] | Float[Tensor, ""]]:
        """Mean and standard deviation of the normal before it is truncated; a scalar where the deviation is fixed."""
        state = self.trunk(context)
        # Tails and logarithms need more digits than bfloat16 has, in which autocast multiplies.
        mean = self.mean(state).float().tanh()
        if self.spread is None:
            return mean, mean.new_full((), self.std)
        return mean, self.std * self.spread(state).float().clamp(-3, 3).exp()


def nll(
    target: Float[Tensor, "b s a"],
    mean: Float[Tensor, "b s a"],
    std: Float[Tensor, "b s a"] | Float[Tensor, ""],
) -> Float[Tensor, "b s a"]:
    """Negative log density of a normal truncated to [−1, 1], in nats.

    Args:
        target: In [−1, 1].
        mean: Of the normal before it is truncated, in [−1, 1].
        std: Of the normal before it is truncated.
    """
    low, high = _tails(mean, std)
    constant = (std * math.sqrt(2 * math.pi)).log()
    return 0.5 * ((target - mean) / std).square() + (high - low).log() + constant


def _tails(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    return torch.special.ndtr((-1 - mean) / std), torch.special.ndtr((1 - mean) / std)
