"""A plain formulation of what the reference implementation computes, on the weights of our modules.

It is the readable twin of the fast paths and what they are timed against: a full pass of forward dynamics for every
token, the tokenizer's decoder on the concatenation [step; point; view] of every (view, step, point), nothing kept from
one call to the next except the encoded instruction. The functions are the same up to rounding.
"""

from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from amplify.coords import EVALUATION_SIZE_PX, displacements_from_pixels
from amplify.forward import ForwardDynamics
from amplify.nn.attention import Attention
from amplify.nn.dropout import Dropout
from amplify.nn.masks import prefix_causal
from amplify.tokens import MotionTokenizer
from amplify.tokens.decoder import TokenDecoder
from amplify.types import Features, MotionTokens, TrackWindow

Model = TypeVar("Model", bound=nn.Module)


def generate(model: ForwardDynamics, features: Features) -> MotionTokens:
    """The likeliest tokens, one full pass over image, instruction and tokens so far for each."""
    batch = len(features.vision)
    indices = torch.zeros(batch, 0, dtype=torch.long, device=features.vision.device)
    for _ in range(model.tokens):
        indices = torch.cat((indices, next_scores(model, features, indices).argmax(dim=-1)[:, None]), dim=1)
    return MotionTokens(indices=indices)


def next_scores(model: ForwardDynamics, features: Features, indices: Tensor) -> Float[Tensor, "b codes"]:
    """Scores of the token that follows the given ones, (b, so far)."""
    return string_scores(model, features, indices)[:, -1]


def string_scores(model: ForwardDynamics, features: Features, indices: Tensor) -> Float[Tensor, "b seen codes"]:
    """Scores of every token up to the one that follows the given ones, (b, so far)."""
    condition = model.condition(features)
    string = model.embed(torch.cat((torch.zeros_like(condition[:, :1, 0], dtype=torch.long), indices), dim=1), 0)
    x = model.dropout(torch.cat((condition, string), dim=1))
    x = model.trunk(x, prefix_causal(condition.shape[1], string.shape[1], x.device))
    return model.classifier(x[:, condition.shape[1] :])


class PlainDecoder(nn.Module):
    """The tokenizer's decoder on concatenations: first layer, residual second layer and classifier one by one.

    Our decoder holds the second layer and the classifier as one matrix M. Any factors W₂, W with W·W₂ = M give the
    same function; where the step's state is added before the classifier, W is what our decoder applies to it.

    Args:
        decoder: Gives the weights; they are copied. One string for all views together.
    """

    def __init__(self, decoder: TokenDecoder):
        super().__init__()
        assert decoder.joint, "the plain formulation has one string for all views"
        self.decoder = decoder
        first = (decoder.from_step, decoder.from_point, decoder.from_view)
        self.first = nn.Parameter(torch.cat([layer.weight.detach() for layer in first], dim=1))
        self.first_bias = nn.Parameter(decoder.from_step.bias.detach().clone())
        merged = decoder.classifier.weight.detach()  # (classes, hidden)
        (classes, hidden), width = merged.shape, decoder.view.shape[-1]
        self.residual = decoder.step_classifier is not None
        if decoder.step_classifier is not None:
            assert width >= classes, "a narrow projection cannot give back any merged matrix"
            project = decoder.step_classifier.weight.detach()
            second = (torch.linalg.pinv(project.double()) @ merged.double()).to(merged)
        else:
            assert width >= hidden, "a narrow second layer loses what the first one found"
            second = nn.init.orthogonal_(torch.empty(width, hidden)).to(merged)
            project = merged @ second.T
        self.second, self.project = nn.Parameter(second), nn.Parameter(project.clone())
        self.bias = nn.Parameter(decoder.classifier.bias.detach().clone())

    def logits(
        self, steps: Float[Tensor, "b t w"], queries: Float[Tensor, "#b v n 2"]
    ) -> Float[Tensor, "b v t n classes"]:
        """Scores of each displacement class, as `TokenDecoder.logits`."""
        decoder, (batch, time, _) = self.decoder, steps.shape
        views, n = queries.shape[1:3]
        step = steps[:, None, :, None].expand(-1, views, -1, n, -1)
        point = decoder.point(queries)[:, :, None].expand(batch, views, time, -1, -1)
        view = decoder.view[None, :, None, None].expand(batch, -1, time, n, -1)
        hidden = linear(torch.cat((step, point, view), dim=-1), self.first, self.first_bias).relu()
        state = linear(hidden, self.second)
        return linear(state + step if self.residual else state, self.project, self.bias)


def decode(
    tokenizer: MotionTokenizer, decoder: PlainDecoder, tokens: MotionTokens, queries: Float[Tensor, "v n 2"]
) -> TrackWindow:
    """The tracks that tokens (b, k) stand for: likeliest displacements, added up from the query points."""
    logits = decoder.logits(decoder.decoder(tokenizer.codes(tokens)), queries[None])
    steps = displacements_from_pixels(tokenizer.offsets_px[logits.argmax(dim=-1)], EVALUATION_SIZE_PX)
    begin = queries[None, :, None].expand(len(steps), -1, -1, -1, -1)
    points = torch.cat((begin, begin + steps.cumsum(dim=2)), dim=2)
    everywhere = torch.ones(points.shape[:-1], dtype=torch.bool, device=points.device)
    return TrackWindow(points=points, visible=everywhere, valid=everywhere[..., 0])


class DroppingAttention(Attention):
    """Attention that also drops some of its weights at random in training, as the reference implementation's does.

    Args:
        original: Gives the linear maps.
        dropped: Probability that a weight is dropped.
    """

    def __init__(self, original: Attention, dropped: float):
        nn.Module.__init__(self)
        self.heads, self.dropped = original.heads, dropped
        self.query, self.key_value, self.out = original.query, original.key_value, original.out

    def gather(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """As `Attention.gather`, with weights dropped in training."""
        dropped = self.dropped if self.training else 0.0
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropped)


def plain_forward(model: ForwardDynamics) -> ForwardDynamics:
    """Forward dynamics with PyTorch's dropout, on attention weights too."""
    for parent in list(model.trunk.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Attention):
                setattr(parent, name, DroppingAttention(child, model.config.dropout))
    return plain_dropout(model)


def plain_dropout(module: Model) -> Model:
    """The module with PyTorch's dropout in place of ours, which draws a byte where PyTorch's draws a float."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Dropout):
                setattr(parent, name, nn.Dropout(child.dropped / 256))
    return module
