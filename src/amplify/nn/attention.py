"""Multi-head attention over a context or over itself, with a preallocated cache of keys and values."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

FEW = 32
"""Masked queries up to which plain products are used on a GPU: with the kernel for masks, a plan of the paper's size as
graphs of fused kernels took 8.1 ms, with products 7.5 ms (H100, 14 passes)."""


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

    @classmethod
    def of(cls, store: Float[Tensor, "2 b h capacity d"], length: int) -> "LayerCache":
        """A cache whose memory is there, its first positions seen already.

        Args:
            store: Keys, then values.
            length: Positions seen.
        """
        cache = cls.__new__(cls)
        cache.store, cache.length = store, length
        return cache

    def extend(self, keys: Float[Tensor, "b h m d"], values: Float[Tensor, "b h m d"]) -> tuple[Tensor, Tensor]:
        """Appends M positions; all keys and values up to now, each (b, h, length, d)."""
        start, self.length = self.length, self.length + keys.shape[2]
        assert self.length <= self.store.shape[3], "the cache was reserved for fewer positions"
        self.store[0, :, :, start : self.length] = keys
        self.store[1, :, :, start : self.length] = values
        return self.store[0, :, :, : self.length], self.store[1, :, :, : self.length]

    def truncate(self, length: int) -> None:
        """Forgets all but the first positions.

        Args:
            length: Positions that stay, at most those seen so far.
        """
        assert 0 <= length <= self.length, "a cache cannot be rolled forward"
        self.length = length

    @property
    def seen(self) -> Float[Tensor, "2 b h length d"]:
        """Keys, then values, of the positions seen so far."""
        return self.store[..., : self.length, :]


class Attention(nn.Module):
    """Queries from ``x``, keys and values from ``context`` (or from ``x`` itself).

    Args:
        width: Channels of input and output.
        heads: Must divide the width.
        bias: Whether the four linear maps have one.
    """

    def __init__(self, width: int, heads: int, bias: bool = False):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=bias)
        self.key_value = nn.Linear(width, 2 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def keys_values(self, context: Float[Tensor, "b c w"]) -> tuple[Float[Tensor, "b h c d"], Float[Tensor, "b h c d"]]:
        """What can be looked at: to be computed once where several calls look at the same context."""
        batch, length, _ = context.shape
        key, value = self.key_value(context).view(batch, length, 2 * self.heads, -1).transpose(1, 2).chunk(2, 1)
        return key, value

    def forward(
        self,
        x: Float[Tensor, "b m w"],
        context: Float[Tensor, "b c w"] | None = None,
        mask: Bool[Tensor, "*rows m keys"] | None = None,
        cache: LayerCache | None = None,
        seen: tuple[Tensor, Tensor] | None = None,
    ) -> Float[Tensor, "b m w"]:
        """What each position of ``x`` gathers.

        Args:
            x: The positions that ask.
            context: Where they look; themselves by default.
            mask: True where a query may look at a key, cached ones included; the same for every sequence, or (b, 1, m,
                keys).
            cache: Earlier positions that are seen as well; ``x`` is appended to it.
            seen: Keys and values of `keys_values`, in place of a context.
        """
        batch, length, width = x.shape
        query = self.query(x).view(batch, length, self.heads, -1).transpose(1, 2)
        key, value = self.keys_values(x if context is None else context) if seen is None else seen
        if cache is not None:
            key, value = cache.extend(key, value)
        return self.out(self.gather(query, key, value, mask).transpose(1, 2).reshape(batch, length, width))

    def gather(
        self,
        query: Float[Tensor, "b h m d"],
        key: Float[Tensor, "b h c d"],
        value: Float[Tensor, "b h c d"],
        mask: Bool[Tensor, "*rows m c"] | None,
    ) -> Float[Tensor, "b h m d"]:
        """What each query gathers of the values, head by head."""
        if mask is not None and query.is_cuda and query.shape[2] <= FEW and not torch.is_grad_enabled():
            scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
            return scores.masked_fill(~mask, -torch.inf).softmax(dim=-1) @ value
        return scaled_dot_product_attention(query, key, value, attn_mask=mask)
