"""Which files of a repository may ever reach this machine, and whether they are the ones that were meant."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from amplify.errors import HubError

SUFFIXES = (".safetensors", ".json", ".jsonl", ".md", ".parquet", ".mp4", ".png")
"""Files that hold data and no code."""

PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".npy", ".npz", ".msgpack")
TEXT_LIMIT = 64 * 2**20
"""Bytes of a text file: more than any that is written here, and less than what could exhaust memory."""

_PART = re.compile(r"[^\x00-\x1f\x7f<>:\"|?*\\/]{1,200}")
_CHUNK = 2**22


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a repository.

    Args:
        path: Within the repository.
        size: Bytes.
        digest: SHA-256 of a large file, or git's SHA-1 of a small one; hexadecimal.
    """

    path: str
    size: int
    digest: str


def refuse_unsafe(entries: Iterable[Entry]) -> None:
    """Does nothing where every path stays within the folder that it is written to.

    Raises:
        HubError: One does not, or two are the same file where case is ignored.
    """
    seen: dict[str, str] = {}
    for entry in entries:
        parts = entry.path.split("/")
        odd = any(not _PART.fullmatch(part) or part in (".", "..") or part[-1] in ". " for part in parts)
        twin = seen.setdefault(entry.path.casefold(), entry.path)
        if odd or twin != entry.path or len(entry.path) > 1000:
            raise HubError(
                "the repository has a file name that is not safe to write here",
                got=repr(entry.path) + (f" beside {twin!r}" if twin != entry.path else ""),
                remedy="do not use this repository",
            )


def allowed(entry: Entry) -> bool:
    """Whether a file is of a type that may be downloaded, and hidden nowhere."""
    hidden = any(part.startswith(".") for part in entry.path.split("/"))
    return not hidden and Path(entry.path).suffix.lower() in SUFFIXES


def refuse_oversized(entries: Iterable[Entry]) -> None:
    """Does nothing where text files have sizes of text files.

    Raises:
        HubError: One does not.
    """
    for entry in entries:
        if entry.path.endswith((".json", ".jsonl", ".md")) and not 0 <= entry.size <= TEXT_LIMIT:
            raise HubError(
                f"{entry.path} is too large for a text file",
                got=f"{entry.size} bytes",
                allowed=f"up to {TEXT_LIMIT}",
                remedy="do not use this repository",
            )


def digest(content: Path | bytes, like: str) -> str:
    """The digest of a file, of the kind that another one is.

    Args:
        content: A file, or what it holds.
        like: 64 digits ask for SHA-256, 40 for git's SHA-1 of a blob.
    """
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    made = hashlib.sha256() if len(like) == 64 else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    if isinstance(content, bytes):
        made.update(content)
    else:
        with content.open("rb") as file:
            while block := file.read(_CHUNK):
                made.update(block)
    return made.hexdigest()


def same(content: Path | bytes, entry: Entry) -> bool:
    """Whether a local file is the one in the repository."""
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    return size == entry.size and digest(content, entry.digest) == entry.digest
