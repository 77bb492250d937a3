"""What a set of windows reads at random from many episodes, in memory that does not grow with their number."""

import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from amplify.data.dataset import Dataset
from amplify.data.sidecar import Sidecar, read_episode

OPEN_FILES = 1024
"""Sidecars that stay open, far below the 65,530 memory maps that Linux allows a process."""


class OpenSidecars:
    """The sidecars of many episodes, opened when they are first read; those read longest ago are closed again.

    Args:
        datasets: Numbered in this order.
        most: Files that stay open.
    """

    def __init__(self, datasets: Sequence[Dataset], *, most: int = OPEN_FILES):
        self._datasets, self._most = tuple(datasets), most
        self._open: OrderedDict[tuple[int, str, int], Sidecar] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def __getstate__(self) -> dict[str, Any]:
        # Memory maps do not travel to other processes; each opens its own.
        return {"_datasets": self._datasets, "_most": self._most, "_open": OrderedDict()}

    def read(self, source: int, folder: str, episode_index: int) -> Sidecar:
        """The sidecar of an episode, memory-mapped.

        Args:
            source: Number of its dataset.
            folder: Of the sidecars.
            episode_index: In its dataset.

        Raises:
            SidecarError: It is missing, damaged, or of another recording.
        """
        key = (source, folder, episode_index)
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = read_episode(self._datasets[source], folder, episode_index)
            if len(self._open) > self._most:
                self._open.popitem(last=False)
        else:
            self._open.move_to_end(key)
        return found


class Rows:
    """Rows of numbers that are written once, in order, and then read at random, from a file without a name."""

    def __init__(self) -> None:
        # The file outlives this method; the system removes it with the last map of it.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._count, self._width = 0, 0
        self._mapped: Tensor | None = None

    def append(self, rows: Float32[np.ndarray, "t d"]) -> None:
        """Adds the rows of the next episode.

        Args:
            rows: All of one width.
        """
        self._file.write(np.ascontiguousarray(rows, dtype=np.float32).tobytes())
        self._count, self._width = self._count + len(rows), rows.shape[1]

    def __getitem__(self, at: Int[Tensor, "*b"]) -> Tensor:
        """The rows of these numbers, (*b, d)."""
        if self._mapped is None:
            self._file.flush()
            shape = (self._count, self._width)
            self._mapped = torch.from_numpy(np.memmap(self._file, dtype=np.float32, mode="r+", shape=shape))
        return self._mapped[at]
