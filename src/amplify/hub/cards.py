"""Cards of repositories: our section between two marks is ours, everything else is the user's."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from amplify.errors import HubError
from amplify.policy.card import BEGIN, END

_FENCE = "---"


def licence_of(card: str) -> str | None:
    """The licence that a card's front matter states."""
    stated = _read(split(card)[0]).get("license")
    return stated if isinstance(stated, str) else None


def merged(card: str, metadata: Mapping[str, Any], section: str, *, licence: str | None = None) -> str:
    """A card with our section renewed and what its front matter lacks added.

    Args:
        card: As it is on the hub or beside the files; may be empty.
        metadata: Of the front matter; keys that the card has stay as they are.
        section: Markdown from the first mark to the last.
        licence: Takes the place of the one that the card states; that stays where None.

    Raises:
        HubError: The card's front matter or marks are broken.
    """
    front, body = split(card)
    if licence is not None:
        front = re.sub(r"(?m)^license:.*$", f"license: {licence}", front)
        metadata = {"license": licence, **metadata}
    lacking = {key: value for key, value in metadata.items() if key not in _read(front)}
    added = yaml.safe_dump(lacking, sort_keys=False, allow_unicode=True) if lacking else ""
    front = (front.rstrip("\n") + "\n" if front.strip() else "") + added
    start, end = body.find(BEGIN), body.find(END)
    if (start < 0) != (end < 0) or end < start or body.count(BEGIN) > 1 or body.count(END) > 1:
        raise HubError(
            "the card's marks are broken",
            got=f"{body.count(BEGIN)} of the first and {body.count(END)} of the last",
            allowed=f"one line {BEGIN!r} before one line {END!r}, or neither",
            remedy="mend README.md in the repository",
        )
    if start < 0:
        body = f"{body.rstrip()}\n\n{section}\n" if body.strip() else f"{section}\n"
    else:
        body = body[:start] + section + body[end + len(END) :]
    return f"{_FENCE}\n{front}{_FENCE}\n\n{body.lstrip()}"


def split(card: str) -> tuple[str, str]:
    """Front matter without its fences, and the rest."""
    lines = card.replace("\r\n", "\n").split("\n")
    if lines[0].strip() != _FENCE:
        return "", "\n".join(lines)
    end = next((i for i, line in enumerate(lines[1:], 1) if line.strip() == _FENCE), None)
    if end is None:
        raise HubError("the card's front matter does not end", remedy="add a line '---' after it in README.md")
    return "\n".join(lines[1:end]) + "\n", "\n".join(lines[end + 1 :])


def _read(front: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(front) or {}
    except yaml.YAMLError as error:
        raise HubError("the card's front matter is no YAML", got=str(error), remedy="mend README.md") from None
    if not isinstance(content, dict):
        raise HubError("the card's front matter holds no names", got=type(content).__name__, remedy="mend README.md")
    return content
