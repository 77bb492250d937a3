"""``amplify push``: bundles, datasets and sidecars to a model hub."""

from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional


def push(
    what: Positional[Path],
    repo: Positional[str],
    /,
    *,
    kind: Literal["auto", "bundle", "dataset", "sidecars"] = "auto",
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    sidecars: str | None = None,
    licence: str | None = None,
    report: Path | None = None,
) -> dict[str, Any]:
    """Uploads what is whole, with a card of its own figures; only files that changed are sent.

    The token is that of HF_TOKEN or of 'hf auth login'; HF_ENDPOINT names another hub. An interrupted push goes on with
    the same command. Of a card in the repository, only the part between our two marks is written anew.

    Args:
        what: A bundle, the run that wrote it, or the folder of a dataset.
        repo: owner/name; made where there is none.
        kind: What to push; "sidecars" adds them to a dataset that is on the hub already.
        private: Make a new repository private.
        revision: A branch; made where there is none.
        message: Of the commit.
        sidecars: Of a dataset: "all", "none" or names between commas. None by default with a dataset, all on their own.
        licence: For the card, by its name on the hub (mit, apache-2.0, cc-by-4.0, …).
        report: Of a bundle: the run's report.json, whose success rates join the card.
    """
    from amplify.hub.push import kind_of
    from amplify.hub.push import push as send
    from amplify.train.recipes import bundle_of

    chosen = None if kind == "auto" else kind
    if chosen == "bundle" or (chosen is None and not (what / "meta" / "info.json").is_file()):
        what = bundle_of(what)
    return send(
        what,
        repo,
        kind=chosen or kind_of(what),
        private=private,
        revision=revision,
        message=message,
        sidecars=sidecars,
        licence=licence,
        report=report,
    )
