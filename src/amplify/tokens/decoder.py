"""Codes → for every (view, step, point) a distribution over the local window."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from amplify.nn.transformer import CrossTransformer, embedding_table
from amplify.tokens.config import TokenizerConfig
from amplify.tokens.point_embedding import PointPosition, PointTable


class TokenDecoder(nn.Module):
    """Step queries attend to the codes; an MLP on [step; point; view] gives the logits of each displacement.

    The MLP's first layer is linear in a concatenation, so W[x; p; v] = Wx·x + Wp·p + Wv·v is computed on T + N + V
    rows instead of T·N·V. The residual second layer of the reference and the classifier have nothing between them;
    they are one matrix here, and what the residual carries past the second layer is classified on T rows.

    Args:
        config: Of the tokenizer.
    """

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        width, hidden, classes = config.width, config.decoder_hidden, config.window**2
        self.code_in_query, self.joint = config.code_in_query, config.tokens_per == "joint"
        self.code = nn.Linear(len(config.levels), width)
        self.code_positions = embedding_table(config.tokens, width) if config.key_positions else None
        self.queries = embedding_table(config.tokens, width)
        self.transformer = CrossTransformer(width, config.decoder_layers, config.heads, config.dropout)
        table = config.point_embedding == "table"
        self.point = PointTable(config.points, width) if table else PointPosition(width)
        self.view = embedding_table(config.views, width)
        self.from_step = nn.Linear(width, hidden)
        self.from_point = nn.Linear(width, hidden, bias=False)
        self.from_view = nn.Linear(width, hidden, bias=False)
        self.classifier = nn.Linear(hidden, classes)
        self.step_classifier = nn.Linear(width, classes, bias=False) if config.step_residual else None
        with torch.no_grad():
            self.classifier.bias[classes // 2] += config.centre_bias

    def forward(self, codes: Float[Tensor, "b k c"]) -> Float[Tensor, "b k w"]:
        """What happens at each step, for all points together; with a string a view, for those of each view."""
        embedded = self.code(codes)
        queries = self.queries + (embedded if self.code_in_query else torch.zeros_like(embedded))
        return self.transformer(queries, embedded if self.code_positions is None else embedded + self.code_positions)

    def logits(
        self,
        states: Float[Tensor, "b k w"],
        queries: Float[Tensor, "#b v n 2"],
        *,
        chosen: Int[Tensor, "#b v n"] | None = None,
        steps: Sequence[int] | None = None,
    ) -> Float[Tensor, "b v t n classes"]:
        """Scores of each displacement class.

        Args:
            states: From `forward`.
            queries: Normalised start points, shared by the batch where its first axis is 1.
            chosen: Which points of the grid they are, for a table of points; the whole grid by default.
            steps: Which track steps are wanted; all by default.
        """
        states = states.unflatten(1, (1 if self.joint else len(self.view), -1))  # (b, v or 1, t, w)
        if steps is not None:
            states = states[:, :, list(steps)]
        where = self.from_point(self.point(queries, chosen)) + self.from_view(self.view)[:, None]
        hidden = self.from_step(states)[:, :, :, None] + where[:, :, None]  # (b, v, t, n, h)
        scores = self.classifier(hidden.relu())
        return scores if self.step_classifier is None else scores + self.step_classifier(states)[:, :, :, None]
