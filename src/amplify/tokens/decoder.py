"""Codes → for every (view, step, point) a distribution over the local window."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear

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

    def place(
        self, queries: Float[Tensor, "#b #v n 2"], chosen: Int[Tensor, "#b #v n"] | None = None
    ) -> Float[Tensor, "#b v n h"]:
        """What the points and their views add to the hidden layer.

        Args:
            queries: Normalised start points, shared by the batch, or by the views, where the axis is 1.
            chosen: Which points of the grid they are, for a table of points; the whole grid by default.
        """
        return self.from_point(self.point(queries, chosen)) + self.from_view(self.view)[:, None]

    def of_views(self, states: Float[Tensor, "b k w"]) -> Float[Tensor, "b strings t w"]:
        """The states of `forward`, string by string: one for all views, or one a view."""
        return states.unflatten(1, (1 if self.joint else len(self.view), -1))

    def scores(
        self, states: Float[Tensor, "b strings t w"], place: Float[Tensor, "#b v n h"]
    ) -> Float[Tensor, "b v t n classes"]:
        """Scores of each displacement class.

        Args:
            states: From `of_views`, or some of its steps.
            place: From `place`.
        """
        hidden = (self.from_step(states)[:, :, :, None] + place[:, :, None]).relu_()  # (b, v, t, n, h)
        if self.step_classifier is None:
            return self.classifier(hidden)
        of_steps = linear(states, self.step_classifier.weight, self.classifier.bias)
        return linear(hidden, self.classifier.weight).add_(of_steps[:, :, :, None])

    def logits(
        self,
        states: Float[Tensor, "b k w"],
        queries: Float[Tensor, "#b #v n 2"],
        chosen: Int[Tensor, "#b #v n"] | None = None,
    ) -> Float[Tensor, "b v t n classes"]:
        """`scores` of all steps, from the states of `forward` and the arguments of `place`."""
        return self.scores(self.of_views(states), self.place(queries, chosen))
