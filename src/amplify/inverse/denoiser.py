"""The network of diffusion and flow: a noisy action chunk, its noise level and a context → what to change.

Sources: Peebles and Xie, arXiv 2212.09748 (norms that follow the noise level); Chi et al., Diffusion Policy, arXiv
2303.04137 (the noise level as a token of the context).
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import gelu, silu

from amplify.nn.attention import Attention
from amplify.nn.dropout import Dropout
from amplify.nn.transformer import embedding_table

LEVEL_CHANNELS = 256

Seen = list[tuple[Tensor, Tensor]]
"""Keys and values of the context, a pair a layer."""


def sinusoid(at: Float[Tensor, " b"], channels: int) -> Float[Tensor, "b channels"]:
    """Sines, then cosines, of a number at wavelengths from 2π to 10000 · 2π; an even number of channels, at least 4."""
    half = channels // 2
    frequency = torch.exp(torch.arange(half, device=at.device) * -(math.log(10000) / (half - 1)))
    angle = at[:, None] * frequency
    return torch.cat((angle.sin(), angle.cos()), dim=-1)


def repeated(seen: Seen, times: int) -> Seen:
    """What was seen, for so many chunks a context, which follow one another."""
    return [(k.repeat_interleave(times, dim=0), v.repeat_interleave(times, dim=0)) for k, v in seen]


def padding_mask(valid: Bool[Tensor, "b s"]) -> Bool[Tensor, "b 1 s s"]:
    """Which actions may look at which: at those before the end, and each at itself.

    Args:
        valid: False for actions past the end.
    """
    # A row without any key would be undefined.
    return (valid[:, None] | torch.eye(valid.shape[1], dtype=torch.bool, device=valid.device))[:, None]


class LevelNorm(nn.Module):
    """A layer norm whose scale and shift follow the noise level, or are learned constants.

    Args:
        width: Channels.
        adaptive: Whether they follow the noise level.
        eps: Added to the variance.
    """

    def __init__(self, width: int, *, adaptive: bool, eps: float = 1e-5):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=eps, elementwise_affine=not adaptive)
        self.modulate = nn.Linear(width, 2 * width) if adaptive else None

    def forward(self, x: Float[Tensor, "b s w"], level: Float[Tensor, "b w"]) -> Float[Tensor, "b s w"]:
        """The normalised stream."""
        if self.modulate is None:
            return self.norm(x)
        scale, shift = self.modulate(silu(level))[:, None].chunk(2, dim=-1)
        return self.norm(x) * (1 + scale) + shift


class DenoiserLayer(nn.Module):
    """Actions attend to each other and to the context; then an MLP.

    Args:
        width: Channels.
        heads: Attention heads.
        dropout: On what each part adds to the stream.
        adaptive: Whether the norms follow the noise level.
        steps_attend: Whether actions attend to each other.
    """

    def __init__(self, width: int, heads: int, dropout: float, *, adaptive: bool, steps_attend: bool):
        super().__init__()
        self.steps_attend = steps_attend
        if steps_attend:
            self.among_norm = LevelNorm(width, adaptive=adaptive)
            self.among = Attention(width, heads, bias=True)
        self.across_norm = LevelNorm(width, adaptive=adaptive)
        self.across = Attention(width, heads, bias=True)
        self.mlp_norm = nn.LayerNorm(width, elementwise_affine=not adaptive)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.dropout = Dropout(dropout)
        self.approximate = "tanh" if adaptive else "none"

    def forward(
        self,
        x: Float[Tensor, "b s w"],
        level: Float[Tensor, "b w"],
        positions: Float[Tensor, "s w"] | None,
        seen: tuple[Tensor, Tensor],
        mask: Bool[Tensor, "b 1 s s"] | None,
    ) -> Float[Tensor, "b s w"]:
        """The stream after one layer.

        Args:
            x: The stream.
            level: Embedding of the noise level.
            positions: Added to what asks, where positions are not part of the stream.
            seen: Keys and values of the context.
            mask: Which actions may look at which.
        """

        def asking(norm: LevelNorm) -> Tensor:
            normal = norm(x, level)
            return normal if positions is None else normal + positions

        if self.steps_attend:
            x = x + self.dropout(self.among(asking(self.among_norm), mask=mask))
        x = x + self.dropout(self.across(asking(self.across_norm), seen=seen))
        hidden = gelu(self.widen(self.mlp_norm(x)), approximate=self.approximate)
        return x + self.dropout(self.narrow(hidden))


class Denoiser(nn.Module):
    """What a noisy action chunk, its noise level and the context say about the noise, one row an action.

    Args:
        width: Channels.
        layers: Layers.
        heads: Attention heads.
        dropout: Residual dropout.
        action_width: Action dimensions.
        horizon: Actions of a chunk.
        context_tokens: Tokens of the context.
        adaptive: Whether norms follow the noise level; if not, the level is one more token of the context.
        steps_attend: Whether actions attend to each other.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        dropout: float,
        *,
        action_width: int,
        horizon: int,
        context_tokens: int,
        adaptive: bool = True,
        steps_attend: bool = True,
    ):
        super().__init__()
        self.width, self.adaptive, self.action_shape = width, adaptive, (horizon, action_width)
        self.enter = nn.Linear(action_width, width)
        self.positions = embedding_table(horizon, width)
        if adaptive:
            self.level = nn.Sequential(nn.Linear(LEVEL_CHANNELS, width), nn.SiLU(), nn.Linear(width, width))
        else:
            self.context = nn.Linear(width, width)
            self.context_positions = embedding_table(1 + context_tokens, width)
            self.memory = nn.Sequential(nn.Linear(width, 4 * width), nn.Mish(), nn.Linear(4 * width, width))
        self.layers = nn.ModuleList(
            DenoiserLayer(width, heads, dropout, adaptive=adaptive, steps_attend=steps_attend) for _ in range(layers)
        )
        self.norm = LevelNorm(width, adaptive=adaptive, eps=1e-6 if adaptive else 1e-5)
        self.out = nn.Linear(width, action_width)

    def see(self, context: Float[Tensor, "b c w"]) -> Seen:
        """Keys and values of the context in every layer: the same at all noise levels, so computed once."""
        memory = context if self.adaptive else self.memory(self.context(context) + self.context_positions[1:])
        return [layer.across.keys_values(memory) for layer in self._layers()]

    def forward(
        self,
        noisy: Float[Tensor, "b s a"],
        level: Float[Tensor, " b"],
        seen: Seen,
        valid: Bool[Tensor, "b s"] | None = None,
    ) -> Float[Tensor, "b s a"]:
        """What is learned of the noise.

        Args:
            noisy: Actions, more or less noisy, in scaled units.
            level: How noisy; any number, as long as it is the same in training and sampling.
            seen: From `see`.
            valid: False for actions past the end, which no other action may look at.
        """
        x, positions = self.enter(noisy), self.positions
        level = sinusoid(level.float(), LEVEL_CHANNELS if self.adaptive else self.width).to(noisy.dtype)
        if self.adaptive:
            level = self.level(level)
        else:
            x, positions = x + positions, None
            seen = self._with_level(seen, level)
        mask = None if valid is None else padding_mask(valid)
        for layer, keys_values in zip(self._layers(), seen):
            x = layer(x, level, positions, keys_values, mask)
        return self.out(self.norm(x, level))

    def _with_level(self, seen: Seen, level: Tensor) -> Seen:
        token = self.memory(level + self.context_positions[0])[:, None]
        own = (layer.across.keys_values(token) for layer in self._layers())
        return [(torch.cat((k, a), dim=2), torch.cat((v, b), dim=2)) for (k, v), (a, b) in zip(seen, own)]

    def _layers(self) -> list[DenoiserLayer]:
        return [layer for layer in self.layers if isinstance(layer, DenoiserLayer)]
