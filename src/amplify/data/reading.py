"""Reads tracks and features of windows of one source, brought to the form of its mixture."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from amplify.data.dataset import Dataset
from amplify.data.mixture.alignment import Pace, Views, placed, resampled, seen_at_both, worse_of_both
from amplify.data.sidecar import Header
from amplify.data.sidecar_files import FeatureStore
from amplify.data.track_store import TrackStore
from amplify.types import TrackWindow


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
        self._horizon = horizon
        self._tracks = [TrackStore(dataset, pace.folder) for dataset, pace in zip(datasets, paces)]
        self._vision = [] if features is None else [FeatureStore(dataset, features) for dataset in datasets]

    def exact(self, source: int) -> bool:
        """Whether a step of a source is a frame, so that its windows are taken as they are stored."""
        return self._paces[source].exact

    def headers(self, source: int, episode: int) -> dict[str, tuple[str, Header]]:
        """Of each kind of sidecar that is read, the folder and what an episode's says of itself.

        Raises:
            SidecarError: It is missing, damaged, or of another recording.
        """
        return {kind: (store.files.folder, store.header(episode)) for kind, store in self._stores(source).items()}

    def shapes(self, source: int, episode: int) -> dict[str, tuple[int, ...]]:
        """The shape of a row of each array of an episode, brought to the form of the mixture."""
        views, found = len(self._views.cameras[source]), {}
        for kind, store in self._stores(source).items():
            for name, (_, *stored) in store.shapes(episode).items():
                if kind == "tracks" and not self._paces[source].exact:
                    stored[0] = self._horizon
                found[name] = (views, *stored)
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
        stored = self._tracks[source].read(episodes, starts)
        points, visible, error = stored.points, stored.visible, stored.error_px
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
        return placed(self._vision[source].read(episodes, frames), self._views.cameras[source])

    def _stores(self, source: int) -> dict[str, TrackStore | FeatureStore]:
        stores: dict[str, TrackStore | FeatureStore] = {"tracks": self._tracks[source]} if self._tracks else {}
        return stores | ({"features": self._vision[source]} if self._vision else {})
