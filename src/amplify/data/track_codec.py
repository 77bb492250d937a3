"""A window of tracks in 26 kB, or in a few: what is kept of it, and in which bytes.

Positions are kept as displacements from the grid in 64ths of a pixel of a 128×128 frame, visibility as bits, the
tracker's error estimate as one of four levels. A compressed window holds, of each point, what its neighbour in the row
above does not say already, and is a Zstandard frame of its own, so that any window can be read without the others.
"""

from functools import lru_cache
from math import prod
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int16, UInt8
from pydantic import Field
from torch import Tensor

from amplify.config import Config
from amplify.coords import EVALUATION_SIZE_PX
from amplify.errors import SidecarError
from amplify.tracks.queries import uniform_grid
from amplify.types import TrackWindow

Compression = Literal["zstd", "none"]

STEPS_PER_PX = 64
"""Positions are rounded to this part of a pixel of a 128×128 frame: at most 0.0078 pixels away from the tracker's."""

ERROR_LEVELS_PX = (0.0, 0.5, 1.0, 2.0)
"""An error estimate is rounded down to the next of these, so that comparing it with any of them is still exact."""

_SCALE = STEPS_PER_PX * EVALUATION_SIZE_PX / 2
_REACH = np.iinfo(np.int16).max
_MIDDLE = 128
"""Added to differences, so that small ones of either sign have a high byte of zero."""

_CODEC = pa.Codec("zstd", 3)
_CODES = (np.arange(256)[:, None] >> np.array([0, 2, 4, 6])) & 3
_ERRORS = np.array(ERROR_LEVELS_PX, np.float32)[_CODES].view(np.complex128).reshape(-1)
"""Of each byte its four values, as one number of the same 16 bytes: looking that up is several times faster."""


class TrackLayout(Config):
    """The sizes of a window as it is stored.

    Args:
        views: Cameras.
        grid: Points a side; their start positions are those of `uniform_grid` unless ``placed``.
        horizon: Frames a window.
        placed: Whether start positions are stored, because a window starts elsewhere than on the grid.
        errors: Whether there are error estimates.
        compression: Of each window.
    """

    views: int = Field(ge=1)
    grid: int = Field(ge=1)
    horizon: int = Field(ge=2)
    placed: bool
    errors: bool
    compression: Compression

    @property
    def shape(self) -> tuple[int, int, int]:
        """Views, frames, points."""
        return self.views, self.horizon, self.grid**2

    @property
    def moves(self) -> tuple[int, int, int, int]:
        """The shape of the stored displacements: views, frames, points, axes."""
        return self.views, self.horizon - (not self.placed), self.grid**2, 2

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Bytes of displacements, visibility and errors of a window before compression."""
        values = prod(self.shape)
        return 2 * prod(self.moves), -(-values // 8), -(-values // 4) if self.errors else 0

    @property
    def window_bytes(self) -> int:
        """Bytes of a window before compression."""
        return sum(self.sizes)


def pack(
    window: TrackWindow, *, grid: int, compression: Compression
) -> tuple[TrackLayout, UInt8[np.ndarray, "t bytes"]]:
    """Windows as rows of bytes, not yet compressed, and how to read them.

    Args:
        window: Points (t, v, horizon, n, 2); where they are further than four frames away they are held there.
        grid: Points a side; n is its square.
        compression: What the layout shall say.
    """
    count, views, horizon, _ = window.visible.shape
    away = window.points - uniform_grid(grid)
    steps = (away * _SCALE).round().clamp(-_REACH, _REACH).to(torch.int16).numpy()
    layout = TrackLayout(
        views=views,
        grid=grid,
        horizon=horizon,
        placed=bool(steps[:, :, 0].any()),
        errors=window.error_px is not None,
        compression=compression,
    )
    moves = np.ascontiguousarray(steps[:, :, horizon - layout.moves[1] :]).reshape(count, -1)
    parts = [moves.view(np.uint8), np.packbits(window.visible.numpy().reshape(count, -1), axis=1)]
    if window.error_px is not None:
        codes = np.digitize(window.error_px.numpy().reshape(count, -1), ERROR_LEVELS_PX[1:]).astype(np.uint8)
        codes = np.pad(codes, ((0, 0), (0, -codes.shape[1] % 4))).reshape(count, -1, 4)
        parts.append(np.bitwise_or.reduce(codes << np.array([0, 2, 4, 6], np.uint8), axis=-1))
    return layout, np.concatenate(parts, axis=1)


def unpack(layout: TrackLayout, rows: UInt8[np.ndarray, "b bytes"]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Points (b, v, horizon, n, 2) and errors as float32, and visibility.

    Args:
        layout: Of all the rows.
        rows: Uncompressed windows.
    """
    moved, seen, _ = layout.sizes
    moves = np.ascontiguousarray(rows[:, :moved]).view(np.int16).reshape(-1, *layout.moves)
    return _positions(layout, moves), _visible(layout, rows[:, moved : moved + seen]), _errors(layout, rows)


