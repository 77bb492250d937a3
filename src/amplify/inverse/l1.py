"""Direct regression of actions."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amplify.inverse.discount import discounted_mean
from amplify.inverse.trunk import QueryTrunk


class L1Head(nn.Module):
    """Actions tanh(W·state), trained on absolute error; it has no randomness.

    Args:
        trunk: Context → a state for every action.
        action_width: Action dimensions.
        discount: Weight of step t is discount^t.
    """

    def __init__(self, trunk: QueryTrunk, action_width: int, *, discount: float):
        super().__init__()
        self.trunk = trunk
        self.out = nn.Linear(trunk.width, action_width)
        self.discount = discount

    def loss(
        self,
        context: Float[Tensor, "b c w"],
        target: Float[Tensor, "b s a"],
        valid: Bool[Tensor, "b s"],
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "b s a"]]:
        """Mean absolute error, and the predicted actions."""
        guess = self.sample(context)
        return discounted_mean((guess - target).abs(), valid, self.discount), guess.detach()

    def sample(
        self, context: Float[Tensor, "b c w"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b s a"]:
        """The predicted actions."""
        return self.out(self.trunk(context)).tanh()
