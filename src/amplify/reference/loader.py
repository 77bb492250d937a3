"""What the reference's loader makes of a folder in LIBERO's layout, computed through our readers.

Kept apart from training, which pads with masks and clamps nothing. The reference takes (row, column) pixel indices over
half the frame as coordinates, clamps them into [−1, 1], sets what is unknown to pixel 0, and fills actions with zeros
past the end.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch.nn.functional import interpolate

from amplify.data.importers.hdf5 import array, opened
from amplify.data.importers.libero import (
    SUFFIX,
    Demonstration,
    cameras,
    demonstrations,
    read_demonstration,
    sentence,
    task_files,
)
from amplify.data.importers.reference_tracks import StoredTracks, read_tracks
from amplify.data.writer import Episode
from amplify.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderSettings:
    """How the reference's loader was set.

    Args:
        horizon: Actions of a sample, and frames of tracks before they are resampled.
        track_frames: Frames of tracks after that.
        image_px: (height, width) of images; as recorded by default.
        interpolation: How tracks are resampled.
    """

    horizon: int
    track_frames: int
    image_px: tuple[int, int] | None = None
    interpolation: Literal["linear", "spline"] = "linear"


def settings_of(name: str, index: str, arrays: Mapping[str, np.ndarray]) -> LoaderSettings:
    """The settings that a group of stored arrays was made with, read from their shapes and their name.

    Args:
        name: The group's name; it says which interpolation.
        index: The group's index, JSON rows of (demonstration, start, end, length).
        arrays: The group's arrays by field, of any one sample.
    """
    reach = max(end - start for _, start, end, _ in json.loads(index))
    horizon = len(arrays["actions"]) if "actions" in arrays else reach
    frames = arrays["traj"].shape[1] if "traj" in arrays else horizon
    images = arrays.get("images")
    return LoaderSettings(
        horizon=horizon,
        track_frames=frames,
        image_px=None if images is None else (images.shape[1], images.shape[2]),
        interpolation="spline" if "spline" in name else "linear",
    )


class ReferenceLoader:
    """Samples of a data folder as the reference's loader gives them.

    Args:
        root: The folder that holds ``LIBERO/libero/datasets`` and ``preprocessed_data``.
        views: Cameras, in order; those of the recordings by default.
        method: Folder of the tracks; by default the first that has a demonstration's.
    """

    FIELDS = ("images", "actions", "proprioception", "traj", "vis", "text", "text_emb")

    def __init__(self, root: Path, views: Sequence[str] = (), method: str = "*"):
        self.root, self._views, self._method = root, tuple(views), method
        self._episodes: dict[Demonstration, Episode] = {}

    @cached_property
    def demonstrations(self) -> list[Demonstration]:
        """Those that have tracks, task by task.

        Raises:
            DataError: There are none.
        """
        every = [demo for path in task_files(self.root / "LIBERO") for demo in demonstrations(path)]
        tracked = [demo for demo in every if self._tracks_of(demo).is_file()]
        if not tracked:
            raise DataError(
                f"no demonstration under {self.root} has tracks",
                allowed=f"preprocessed_data/<suite>/<method>/<task>{SUFFIX}/demo_<i>.hdf5",
            )
        return tracked

    @cached_property
    def views(self) -> tuple[str, ...]:
        """Cameras, in order."""
        return self._views or cameras(self.demonstrations[0])

    def index(self, horizon: int) -> list[list[Any]]:
        """Every sample: its demonstration, first row, row after the last, and the demonstration's length."""
        return [
            [demo.key, start, min(start + horizon, demo.length), demo.length]
            for demo in self.demonstrations
            for start in range(demo.length)
        ]

    def sample(self, number: int, settings: LoaderSettings) -> dict[str, np.ndarray]:
        """One sample: an array for each of `FIELDS`.

        Args:
            number: Its place in `index`.
            settings: How the loader is set.

        Raises:
            DataError: A file is damaged, or there is no such sample.
        """
        demo, start = self._at(number)
        if demo not in self._episodes:
            self._episodes[demo] = read_demonstration(demo, self.views)
        episode, tracks = self._episodes[demo], read_tracks(self._tracks_of(demo), self.views)
        assert episode.actions is not None
        assert episode.proprio is not None
        images = np.stack([episode.frames[view][start] for view in self.views])
        actions = episode.actions[start : start + settings.horizon]
        recorded_px = (images.shape[1], images.shape[2])
        traj, vis = _tracks(tracks, start, recorded_px, settings)
        return {
            "images": _images(images, settings.image_px or recorded_px),
            "actions": np.pad(actions, ((0, settings.horizon - len(actions)), (0, 0))),
            "proprioception": episode.proprio[start],
            "traj": traj,
            "vis": vis,
            "text": np.asarray(sentence(demo.task)),
            "text_emb": self._text(demo),
        }

    def _at(self, number: int) -> tuple[Demonstration, int]:
        rest = number
        for demo in self.demonstrations:
            if rest < demo.length:
                return demo, rest
            rest -= demo.length
        raise DataError(f"no sample {number} under {self.root}", allowed=f"0 to {number - rest - 1}")

    def _tracks_of(self, demo: Demonstration) -> Path:
        suite = self.root / "preprocessed_data" / demo.suite
        found = sorted(suite.glob(f"{self._method}/{demo.path.stem}/demo_{demo.number}.hdf5"))
        return found[0] if found else suite / "no_tracks"

    def _text(self, demo: Demonstration) -> np.ndarray:
        path = self.root / "preprocessed_data" / demo.suite / "text" / f"{demo.task}.hdf5"
        if not path.is_file():
            return np.zeros((0,), dtype=np.float32)
        with opened(path) as file:
            return array(file, "text_emb", path)


