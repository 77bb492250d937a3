"""``hub:owner/name@revision`` wherever a bundle's folder is asked for."""

import logging
import os
import re
from pathlib import Path

from amplify.errors import HubError
from amplify.hub.names import PREFIX, parse
from amplify.hub.pull import pull
from amplify.hub.remote import Hub

logger = logging.getLogger(__name__)

_COMMIT = re.compile(r"[0-9a-f]{40}")


def cache() -> Path:
    """Where bundles of the hub are kept: ``AMPLIFY_CACHE``, or the user's cache folder."""
    base = os.environ.get("AMPLIFY_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "amplify"
    return Path(base).expanduser() / "hub"


def hub_bundle(name: str, *, hub: Hub | None = None) -> Path:
    """The folder of a bundle of the hub, downloaded once a commit.

    Where the hub cannot be asked, the commit that the name last stood for is taken, with a warning.

    Args:
        name: ``hub:owner/name`` or ``hub:owner/name@revision``.
        hub: Where from.

    Raises:
        HubError: It cannot be had.
        BundleError: It is not whole.
    """
    repo = parse(name, "bundle")
    folder = cache() / repo.name.replace("/", "--")
    note = folder / "refs" / (repo.revision or "main").replace("/", "--")
    if repo.revision is not None and _COMMIT.fullmatch(repo.revision):
        commit = repo.revision
    else:
        try:
            commit = (hub or Hub()).commit(repo)
        except HubError as error:
            if not note.is_file() or not error.what.startswith(("cannot reach", "the hub is not asked")):
                raise
            commit = note.read_text().strip()
            logger.warning("%s; %s is taken as it was last seen: %s", error.what, name, commit[:12])
    target = folder / commit
    if not target.is_dir():
        pull(repo.name, target, kind="bundle", revision=commit, hub=hub)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(commit)
    return target


def resolved(argument: str) -> str:
    """An argument of the command line with a bundle of the hub replaced by its folder; any other as it is.

    Args:
        argument: ``hub:owner/name`` alone, or after an option and ``=``.
    """
    found = re.fullmatch(rf"(--[\w.-]+=)?({PREFIX}\S+)", argument)
    return argument if found is None else f"{found[1] or ''}{hub_bundle(found[2])}"
