"""HDF5 files opened and read with errors that a user can act on; links to other files are not followed."""

import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import UInt8

from amplify.errors import DataError

MAX_ARRAY_BYTES = 4 << 30
"""Of an array that is read whole."""
MAX_RATIO = 2000
"""Bytes that an array may claim for each byte stored; compression reaches 1032."""
ROOM_BYTES = 16 << 20
"""What an array may claim anyway, and what images are read in at a time."""

# What damaged files raise on the way through h5py.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError)


PROBE_S = 30
"""Longest time that the tables of a file may take to be gone through."""

_PROBE = """
import sys, h5py
def look(name, item):
    dict(item.attrs)
    if isinstance(item, h5py.Dataset):
        item.shape, item.dtype, item.id.get_storage_size()
with h5py.File(sys.argv[1], "r") as file:
    dict(file.attrs)
    file.visititems(look)
"""


def probe(path: Path) -> None:
    """Goes through a file's tables and attributes in its own process: the library may loop for ever on damaged ones.

    Args:
        path: The file.

    Raises:
        DataError: Reading does not end, or ends the process that reads.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, str(path)], capture_output=True, timeout=PROBE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{path} is damaged: reading it does not end", remedy="copy it again") from None
    if done.returncode < 0:
        raise DataError(f"{path} is damaged: reading it ends the process", remedy="copy it again")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The `h5py.File`, open for reading while the block runs.

    Raises:
        DataError: There is no such file, it is not HDF5, or it is damaged where the block reads it.
    """
    if not path.is_file():
        raise DataError(f"no file {path}")
    try:
        file = h5py.File(path, "r")
    except _DAMAGE as error:
        raise DataError(f"{path} is not an HDF5 file", got=str(error), remedy="copy it again") from None
    try:
        with file:
            yield file
    except _DAMAGE as error:
        raise DataError(f"{path} is damaged", got=str(error)[:300], remedy="copy it again") from error


def member(group: Any, name: str, path: Path) -> Any:
    """What a group holds under a path, or None; links out of the file are refused.

    Args:
        group: An open file or group.
        name: Path within it.
        path: The file, for the message.

    Raises:
        DataError: A link leads to another file.
    """
    found: Any = group
    for part in name.strip("/").split("/"):
        if not isinstance(found, h5py.Group) or (link := found.get(part, getlink=True)) is None:
            return None
        if isinstance(link, h5py.ExternalLink):
            raise DataError(
                f"{path}: {name} leads to another file",
                got=link.filename,
                remedy="copy the data into the file",
            )
        found = found.get(part)
    if found is not None and found.file.filename != group.file.filename:
        raise DataError(f"{path}: {name} leads to another file", got=found.file.filename)
    return found


def stored(group: Any, name: str, path: Path) -> Any:
    """The `h5py.Dataset` under a path, its data not yet read.

    Args:
        group: An open file or group.
        name: Path of the array within it.
        path: The file, for the message.

    Raises:
        DataError: There is no such array, what there is is listed; or it lies in other files, or claims far more
            than the file holds.
    """
    found = member(group, name, path)
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{path} lacks {group.name.rstrip('/')}/{name}", allowed=", ".join(_arrays(group)) or "nothing")
    if found.external or (found.is_virtual and any(part.file_name != "." for part in found.virtual_sources())):
        raise DataError(f"{path}: the data of {found.name} lie in another file", remedy="copy them into the file")
    claimed = math.prod(found.shape or ()) * found.dtype.itemsize
    chunk = math.prod(found.chunks or ()) * found.dtype.itemsize
    if claimed > max(ROOM_BYTES, MAX_RATIO * found.id.get_storage_size()) or chunk > MAX_ARRAY_BYTES:
        raise DataError(
            f"{path}: {found.name} claims more than the file holds",
            got=f"shape {found.shape} in {found.id.get_storage_size()} bytes",
            remedy="copy it again",
        )
    return found


