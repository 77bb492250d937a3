"""The ten statistics that LeRobotDataset v3 keeps of every feature, of an episode and of all."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Shaped, UInt8

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
IMAGE_FRAMES = 16
"""Frames of a video that its statistics look at, evenly spread."""

Stats = dict[str, np.ndarray]


def column_stats(values: Shaped[np.ndarray, "..."]) -> Stats:
    """Statistics of one feature over the frames of an episode; each of shape (d,), a scalar feature as (1,)."""
    values = values.reshape(len(values), -1).astype(np.float64)
    quantiles = np.quantile(values, list(QUANTILES.values()), axis=0)
    return {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0),
        "std": values.std(0),
        "count": np.array([len(values)]),
        **dict(zip(QUANTILES, quantiles)),
    }


class ImageStats:
    """Statistics of a video's channels in 0..1, each of shape (3, 1, 1), from a sample of frames and pixels.

    Args:
        length: Frames that the video has.
    """

    def __init__(self, length: int):
        self._chosen = set(np.linspace(0, length - 1, min(length, IMAGE_FRAMES)).round().astype(int).tolist())
        self._pixels: list[np.ndarray] = []

    def watched(self, frames: Iterable[UInt8[np.ndarray, "h w 3"]]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """The same frames, looked at while they pass."""
        for number, frame in enumerate(frames):
            if number in self._chosen:
                stride = max(1, min(frame.shape[:2]) // 64)
                self._pixels.append(frame[::stride, ::stride].reshape(-1, 3).copy())
            yield frame

    def stats(self) -> Stats:
        """Of the frames that have passed."""
        stats = column_stats(np.concatenate(self._pixels))
        shaped = {name: (value / 255).reshape(3, 1, 1) for name, value in stats.items() if name != "count"}
        return {**shaped, "count": np.array([len(self._pixels)])}


def total_stats(parts: Sequence[Stats]) -> Stats:
    """Statistics of all episodes from those of each; quantiles are means weighted by count, as lerobot does it."""
    count = np.array([part["count"][0] for part in parts], dtype=np.float64)
    stack = {name: np.stack([part[name] for part in parts]) for name in parts[0] if name != "count"}
    weight = (count / count.sum()).reshape(-1, *([1] * (stack["mean"].ndim - 1)))
    mean = (weight * stack["mean"]).sum(0)
    variance = (weight * (stack["std"] ** 2 + (stack["mean"] - mean) ** 2)).sum(0)
    return {
        "min": stack["min"].min(0),
        "max": stack["max"].max(0),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": np.array([int(count.sum())]),
        **{name: (weight * stack[name]).sum(0) for name in QUANTILES},
    }
