"""Velocities → one latent a token."""

from jaxtyping import Float
from torch import Tensor, nn

from amplify.nn.masks import MASKS
from amplify.nn.transformer import Transformer, embedding_table
from amplify.tokens.config import TokenizerConfig


class TokenEncoder(nn.Module):
    """All points at one step, of all views or of one, are one input vector; a transformer mixes the steps.

    Args:
        config: Of the tokenizer.
    """

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        self.mask, self.joint = config.encoder_mask, config.tokens_per == "joint"
        self.embed = nn.Linear((config.views if self.joint else 1) * config.points * 2, config.width)
        self.positions = embedding_table(config.tokens, config.width)
        self.transformer = Transformer(config.width, config.encoder_layers, config.heads, config.dropout)
        self.out = nn.Linear(config.width, len(config.levels))

    def states(self, velocities: Float[Tensor, "b v t n 2"]) -> Float[Tensor, "b k w"]:
        """What the transformer makes of each token's step.

        Args:
            velocities: Displacement per step, about unit variance; zero where unknown.
        """
        rows = velocities.movedim(2, 1).flatten(2) if self.joint else velocities.flatten(1, 2).flatten(2)
        steps = self.embed(rows) + self.positions  # (b, k, w)
        return self.transformer(steps, MASKS[self.mask](steps.shape[1], steps.device))

    def forward(self, velocities: Float[Tensor, "b v t n 2"]) -> Float[Tensor, "b k c"]:
        """One latent a token, a channel an FSQ level; the arguments are those of `states`."""
        return self.out(self.states(velocities))