def array(group: Any, name: str, path: Path) -> np.ndarray:
    """A whole array of a group.

    Args:
        group: An open file or group.
        name: Path of the array within it.
        path: The file, for the message.

    Raises:
        DataError: The group holds no such array, what it holds is listed; or the array is damaged, or no memory holds
            it.
    """
    found = stored(group, name, path)
    claimed = math.prod(found.shape or ()) * found.dtype.itemsize
    if claimed > MAX_ARRAY_BYTES:
        raise DataError(f"{path}: {found.name} is too large to read whole", got=f"shape {found.shape}")
    try:
        return np.asarray(found[()])
    except _DAMAGE as error:
        raise DataError(f"{path}: {found.name} cannot be read", got=str(error), remedy="copy it again") from None


def numbers(group: Any, name: str, path: Path) -> np.ndarray:
    """A whole array of numbers as float32, a row each frame.

    Args:
        group: An open file or group.
        name: Path of the array within it.
        path: The file, for the message.

    Raises:
        DataError: As `array`; or it holds something else than numbers.
    """
    values = array(group, name, path)
    if values.dtype.kind not in "fiub" or values.ndim < 1:
        raise DataError(f"{path}: {group.name.rstrip('/')}/{name} is no table of numbers")
    return values.reshape(len(values), -1).astype(np.float32)


def images(
    path: Path, name: str, start: int, stop: int, *, upside_down: bool = False
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The images of an array, RGB, read a few at a time.

    Args:
        path: The file.
        name: Path of the array within it: a row an image, with its channels last or first, one (grey), three or four
            (of which the last is dropped), uint8 or real numbers in 0..1 or 0..255.
        start: First row.
        stop: Row after the last.
        upside_down: Whether the first line of an image is its lowest, as OpenGL has it.

    Raises:
        DataError: As `stored`; or the array is damaged, or holds no images.
    """
    with opened(path) as file:
        found = stored(file, name, path)
        first = _channels_first(found, path)
        each = max(1, math.prod(found.shape[1:]) * found.dtype.itemsize)
        step = max(1, ROOM_BYTES // each)
        scale = 0.0
        for begin in range(start, stop, step):
            rows = found[begin : min(stop, begin + step)]
            if rows.dtype.kind == "f":
                if not np.isfinite(rows).all():
                    raise DataError(f"{path}: {name} has pixels that are not finite numbers")
                scale = scale or (255.0 if rows.max() <= 1.0 else 1.0)
                rows = np.clip(np.rint(rows * scale), 0, 255).astype(np.uint8)
            for row in rows:
                image = _rgb(np.moveaxis(row, 0, -1) if first else row)
                yield np.ascontiguousarray(image[::-1] if upside_down else image)


def image_shape(found: Any, path: Path) -> tuple[int, int]:
    """Width and height of the images of an open array.

    Raises:
        DataError: It holds no images.
    """
    first = _channels_first(found, path)
    height, width = found.shape[2:4] if first else found.shape[1:3]
    return int(width), int(height)


def _channels_first(found: Any, path: Path) -> bool:
    shape = found.shape or ()
    last = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3, 4))
    first = len(shape) == 4 and shape[1] in (1, 3, 4) and shape[3] > 4
    of_pixels = found.dtype == np.uint8 or found.dtype.kind == "f"
    if not (last or first) or not of_pixels or 0 in shape[1:]:
        raise DataError(
            f"{path}: {found.name} holds no images",
            got=f"shape {shape}, {found.dtype}",
            allowed="(frames, height, width, channels), uint8 or float",
        )
    return first and not last


def _rgb(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
        image = image[..., None]
    return image.repeat(3, axis=2) if image.shape[2] == 1 else image[..., :3]


def text(value: Any) -> str:
    """An attribute as text, however it is stored; empty if it is none."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value if isinstance(value, str) else ""


def _arrays(group: Any) -> list[str]:
    names: list[str] = []
    group.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return sorted(names)
