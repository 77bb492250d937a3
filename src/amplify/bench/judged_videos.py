"""Videos whose true tracks are known: recordings of a simulator, and annotated ones in TAP-Vid's layout."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from amplify.data.dataset import Dataset
from amplify.errors import DataError, pick
from amplify.sim.ground_truth import GroundTruthTracker
from amplify.sim.objects import object_points
from amplify.tracks.queries import uniform_grid
from amplify.types import Clip, TrackWindow

LARGEST_BYTES = 1 << 32
"""Annotations that claim to be larger are not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedVideo:
    """What a tracker is given, and what it should have found.

    Args:
        clip: The video, with the scene's states only where the truth needs them.
        queries: Normalised points, started anew at every frame.
        truth: Windows of shape (t, 1, horizon, n); a query that is not visible in its query frame does not count.
        objects: Whether each query lies on one of the task's objects, (t, 1, n); None where nobody knows.
    """

    clip: Clip
    queries: Float[Tensor, "n 2"]
    truth: TrackWindow
    objects: Bool[Tensor, "t 1 n"] | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A camera's video of an episode that was recorded in simulation."""

    dataset: Dataset
    episode: int
    camera: str

    @property
    def name(self) -> str:
        """Dataset, episode and camera."""
        return f"{self.dataset.root} episode {self.episode} {self.camera}"

    def read(self, *, grid: int, horizon: int, stride: int) -> JudgedVideo:
        """Exact tracks of a uniform grid from every frame.

        Args:
            grid: Points a side.
            horizon: Frames of a window.
            stride: Plays no part: every frame starts windows.
        """
        clip, queries = self.dataset.clip(self.episode, self.camera), uniform_grid(grid)
        truth = GroundTruthTracker().track(clip, queries, horizon=horizon)
        return JudgedVideo(clip=clip, queries=queries, truth=truth, objects=object_points(clip, queries)[:, None])


@dataclass(frozen=True, slots=True)
class Annotated:
    """An .npz file with ``video`` (t, h, w, 3) uint8, ``points`` (n, t, 2) as (x, y) in 0 … 1, ``occluded`` (n, t)."""

    path: Path

    @property
    def name(self) -> str:
        """The file."""
        return str(self.path)

    def read(self, *, grid: int, horizon: int, stride: int) -> JudgedVideo:
        """The annotated points, from the frames in which they are visible.

        Args:
            grid: Plays no part: the points are those that were annotated.
            horizon: Frames of a window.
            stride: Frames from one query frame to the next.

        Raises:
            DataError: The file is damaged, too large, or of another layout.
        """
        video, points, occluded = self._arrays()
        frames, count = len(video), len(points)
        at = torch.from_numpy(points).float().transpose(0, 1) * 2 - 1  # (t, n, 2)
        seen = ~torch.from_numpy(occluded).T & (at.abs() <= 1).all(dim=-1)
        starts = torch.arange(0, frames, stride)
        queries = at[starts].reshape(-1, 2)
        ages = torch.arange(horizon)
        later = (starts[:, None] + ages).clamp(max=frames - 1)  # (s, horizon)
        valid = torch.arange(frames)[:, None] + ages < frames
        true = queries.expand(frames, horizon, -1, 2).clone()
        visible = torch.zeros(true.shape[:-1], dtype=torch.bool)
        for row, start in enumerate(starts):
            own = slice(row * count, (row + 1) * count)
            true[start, :, own] = at[later[row]]
            visible[start, :, own] = seen[later[row]] & seen[start] & valid[start, :, None]
        truth = TrackWindow(points=true[:, None], visible=visible[:, None], valid=valid[:, None])
        return JudgedVideo(clip=Clip(frames=video, fps=25.0, camera=self.path.stem), queries=queries, truth=truth)

    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                claimed = sum(entry.file_size for entry in archive.infolist())
            if claimed > LARGEST_BYTES:
                raise DataError(f"{self.path} claims {claimed} bytes", allowed=f"at most {LARGEST_BYTES}")
            with np.load(self.path, allow_pickle=False) as file:
                video, points, occluded = (file[key] for key in ("video", "points", "occluded"))
        except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError) as error:
            raise DataError(f"{self.path} holds no annotated video", got=error, allowed=Annotated.__doc__) from error
        wanted = (len(points), len(video)) if points.ndim == 3 and video.ndim == 4 else None
        right = (video.dtype, video.shape[-1], points.shape[:2], points.shape[-1], occluded.shape)
        if wanted is None or right != (np.uint8, 3, wanted, 2, wanted) or 0 in wanted:
            got = f"video {video.dtype} {video.shape}, points {points.shape}, occluded {occluded.shape}"
            raise DataError(f"{self.path} holds arrays of other shapes", got=got, allowed=Annotated.__doc__)
        if points.dtype.kind not in "fiu" or not np.isfinite(points).all():
            raise DataError(f"{self.path} holds points that are not finite numbers")
        return video, points, occluded.astype(bool)


Source = Recorded | Annotated
"""A video of known tracks that is read when it is needed."""


def judged_sources(
    folders: Sequence[Path], *, cameras: Sequence[str] | None, episodes: int | None
) -> tuple[list[Source], dict[str, str]]:
    """The videos of datasets and of folders of annotations, and what was wrong with others.

    Args:
        folders: Each a dataset, or a folder with .npz files.
        cameras: Of datasets; all by default.
        episodes: The first so many of each folder; all by default.

    Raises:
        DataError: There is no video at all.
        UnknownNameError: A dataset has no such camera.
    """
    sources: list[Source] = []
    problems: dict[str, str] = {}
    for folder in folders:
        files = sorted(folder.glob("*.npz"))
        if files and not (folder / "meta").is_dir():
            sources += [Annotated(path) for path in files[:episodes]]
            continue
        dataset = Dataset.open(folder, columns=False)
        there = dict.fromkeys(dataset.spec.cameras)
        for camera in cameras or ():
            pick(camera, there, kind="camera")
        problems |= {f"{folder} episode {p.episode_index}": p.reason for p in dataset.problems}
        sources += [
            Recorded(dataset, episode.index, camera)
            for episode in dataset.episodes[:episodes]
            for camera in cameras or there
        ]
    if not sources:
        raise DataError("no video to judge trackers by", got=", ".join(map(str, folders)))
    return sources, problems
