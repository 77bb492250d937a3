"""From a folder to the hub: checked first, only what changed, and resumed by the same command."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from amplify.data.dataset import Dataset
from amplify.data.layout import VERSION
from amplify.data.sidecar import FOLDER
from amplify.errors import AmplifyError, HubError, UsageError
from amplify.hub.cards import licence_of, merged
from amplify.hub.checks import check_sidecars, sidecars_of
from amplify.hub.contents import SUFFIXES, Entry, digest, same
from amplify.hub.dataset_card import dataset_metadata, dataset_section
from amplify.hub.names import Kind, Repo, parse
from amplify.hub.remote import Hub
from amplify.jobs import progress
from amplify.policy.bundle import FILES, load_bundle
from amplify.policy.card import METADATA, model_section

CARD = "README.md"
FILES_A_COMMIT = 400
BYTES_A_COMMIT = 2 * 10**9
"""A commit ends when either is reached: what an interrupted push has committed need not be sent again."""

Contents = dict[str, Path | bytes]


def push(
    what: Path,
    name: str,
    *,
    kind: Kind | None = None,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    sidecars: str | None = None,
    licence: str | None = None,
    report: Path | None = None,
    hub: Hub | None = None,
) -> dict[str, Any]:
    """Uploads a bundle, a dataset or a dataset's sidecars, with a card; what was done.

    Args:
        what: The folder.
        name: ``owner/name``.
        kind: What the folder holds; found out where None.
        private: Whether a new repository is seen by its owner only.
        revision: A branch; the default one where None.
        message: Of the commit.
        sidecars: Of a dataset, which ones ("all", "none" or names between commas); none with a dataset, all alone.
        licence: For the card; a name of the hub's list.
        report: A run's report.json, whose success and track figures join the model card.
        hub: Where to.

    Raises:
        AmplifyError: What is to be pushed is not whole, or the hub does not take it.
    """
    hub = hub or Hub()
    repo = parse(name, kind or kind_of(what), revision)
    if repo.kind == "bundle":
        if sidecars is not None:
            raise UsageError("--sidecars are of datasets", got=f"the bundle {what}")
        return _bundle(hub, what, repo, private, message, licence, report)
    if report is not None:
        raise UsageError("--report is for the card of a bundle", got=f"{repo.kind} {what}")
    return _dataset(hub, what, repo, private, message, licence, sidecars)


def kind_of(folder: Path) -> Kind:
    """What a folder holds.

    Raises:
        AmplifyError: Neither bundle nor dataset.
    """
    if (folder / "meta" / "info.json").is_file():
        return "dataset"
    if (folder / "config.json").is_file():
        return "bundle"
    raise AmplifyError(
        f"nothing to push at {folder}",
        allowed="a bundle (config.json) or a LeRobotDataset v3 (meta/info.json)",
        remedy="check the path",
    )


def _bundle(
    hub: Hub, folder: Path, repo: Repo, private: bool, message: str | None, licence: str | None, report: Path | None
) -> dict[str, Any]:
    bundle = load_bundle(folder)
    figures = bundle.stats
    if report is not None:
        reported = _reported(report)
        figures = figures | reported | {"success": {**figures.get("success", {}), **reported["success"]}}
    there = _opened(hub, repo, private)
    card = _card_of(hub, repo, there, folder / CARD)
    section = model_section(
        bundle.models,
        bundle.meta,
        figures,
        version("amplify-robot"),
        source=f"hub:{repo.name}",
        licence=licence or licence_of(card),
    )
    contents: Contents = {name: folder / name for name in FILES if name != CARD}
    last: Contents = {CARD: merged(card, METADATA, section, licence=licence).encode()}
    done = _send(hub, repo, contents, last, there, [], message or f"Bundle {bundle.hash[:12]}")
    return done | {"hash": bundle.hash, "models": sorted(bundle.models)}


def _reported(path: Path) -> dict[str, dict[str, Any]]:
    """Success and errors of foreseen tracks, of a report of the quick-start."""
    try:
        content = json.loads(path.read_text())
        success = {label: row for label, row in content.get("success", {}).items() if "mean" in row}
        tracks = content.get("tracks", {}).get("moving", {})
        errors = {row: {k: v for k, v in of.items() if k in ("error_px", "delta_auc")} for row, of in tracks.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"no report of a run: {path}", got=str(error), allowed="its report.json") from None
    return {"success": success, "foreseen tracks of moving points": errors}


def _dataset(
    hub: Hub, root: Path, repo: Repo, private: bool, message: str | None, licence: str | None, sidecars: str | None
) -> dict[str, Any]:
    dataset = Dataset.open(root, strict=True)
    alone = repo.kind == "sidecars"
    names = sidecars_of(dataset, sidecars or ("all" if alone else "none"))
    if alone and not names:
        raise UsageError(f"no sidecars to push in {root}", remedy="run 'amplify track' or 'amplify encode' first")
    headers = check_sidecars(dataset, names)
    extra = {path: root / path for path in _files(root, [f"{FOLDER}/{name}" for name in names])}
    main = {path: root / path for path in _files(root, ["data", "videos", "meta"])}
    there = _same_dataset(hub, repo, main) if alone else _opened(hub, repo, private)
    others = {p.split("/")[1] for p in there if p.startswith(f"{FOLDER}/") and p.count("/") == 2} - set(names)
    card = _card_of(hub, repo, there, root / CARD, title=root.name)
    section = dataset_section(
        dataset, headers, source=repo.name, licence=licence or licence_of(card), others=sorted(others)
    )
    card = merged(card, dataset_metadata(dataset), section, licence=licence)
    # What describes the files comes after them, so that no reader meets a description of files that are not there.
    first = extra if alone else extra | {p: at for p, at in main.items() if not p.startswith("meta/")}
    last = {} if alone else {p: at for p, at in main.items() if p.startswith("meta/")}
    owned = tuple(f"{FOLDER}/{name}/" for name in names) + (() if alone else ("data/", "videos/", "meta/"))
    stale = [path for path in there if path.startswith(owned) and path not in first | last]
    done = _send(
        hub, repo, first, {**last, CARD: card.encode()}, there, stale, message or f"{len(dataset.episodes)} episodes"
    )
    if not alone and repo.revision in (None, "main"):
        hub.move_tag(repo, VERSION, done["commit"])  # readers of the format ask for this tag
    left_out = sorted(set(sidecars_of(dataset, "all")) - set(names))
    return done | {"episodes": len(dataset.episodes), "sidecars": names, "sidecars_left_out": left_out}


def _files(root: Path, folders: list[str]) -> list[str]:
    """Paths of the files of data below some folders; hidden ones are unfinished, links may lead anywhere."""
    paths: list[str] = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            relative = path.relative_to(root)
            if path.is_symlink():
                raise HubError(f"a link in the dataset: {path}", remedy="replace it by what it leads to")
            if path.is_file() and path.suffix in SUFFIXES and not any(p.startswith(".") for p in relative.parts):
                paths.append(relative.as_posix())
    return paths


def _opened(hub: Hub, repo: Repo, private: bool) -> dict[str, Entry]:
    """The files that the repository has; it is made where there is none."""
    hub.user(repo)
    seen = hub.visibility(repo)
    if seen == "public" and private:
        raise HubError(
            f"{repo.name} exists and is public",
            remedy=f"leave --private out, choose another name, or make it private at {hub.url(repo)}/settings",
        )
    if seen is None:
        hub.create(repo, private=private)
    hub.ensure_branch(repo)
    return hub.files(repo)


def _same_dataset(hub: Hub, repo: Repo, main: Mapping[str, Path]) -> dict[str, Entry]:
    """The files of a repository that holds this very dataset."""
    hub.user(repo)
    there = hub.files(repo)
    ours = {path: at for path, at in main.items() if path.startswith(("videos/", "data/"))}
    theirs = {path for path in there if path.startswith(("videos/", "data/"))}
    other = sorted(p for p, at in ours.items() if p not in there or at.stat().st_size != there[p].size)
    other += sorted(theirs - set(ours))
    other += [p for p, at in main.items() if p.startswith("meta/episodes/") and p in there and not same(at, there[p])]
    if other:
        raise HubError(
            f"{repo.name} holds another recording, to which these sidecars do not belong",
            got=", ".join(other[:3]) + (f" … ({len(other)} files differ)" if len(other) > 3 else ""),
            remedy="push the dataset first (--kind dataset), or name its repository",
        )
    return there


def _card_of(hub: Hub, repo: Repo, there: Mapping[str, Entry], local: Path, title: str | None = None) -> str:
    """The card to renew: that of the repository, else the local one."""
    if CARD in there:
        return hub.text(repo, there[CARD])
    if local.is_file():
        return local.read_text()
    return f"# {title or repo.name}\n"


def _send(
    hub: Hub,
    repo: Repo,
    first: Mapping[str, Path | bytes],
    last: Mapping[str, Path | bytes],
    there: Mapping[str, Entry],
    stale: list[str],
    message: str,
) -> dict[str, Any]:
    """Commits what differs, ``last`` in the last commit, and looks whether it has arrived."""
    known = _Known()
    compared = progress(first.items(), total=len(first), label=f"compare with {repo.name}", unit="file")
    changed = {p: at for p, at in compared if not known.arrived(p, at, there)}
    final = {p: at for p, at in last.items() if not known.arrived(p, at, there)}
    batches = _batches(changed)
    sent = 0
    for number, batch in enumerate(progress(batches, total=len(batches), label=f"push {repo.name}", unit="commit"), 1):
        hub.send(repo, batch, message=f"{message} (part {number} of {len(batches) + 1})")
        sent += sum(map(_size, batch.values()))
    hub.send(repo, final, stale, message=message)
    commit = hub.commit(repo)
    arrived = hub.files(repo.at(commit))
    wrong = [p for p, at in {**first, **last}.items() if not known.arrived(p, at, arrived)]
    if wrong:
        raise HubError(
            f"not everything arrived in {repo.name}",
            got=", ".join(sorted(wrong)[:5]),
            remedy="run the same command again; if somebody else pushes there, take turns",
        )
    return {
        "repo": repo.name,
        "kind": repo.kind,
        "url": hub.url(repo),
        "commit": commit,
        "files": len(first) + len(last),
        "uploaded": len(changed) + len(final),
        "uploaded_bytes": sent + sum(map(_size, final.values())),
        "removed": len(stale),
    }


class _Known:
    """Digests of local files, each computed once."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, int], str] = {}

    def arrived(self, path: str, content: Path | bytes, there: Mapping[str, Entry]) -> bool:
        """Whether a repository has a file as it is here."""
        if path not in there or there[path].size != _size(content):
            return False
        key = path, len(there[path].digest)
        if key not in self._digests:
            self._digests[key] = digest(content, there[path].digest)
        return self._digests[key] == there[path].digest


def _batches(contents: Mapping[str, Path | bytes]) -> list[Contents]:
    batches: list[Contents] = []
    size = 0
    for path, at in contents.items():
        if not batches or len(batches[-1]) >= FILES_A_COMMIT or size + _size(at) > BYTES_A_COMMIT:
            batches.append({})
            size = 0
        batches[-1][path] = at
        size += _size(at)
    return batches


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
