"""Attention masks: True where a query (row) may look at a key (column)."""

from collections.abc import Callable

import torch
from jaxtyping import Bool
from torch import Tensor


def causal(length: int, device: torch.device | None = None) -> Bool[Tensor, "length length"]:
    """Every position sees itself and the earlier ones."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def per_step(length: int, device: torch.device | None = None) -> Bool[Tensor, "length length"]:
    """Every position sees itself alone."""
    return torch.eye(length, dtype=torch.bool, device=device)


def full(length: int, device: torch.device | None = None) -> Bool[Tensor, "length length"]:
    """Every position sees all."""
    return torch.ones(length, length, dtype=torch.bool, device=device)


def prefix_causal(prefix: int, length: int, device: torch.device | None = None) -> Bool[Tensor, "total total"]:
    """An open prefix (the conditioning) followed by a causal string that sees the whole prefix.

    The prefix never sees the string, so that its keys and values can be computed once.

    Args:
        prefix: Conditioning tokens.
        length: Tokens of the causal string.
        device: Where the mask lives.
    """
    mask = causal(prefix + length, device)
    mask[:prefix, :prefix] = True
    return mask


MASKS: dict[str, Callable[..., Tensor]] = {"causal": causal, "per-step": per_step, "full": full}
