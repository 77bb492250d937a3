"""Multi-head attention over a context or over itself, with a preallocated cache of keys and values."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class LayerCache:
    """Keys and values of the positions seen so far, in memory reserved once.

    Args:
        batch: Sequences.
        heads: Attention heads.
        capacity: Positions there is room for.
        head_width: Channels of one head.
        like: Gives data type and device.
    """

    def __init__(self, batch: int, heads: int, capacity: int, head_width: int, like: Tensor):
        self.store = torch.empty(2, batch, heads, capacity, head_width, dtype=like.dtype, device=like.device)
        self.length = 0

    def extend(self, keys: Float[Tensor, "b h m d"], values: Float[Tensor, "b h m d"]) -> tuple[Tensor, Tensor]:
        """Appends M positions; all keys and values up to now, each (b, h, length, d)."""
        start, self.length = self.length, self.length + keys.shape[2]
        assert self.length <= self.store.shape[3], "the cache was reserved for fewer positions"
        self.store[0, :, :, start : self.length] = keys
        self.store[1, :, :, start : self.length] = values
        return self.store[0, :, :, : self.length], self.store[1, :, :, : self.length]


class Attention(nn.Module):
    """Queries from ``x``, keys and values from ``context`` (or from ``x`` itself).

    Args:
        width: Channels of input and output.
        heads: Must divide the width.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "b m w"],
        context: Float[Tensor, "b c w"] | None = None,
        mask: Bool[Tensor, "m keys"] | None = None,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "b m w"]:
        """What each position of ``x`` gathers.

        Args:
            x: The positions that ask.
            context: Where they look; themselves by default.
            mask: True where a query may look at a key, cached ones included.
            cache: Earlier positions that are seen as well; ``x`` is appended to it.
        """
        batch, length, width = x.shape
        source = x if context is None else context
        query = self.query(x).view(batch, length, self.heads, -1).transpose(1, 2)
        key, value = self.key_value(source).view(batch, source.shape[1], 2 * self.heads, -1).transpose(1, 2).chunk(2, 1)
        if cache is not None:
            key, value = cache.extend(key, value)
        gathered = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(gathered.transpose(1, 2).reshape(batch, length, width))
