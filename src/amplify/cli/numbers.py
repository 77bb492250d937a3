"""Numbers as users write them: ``3``, ``10-19``, ``0-4,7``."""

import re
from collections.abc import Sequence

from amplify.errors import UsageError

MOST = 100_000


def numbers(texts: Sequence[str], *, option: str) -> tuple[int, ...]:
    """All numbers that are named, each once, in the order in which they are.

    Args:
        texts: Numbers and ranges whose last number is included, also several in one text, with commas.
        option: Where they were given, for the message.

    Raises:
        UsageError: Something else, a range that goes down, or an absurd one.
    """
    found: dict[int, None] = {}
    for part in (part for text in texts for part in text.split(",") if part.strip()):
        match = re.fullmatch(r"\s*(\d{1,9})(?:\s*[-–…]\s*(\d{1,9}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < first + MOST:
            raise UsageError(f"{option}: no number or range", got=part, allowed="3, 10-19 or 0-4,7")
        found.update(dict.fromkeys(range(first, last + 1)))
    return tuple(found)


def names_or_numbers(texts: Sequence[str], *, option: str) -> tuple[str, ...]:
    """The texts, with numbers and ranges of them spelled out one by one; names stay as they are."""
    spelled: list[str] = []
    for text in texts:
        numeric = re.fullmatch(r"[\d\s,–…-]+", text)
        spelled += map(str, numbers([text], option=option)) if numeric else [text]
    return tuple(spelled)
