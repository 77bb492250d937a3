"""Names of repositories, and what of ours they can hold."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from amplify.errors import UsageError

Kind = Literal["bundle", "dataset", "sidecars"]
RepoType = Literal["model", "dataset"]

REPO_TYPES: dict[str, RepoType] = {"bundle": "model", "dataset": "dataset", "sidecars": "dataset"}
"""The hub's type of repository for each kind of content."""

PREFIX = "hub:"
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?:{re.escape(PREFIX)})?({_PART}/{_PART})(?:@([A-Za-z0-9][A-Za-z0-9._/-]*))?")


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository at a revision.

    Args:
        name: ``owner/name``.
        kind: What it holds.
        revision: Branch, tag or commit hash; the default branch where None.
    """

    name: str
    kind: Kind
    revision: str | None = None

    @property
    def type(self) -> RepoType:
        """The hub's type of repository."""
        return REPO_TYPES[self.kind]

    def at(self, commit: str) -> "Repo":
        """The same repository at a commit."""
        return replace(self, revision=commit)


def parse(name: str, kind: Kind, revision: str | None = None) -> Repo:
    """The repository that a user named.

    Args:
        name: ``owner/name``, ``owner/name@revision``, or either after ``hub:``.
        kind: What it holds.
        revision: As an option beside the name.

    Raises:
        UsageError: That is no name of a repository, or two revisions are given.
    """
    found = _NAME.fullmatch(name)
    if found is None or "--" in name or ".." in name:
        raise UsageError(
            "not a name of a repository",
            got=repr(name),
            allowed="owner/name or owner/name@revision, of letters, digits, '.', '_' and '-'",
        )
    if found[2] and revision and found[2] != revision:
        raise UsageError("two revisions are given", got=f"{found[2]} and {revision}", remedy="name one")
    return Repo(found[1], kind, revision or found[2])
