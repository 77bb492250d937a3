"""What several importers let a user choose."""

import re

from amplify.errors import UsageError, pick
from amplify.video import FITS, Shaping

SMALLEST, LARGEST = 8, 8192
"""Sides of images, in pixels."""


def size_of(text: str | None) -> tuple[int, int] | None:
    """Width and height in pixels: "128" is a square, "640x480" is not; None stays None.

    Raises:
        UsageError: It is neither.
    """
    if text is None:
        return None
    parts = re.fullmatch(r"(\d+)(?:[x×](\d+))?", text.strip())
    width, height = (int(parts[1]), int(parts[2] or parts[1])) if parts else (0, 0)
    if not (SMALLEST <= width <= LARGEST and SMALLEST <= height <= LARGEST):
        raise UsageError(
            "--size: no size of images", got=text, allowed=f"SIDE or WIDTHxHEIGHT, {SMALLEST} to {LARGEST} pixels each"
        )
    return width, height


def shaping_of(size: tuple[int, int], fit: str) -> Shaping:
    """How images get their size.

    Raises:
        UnknownNameError: No such fit.
    """
    pick(fit, FITS, kind="fit")
    return Shaping(width=size[0], height=size[1], fit=fit)


def numbers_of(text: str | None) -> frozenset[int] | None:
    """Numbers of episodes: "0:50,60" is 0 to 49 and 60; None stays None.

    Raises:
        UsageError: It cannot be read.
    """
    if text is None:
        return None
    chosen: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,7})(?::(\d{1,7}))?\s*", part)
        if not match:
            raise UsageError("--episodes: no list of episodes", got=text, allowed="numbers and ranges, as in 0:50,60")
        first = int(match[1])
        chosen.update(range(first, int(match[2])) if match[2] else [first])
    return frozenset(chosen)


def safe_name(name: str) -> str:
    """A camera's name that can be that of a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip(".") or "camera"
