"""Columns of many episodes, read at random without being held in memory."""

import tempfile

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor


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
