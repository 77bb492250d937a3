"""Velocities → one latent a step."""

from jaxtyping import Float
from torch import Tensor, nn

from amplify.nn.masks import MASKS
from amplify.nn.transformer import Transformer, embedding_table


class TokenEncoder(nn.Module):
    """All points of all views at one step are one input vector; a transformer mixes the steps.

    Args:
        views: Cameras.
        points: Points a view, always in the same order.
        steps: Track steps.
        width: Channels.
        layers: Transformer blocks.
        heads: Attention heads.
        out: Channels of the latent (one an FSQ level).
        mask: "causal", "per-step" or "full": which steps a step may see.
        dropout: Residual dropout.
    """

    def __init__(
        self,
        *,
        views: int,
        points: int,
        steps: int,
        width: int,
        layers: int,
        heads: int,
        out: int,
        mask: str,
        dropout: float,
    ):
        super().__init__()
        self.mask = mask
        self.embed = nn.Linear(views * points * 2, width)
        self.positions = embedding_table(steps, width)
        self.transformer = Transformer(width, layers, heads, dropout)
        self.out = nn.Linear(width, out)

    def forward(self, velocities: Float[Tensor, "b v t n 2"]) -> Float[Tensor, "b t c"]:
        """One latent a step.

        Args:
            velocities: Displacement per step, about unit variance; zero where unknown.
        """
        steps = self.embed(velocities.movedim(2, 1).flatten(2)) + self.positions  # (b, t, w)
        mask = MASKS[self.mask](steps.shape[1], steps.device)
        return self.out(self.transformer(steps, mask))
