"""Rows of sidecars at random, from files that are opened as they are needed: memory does not grow with the windows."""

import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from amplify.data.dataset import Dataset
from amplify.data.remote import present
from amplify.data.sidecar import Header, Sidecar, episode_path, read_episode, remedy_for
from amplify.errors import SidecarError

OPEN_FILES = 128
"""Files of one folder that stay open."""

_UNKNOWN = -1


class SidecarFiles:
    """The files of one sidecar folder; each is checked when it is first opened, and again if it was replaced.

    Args:
        dataset: Whose sidecars.
        folder: Their folder.
        tensors: Names of the tensors that are read.
        open_files: Files that stay open.
    """

    def __init__(self, dataset: Dataset, folder: str, tensors: Sequence[str], *, open_files: int = OPEN_FILES):
        self.dataset, self.folder, self.tensors, self.open_files = dataset, folder, tuple(tensors), open_files
        self.first: Header | None = None
        self._described: tuple[int, Sidecar] | None = None
        last = max((episode.index for episode in dataset.episodes), default=0)
        # Of each episode: when its file was written, and where its tensors begin. All that grows with the dataset.
        self._places = np.full((last + 1, 1 + len(self.tensors)), _UNKNOWN, np.int64)
        self._open: OrderedDict[int, int] = OrderedDict()

    def described(self, episode_index: int) -> Sidecar:
        """Header and mapped tensors of an episode's sidecar, which is checked.

        Raises:
            SidecarError: It is missing, damaged, or not of this recording or folder.
        """
        if self._described is None or self._described[0] != episode_index:
            self._described = episode_index, read_episode(self.dataset, self.folder, episode_index)
        return self._described[1]

    def at(self, episode_index: int) -> tuple[int, Sequence[int]]:
        """An open descriptor, and where the tensors begin in the file; −1 for one that it does not have.

        Raises:
            SidecarError: As for `described`.
        """
        if episode_index in self._open:
            self._open.move_to_end(episode_index)
        else:
            self._open[episode_index] = self._opened(episode_index)
            if len(self._open) > self.open_files:
                os.close(self._open.popitem(last=False)[1])
        return self._open[episode_index], self._places[episode_index, 1:].tolist()

    def read(self, descriptor: int, count: int, offset: int, episode_index: int) -> bytes:
        """Bytes of an open file.

        Raises:
            SidecarError: The file ends before.
        """
        data = os.pread(descriptor, count, offset)
        if len(data) != count:
            raise self.damaged(episode_index, f"{len(data)} bytes", f"{count} bytes")
        return data

    def damaged(self, episode_index: int, got: str, allowed: str) -> SidecarError:
        """The error for a file that does not hold what its header says."""
        path = episode_path(self.dataset.root, self.folder, episode_index)
        remedy = remedy_for(self.dataset.root, self.folder)
        return SidecarError(f"damaged sidecar: {path}", got=got, allowed=allowed, remedy=remedy)

    def close(self) -> None:
        """Closes all files; they are opened again as needed."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _opened(self, episode_index: int) -> int:
        path = present(episode_path(self.dataset.root, self.folder, episode_index))
        if not 0 <= episode_index < len(self._places) or not path.is_file():
            read_episode(self.dataset, self.folder, episode_index)  # says what is missing
        descriptor = os.open(path, os.O_RDONLY)
        try:
            written = os.fstat(descriptor).st_mtime_ns
            if self._places[episode_index, 0] != written:
                header = read_episode(self.dataset, self.folder, episode_index).header
                self.check(episode_index, header, _tensors(descriptor))
                self._places[episode_index, 0] = written
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def check(self, episode_index: int, header: Header, tensors: dict[str, Any]) -> None:
        """Refuses a file that was made otherwise than the first one, and remembers where its tensors begin."""
        self.first = self.first or header
        if header.recipe != self.first.recipe:
            raise SidecarError(
                f"{self.folder} was made in two ways",
                got=f"{header.recipe[2:]} for episode {episode_index} of {self.dataset.root}",
                allowed=f"{self.first.recipe[2:]}, as in other episodes",
                remedy=remedy_for(self.dataset.root, self.folder),
            )
        begins = [tensors[name]["data_offsets"][0] if name in tensors else _UNKNOWN for name in self.tensors]
        self._places[episode_index, 1:] = begins

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict(), "_described": None}

    def __del__(self) -> None:
        self.close()


class FeatureStore:
    """Image features of any frames of a dataset's episodes.

    Args:
        dataset: What they were computed from.
        folder: Of the sidecars ("features-efficientnet-lite0-128px").
    """

    def __init__(self, dataset: Dataset, folder: str):
        self.files = SidecarFiles(dataset, folder, ("vision",))
        self._shape: tuple[int, ...] | None = None

    def header(self, episode_index: int) -> Header:
        """What the features of an episode say of themselves; raises as `read` does."""
        return self.files.described(episode_index).header

    def shapes(self, episode_index: int) -> dict[str, tuple[int, ...]]:
        """Views, patches and width of one frame's features; raises as `read` does."""
        return {"features": tuple(self.files.described(episode_index).tensors["vision"].shape[1:])}

    def read(self, episodes: Int[np.ndarray, " b"], frames: Int[np.ndarray, " b"]) -> Float[Tensor, "b v p d"]:
        """The features of frames, float32.

        Args:
            episodes: Index of the episode of each.
            frames: From 0.

        Raises:
            SidecarError: A sidecar is missing, damaged, or was made otherwise than its siblings.
        """
        self._shape = self._shape or self.shapes(int(episodes[0]))["features"]
        values = int(np.prod(self._shape))
        rows = np.empty((len(episodes), values), np.float16)
        for row, episode_index, frame in zip(rows, episodes.tolist(), frames.tolist()):
            descriptor, (begin,) = self.files.at(episode_index)
            data = self.files.read(descriptor, 2 * values, begin + 2 * values * frame, episode_index)
            row[:] = np.frombuffer(data, np.float16)
        return torch.from_numpy(rows).float().reshape(-1, *self._shape)


def _tensors(descriptor: int) -> dict[str, Any]:
    """Of each tensor of a checked safetensors file its description, with offsets from the file's start."""
    size = int.from_bytes(os.pread(descriptor, 8, 0), "little")
    described = json.loads(os.pread(descriptor, size, 8))
    return {
        name: {**entry, "data_offsets": [8 + size + offset for offset in entry["data_offsets"]]}
        for name, entry in described.items()
        if name != "__metadata__"
    }
