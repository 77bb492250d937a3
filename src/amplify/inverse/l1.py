"""Direct regression of actions."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amplify.inverse.gaussian import discounted_mean


class L1Head(nn.Module):
    """Actions tanh(W·context), trained on absolute error; it has no randomness.

    Args:
        width: Channels of the context.
        action_width: Action dimensions.
        discount: Weight of step t is discount^t.
    """

    def __init__(self, width: int, action_width: int, *, discount: float):
        super().__init__()
        self.out = nn.Linear(width, action_width)
        self.discount = discount

    def loss(
        self,
        context: Float[Tensor, "b s d"],
        target: Float[Tensor, "b s a"],
        valid: Bool[Tensor, "b s"],
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Mean absolute error, a scalar."""
        return discounted_mean((self.sample(context) - target).abs(), valid, self.discount)

    def sample(
        self, context: Float[Tensor, "b s d"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b s a"]:
        """The predicted actions."""
        return self.out(context).tanh()