def _images(images: np.ndarray, size_px: tuple[int, int]) -> Float32[np.ndarray, "v h w 3"]:
    scaled = images.astype(np.float32) / 255
    if images.shape[1:3] == size_px:
        return scaled
    channels_first = torch.from_numpy(scaled).movedim(-1, 1)
    resized = interpolate(channels_first, size=size_px, mode="bilinear", align_corners=False)
    return resized.movedim(1, -1).numpy()


def _tracks(
    tracks: StoredTracks, start: int, size_px: tuple[int, int], settings: LoaderSettings
) -> tuple[np.ndarray, np.ndarray]:
    points = np.nan_to_num(tracks.points_px[:, start, : settings.horizon, :, ::-1], nan=0.0, posinf=0.0, neginf=0.0)
    half = np.asarray(size_px, dtype=np.float32) / 2
    traj = np.clip((points - half) / half, -1, 1).astype(np.float32)
    vis = np.nan_to_num(tracks.visibility[:, start, ..., None], nan=0.0, posinf=0.0, neginf=0.0)
    if settings.track_frames == settings.horizon:
        return traj, vis
    resample = {"linear": _line, "spline": _spline}[settings.interpolation]
    return resample(traj, settings.track_frames), resample(vis, settings.track_frames)


def _line(values: Float[np.ndarray, "v t n c"], frames: int) -> Float32[np.ndarray, "v frames n c"]:
    rows = torch.from_numpy(values).flatten(2).mT
    return (
        interpolate(rows, size=frames, mode="linear", align_corners=True)
        .mT.reshape(len(values), frames, *values.shape[2:])
        .numpy()
    )


def _spline(values: Float[np.ndarray, "v t n c"], frames: int) -> Float32[np.ndarray, "v frames n c"]:
    """The cubic spline through equally spaced values whose third derivative is continuous at the outer inner knots."""
    y = np.moveaxis(values.astype(np.float64), 1, 0)
    count = len(y)
    if count == frames:
        return values
    if count < 4:
        slopes = np.gradient(y, axis=0, edge_order=2 if count == 3 else 1)
    else:
        system, right = np.zeros((count, count)), np.empty_like(y)
        inner = np.arange(1, count - 1)
        system[inner, inner - 1], system[inner, inner], system[inner, inner + 1] = 1, 4, 1
        right[1:-1] = 3 * (y[2:] - y[:-2])
        system[0, :2], right[0] = (1, 2), (-5 * y[0] + 4 * y[1] + y[2]) / 2
        system[-1, -2:], right[-1] = (2, 1), (5 * y[-1] - 4 * y[-2] - y[-3]) / 2
        slopes = np.linalg.solve(system, right.reshape(count, -1)).reshape(y.shape)
    at = np.linspace(0, count - 1, frames)
    low = np.minimum(at.astype(int), count - 2)
    u = (at - low)[:, None, None, None]
    rise = y[low + 1] - y[low]
    bent = u * (1 - u) * ((1 - u) * (slopes[low] - rise) - u * (slopes[low + 1] - rise))
    return np.moveaxis(y[low] + u * rise + bent, 0, 1).astype(np.float32)
