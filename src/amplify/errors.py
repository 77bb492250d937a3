"""The one tree of errors: what is wrong, where, what is allowed, what to do."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


class AmplifyError(Exception):
    """A mistake that a user can mend; the command line shows it without a traceback.

    Args:
        what: What is wrong and where, in one sentence.
        got: The offending value, if one helps.
        allowed: What would have been accepted.
        remedy: What to do now.
    """

    exit_code = 1

    def __init__(self, what: str, *, got: object = None, allowed: object = None, remedy: str | None = None):
        self.what, self.got, self.allowed, self.remedy = what, got, allowed, remedy
        lines = [what]
        if got is not None:
            lines.append(f"  got:     {got}")
        if allowed is not None:
            lines.append(f"  allowed: {allowed}")
        if remedy is not None:
            lines.append(f"  do:      {remedy}")
        super().__init__("\n".join(lines))

    def __reduce__(self):
        # Keyword-only arguments do not survive the default pickling across worker processes.
        return _rebuild, (type(self), self.what, self.got, self.allowed, self.remedy)


def _rebuild(cls, what, got, allowed, remedy):
    return cls(what, got=got, allowed=allowed, remedy=remedy)


class UsageError(AmplifyError):
    """The command or the call was wrong: exit code 2."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is in no registry."""


class DataError(AmplifyError):
    """A dataset, episode, video or file that cannot be used."""


class SidecarError(DataError):
    """A sidecar (tracks, features) is missing, broken, or was made with other settings."""


class BundleError(AmplifyError):
    """A bundle or checkpoint that is incomplete, damaged, or of another kind."""


class HubError(AmplifyError):
    """A model hub, or a repository on it, that cannot be used as asked."""


class MissingDependencyError(AmplifyError):
    """A package or system library that is not installed."""


class WorkerError(AmplifyError):
    """A worker process that ended, killed or for want of memory, before its work was done."""


class RenderingError(AmplifyError):
    """No working OpenGL back end."""


def pick(name: str, table: Mapping[str, T], *, kind: str) -> T:
    """The entry of a registry, or an error that suggests the nearest names.

    Args:
        name: The name that the user gave.
        table: The registry.
        kind: What the registry holds ("tracker", "task"), for the message.

    Raises:
        UnknownNameError: The name is not in the table.
    """
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, n=3, cutoff=0.5)
    shown = sorted(table) if len(table) <= 12 else [*sorted(table)[:12], f"… ({len(table)} in all)"]
    raise UnknownNameError(
        f"unknown {kind}",
        got=repr(name),
        allowed=", ".join(shown),
        remedy=f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"choose one of the allowed {kind}s",
    )
