"""What forward dynamics has seen before the first token, computed once and read by every continuation."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from amplify.nn.attention import LayerCache


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """Keys and values of the conditioning tokens in every layer.

    Args:
        layers: Keys, then values, of each layer.
    """

    layers: tuple[Float[Tensor, "2 b heads c d"], ...]

    def __len__(self) -> int:
        """Windows that were conditioned on."""
        return self.layers[0].shape[1]

    @property
    def tokens(self) -> int:
        """Conditioning tokens of a window."""
        return self.layers[0].shape[3]

    def caches(self, count: int, room: int) -> list[LayerCache]:
        """A cache a layer that begins with the prefix, each window's repeated.

        Args:
            count: Continuations of each window; they follow one another.
            room: Positions after the prefix that there is room for.
        """
        caches: list[LayerCache] = []
        for keys_values in self.layers:
            _, batch, heads, tokens, width = keys_values.shape
            cache = LayerCache(batch * count, heads, tokens + room, width, keys_values)
            cache.extend(*keys_values.repeat_interleave(count, dim=1))
            caches.append(cache)
        return caches
