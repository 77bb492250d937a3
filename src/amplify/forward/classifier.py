"""Scores of codes that share what their levels have in common."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, one_hot

from amplify.nn.fsq import FSQ


class LevelClassifier(nn.Linear):
    """A score for every code, to which one of each of its FSQ levels is added.

    Args:
        width: Channels of the input.
        classes: Codes that are scored; those beyond the codebook stand for the code at their remainder.
        levels: FSQ levels.
    """

    has_level: Tensor

    def __init__(self, width: int, classes: int, levels: tuple[int, ...]):
        super().__init__(width, classes)
        self.levels = nn.Linear(width, sum(levels))
        digits = FSQ(levels).digits(torch.arange(classes)).unbind(dim=-1)
        has_level = torch.cat([one_hot(digit, count) for digit, count in zip(digits, levels)], dim=-1)
        self.register_buffer("has_level", has_level.float(), persistent=False)

    def forward(self, x: Float[Tensor, "*b w"]) -> Float[Tensor, "*b classes"]:
        """The scores."""
        # They are linear in x, so the sum over a code's levels is taken on the weights: no second pass over codes.
        weight = self.weight + self.has_level @ self.levels.weight
        return linear(x, weight, self.bias + self.has_level @ self.levels.bias)
