"""How displacements are read from the scores of their classes."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def _argmax(scores: Iterable[Tensor], offsets_px: Tensor) -> Tensor:
    return torch.cat([_likeliest(some, offsets_px) for some in scores], dim=2)


def _expectation(scores: Iterable[Tensor], offsets_px: Tensor) -> Tensor:
    return torch.cat([_mean(some, offsets_px) for some in scores], dim=2)


def _expectation_on_moving(scores: Iterable[Tensor], offsets_px: Tensor) -> Tensor:
    both = [(_likeliest(some, offsets_px), _mean(some, offsets_px)) for some in scores]
    likeliest, mean = (torch.cat(parts, dim=2) for parts in zip(*both, strict=True))
    moves = (likeliest != 0).flatten(-1).any(dim=-1).any(dim=2, keepdim=True)  # (b, v, 1, n)
    return torch.where(moves[..., None], mean, likeliest)


def _likeliest(scores: Tensor, offsets_px: Tensor) -> Tensor:
    return offsets_px[scores.argmax(dim=-1)]


def _mean(scores: Tensor, offsets_px: Tensor) -> Tensor:
    return scores.softmax(dim=-1) @ offsets_px


DECODINGS: dict[str, Callable[[Iterable[Tensor], Tensor], Tensor]] = {
    "argmax": _argmax,
    "expectation": _expectation,
    "expectation-on-moving": _expectation_on_moving,
}
"""Scores (b, v, steps, n, classes), some steps at a time, and the displacement of each class → (b, v, t, n, 2), px."""
