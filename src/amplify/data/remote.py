"""Datasets at a URL of any fsspec file system: a mirror that fetches files as they are read, and sends what is written.

A mirror is a folder of the cache whose name is the URL, so that a path in it says by itself where it belongs, in every
process and on every machine. Everything else works on local paths and asks this module in a few places: before a file
is read (`present`), after one was written (`sent`), and when a dataset is opened (`refreshed`).
"""

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from amplify.data.aside import aside_of
from amplify.errors import DataError, MissingDependencyError, UsageError

_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.DOTALL)
_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "az": "adlfs",
    "hf": "huggingface_hub",
}
_ATOMIC = frozenset(("s3", "s3a", "gs", "gcs", "abfs", "az", "memory"))
"""Where a file appears when it is whole; elsewhere it is sent under another name and then renamed."""
_EAGER = re.compile(r"meta/.+|sidecars/[^/]+/[^/]+\.json|\.staging/(spec\.json|[^./][^/]*/record\.json)")
"""What is fetched when a dataset is opened; the rest when it is read."""
_EVICTABLE = frozenset((".mp4", ".safetensors", ".parquet"))
_FETCHES_A_SWEEP = 64
_SENDING_S = 60.0


def located(path: Path) -> Path:
    """Where a dataset lies on this machine: the mirror of a URL, any other path as it is.

    Args:
        path: Also a URL whose double slash a `Path` made a single one.

    Raises:
        UsageError: The URL is too long to name a folder.
    """
    found = _URL.fullmatch(str(path))
    if found is None or mirror_of(path) is not None:
        return Path(path)
    protocol, rest = found.groups()
    url = f"{protocol}://{'/' if protocol in ('file', 'local') else ''}{rest.strip('/')}"
    name = quote(url, safe="")
    if len(name) > 200:
        raise UsageError("a URL too long for the name of its mirror", got=url, allowed="200 characters, quoted")
    return cache_folder() / "mirrors" / name


def cache_folder() -> Path:
    """Where mirrors lie: ``AMPLIFY_CACHE``, or ``~/.cache/amplify``."""
    return Path(os.environ.get("AMPLIFY_CACHE") or Path.home() / ".cache" / "amplify").absolute()


def mirror_of(path: Path) -> "Mirror | None":
    """The mirror that a local path lies in."""
    parts = Path(path).parts
    for number, part in enumerate(parts[1:], 1):
        if parts[number - 1] == "mirrors" and "%3A%2F%2F" in part:
            return _mirror(Path(*parts[: number + 1]))
    return None


def present(path: Path) -> Path:
    """The path; a file of a mirror is fetched first if it is not here.

    Raises:
        DataError: It cannot be fetched.
    """
    mirror = None if path.is_file() else mirror_of(path)
    if mirror is not None:
        mirror.fetch(path)
    return path


def sent(path: Path) -> None:
    """Sends a file that was written into a mirror to where it belongs, or all files of a folder, ``record.json`` last.

    Raises:
        DataError: It cannot be written there.
    """
    mirror = mirror_of(path)
    if mirror is None:
        return
    files = sorted(path.rglob("*"), key=lambda p: (p.name == "record.json", p)) if path.is_dir() else [path]
    for file in files:
        if file.is_file():
            mirror.send(file)


def removed(folder: Path) -> None:
    """Removes a folder, here and where it belongs."""
    shutil.rmtree(folder, ignore_errors=True)
    mirror = mirror_of(folder)
    if mirror is not None:
        mirror.remove(folder)


def refreshed(root: Path) -> Path:
    """The mirror of a dataset brought up to date: what changed is dropped, descriptions are fetched."""
    mirror = mirror_of(root)
    if mirror is not None and mirror.root == root:
        mirror.refresh()
    return root


def fetched(folder: Path) -> Path:
    """A folder of a mirror with all its files."""
    mirror = mirror_of(folder)
    if mirror is not None:
        prefix = mirror.relative(folder) + "/"
        for name in mirror.listing():
            if name.startswith(prefix):
                present(mirror.root / name)
    return folder


def elsewhere(path: Path) -> bool:
    """Whether a file is not here, but where its mirror would fetch it."""
    mirror = None if path.is_file() else mirror_of(path)
    return mirror is not None and mirror.relative(path) in mirror.listing()


def size_of(path: Path) -> int:
    """Bytes of a file, wherever it is.

    Raises:
        FileNotFoundError: It is nowhere.
    """
    if elsewhere(path):
        mirror = mirror_of(path)
        assert mirror is not None
        return mirror.listing()[mirror.relative(path)]
    return path.stat().st_size


