"""Frames of many episodes at random: kept decoded while they fit into memory, else decoded one at a time."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from amplify.data.dataset import Dataset
from amplify.data.mixture.alignment import Views
from amplify.errors import DataError

logger = logging.getLogger(__name__)


class FrameStore:
    """The images of all cameras at any frame of any episode.

    An episode is decoded when it is first asked for. Whether it is then kept changes the time only: a recording made
    here has a key frame at every other frame, so that a frame that is not kept costs two decodes.

    Args:
        datasets: Sources, all with images of one size.
        memory_gb: How much decoded video may stay in memory, in 10⁹ bytes.
        views: Which camera of each source is which view, black where it has none; all cameras by default.

    Raises:
        DataError: Cameras or datasets have images of several sizes.
    """

    def __init__(self, datasets: Sequence[Dataset], *, memory_gb: float, views: Views | None = None):
        self.datasets = tuple(datasets)
        cameras = [dataset.spec.cameras for dataset in datasets] if views is None else []
        self._cameras = tuple(tuple(range(len(names))) for names in cameras) if views is None else views.cameras
        self._room = int(memory_gb * 1e9)
        self._kept: dict[tuple[int, int], UInt8[Tensor, "t v h w 3"]] = {}
        self._full = False
        sizes = {
            (dataset.frame_size(dataset.spec.cameras[camera]), dataset.root)
            for dataset, cameras in zip(datasets, self._cameras)
            for camera in cameras
            if camera is not None
        }
        if len({size for size, _ in sizes}) > 1:
            raise DataError(
                "images of several sizes cannot be learned from together",
                got=", ".join(f"{height}×{width} in {root}" for (height, width), root in sorted(sizes)),
                remedy="record or import the datasets at one size",
            )

    def frame(self, source: int, episode_index: int, frame: int) -> UInt8[Tensor, "v h w 3"]:
        """What all cameras of an episode see at a frame.

        Args:
            source: Number of the dataset.
            episode_index: Of the episode in its dataset.
            frame: From 0.

        Raises:
            DataError: The video cannot be decoded.
        """
        key, dataset = (source, episode_index), self.datasets[source]
        there = [camera for camera in self._cameras[source] if camera is not None]
        if key not in self._kept:
            height, width = dataset.frame_size(dataset.spec.cameras[there[0]])
            size = dataset.length(episode_index) * len(there) * height * width * 3
            if size > self._room:
                if not self._full:
                    logger.warning("decoded video does not fit into memory: what is left is read frame by frame")
                self._full = True
                return self._viewed(source, _decoded(dataset, episode_index, there, frame, 1)[0])
            self._room -= size
            self._kept[key] = _decoded(dataset, episode_index, there, 0, None)
        return self._viewed(source, self._kept[key][frame])

    def _viewed(self, source: int, seen: UInt8[Tensor, "c h w 3"]) -> UInt8[Tensor, "v h w 3"]:
        """Black images in the places of views that the source lacks."""
        images, black = iter(seen), torch.zeros_like(seen[0])
        return torch.stack([black if camera is None else next(images) for camera in self._cameras[source]])


def _decoded(
    dataset: Dataset, episode_index: int, cameras: Sequence[int], start: int, count: int | None
) -> UInt8[Tensor, "t c h w 3"]:
    names = [dataset.spec.cameras[camera] for camera in cameras]
    views = [dataset.frames(episode_index, name, start, count) for name in names]
    return torch.from_numpy(np.stack(views, axis=1))
