"""From the hub to a folder: only data, checked, and there whole or not at all."""

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amplify.data.dataset import Dataset
from amplify.data.files import write_json
from amplify.data.sidecar import FOLDER
from amplify.errors import HubError, UsageError
from amplify.hub.checks import check_sidecars, choose
from amplify.hub.contents import PICKLES, Entry, allowed, digest, refuse_oversized, refuse_unsafe, same
from amplify.hub.download import PARTS, download
from amplify.hub.failures import not_found
from amplify.hub.names import Kind, Repo, parse
from amplify.hub.remote import Hub
from amplify.hub.subset import files_of, keep_episodes, parse_episodes
from amplify.policy.bundle import FILES, load_bundle

RECORD = "hub.json"
"""In a pulled folder: which commit of which repository it is."""

_PARTS_OF_DATASET = ("meta/", "data/", "videos/", "images/")


def pull(
    name: str,
    out: Path,
    *,
    kind: Kind | None = None,
    revision: str | None = None,
    episodes: str | None = None,
    sidecars: str | None = None,
    hub: Hub | None = None,
) -> dict[str, Any]:
    """Downloads a bundle, a dataset, or sidecars for a dataset; what was done.

    Args:
        name: ``owner/name``, perhaps with ``@revision``.
        out: The folder to make; for sidecars the dataset that gets them.
        kind: What the repository holds; found out where None.
        revision: Branch, tag or commit.
        episodes: Of a dataset, which ones (``0-9,12``); all by default.
        sidecars: Of a dataset, which ones ("all", "none" or names between commas); all by default.
        hub: Where from.

    Raises:
        HubError: The repository cannot be had, is unsafe, or holds something else.
        AmplifyError: What was downloaded is not whole.
    """
    hub = hub or Hub()
    repo = _found(hub, name, kind, revision)
    if repo.kind == "bundle" and (episodes or sidecars):
        raise UsageError("--episodes and --sidecars are of datasets", got=f"the bundle {repo.name}")
    if repo.kind == "sidecars" and episodes:
        raise UsageError("--episodes chooses episodes of a dataset", remedy="pull the sidecars of all episodes")
    commit = hub.commit(repo)
    there = hub.files(repo.at(commit))
    refuse_unsafe(there.values())
    usable = {path: entry for path, entry in there.items() if allowed(entry)}
    refuse_oversized(usable.values())
    summary = {"repo": repo.name, "kind": repo.kind, "commit": commit, "out": str(out)}
    at = repo.at(commit)
    if repo.kind == "bundle":
        done = _bundle(hub, at, usable, out)
    elif repo.kind == "dataset":
        done = _dataset(hub, at, usable, out, episodes, sidecars or "all")
    else:
        done = _sidecars(hub, at, usable, out, sidecars or "all")
    refused = sorted(path for path in there if path.endswith(PICKLES))
    return summary | done | ({"never_downloaded": refused} if refused else {})


def _found(hub: Hub, name: str, kind: Kind | None, revision: str | None) -> Repo:
    if kind is not None:
        return parse(name, kind, revision)
    repo = parse(name, "bundle", revision)
    types = hub.types_of(repo)
    if not types:
        raise not_found(
            f"no model or dataset {repo.name} on {hub.endpoint} that you can see", repo.name, hub.names(repo)
        )
    if len(types) > 1:
        raise UsageError(f"{repo.name} is a model and a dataset", remedy="say which: --kind bundle or --kind dataset")
    return parse(name, "dataset" if types == ["dataset"] else "bundle", revision)


def _bundle(hub: Hub, repo: Repo, there: Mapping[str, Entry], out: Path) -> dict[str, Any]:
    missing = [name for name in FILES if name not in there]
    if missing:
        raise HubError(f"{repo.name} holds no bundle", got=f"no {', '.join(missing)}", allowed=", ".join(FILES))
    entries = {name: there[name] for name in FILES}
    staging, fresh = _prepared(out, repo, entries, {})
    if fresh:
        return {"downloaded_bytes": 0, "files": len(entries)}
    fetched = download(hub, repo, list(entries.values()), staging)
    loaded = load_bundle(staging)
    _finish(staging, out, repo, entries, {})
    return {"downloaded_bytes": fetched, "files": len(entries), "models": sorted(loaded.models)}


