"""``amplify pull``: bundles, datasets and sidecars from a model hub."""

from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional


def pull(
    repo: Positional[str],
    /,
    *,
    out: Path,
    kind: Literal["auto", "bundle", "dataset", "sidecars"] = "auto",
    revision: str | None = None,
    episodes: str | None = None,
    sidecars: str | None = None,
) -> dict[str, Any]:
    """Downloads data and no code, checks it, and puts it in place whole.

    An interrupted download goes on with the same command. hub.json in the folder says which commit it is. Whatever
    takes a bundle's folder takes hub:owner/name@revision as well.

    Args:
        repo: owner/name, perhaps with @revision.
        out: The folder to make; for sidecars the dataset that gets them.
        kind: What the repository holds; found out by default.
        revision: Branch, tag or commit; the newest by default.
        episodes: Of a dataset: some of them (0-9,12), which keep their numbers.
        sidecars: Of a dataset: "all", "none" or names between commas; all by default.
    """
    from amplify.hub.pull import pull as fetch

    chosen = None if kind == "auto" else kind
    return fetch(repo, out, kind=chosen, revision=revision, episodes=episodes, sidecars=sidecars)
