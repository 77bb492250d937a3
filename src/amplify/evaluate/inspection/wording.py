"""Instructions that are written in more than one way."""

import difflib
import re
import unicodedata
from collections import Counter, defaultdict

COMPARED = 300
"""The commonest instructions, which are compared pair by pair."""
SLIP = 0.8
"""Words of four letters or more that share so much of them differ by a slip of the pen."""


def plain(sentence: str) -> str:
    """The sentence without capitals, punctuation and doubled spaces."""
    letters = unicodedata.normalize("NFKC", sentence).casefold()
    return " ".join(re.sub(r"[^\w\s]|_", " ", letters).split())


def near_duplicates(counts: Counter[str]) -> list[tuple[str, ...]]:
    """Groups of instructions that differ in capitals, punctuation, spaces or a slip of the pen.

    Args:
        counts: How many episodes have each instruction.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for sentence, _ in counts.most_common():
        if plain(sentence):
            alike[plain(sentence)].append(sentence)
    groups = [group for group in alike.values() if len(group) > 1]
    words = list(alike)[:COMPARED]
    for number, one in enumerate(words):
        groups += [[alike[other][0], alike[one][0]] for other in words[:number] if _misspelt(one, other)]
    return [tuple(group) for group in groups]


def _misspelt(one: str, other: str) -> bool:
    """Whether two plain sentences differ in one word, and there in a letter or two that are no digits."""
    ours, theirs = one.split(), other.split()
    apart = [pair for pair in zip(ours, theirs) if pair[0] != pair[1]]
    if len(ours) != len(theirs) or len(apart) != 1:
        return False
    first, second = apart[0]
    # Names of objects ("block1", "block2") differ in their digits and mean different things.
    named = re.sub(r"\d", "", first) == re.sub(r"\d", "", second)
    long = min(len(first), len(second)) >= 4
    return long and not named and difflib.SequenceMatcher(None, first, second).ratio() >= SLIP