def _dataset(
    hub: Hub, repo: Repo, there: Mapping[str, Entry], out: Path, episodes: str | None, sidecars: str
) -> dict[str, Any]:
    numbers = None if episodes is None else parse_episodes(episodes)
    if "meta/info.json" not in there:
        raise HubError(f"{repo.name} holds no LeRobotDataset v3", got="no meta/info.json")
    names = choose(sidecars, _sidecar_files(there))
    selection = {"episodes": None if numbers is None else list(numbers), "sidecars": names}
    described = [entry for path, entry in there.items() if path.startswith("meta/") or path == "README.md"]
    staging, fresh = _prepared(out, repo, {entry.path: entry for entry in described}, selection)
    if fresh:
        return {"downloaded_bytes": 0, **selection}
    fetched = download(hub, repo, described, staging)
    wanted = {path: entry for path, entry in there.items() if path.startswith(_PARTS_OF_DATASET)}
    if numbers is not None:
        named = files_of(staging, numbers)
        absent = sorted(named - wanted.keys())
        if absent:
            raise HubError(f"{repo.name} lacks files of these episodes", got=", ".join(absent[:3]))
        wanted = {entry.path: entry for entry in described} | {path: wanted[path] for path in named}
    wanted |= {entry.path: entry for name in names for entry in _of_episodes(_sidecar_files(there)[name], numbers)}
    fetched += download(hub, repo, list(wanted.values()), staging)
    if numbers is not None:
        keep_episodes(staging, set(numbers))
    dataset = Dataset.open(staging, strict=True)
    check_sidecars(dataset, names)
    _finish(staging, out, repo, wanted, selection)
    return {"downloaded_bytes": fetched, "files": len(wanted), "episodes": len(dataset.episodes), "sidecars": names}


def _sidecars(hub: Hub, repo: Repo, there: Mapping[str, Entry], out: Path, sidecars: str) -> dict[str, Any]:
    dataset = Dataset.open(out, columns=False)
    folders = _sidecar_files(there)
    names = choose(sidecars, folders)
    numbers = [episode.index for episode in dataset.episodes]
    new = []
    for name in names:
        target = out / FOLDER / name
        entries = _of_episodes(folders[name], numbers)
        if not target.exists():
            new.append(name)
        elif not all((out / e.path).is_file() and same(out / e.path, e) for e in entries):
            raise HubError(
                f"{target} is there already, and is not that of {repo.name}", remedy="remove or rename it first"
            )
    staging = out / f".{FOLDER}.pulling"
    wanted = [entry for name in new for entry in _of_episodes(folders[name], numbers)]
    fetched = download(hub, repo, wanted, staging)
    view = copy.copy(dataset)
    view.root = staging
    check_sidecars(view, new)
    for name in new:
        (out / FOLDER).mkdir(exist_ok=True)
        (staging / FOLDER / name).rename(out / FOLDER / name)
    shutil.rmtree(staging, ignore_errors=True)
    return {"downloaded_bytes": fetched, "sidecars": names, "already_there": [n for n in names if n not in new]}


def _sidecar_files(there: Mapping[str, Entry]) -> dict[str, list[Entry]]:
    folders: dict[str, list[Entry]] = {}
    for path, entry in there.items():
        parts = path.split("/")
        if parts[0] == FOLDER and len(parts) == 3:
            folders.setdefault(parts[1], []).append(entry)
    return folders


def _of_episodes(entries: list[Entry], numbers: Any) -> list[Entry]:
    """Those of some episodes, and those that are of all."""
    if numbers is None:
        return entries
    kept = {f"episode-{number:06d}.safetensors" for number in numbers}
    return [e for e in entries if e.path.split("/")[-1] in kept or not e.path.split("/")[-1].startswith("episode-")]


def _prepared(out: Path, repo: Repo, some: Mapping[str, Entry], selection: Any) -> tuple[Path, bool]:
    """Where to download to, and whether ``out`` is that very content already."""
    staging = out.with_name(f".{out.name}.pulling")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return staging, False
    record = _record(out)
    if record.get("repo") != repo.name or record.get("kind") != repo.kind:
        raise HubError(
            f"{out} exists, and was not pulled from {repo.name}", remedy="choose another --out, or remove it first"
        )
    same_content = record.get("commit") == repo.revision and record.get("selection") == selection
    if same_content and all((out / path).is_file() for path in some):
        return staging, True
    changed = _changed(out, record)
    if changed:
        raise HubError(
            f"{out} was changed since it was pulled",
            got=", ".join(changed[:5]) + (" …" if len(changed) > 5 else ""),
            remedy="choose another --out, or remove it first",
        )
    return staging, False


def _record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    try:
        content = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError:
        content = {}
    return content if isinstance(content, dict) else {}


def _changed(folder: Path, record: Mapping[str, Any]) -> list[str]:
    """Files that are new or other than they were when the folder was written."""
    known = {path: Entry(path, size, made) for path, (size, made) in record.get("files", {}).items()}
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return sorted(
        path for path, at in found.items() if path != RECORD and not (path in known and same(at, known[path]))
    )


def _finish(staging: Path, out: Path, repo: Repo, wanted: Mapping[str, Entry], selection: Any) -> None:
    """Gives the downloaded folder its name; files of earlier attempts that nobody asked for are not in it."""
    shutil.rmtree(staging / PARTS, ignore_errors=True)
    for path in sorted(staging.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif path.is_file() and path.relative_to(staging).as_posix() not in wanted:
            path.unlink()
    # As they are here: descriptions of chosen episodes were rewritten.
    at = {path: staging / path for path in wanted}
    files = {path: (at[path].stat().st_size, digest(at[path], wanted[path].digest)) for path in wanted}
    record = {"repo": repo.name, "kind": repo.kind, "commit": repo.revision, "selection": selection, "files": files}
    write_json(staging / RECORD, record)
    old = out.with_name(f".{out.name}.replaced")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    staging.rename(out)
    shutil.rmtree(old, ignore_errors=True)
