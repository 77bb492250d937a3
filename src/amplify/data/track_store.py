"""Windows of tracks at random, from the sidecars of a dataset; and how such a sidecar is written."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from amplify.data.dataset import Dataset
from amplify.data.sidecar import PACKED, Header, write_sidecar
from amplify.data.sidecar_files import SidecarFiles
from amplify.data.track_codec import Compression, TrackLayout, compressed, decompressed, pack, unpack
from amplify.types import TrackWindow

KEPT_BYTES = 2**28
"""Ten thousand windows of one camera."""
_SLACK = 1024
"""Bytes by which the compressed form of noise may exceed the noise."""


def write_tracks(path: Path, header: Header, window: TrackWindow, *, compression: Compression = "zstd") -> None:
    """Writes the tracks of one episode atomically.

    Args:
        path: Of `episode_path`.
        header: Its settings name the grid.
        window: One window from every frame: points (t, v, horizon, n, 2).
        compression: Of each window.
    """
    layout, rows = pack(window, grid=int(header.settings["grid"]), compression=compression)
    header = header.model_copy(update={"layout": layout})
    if compression == "none":
        write_sidecar(path, header, {"windows": torch.from_numpy(rows)})
        return
    frames = [compressed(layout, row) for row in rows]
    ends = torch.tensor([len(frame) for frame in frames], dtype=torch.int64).cumsum(0)
    packed = torch.from_numpy(np.frombuffer(b"".join(frames), np.uint8).copy())
    write_sidecar(path, header, {"ends": ends, PACKED: packed})


class TrackStore:
    """Windows of any start frames of a dataset's episodes.

    Files are opened as they are needed and few stay open. Windows that had to be decompressed are kept, as many as
    there is memory for, the first ones go first: a training comes back to them, and decompressing takes three times as
    long as all the rest.

    Args:
        dataset: What was tracked.
        folder: Of the sidecars ("tracks-flow-20x20-h16").
        kept_bytes: Memory for decompressed windows.
    """

    def __init__(self, dataset: Dataset, folder: str, *, kept_bytes: int = KEPT_BYTES):
        self.dataset, self.folder, self.kept_bytes = dataset, folder, kept_bytes
        self._kept: dict[tuple[int, int], UInt8[np.ndarray, " bytes"]] = {}
        self._used = 0
        self.files = _TrackFiles(dataset, folder, ("windows", "ends", PACKED))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}, "_used": 0}

    def header(self, episode_index: int) -> Header:
        """What the tracks of an episode say of themselves.

        Raises:
            SidecarError: The sidecar is missing, damaged, of another layout, or not of this recording or folder.
        """
        return self.files.described(episode_index).header

    def shapes(self, episode_index: int) -> dict[str, tuple[int, ...]]:
        """The shape of each array of one window; raises as `header` does."""
        layout = self.header(episode_index).layout
        assert layout is not None
        shapes = {"points": (*layout.shape, 2), "visible": layout.shape}
        return shapes | ({"error_px": layout.shape} if layout.errors else {})

    def read(self, episodes: Int[np.ndarray, " b"], starts: Int[np.ndarray, " b"]) -> TrackWindow:
        """Windows (b, v, horizon, n, 2), float32; ``valid`` is False past the episode's end.

        Args:
            episodes: Index of the episode of each window.
            starts: Its first frame.

        Raises:
            SidecarError: A sidecar is missing, damaged, or was made otherwise than its siblings.
        """
        groups: dict[TrackLayout, list[int]] = {}
        windows = list(zip(episodes.tolist(), starts.tolist()))
        for position, (episode_index, _) in enumerate(windows):
            self.files.at(episode_index)
            groups.setdefault(self.files.layout(episode_index)[0], []).append(position)
        parts = [
            unpack(layout, self._rows(layout, [windows[p] for p in positions])) for layout, positions in groups.items()
        ]
        points, visible, errors = parts[0] if len(parts) == 1 else _in_order(parts, groups.values())
        lengths = np.array([self.dataset.length(index) for index in episodes.tolist()])
        inside = torch.from_numpy(starts[:, None] + np.arange(points.shape[2]) < lengths[:, None])
        return TrackWindow(
            points=points,
            visible=visible,
            valid=inside[:, None].expand(-1, points.shape[1], -1).contiguous(),
            error_px=errors,
        )

    def episode(self, episode_index: int) -> TrackWindow:
        """All windows of an episode, one from every frame; raises as `read` does."""
        length = self.dataset.length(episode_index)
        return self.read(np.full(length, episode_index), np.arange(length))

    def _rows(self, layout: TrackLayout, windows: list[tuple[int, int]]) -> UInt8[np.ndarray, "b bytes"]:
        """Windows of one layout as they were before compression."""
        if layout.compression == "none":
            stored = b"".join(self._stored(*window) for window in windows)
            return np.frombuffer(stored, np.uint8).reshape(len(windows), -1)
        new = [window for window in dict.fromkeys(windows) if window not in self._kept]
        kept, fresh = self._kept, {}
        if new:
            source = f"{self.folder} of {self.dataset.root}"
            fresh = dict(zip(new, decompressed(layout, [self._stored(*window) for window in new], source=source)))
        rows = np.stack([fresh[window] if window in fresh else kept[window] for window in windows])
        for window, row in fresh.items():
            kept[window] = row.copy()
            self._used += row.nbytes
        while self._used > self.kept_bytes:
            self._used -= kept.pop(next(iter(kept))).nbytes
        return rows

    def _stored(self, episode_index: int, start: int) -> bytes:
        descriptor, (windows, ends, packed) = self.files.at(episode_index)
        layout, size = self.files.layout(episode_index)
        if layout.compression == "none":
            return self.files.read(descriptor, size, windows + start * size, episode_index)
        known = self.files.read(descriptor, 8 * (1 + (start > 0)), ends + 8 * max(start - 1, 0), episode_index)
        begin, end = ([0, *np.frombuffer(known, np.int64).tolist()])[-2:]
        if not 0 <= begin < end <= begin + size + _SLACK:
            raise self.files.damaged(episode_index, f"window {start} at bytes {begin} … {end}", "one after the other")
        return self.files.read(descriptor, end - begin, packed + begin, episode_index)


class _TrackFiles(SidecarFiles):
    """Sidecar files that remember in which of the few layouts each is."""

    def __init__(self, dataset: Dataset, folder: str, tensors: Sequence[str]):
        super().__init__(dataset, folder, tensors)
        self._layouts: list[TrackLayout] = []
        self._sizes: dict[TrackLayout, int] = {}
        self._layout = np.zeros(len(self._places), np.uint8)

    def layout(self, episode_index: int) -> tuple[TrackLayout, int]:
        """Of an episode whose file has been opened, and the bytes of a window before compression."""
        layout = self._layouts[self._layout[episode_index]]
        return layout, self._sizes[layout]

    def check(self, episode_index: int, header: Header, tensors: dict[str, Any]) -> None:
        """Also remembers the layout."""
        super().check(episode_index, header, tensors)
        assert header.layout is not None
        if header.layout not in self._layouts:
            self._layouts.append(header.layout)
            self._sizes[header.layout] = header.layout.window_bytes
        self._layout[episode_index] = self._layouts.index(header.layout)


def _in_order(
    parts: Sequence[tuple[Tensor, Tensor, Tensor | None]], positions: Iterable[list[int]]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The windows of several layouts where they belong in the batch; errors if all have them."""
    order = torch.from_numpy(np.argsort(np.concatenate(list(positions))))
    errors = [part[2] for part in parts if part[2] is not None]
    return (
        torch.cat([part[0] for part in parts])[order],
        torch.cat([part[1] for part in parts])[order],
        torch.cat(errors)[order] if len(errors) == len(parts) else None,
    )
