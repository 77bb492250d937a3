"""Pre-norm transformers."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import gelu

from amplify.nn.attention import Attention, LayerCache
from amplify.nn.dropout import Dropout


def embedding_table(*shape: int) -> nn.Parameter:
    """A learned table of embeddings (positions, views, queries); the last axis is the width."""
    return nn.Parameter(torch.randn(*shape) * shape[-1] ** -0.5)


class Block(nn.Module):
    """Attention and a four times wider MLP, both normalised before and added to the residual stream.

    Args:
        width: Channels.
        heads: Attention heads.
        dropout: On what each half adds to the stream.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.attention = Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width, bias=False)
        self.widen = nn.Linear(width, 4 * width, bias=False)
        self.narrow = nn.Linear(4 * width, width, bias=False)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "b m w"],
        context: Float[Tensor, "b c w"] | None = None,
        mask: Bool[Tensor, "*rows m keys"] | None = None,
        cache: LayerCache | None = None,
        last: int | None = None,
        seen: tuple[Tensor, Tensor] | None = None,
    ) -> Float[Tensor, "b kept w"]:
        """The stream after one block; it attends to itself where no context is given.

        Args:
            x: The stream.
            context: Where it looks; at itself by default.
            mask: True where a query may look at a key.
            cache: Earlier positions that are seen as well.
            last: Only so many positions at the end are wanted; the others are seen, but cost no query and no MLP.
            seen: Keys and values of the context, in its place.
        """
        normal = self.attention_norm(x)
        if last is not None and last < x.shape[1]:
            context = normal if context is None else context
            x, normal, mask = x[:, -last:], normal[:, -last:], None if mask is None else mask[..., -last:, :]
        x = x + self.dropout(self.attention(normal, context, mask, cache, seen))
        return x + self.dropout(self.narrow(gelu(self.widen(self.mlp_norm(x)))))


class Transformer(nn.Module):
    """Self-attention blocks and a last norm.

    Args:
        width: Channels.
        layers: Blocks.
        heads: Attention heads.
        dropout: Residual dropout.
    """

    def __init__(self, width: int, layers: int, heads: int, dropout: float = 0.0):
        super().__init__()
        self.width, self.heads = width, heads
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)

    def new_cache(self, batch: int, capacity: int) -> list[LayerCache]:
        """Room for the keys and values of ``capacity`` positions in every layer."""
        like = self.norm.weight
        return [LayerCache(batch, self.heads, capacity, self.width // self.heads, like) for _ in self.blocks]

    def forward(
        self,
        x: Float[Tensor, "b m w"],
        mask: Bool[Tensor, "m keys"] | None = None,
        cache: list[LayerCache] | None = None,
        last: int | None = None,
    ) -> Float[Tensor, "b kept w"]:
        """The normalised stream after all blocks.

        Args:
            x: Embedded positions.
            mask: True where a query may look at a key.
            cache: Earlier positions, from `new_cache`; ``x`` is appended to it.
            last: Only so many positions at the end are wanted: the last block is spared the others.
        """
        for i, block in enumerate(self.blocks):
            wanted = last if i == len(self.blocks) - 1 else None
            x = block(x, None, mask, None if cache is None else cache[i], wanted)
        return self.norm(x)


class CrossTransformer(nn.Module):
    """Layers of a self-attention block and a block that attends to a context, and a last norm.

    Args:
        width: Channels.
        layers: Pairs of blocks.
        heads: Attention heads.
        dropout: Residual dropout.
    """

    def __init__(self, width: int, layers: int, heads: int, dropout: float = 0.0):
        super().__init__()
        self.among = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.across = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)

    def see(self, context: Float[Tensor, "b c w"]) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the context in every layer: to be computed once where several streams look at it."""
        return [block.attention.keys_values(context) for block in self.across if isinstance(block, Block)]

    def forward(
        self,
        x: Float[Tensor, "b m w"],
        context: Float[Tensor, "b c w"] | None = None,
        *,
        seen: list[tuple[Tensor, Tensor]] | None = None,
        mask: Bool[Tensor, "*rows m m"] | None = None,
    ) -> Float[Tensor, "b m w"]:
        """The normalised stream; positions must already be part of ``x`` and of the context.

        Args:
            x: The stream.
            context: What it looks at, unless ``seen`` is given.
            seen: From `see`.
            mask: True where a position of the stream may look at another.
        """
        if seen is None:
            assert context is not None, "a context, or what was seen of it"
            seen = self.see(context)
        for among, across, keys_values in zip(self.among, self.across, seen):
            x = across(among(x, None, mask), seen=keys_values)
        return self.norm(x)
