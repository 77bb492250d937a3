"""Learned action queries: what heads without noise put between context and actions."""

from jaxtyping import Float
from torch import Tensor, nn

from amplify.nn.transformer import CrossTransformer, embedding_table


class QueryTrunk(nn.Module):
    """One state an action: learned queries attend to each other and to the context.

    Args:
        width: Channels.
        layers: Pairs of blocks.
        heads: Attention heads.
        dropout: Residual dropout.
        horizon: Actions of a chunk.
    """

    def __init__(self, width: int, layers: int, heads: int, dropout: float, *, horizon: int):
        super().__init__()
        self.width = width
        self.queries = embedding_table(horizon, width)
        self.transformer = CrossTransformer(width, layers, heads, dropout)

    def forward(self, context: Float[Tensor, "b c w"]) -> Float[Tensor, "b s w"]:
        """A normalised state for every action of the chunk."""
        return self.transformer(self.queries.expand(context.shape[0], -1, -1), context)
