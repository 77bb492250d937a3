"""The network of diffusion and flow that starts from what heads without noise are made of: learned action queries.

With the noisy chunk left out, it is the query trunk of the Gaussian and L1 heads, so it learns as fast as these what
does not depend on the noise; the noisy chunk and its level are added to the queries.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amplify.inverse.denoiser import Seen, padding_mask, sinusoid
from amplify.nn.transformer import CrossTransformer, embedding_table

NOISY_SHARE = 0.3
"""How loud the noisy chunk and its level are beside the queries before training: louder, noise drowns which action of
the chunk is which, and learning takes several times as long."""


class QueryDenoiser(nn.Module):
    """What a noisy action chunk, its noise level and the context say about the noise, one row an action.

    Args:
        width: Channels.
        layers: Pairs of blocks.
        heads: Attention heads.
        dropout: Residual dropout.
        action_width: Action dimensions.
        horizon: Actions of a chunk.
    """

    def __init__(self, width: int, layers: int, heads: int, dropout: float, *, action_width: int, horizon: int):
        super().__init__()
        self.width, self.action_shape = width, (horizon, action_width)
        self.queries = embedding_table(horizon, width)
        self.enter = nn.Linear(action_width, width)
        add_level = nn.Linear(width, width)
        self.level = nn.Sequential(nn.Linear(width, width), nn.SiLU(), add_level)
        self.transformer = CrossTransformer(width, layers, heads, dropout)
        self.out = nn.Linear(width, action_width)
        with torch.no_grad():
            self.queries.mul_(width**0.5)
            for parameter in (*self.enter.parameters(), *add_level.parameters()):
                parameter.mul_(NOISY_SHARE)

    def see(self, context: Float[Tensor, "b c w"]) -> Seen:
        """Keys and values of the context in every layer: the same at all noise levels, so computed once."""
        return self.transformer.see(context)

    def forward(
        self,
        noisy: Float[Tensor, "b s a"],
        level: Float[Tensor, " b"],
        seen: Seen,
        valid: Bool[Tensor, "b s"] | None = None,
    ) -> Float[Tensor, "b s a"]:
        """What is learned of the noise; see `amplify.inverse.denoiser.Denoiser.forward`."""
        level = self.level(sinusoid(level.float(), self.width).to(noisy.dtype))
        x = self.queries + self.enter(noisy) + level[:, None]
        return self.out(self.transformer(x, seen=seen, mask=None if valid is None else padding_mask(valid)))