def compressed(layout: TrackLayout, row: UInt8[np.ndarray, " bytes"]) -> bytes:
    """One window as a Zstandard frame."""
    moved = layout.sizes[0]
    moves = np.ascontiguousarray(row[:moved]).view(np.int16).reshape(layout.moves)
    moves = np.diff(moves, axis=1, prepend=np.zeros_like(moves[:, :1]))
    moves = moves.reshape(*moves.shape[:2], layout.grid, -1)
    moves = np.diff(moves, axis=2, prepend=np.zeros_like(moves[:, :, :1])) + np.int16(_MIDDLE)
    planes = moves.reshape(-1, 1).view(np.uint8).T  # all low bytes, then all high ones
    return _CODEC.compress(np.concatenate([planes.reshape(-1), row[moved:]]).tobytes(), asbytes=True)


def decompressed(layout: TrackLayout, frames: list[bytes], *, source: str) -> UInt8[np.ndarray, "b bytes"]:
    """The rows of bytes that `compressed` was given.

    Args:
        layout: Of all of them.
        frames: Zstandard frames.
        source: Names the file in the error.

    Raises:
        SidecarError: A frame is damaged.
    """
    size, moved = layout.window_bytes, layout.sizes[0]
    rows = np.empty((len(frames), size), np.uint8)
    try:
        for row, frame in zip(rows, frames):
            row[:] = np.frombuffer(_CODEC.decompress(frame, size), np.uint8)
    except (OSError, ValueError) as error:
        raise SidecarError(
            f"damaged window of tracks in {source}", got=error, remedy="track the episode again"
        ) from error
    low, high = rows[:, : moved // 2], rows[:, moved // 2 : moved]
    views, steps = layout.moves[:2]
    moves = high.astype(np.uint16)
    moves <<= 8
    moves |= low
    moves -= np.uint16(_MIDDLE)
    moves = moves.view(np.int16).reshape(len(rows), views, steps, layout.grid, -1)
    for line in range(1, layout.grid):
        moves[:, :, :, line] += moves[:, :, :, line - 1]
    for step in range(1, steps):
        moves[:, :, step] += moves[:, :, step - 1]
    rows[:, :moved] = moves.reshape(len(rows), -1).view(np.uint8)
    return rows


@lru_cache(maxsize=16)
def _queries(grid: int) -> Float[Tensor, "n 2"]:
    return uniform_grid(grid)


def _positions(layout: TrackLayout, moves: Int16[np.ndarray, "b v s n 2"]) -> Float[Tensor, "b v t n 2"]:
    queries = _queries(layout.grid)
    points = torch.empty(len(moves), *layout.shape, 2)
    points[:, :, 0] = queries
    torch.add(queries, torch.from_numpy(moves), alpha=1 / _SCALE, out=points[:, :, layout.horizon - layout.moves[1] :])
    return points


def _visible(layout: TrackLayout, rows: UInt8[np.ndarray, "b bytes"]) -> Tensor:
    count = prod(layout.shape)
    bits = np.unpackbits(rows, axis=1, count=count)
    return torch.from_numpy(bits).view(torch.bool).reshape(-1, *layout.shape)


def _errors(layout: TrackLayout, rows: UInt8[np.ndarray, "b bytes"]) -> Tensor | None:
    if not layout.errors:
        return None
    count, codes = prod(layout.shape), rows[:, sum(layout.sizes[:2]) :]
    values = torch.from_numpy(_ERRORS.take(codes).view(np.float32))
    return values[:, :count].reshape(-1, *layout.shape)
