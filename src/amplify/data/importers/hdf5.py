"""HDF5 files opened and read with errors that a user can act on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from amplify.errors import DataError


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The `h5py.File`, open for reading while the block runs.

    Raises:
        DataError: There is no such file, or it is not HDF5.
    """
    if not path.is_file():
        raise DataError(f"no file {path}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path} is not an HDF5 file", got=str(error), remedy="copy it again") from None
    with file:
        yield file


def array(group: Any, name: str, path: Path) -> np.ndarray:
    """A whole array of a group.

    Args:
        group: An open file or group.
        name: Path of the array within it.
        path: The file, for the message.

    Raises:
        DataError: The group holds no such array, what it holds is listed; or the array is damaged.
    """
    found = group.get(name)
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{path} lacks {group.name.rstrip('/')}/{name}", allowed=", ".join(_arrays(group)) or "nothing")
    try:
        return found[()]
    except OSError as error:
        raise DataError(f"{path}: {found.name} cannot be read", got=str(error), remedy="copy it again") from None


def _arrays(group: Any) -> list[str]:
    names: list[str] = []
    group.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return sorted(names)
