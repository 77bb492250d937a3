"""Codes → for every (view, step, point) a distribution over the local window."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from amplify.nn.transformer import CrossTransformer, embedding_table

_BANDS = 6
"""Octaves of the point embedding's sines: the finest has a period of 2^-5 of the frame's side, 4 px of 128."""


def fourier_features(points: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b f"]:
    """Sines and cosines of normalised points in six octaves, and the points themselves."""
    angles = points[..., None] * (math.pi * 2.0 ** torch.arange(_BANDS, device=points.device))  # (*b, 2, bands)
    return torch.cat((points, angles.sin().flatten(-2), angles.cos().flatten(-2)), dim=-1)


class TokenDecoder(nn.Module):
    """Step queries attend to the codes; an MLP on [step; point; view] gives the logits of each displacement.

    The MLP's first layer is linear in a concatenation, so W[x; p; v] = Wx·x + Wp·p + Wv·v is computed on T + N + V
    rows instead of T·N·V. The residual second layer of the reference and the classifier have nothing between them;
    they are one matrix here. Points are embedded by position, so any query point can be decoded.

    Args:
        views: Cameras.
        steps: Track steps, as many as codes.
        width: Channels.
        layers: Transformer layers.
        heads: Attention heads.
        hidden: Channels of the MLP.
        code_width: Channels of a code.
        code_in_query: Whether a step's query holds the step's own code beside its position.
        key_positions: Whether codes carry their positions where steps attend to them.
        window: Side of the local window in pixels.
        centre_bias: First logit of "does not move"; most points of a fixed camera do not.
        dropout: Residual dropout.
    """

    def __init__(
        self,
        *,
        views: int,
        steps: int,
        width: int,
        layers: int,
        heads: int,
        hidden: int,
        code_width: int,
        code_in_query: bool,
        key_positions: bool,
        window: int,
        centre_bias: float,
        dropout: float,
    ):
        super().__init__()
        self.code_in_query, self.key_positions = code_in_query, key_positions
        self.code = nn.Linear(code_width, width)
        self.code_positions = embedding_table(steps, width)
        self.queries = embedding_table(steps, width)
        self.transformer = CrossTransformer(width, layers, heads, dropout)
        self.point = nn.Sequential(nn.Linear(2 + 4 * _BANDS, width), nn.GELU(), nn.Linear(width, width))
        self.view = embedding_table(views, width)
        self.from_step = nn.Linear(width, hidden)
        self.from_point = nn.Linear(width, hidden, bias=False)
        self.from_view = nn.Linear(width, hidden, bias=False)
        self.classifier = nn.Linear(hidden, window * window)
        with torch.no_grad():
            self.classifier.bias[window * window // 2] += centre_bias

    def forward(self, codes: Float[Tensor, "b t c"]) -> Float[Tensor, "b t w"]:
        """What happens at each step, for all points together."""
        embedded = self.code(codes)
        queries = self.queries + (embedded if self.code_in_query else torch.zeros_like(embedded))
        return self.transformer(queries, embedded + self.code_positions if self.key_positions else embedded)

    def logits(
        self, steps: Float[Tensor, "b t w"], queries: Float[Tensor, "#b v n 2"]
    ) -> Float[Tensor, "b v t n classes"]:
        """Scores of each displacement class.

        Args:
            steps: From `forward`.
            queries: Normalised start points, shared by the batch where its first axis is 1.
        """
        where = self.from_point(self.point(fourier_features(queries))) + self.from_view(self.view)[:, None]
        hidden = self.from_step(steps)[:, None, :, None] + where[:, :, None]  # (b, v, t, n, h)
        return self.classifier(hidden.relu())
