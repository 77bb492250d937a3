"""From logits to the next token."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def next_token(
    logits: Float[Tensor, "b c"],
    *,
    generator: torch.Generator | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> Int[Tensor, " b"]:
    """The likeliest code, or a random one where a generator is given.

    Args:
        logits: Scores of every code.
        generator: Source of randomness; None is greedy.
        temperature: Above 0; below 1 prefers likely codes.
        top_k: Only the K likeliest codes can be drawn; all by default.
    """
    if generator is None:
        return logits.argmax(dim=-1)
    scaled = logits / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        least = scaled.topk(top_k, dim=-1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < least, -torch.inf)
    return torch.multinomial(scaled.softmax(dim=-1), 1, generator=generator)[:, 0]
