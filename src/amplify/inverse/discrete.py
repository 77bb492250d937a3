"""Action dimensions that take few values, such as a gripper that opens or closes."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from amplify.errors import DataError, UsageError
from amplify.inverse.discount import discounted_mean
from amplify.inverse.trunk import QueryTrunk
from amplify.protocols import ActionHead

MOST_VALUES = 8
"""Values of a discrete action dimension, at most."""


class DiscreteHead(nn.Module):
    """p(value | context) for every action and dimension, among the values in the training data.

    Args:
        trunk: Context → a state for every action.
        action_width: Action dimensions, all discrete.
        discount: Weight of step t is discount^t.
    """

    values: Tensor
    known: Tensor

    def __init__(self, trunk: QueryTrunk, action_width: int, *, discount: float):
        super().__init__()
        self.trunk = trunk
        self.scores = nn.Linear(trunk.width, action_width * MOST_VALUES)
        self.discount = discount
        self.register_buffer("values", torch.linspace(-1, 1, MOST_VALUES).repeat(action_width, 1))
        self.register_buffer("known", torch.zeros(action_width, MOST_VALUES, dtype=torch.bool))
        # Until values are fitted: open and closed.
        self.known[:, [0, -1]] = True

    @torch.no_grad()
    def fit(self, actions: Float[Tensor, "m a"]) -> None:
        """Takes the values of each dimension from training data.

        Args:
            actions: Scaled to [−1, 1].

        Raises:
            DataError: A dimension takes more than eight values.
        """
        for dimension, column in enumerate(actions.T):
            found = column.unique()
            if len(found) > MOST_VALUES:
                raise DataError(
                    f"discrete action part {dimension} takes many values",
                    got=len(found),
                    allowed=f"at most {MOST_VALUES}",
                    remedy="name only dimensions with few values in `discrete`",
                )
            self.values[dimension, : len(found)] = found
            self.known[dimension] = torch.arange(MOST_VALUES, device=found.device) < len(found)

    def loss(
        self,
        context: Float[Tensor, "b c w"],
        target: Float[Tensor, "b s a"],
        valid: Bool[Tensor, "b s"],
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "b s a"]]:
        """Cross-entropy of the nearest known value, in nats a dimension, and the likeliest values."""
        scores = self._scores(context)
        distance = (target[..., None] - self.values).abs().masked_fill(~self.known, torch.inf)
        error = cross_entropy(scores.movedim(-1, 1), distance.argmin(dim=-1), reduction="none")
        return discounted_mean(error, valid, self.discount), self._values(scores.argmax(dim=-1))

    def sample(
        self, context: Float[Tensor, "b c w"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b s a"]:
        """The likeliest values, or a draw where a generator is given."""
        scores = self._scores(context)
        if generator is None:
            return self._values(scores.argmax(dim=-1))
        chance = scores.softmax(dim=-1).flatten(0, -2)
        return self._values(torch.multinomial(chance, 1, generator=generator).view(scores.shape[:-1]))

    def _scores(self, context: Tensor) -> Tensor:
        scores = self.scores(self.trunk(context)).unflatten(-1, self.values.shape)  # (b, s, a, values)
        return scores.masked_fill(~self.known, -torch.inf)

    def _values(self, chosen: Int[Tensor, "b s a"]) -> Float[Tensor, "b s a"]:
        return self.values[torch.arange(len(self.values), device=chosen.device), chosen]


class MixedHead(nn.Module):
    """Some action dimensions classified, the others left to another head; independent of each other given the context.

    Args:
        discrete: For the discrete dimensions.
        continuous: For the others.
        parts: Their action dimensions, from `split`.
    """

    continuous: ActionHead
    place: Tensor

    def __init__(self, discrete: DiscreteHead, continuous: ActionHead, parts: tuple[list[int], list[int]]):
        super().__init__()
        self.discrete, self.continuous, self.parts = discrete, continuous, parts
        place = torch.tensor([*parts[0], *parts[1]], device="cpu").argsort()
        self.register_buffer("place", place, persistent=False)

    def fit(self, actions: Float[Tensor, "m a"]) -> None:
        """Takes the values of the discrete dimensions from training data, scaled to [−1, 1]."""
        self.discrete.fit(actions[:, self.parts[0]])

    def loss(
        self,
        context: Float[Tensor, "b c w"],
        target: Float[Tensor, "b s a"],
        valid: Bool[Tensor, "b s"],
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "b s a"]]:
        """Both losses, weighted by their dimensions, and both guesses."""
        losses, guesses = [], []
        for head, part in zip((self.discrete, self.continuous), self.parts):
            loss, guess = head.loss(context, target[..., part], valid, generator=generator)
            losses.append(loss * len(part) / target.shape[-1])
            guesses.append(guess)
        return losses[0] + losses[1], self._join(guesses)

    def sample(
        self, context: Float[Tensor, "b c w"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b s a"]:
        """Both samples, each dimension in its place."""
        return self._join([head.sample(context, generator=generator) for head in (self.discrete, self.continuous)])

    def _join(self, guesses: list[Tensor]) -> Tensor:
        return torch.cat(guesses, dim=-1)[..., self.place]


def split(discrete: Sequence[int], action_width: int) -> tuple[list[int], list[int]]:
    """The discrete action dimensions and the others.

    Raises:
        UsageError: A dimension does not exist, or none is left for the continuous head.
    """
    others = [i for i in range(action_width) if i not in discrete]
    if len(others) + len(discrete) != action_width or not others:
        raise UsageError(
            "discrete action dimensions do not fit the actions",
            got=", ".join(map(str, discrete)),
            allowed=f"some of 0 … {action_width - 1}, but not all",
        )
    return list(discrete), others
