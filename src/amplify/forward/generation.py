"""Strings of motion tokens from scores: token by token, or from a draft that is verified many tokens at a time."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from amplify.forward.reading import Reading
from amplify.forward.sampling import next_token
from amplify.types import MotionTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Generated tokens and how they came about.

    Args:
        tokens: The strings.
        log_likelihood: Of each whole string under the model itself (temperature 1, all codes), nats.
        accepted: Tokens of the draft that stood before the first that did not; 0 without a draft.
        passes: Passes through the model.
    """

    tokens: MotionTokens
    log_likelihood: Float[Tensor, " b"]
    accepted: Int[Tensor, " b"]
    passes: int


def one_by_one(
    reading: Reading, generator: torch.Generator | None, temperature: float, top_k: int | None
) -> Generation:
    """Every token given those before it, a pass a token.

    Args:
        reading: Just begun.
        generator: See `next_token`.
        temperature: See `next_token`.
        top_k: See `next_token`.
    """
    first = reading.blank
    strings, log_likelihood = first, torch.zeros(len(first), device=first.device)
    for at in range(reading.tokens):
        scores = reading.scores(strings[:, -1:], at)[:, 0]
        token = next_token(scores, generator=generator, temperature=temperature, top_k=top_k)[:, None]
        log_likelihood = log_likelihood + scores.float().log_softmax(dim=-1).gather(-1, token)[:, 0]
        strings = torch.cat((strings, token), dim=1)
    return Generation(
        tokens=MotionTokens(indices=strings[:, 1:]),
        log_likelihood=log_likelihood,
        accepted=torch.zeros_like(first[:, 0]),
        passes=reading.tokens,
    )


def verified(reading: Reading, draft: Int[Tensor, "b k"]) -> Generation:
    """The likeliest tokens one by one, in as few passes as the draft agrees with them.

    A pass scores every token that is not yet sure as if the draft's tokens before it were right. Up to the first
    disagreement they are, and the token there is known as well; the next pass begins after it. Rows of the batch
    advance each at its own pace, and those ahead read what they know again.

    Args:
        reading: Just begun.
        draft: Guesses; −1 where there is none.
    """
    batch, length = draft.shape
    string, place = draft.clone(), torch.arange(length, device=draft.device)
    log_p = torch.zeros(batch, length, device=draft.device)
    sure = torch.zeros(batch, dtype=torch.long, device=draft.device)
    passes = start = 0
    while start < length:
        before = torch.cat((string[:, :1], string), dim=1)[:, start:length].clamp_min(0)
        scores = reading.scores(before, start).float()
        likeliest = scores.argmax(dim=-1)
        stands = (likeliest == string[:, start:]) | (place[start:] < sure[:, None])
        sure = (start + stands.long().cumprod(dim=1).sum(dim=1) + 1).clamp_max(length)
        mended = ~stands & (place[start:] == sure[:, None] - 1)
        string[:, start:] = torch.where(mended, likeliest, string[:, start:])
        chosen = string[:, start:].clamp_min(0)[..., None]
        log_p[:, start:] = scores.log_softmax(dim=-1).gather(-1, chosen)[..., 0]
        passes, start = passes + 1, int(sure.min())
    return Generation(
        tokens=MotionTokens(indices=string),
        log_likelihood=log_p.sum(dim=1),
        accepted=(string == draft).long().cumprod(dim=1).sum(dim=1),
        passes=passes,
    )
