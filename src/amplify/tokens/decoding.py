"""How a displacement is read from the scores of its classes."""

from collections.abc import Callable

import torch
from torch import Tensor


def _argmax(logits: Tensor, offsets_px: Tensor) -> Tensor:
    return offsets_px[logits.argmax(dim=-1)]


def _expectation(logits: Tensor, offsets_px: Tensor) -> Tensor:
    return logits.softmax(dim=-1) @ offsets_px


def _expectation_on_moving(logits: Tensor, offsets_px: Tensor) -> Tensor:
    likeliest = _argmax(logits, offsets_px)
    moves = (likeliest != 0).flatten(-1).any(dim=-1).any(dim=2, keepdim=True)  # (b, v, 1, n)
    return torch.where(moves[..., None], _expectation(logits, offsets_px), likeliest)


DECODINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "argmax": _argmax,
    "expectation": _expectation,
    "expectation-on-moving": _expectation_on_moving,
}
"""Logits (b, v, t, n, classes) and the displacement of each class → displacements (b, v, t, n, 2), pixels."""
