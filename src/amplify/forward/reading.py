"""One reading of token strings by forward dynamics, with all that it remembers."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from amplify.nn.attention import LayerCache
from amplify.nn.masks import prefix_causal
from amplify.nn.transformer import Transformer


@runtime_checkable
class StringModel(Protocol):
    """What is read with."""

    tokens: int
    trunk: Transformer
    classifier: nn.Linear

    def embed(self, before: Int[Tensor, "b m"], at: int) -> Float[Tensor, "b m w"]:
        """What the trunk sees at M positions of the string, given the token before each."""
        ...


class Reading:
    """Scores of tokens after a conditioning; keys and values of what was read are kept.

    Args:
        model: Reads.
        caches: One a layer, with room for the conditioning and a string; the conditioning in them unless ``unread``.
        prefix: Conditioning tokens.
        unread: Those tokens, where they go along with the first pass.
    """

    def __init__(
        self,
        model: StringModel,
        caches: list[LayerCache],
        *,
        prefix: int,
        unread: Float[Tensor, "b c w"] | None = None,
    ):
        self.model, self.tokens = model, model.tokens
        self.caches, self._prefix, self._unread = caches, prefix, unread

    @property
    def blank(self) -> Int[Tensor, "b 1"]:
        """What stands before the first token of every string."""
        store = self.caches[0].store
        return torch.zeros(store.shape[1], 1, dtype=torch.long, device=store.device)

    def scores(self, before: Int[Tensor, "b m"], at: int) -> Float[Tensor, "b m classes"]:
        """Scores of the M tokens from position ``at`` on.

        Args:
            before: The token before each of them; what it says of position −1 is not used.
            at: Not beyond what was read so far; what was read from here on is forgotten.
        """
        x, length = self.model.embed(before, at), before.shape[1]
        if self._unread is None:
            for cache in self.caches:
                cache.truncate(self._prefix + at)
            mask = None if length == 1 else prefix_causal(self._prefix + at, length, x.device)[-length:]
        else:
            x, self._unread = torch.cat((self._unread, x), dim=1), None
            mask = prefix_causal(self._prefix, length, x.device)
        return self.model.classifier(self.model.trunk(x, mask, self.caches, last=length))
