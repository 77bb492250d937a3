"""Windows of tracks of an episode that follow one another: from its sidecar, or from a quick look with optical flow."""

import numpy as np
import torch

from amplify.data.dataset import Dataset
from amplify.data.track_store import TrackStore
from amplify.tracks import TRACKERS
from amplify.tracks.queries import uniform_grid
from amplify.types import Clip, TrackWindow

MOST = 32
"""Windows of a long episode that are read, spread evenly."""
QUICK_GRID, QUICK_HORIZON, QUICK_FRAMES = 16, 16, 48
"""Of the quick look: points a side, frames a window, and the frames of an episode's middle that are followed."""


def starts_of(length: int, horizon: int) -> np.ndarray:
    """First frames of windows that hold every step of an episode once, or of some of them where there are many.

    Args:
        length: Frames of the episode.
        horizon: Frames a window.
    """
    starts = np.arange(0, max(1, length - 1), horizon - 1)
    return starts if len(starts) <= MOST else starts[np.linspace(0, len(starts) - 1, MOST).round().astype(int)]


def stored(dataset: Dataset, folder: str, episode_index: int) -> tuple[np.ndarray, TrackWindow]:
    """First frames and windows from a sidecar, (b, v, t, n, 2).

    Args:
        dataset: Opened.
        folder: Of the sidecar.
        episode_index: Of the episode.

    Raises:
        SidecarError: There is none that can be used.
    """
    store = TrackStore(dataset, folder)
    horizon = int(store.header(episode_index).settings["horizon"])
    starts = starts_of(dataset.length(episode_index), horizon)
    return starts, store.read(np.full(len(starts), episode_index), starts)


def followed(dataset: Dataset, episode_index: int, camera: str) -> tuple[np.ndarray, TrackWindow]:
    """First frames and windows from a quick look at the middle of an episode, (b, 1, t, n, 2).

    Args:
        dataset: Opened.
        episode_index: Of the episode.
        camera: Which to look through.

    Raises:
        DataError: The video cannot be read.
    """
    length = dataset.length(episode_index)
    count = min(length, QUICK_FRAMES)
    first = (length - count) // 2
    frames = dataset.frames(episode_index, camera, first, count)
    clip = Clip(frames=frames, fps=float(dataset.spec.fps), camera=camera)
    window = TRACKERS["flow"]().track(clip, uniform_grid(QUICK_GRID), horizon=min(QUICK_HORIZON, max(2, count)))
    starts = starts_of(count, window.points.shape[-3])
    rows = torch.from_numpy(starts)
    return first + starts, window.map(lambda tensor: tensor[rows])
