"""Files of a repository, written aside, checked, and never larger than they claim."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get
from tqdm import tqdm

from amplify.errors import HubError
from amplify.hub.contents import Entry, same
from amplify.hub.names import Repo
from amplify.hub.remote import Hub

PARTS = ".parts"
"""Folder of the files that are under way; the next attempt goes on with them."""

SPARE = 2**26
"""Bytes of disk that are left free."""


def download(hub: Hub, repo: Repo, entries: Sequence[Entry], folder: Path, *, workers: int = 8) -> int:
    """Brings files into a folder; those that are there and whole stay. How many bytes were still to be fetched.

    Args:
        hub: Where from.
        repo: At a commit, so that nothing changes meanwhile.
        entries: Which ones; their paths have been found safe.
        folder: Where to; parts of interrupted attempts lie in it.
        workers: Files at a time.

    Raises:
        HubError: A file cannot be had, is not what the repository says, or does not fit on the disk.
    """
    needed = [entry for entry in entries if not _whole(folder / entry.path, entry)]
    total = sum(entry.size for entry in needed)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if total + SPARE > free:
        raise HubError(
            f"{repo.name} does not fit on the disk of {folder}",
            got=f"{total / 1e9:.1f} GB to download",
            allowed=f"{free / 1e9:.1f} GB are free",
            remedy="choose another --out, or fewer --episodes or --sidecars",
        )
    bar = tqdm(total=total, unit="B", unit_scale=True, desc=f"pull {repo.name}", mininterval=0.5, disable=not total)
    with bar, hub.asked(repo), ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            list(pool.map(lambda entry: _fetch(hub, repo, entry, folder, bar), needed))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    return total


def _whole(path: Path, entry: Entry) -> bool:
    return path.is_file() and not path.is_symlink() and same(path, entry)


def _fetch(hub: Hub, repo: Repo, entry: Entry, folder: Path, bar: tqdm) -> None:
    name = hashlib.sha256(f"{entry.path}\0{entry.digest}".encode()).hexdigest()[:32]
    part, target = folder / PARTS / name, folder / entry.path
    part.parent.mkdir(parents=True, exist_ok=True)
    part.touch()
    with part.open("r+b") as file:
        start = file.seek(0, os.SEEK_END)
        if start > entry.size:
            start = file.truncate(0)
            file.seek(0)
        bar.update(start)
        try:
            http_get(
                hub.file_url(repo, entry.path),
                _Limited(file, entry, bar),  # type: ignore[arg-type]
                resume_size=start,
                headers=hub.headers,
                expected_size=entry.size,
                tqdm_class=_Silent,  # type: ignore[arg-type]
            )
        except HfHubHTTPError:
            raise
        except OSError as error:
            if error.errno is not None:
                raise HubError(f"cannot write {target}", got=error.strerror) from error
            raise HubError(
                f"{entry.path} of {repo.name} was cut short",
                got=str(error).splitlines()[0],
                remedy="run the same command again: it goes on from here",
            ) from error
    if not same(part, entry):
        part.unlink()
        raise HubError(
            f"{entry.path} of {repo.name} is not what the repository says",
            allowed=f"{entry.size} bytes with digest {entry.digest}",
            remedy="run the same command again; if it stays so, do not use this repository",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, target)


class _Silent(tqdm):
    """No bar a file: there is one for all of them."""

    def __init__(self, *args, **kwargs):
        kwargs.pop("name", None)
        super().__init__(*args, **(kwargs | {"disable": True}))


class _Limited:
    """A file that takes no more bytes than it should have."""

    def __init__(self, file: BinaryIO, entry: Entry, bar: tqdm):
        self.file, self.entry, self.bar = file, entry, bar

    def write(self, block: bytes) -> int:
        if self.file.tell() + len(block) > self.entry.size:
            raise HubError(
                f"{self.entry.path} is larger than the repository says",
                allowed=f"{self.entry.size} bytes",
                remedy="do not use this repository",
            )
        self.bar.update(len(block))
        return self.file.write(block)

    def seek(self, offset: int) -> int:
        return self.file.seek(offset)

    def tell(self) -> int:
        return self.file.tell()

    def truncate(self) -> int:
        # The server does not resume: all of this file comes again.
        self.bar.update(self.file.tell() - os.fstat(self.file.fileno()).st_size)
        return self.file.truncate()
