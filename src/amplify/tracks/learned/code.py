"""Other people's code: run only from a folder that the user named, from an installed package, or when allowed to."""

import functools
import hashlib
import importlib
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from amplify.errors import DataError, MissingDependencyError


def imported(name: str, folder: Path | None) -> ModuleType:
    """A module of a repository's clone, or of an installed package.

    Args:
        name: Its full name ("tapnet.torch.tapir_model").
        folder: The clone; None for an installed package.

    Raises:
        MissingDependencyError: It is not there, or needs something that is not installed.
        DataError: The package of that name was already imported from elsewhere.
    """
    package = name.partition(".")[0]
    where = "an installed package" if folder is None else str(folder)
    with _searched(folder), _dependencies(f"{name} of {where}"):
        module = importlib.import_module(name)
    origin = Path(module.__file__ or "").resolve()
    if folder is not None and not origin.is_relative_to(folder.resolve()):
        raise DataError(
            f"the package {package!r} was already imported from another place",
            got=origin,
            allowed=folder,
            remedy="use one clone in one process",
        )
    return module


def from_clone(folder: Path, entry: str) -> Any:
    """What an entry of a clone's hubconf.py makes, without its own download of weights.

    Args:
        folder: The clone.
        entry: The function's name.

    Raises:
        DataError: The folder is no such clone.
        MissingDependencyError: The code needs something that is not installed.
    """
    if not (folder / "hubconf.py").is_file():
        raise DataError(f"no hubconf.py in {folder}", remedy="clone the authors' repository and name that folder")
    return _entered(str(folder), entry, where=str(folder), source="local", verbose=False)


def from_hub(repository: str, commit: str, entry: str) -> Any:
    """The same from the authors' repository, downloaded once at a commit that is always the same.

    Args:
        repository: "owner/name" on GitHub.
        commit: Its 40 digits.
        entry: The function's name.

    Raises:
        DataError: It cannot be downloaded.
        MissingDependencyError: The code needs something that is not installed.
    """
    place = f"{repository}:{commit}"
    try:
        # The hub lists branches and tags to validate what it is asked for, and a commit is neither.
        return _entered(place, entry, where=place, source="github", trust_repo=True, skip_validation=True)
    except OSError as error:
        remedy = "check the network, or clone the repository and name it with --code"
        raise DataError(f"{place} could not be downloaded", got=error, remedy=remedy) from error


def _entered(repository: str, entry: str, *, where: str, **options: Any) -> Any:
    with _dependencies(where):
        try:
            return torch.hub.load(repository, entry, pretrained=False, **options)
        except RuntimeError as error:
            raise DataError(f"hubconf.py of {where} cannot make {entry!r}", got=error) from error


@functools.cache
def fingerprint(folder: Path) -> str:
    """Twelve hexadecimal digits that change with any Python file of a clone."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def installed_version(package: str) -> str:
    """Of a package whose code is used."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@contextmanager
def _searched(folder: Path | None) -> Iterator[None]:
    if folder is None:
        yield
        return
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _dependencies(where: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        got = f"{error.name!r} is not installed" if isinstance(error, ModuleNotFoundError) else error
        remedy = f"pip install {error.name}" if isinstance(error, ModuleNotFoundError) else None
        raise MissingDependencyError(f"cannot import {where}", got=got, remedy=remedy) from error
