"""Frames of many episodes at random: kept decoded while they fit into memory, else decoded one at a time."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from amplify.data.dataset import Dataset
from amplify.errors import DataError

logger = logging.getLogger(__name__)


class FrameStore:
    """The images of all cameras at any frame of any episode.

    An episode is decoded when it is first asked for. Whether it is then kept changes the time only: a recording made
    here has a key frame at every other frame, so that a frame that is not kept costs two decodes.

    Args:
        datasets: Sources, all with images of one size.
        memory_gb: How much decoded video may stay in memory, in 10⁹ bytes.

    Raises:
        DataError: Cameras or datasets have images of several sizes.
    """

    def __init__(self, datasets: Sequence[Dataset], *, memory_gb: float):
        self.datasets = tuple(datasets)
        self._room = int(memory_gb * 1e9)
        self._kept: dict[tuple[int, int], UInt8[Tensor, "t v h w 3"]] = {}
        self._full = False
        sizes = {(dataset.frame_size(camera), dataset.root) for dataset in datasets for camera in dataset.spec.cameras}
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
        key = (source, episode_index)
        if key in self._kept:
            return self._kept[key][frame]
        dataset = self.datasets[source]
        height, width = dataset.frame_size(dataset.spec.cameras[0])
        size = dataset.length(episode_index) * len(dataset.spec.cameras) * height * width * 3
        if size > self._room:
            if not self._full:
                logger.warning("decoded video does not fit into memory: what is left is read frame by frame")
            self._full = True
            return self._decoded(dataset, episode_index, frame, 1)[0]
        self._room -= size
        self._kept[key] = self._decoded(dataset, episode_index, 0, None)
        return self._kept[key][frame]

    def _decoded(self, dataset: Dataset, episode_index: int, start: int, count: int | None) -> Tensor:
        views = [dataset.frames(episode_index, camera, start, count) for camera in dataset.spec.cameras]
        return torch.from_numpy(np.stack(views, axis=1))