class Mirror:
    """A local copy of some files of a remote folder.

    Args:
        root: The local folder; its name is the quoted URL.

    Raises:
        MissingDependencyError: The package of the file system is not installed.
        UsageError: There is no such file system.
    """

    def __init__(self, root: Path):
        self.root, self.url = root, unquote(root.name)
        self.protocol = self.url.split(":")[0]
        self._files, self._base = _file_system(self.url)
        self._listed: dict[str, int] | None = None
        self._fetches = 0

    def relative(self, path: Path) -> str:
        """The name of a local path within the mirror."""
        return path.relative_to(self.root).as_posix()

    def listing(self) -> dict[str, int]:
        """Sizes of the remote files by their names, as of the last refresh."""
        if self._listed is None:
            with self._reported("list", ""):
                self._files.invalidate_cache()
                found = self._files.find(self._base, detail=True) if self._files.exists(self._base) else {}
            cut = len(self._base.rstrip("/")) + 1
            named = ((name[cut:], info["size"]) for name, info in found.items())
            self._listed = {name: size for name, size in named if not name.endswith(".part")}
        return self._listed

    def refresh(self) -> None:
        """Lists anew, drops local files that are not the remote ones, and fetches descriptions."""
        self._listed = None
        listing = self.listing()
        self.root.mkdir(parents=True, exist_ok=True)
        recent = time.time() - _SENDING_S
        for path in self.root.rglob("*"):
            name = self.relative(path)
            if not path.is_file() or _is_private(name) or name.startswith(".staging/"):
                continue
            stat = path.stat()
            # What was written a moment ago may be on its way.
            if listing.get(name, stat.st_size) != stat.st_size or (name not in listing and stat.st_mtime < recent):
                path.unlink(missing_ok=True)
        for name in listing:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            if _EAGER.fullmatch(name):
                self.fetch(self.root / name)

    def fetch(self, path: Path) -> None:
        """Copies a remote file here, whole or not at all; nothing happens if there is none."""
        name = self.relative(path)
        if name not in self.listing():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = aside_of(path)
        try:
            with self._reported("read", name):
                self._files.get_file(f"{self._base}/{name}", str(aside))
            if aside.stat().st_size != self.listing()[name]:
                raise DataError(
                    f"incomplete copy of {self.url}/{name}",
                    got=f"{aside.stat().st_size} bytes",
                    allowed=f"{self.listing()[name]} bytes",
                    remedy="run the same command again",
                )
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
        self._fetches += 1
        if self._fetches % _FETCHES_A_SWEEP == 0:
            swept(keep=path)

    def send(self, path: Path) -> None:
        """Copies a local file to its remote place, whole or not at all."""
        name = self.relative(path)
        if _is_private(name):
            return
        target = f"{self._base}/{name}"
        with self._reported("write", name):
            if self.protocol in _ATOMIC:
                self._files.put_file(str(path), target)
            else:
                aside = f"{target}.{uuid.uuid4().hex}.part"
                self._files.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
                self._files.put_file(str(path), aside)
                self._files.mv(aside, target)
        if self._listed is not None:
            self._listed[name] = path.stat().st_size

    def remove(self, folder: Path) -> None:
        """Removes a remote folder."""
        name = self.relative(folder)
        target = f"{self._base}/{name}"
        with self._reported("remove", name):
            if self._files.exists(target):
                self._files.rm(target, recursive=True)
        self._listed = None

    @contextmanager
    def _reported(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except (OSError, NotImplementedError, ValueError) as error:
            raise DataError(
                f"cannot {verb} {self.url}/{name}".rstrip("/"),
                got=f"{type(error).__name__}: {error}",
                remedy="check the address, the connection and the right to do so, then run the same command again",
            ) from error


def swept(*, keep: Path | None = None) -> None:
    """Removes the files of mirrors that were read longest ago, down to ``AMPLIFY_CACHE_GB``; nothing without it."""
    limit = os.environ.get("AMPLIFY_CACHE_GB")
    if not limit:
        return
    try:
        room = float(limit) * 1e9
    except ValueError as error:
        raise UsageError("AMPLIFY_CACHE_GB is not a number", got=limit) from error
    found = [path for path in (cache_folder() / "mirrors").rglob("*") if path.suffix in _EVICTABLE and path.is_file()]
    stats = sorted(((path.stat().st_atime_ns, path.stat().st_size, path) for path in found), reverse=True)
    for _, size, path in stats:
        room -= size
        mirror = mirror_of(path)
        if room < 0 and path != keep and mirror is not None and mirror.listing().get(mirror.relative(path)) == size:
            path.unlink(missing_ok=True)


def _is_private(name: str) -> bool:
    """Whether a file is still being written, so that it is nobody else's."""
    return any(part.startswith(".") and part != ".staging" for part in name.split("/"))


@lru_cache(maxsize=64)
def _mirror(root: Path) -> Mirror:
    return Mirror(root)


def _file_system(url: str) -> tuple[Any, str]:
    import fsspec

    protocol = url.split(":")[0]
    try:
        files, base = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = _PACKAGES.get(protocol, f"fsspec[{protocol}]")
        raise MissingDependencyError(
            f"{protocol}:// needs the package {package!r}", remedy=f"run 'pip install {package}'"
        ) from error
    except ValueError as error:
        allowed = "s3, gs, abfs, http, https, file, memory and the like"
        raise UsageError(f"no file system for {url}", got=protocol, allowed=allowed) from error
    return files, str(base).rstrip("/")
