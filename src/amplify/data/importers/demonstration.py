"""A demonstration in an HDF5 file: a group with images, proprioception and actions, a row a step."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8

from amplify.data.episode import Footage
from amplify.data.importers.hdf5 import image_shape, images, numbers, opened, stored
from amplify.errors import DataError
from amplify.video import Shaping

D = TypeVar("D")
L = TypeVar("L")


@dataclass(frozen=True, slots=True, kw_only=True)
class HDF5Recording:
    """Where one demonstration lies, and how it is read.

    Args:
        name: Of the episode.
        path: The file.
        group: Of the demonstration in the file.
        cameras: Of each camera the array of its images, in the group.
        shapings: Of each camera.
        instruction: What was asked for.
        proprio: Arrays that make up proprioception, in the group; none for video.
        action: Array of the actions, in the group; None for video.
        upside_down: Whether images are stored so.
        ahead: How many rows later the action of a row is stored; as many rows at the end have none and are left out.
        info: Notes.
    """

    name: str
    path: Path
    group: str
    cameras: dict[str, str]
    shapings: dict[str, Shaping]
    instruction: str
    proprio: tuple[str, ...] = ()
    action: str | None = None
    upside_down: bool = False
    ahead: int = 0
    info: dict[str, str | int | float] = field(default_factory=dict)

    def footage(self) -> Footage:
        """The episode.

        Raises:
            DataError: The file is damaged, or arrays of the demonstration have different lengths.
        """
        with opened(self.path) as file:
            lengths = {name: _rows(stored(file, f"{self.group}/{name}", self.path)) for name in self.cameras.values()}
            state = [numbers(file, f"{self.group}/{name}", self.path) for name in self.proprio]
            actions = None if self.action is None else numbers(file, f"{self.group}/{self.action}", self.path)
        lengths |= {name: len(rows) for name, rows in zip(self.proprio, state)}
        if actions is not None:
            lengths[self.action or ""] = len(actions)
        if len(set(lengths.values())) != 1:
            raise DataError(f"arrays of {self.path}, {self.group}, have different lengths", got=lengths)
        length = next(iter(lengths.values())) - self.ahead
        return Footage(
            instruction=self.instruction,
            length=length,
            frames={camera: self._images(camera, length) for camera in self.cameras},
            proprio=np.concatenate(state, axis=1)[:length] if state else None,
            actions=None if actions is None else actions[self.ahead :],
            info={"source": self.name, **self.info},
        )

    def _images(self, camera: str, length: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        array = f"{self.group}/{self.cameras[camera]}"
        for image in images(self.path, array, 0, length, upside_down=self.upside_down):
            yield self.shapings[camera].image(image)


def hdf5_files(source: Path, pattern: str = "*") -> list[Path]:
    """All HDF5 files under a folder, by name, or the file itself.

    Args:
        source: A folder or a file.
        pattern: What names begin with before ``.hdf5`` or ``.h5``.

    Raises:
        DataError: There is none.
    """
    if source.is_file():
        return [source]
    found = sorted(path for ending in ("hdf5", "h5") for path in source.rglob(f"{pattern}.{ending}"))
    if not found:
        raise DataError(f"no demonstrations under {source}", allowed=f"files named {pattern}.hdf5")
    return found


def image_sizes(file: Any, group: str, cameras: dict[str, str], path: Path) -> dict[str, tuple[int, int]]:
    """(width, height) of each camera's images in a demonstration.

    Args:
        file: Open.
        group: Of the demonstration.
        cameras: Of each camera the array of its images, in the group.
        path: The file, for messages.

    Raises:
        DataError: An array is missing or holds no images.
    """
    return {camera: image_shape(stored(file, f"{group}/{name}", path), path) for camera, name in cameras.items()}


def first_sound(demos: Iterable[D], look: Callable[[D], L], path: Path) -> L:
    """What one demonstration of a file says of all: the first one that is not damaged.

    Args:
        demos: In the file's order.
        look: Reads what all have from one.
        path: The file, for messages.

    Raises:
        DataError: None can be read; the first one's reason.
    """
    reason = DataError(f"{path} is damaged: no demonstration can be opened", remedy="copy it again")
    for number, demo in enumerate(demos):
        try:
            return look(demo)
        except DataError as error:
            reason = error if number == 0 else reason
    raise reason


def _rows(found: Any) -> int:
    return found.shape[0] if found.shape else 0
