"""Reads tracks and features of windows of one source, brought to the form of its mixture."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from amplify.data.dataset import Dataset
from amplify.data.mixture.alignment import Pace, Views, placed, resampled, seen_at_both, worse_of_both
from amplify.data.opened import OpenSidecars
from amplify.data.sidecar import Header
from amplify.types import TrackWindow

Stored = tuple[Float[Tensor, "b v t n 2"], Bool[Tensor, "b v t n"], Float[Tensor, "b v t n"] | None]


class WindowReader:
    """Windows of any source by episode and start frame.

    Args:
        datasets: Of the sources.
        views: Which camera of each source is which view.
        paces: How time passes in each source, and where its tracks lie; empty where no tracks are read.
        horizon: Steps of a window, the first frame included.
        features: Sidecar folder of image features; None where they are not read.
    """

    def __init__(
        self, datasets: Sequence[Dataset], views: Views, paces: Sequence[Pace], horizon: int, features: str | None
    ):
        self._datasets, self._views, self._paces = tuple(datasets), views, tuple(paces)
        self._horizon, self._features = horizon, features
        self._files = OpenSidecars(datasets)

    def exact(self, source: int) -> bool:
        """Whether a step of a source is a frame, so that its windows are taken as they are stored."""
        return self._paces[source].exact

    def headers(self, source: int, episode: int) -> dict[str, tuple[str, Header]]:
        """Of each kind of sidecar that is read, the folder and what an episode's says of itself.

        Raises:
            SidecarError: It is missing, damaged, or of another recording.
        """
        return {
            kind: (folder, self._files.read(source, folder, episode).header) for kind, folder in self._folders(source)
        }

    def shapes(self, source: int, episode: int) -> dict[str, tuple[int, ...]]:
        """The shape of a row of each array of an episode, brought to the form of the mixture."""
        views, found = len(self._views.cameras[source]), {}
        for kind, folder in self._folders(source):
            for name, tensor in self._files.read(source, folder, episode).tensors.items():
                shape = (views, *tensor.shape[2:])
                if kind == "tracks" and not self._paces[source].exact:
                    shape = (views, self._horizon, *tensor.shape[3:])
                found["features" if kind == "features" else name] = shape
        return found

    def tracks(
        self, source: int, episodes: Int[np.ndarray, " b"], starts: Int[np.ndarray, " b"], last: Int[np.ndarray, " b"]
    ) -> TrackWindow:
        """The tracks of windows, float32.

        Args:
            source: Number of the source that all of them are of.
            episodes: Their episodes, as numbered in the dataset.
            starts: Their first frames.
            last: The last frames of the episodes.
        """
        pace, cameras = self._paces[source], self._views.cameras[source]
        points, visible, error = self._stored_tracks(source, episodes, starts)
        if not pace.exact:
            points, visible = resampled(points, pace, self._horizon), seen_at_both(visible, pace, self._horizon)
            error = None if error is None else worse_of_both(error, pace, self._horizon)
        ends = np.array([pace.frames_at(step) for step in range(self._horizon)])
        inside = torch.from_numpy(starts[:, None] + ends <= last[:, None])
        valid = inside[:, None] & torch.tensor([camera is not None for camera in cameras])[:, None]
        if None in cameras:
            here = next(camera for camera in cameras if camera is not None)
            resting = points[:, here, :1].expand_as(points[:, here])
            points = torch.stack([resting if camera is None else points[:, camera] for camera in cameras], dim=1)
        else:
            points = placed(points, cameras)
        return TrackWindow(
            points=points,
            visible=placed(visible, cameras),
            valid=valid,
            error_px=None if error is None else placed(error, cameras),
        )

    def vision(
        self, source: int, episodes: Int[np.ndarray, " b"], frames: Int[np.ndarray, " b"]
    ) -> Float[Tensor, "b v p d"]:
        """Image features at frames, float32; arguments as for `tracks`."""
        assert self._features is not None
        stored = self._rows(source, self._features, "vision", episodes, frames).float()
        return placed(stored, self._views.cameras[source])

    def _stored_tracks(self, source: int, episodes: np.ndarray, starts: np.ndarray) -> Stored:
        """Points, visibility and errors of all cameras and frames: the one place that knows how tracks are stored."""
        folder = self._paces[source].folder
        first = self._files.read(source, folder, int(episodes[0])).tensors
        points = self._rows(source, folder, "points", episodes, starts).float()
        visible = self._rows(source, folder, "visible", episodes, starts)
        with_error = "error_px" in first
        return points, visible, self._rows(source, folder, "error_px", episodes, starts).float() if with_error else None

    def _rows(self, source: int, folder: str, name: str, episodes: np.ndarray, frames: np.ndarray) -> Tensor:
        read = self._files.read
        return torch.stack(
            [
                read(source, folder, episode).tensors[name][frame]
                for episode, frame in zip(episodes.tolist(), frames.tolist())
            ]
        )

    def _folders(self, source: int) -> list[tuple[str, str]]:
        folders = [("tracks", self._paces[source].folder)] if self._paces else []
        return folders + ([("features", self._features)] if self._features is not None else [])
