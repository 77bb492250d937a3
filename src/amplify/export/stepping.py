"""One step of decoding as a function of tensors alone: the place is a tensor, and the cache goes in and out."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from amplify.forward import ForwardDynamics
from amplify.nn.attention import LayerCache
from amplify.types import Features


class PlacedCache(LayerCache):
    """Keys and values at all positions, written at one that is known only when it runs.

    Args:
        store: Keys, then values.
        position: Where the next position is written, a scalar.
    """

    def __init__(self, store: Float[Tensor, "2 b h capacity d"], position: Int[Tensor, ""]):
        self.store, self.length = store, store.shape[3]
        self.here = (torch.arange(self.length, device=store.device) == position)[:, None]

    def extend(self, keys: Float[Tensor, "b h 1 d"], values: Float[Tensor, "b h 1 d"]) -> tuple[Tensor, Tensor]:
        """Writes one position; keys and values of all, each (b, h, capacity, d)."""
        self.store = torch.where(self.here, torch.stack((keys, values)), self.store)
        return self.store[0], self.store[1]


def first_cache(model: ForwardDynamics, features: Features) -> Float[Tensor, "layers 2 b h capacity d"]:
    """Keys and values of the conditioning in every layer, and zeros where the string will be.

    Args:
        model: Reads the conditioning.
        features: Frozen features.
    """
    seen = torch.stack(model.start(features).layers)
    return pad(seen, (0, 0, 0, model.tokens))


def next_scores(
    model: ForwardDynamics,
    before: Int[Tensor, "b 1"],
    place: Int[Tensor, ""],
    cache: Float[Tensor, "layers 2 b h capacity d"],
) -> tuple[Float[Tensor, "b classes"], Float[Tensor, "layers 2 b h capacity d"]]:
    """Scores of one token, and the cache with what was read for them.

    Args:
        model: Forward dynamics.
        before: The token before it; any at place 0.
        place: Its place in the string, a scalar.
        cache: From `first_cache`, or of the step before.
    """
    position = cache.shape[4] - model.tokens + place
    x = model.code(model.codebook.codes(before))
    x = torch.where(place == 0, model.start_token, x) + model.token_positions[place]
    caches = [PlacedCache(store, position) for store in cache.unbind()]
    mask = (torch.arange(cache.shape[4], device=cache.device) <= position)[None]
    hidden = model.trunk(x, mask, list[LayerCache](caches), last=1)[:, -1]
    return model.classifier(hidden), torch.stack([each.store for each in caches])
