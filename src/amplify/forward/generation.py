"""Strings of motion tokens from scores: token by token, or from a draft that is verified many tokens at a time."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from amplify.forward.reading import Reading
from amplify.forward.sampling import next_token
from amplify.types import MotionTokens

AHEAD = 3
"""Tokens that a pass scores on a CPU once the draft has been read: it multiplies a matrix by so many rows in about the
time that it takes to read the matrix, and by four in twice that. A GPU scores the whole string as fast as a token."""


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
    """The likeliest tokens one by one, in fewer passes where the draft is right.

    A pass scores several tokens as if the guesses before each were right. Up to the first guess that is wrong they
    are, and there the right token is known as well. What the pass found likeliest further on is the next guess (Jacobi
    decoding: Santilli et al., arXiv 2305.10427), nearly always a better one than the draft's. Rows of the batch advance
    each at its own pace, and those ahead read what they know again.

    Args:
        reading: Just begun.
        draft: The first guesses; −1 where there is none.
    """
    length = draft.shape[1]
    string, ahead = draft.clamp_min(0), AHEAD if draft.device.type == "cpu" else length
    log_p = torch.zeros(draft.shape, device=draft.device)
    sure = torch.zeros_like(draft[:, :1])
    passes = start = 0
    while start < length:
        end = min(start + ahead, length) if passes else length
        before = torch.cat((string[:, :1], string), dim=1)[:, start:end]
        scores = reading.scores(before, start).float()
        string, sure = improved(scores, string, sure, start)
        chosen = string[:, start:end, None]
        log_p[:, start:end] = scores.log_softmax(dim=-1).gather(-1, chosen)[..., 0]
        passes, start = passes + 1, int(sure.min())
    return Generation(
        tokens=MotionTokens(indices=string),
        log_likelihood=log_p.sum(dim=1),
        accepted=(string == draft).long().cumprod(dim=1).sum(dim=1),
        passes=passes,
    )


def improved(
    scores: Float[Tensor, "b m codes"], string: Int[Tensor, "b k"], sure: Int[Tensor, "b 1"], start: int
) -> tuple[Int[Tensor, "b k"], Int[Tensor, "b 1"]]:
    """Guesses after a pass, and how many of them, from the first on, are right.

    Args:
        scores: Of the tokens from position ``start`` on, as if the guesses before each were right.
        string: The guesses.
        sure: How many were known to be right, from the first on: at least ``start``.
        start: Position.
    """
    end = start + scores.shape[1]
    known = torch.arange(start, end, device=string.device) < sure
    guesses, likeliest = string[:, start:end], scores.argmax(dim=-1)
    stands = (known | (likeliest == guesses)).long().cumprod(dim=1).sum(dim=1, keepdim=True)
    string = torch.cat((string[:, :start], torch.where(known, guesses, likeliest), string[:, end:]), dim=1)
    return string, torch.maximum(sure, (start + stands + 1).clamp_max(end))
